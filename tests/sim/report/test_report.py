"""The report: every plot with its numbers, offline, the same bytes, for any run."""

from __future__ import annotations

import re
import shutil
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from markupsafe import escape

from sim.metrics import World
from sim.records.directory import Ending, write_provenance
from sim.records.reader import RunTables
from sim.records.schema import LatencyCount, PublisherEnd
from sim.records.writer import RunWriter
from sim.report import write_report
from sim.report.data import RunData, band, quantile_places
from sim.report.page import DRAWN, draw
from sim.report.plots_channels import survival
from sim.report.plots_latency import cost_latency
from sim.report.plots_method import warm_up
from sim.report.stranded import stranded
from sim.report.style import Plot, look, short_number
from sim.statistics import bucket_of
from sim.summary import write_summary
from tests.sim.example_run import write_example
from tests.sim.records.test_directory import ending

PLOTS = (
    "deployments", "replicas", "requests", "money", "prices", "latency", "latency-pods", "cold", "pods", "cost",
    "revenue", "survival", "removals", "overrun", "warm-up",
)  # fmt: skip
VOID = {"meta", "br", "hr", "img", "link", "input"}


@pytest.fixture(scope="module", params=[1, 4], ids=["one", "four"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    directory = write_example(root, pods=40, providers=6, hours=3, replications=request.param)
    write_report(directory)
    return directory


def page(run: Path) -> str:
    return (run / "report.html").read_text(encoding="utf-8")


class Balance(HTMLParser):
    """Counts ids and checks that every tag that opens is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("key", PLOTS)
def test_every_plot_is_there_with_its_sentence_its_basis_and_its_numbers(run: Path, key: str) -> None:
    section = page(run).partition(f'<section id="{key}">')[2].partition("</section>")[0]
    drawing = section[section.index("<svg") : section.index("</svg>") + 6]
    root = ET.fromstring(drawing)
    words = [text.text or "" for text in root.iter("text")]
    assert len(words) > 6, "ticks and labels are text, not paths"
    assert any("[" in word or word in {"replicas", "channels so far", "pods"} for word in words), (
        "an axis says its unit"
    )
    assert re.search(rf'<p id="s-{key}">\S.*\d.*</p>', section)
    assert "n: " in section
    header = re.findall(r"<th>(.*?)</th>", section)
    rows = re.findall(r"<tr>(<td>.*?)</tr>", section)
    assert len(rows) >= 3
    assert all(row.count("<td>") == len(header) for row in rows)


def test_what_a_run_has_nothing_for_is_left_out_with_the_reason(run: Path) -> None:
    text = page(run)
    plots, absent = draw(RunData(run))
    assert len(plots) + len(absent) == len(DRAWN)
    alone = "1 replication, so no interval" in text
    assert ("there is one replication, and an interval needs two" in text) == alone
    assert ('<section id="running-mean">' in text) != alone
    assert ('<section id="left-out">' in text) == bool(absent)


def test_one_pod_of_one_provider_has_a_page(tmp_path: Path) -> None:
    directory = write_example(tmp_path, pods=1, providers=1, hours=1, out=tmp_path / "one")
    text = write_report(directory).read_text(encoding="utf-8")
    left_out = text.partition('<section id="left-out">')[2].partition("</section>")[0]
    assert left_out.count("no channel ran out of money") == 3
    assert "fewer than two of the pods" in left_out
    assert "of the one provider" in text
    assert "1 publisher and 1 provider, 1 replication" in text


def test_what_is_stranded_at_the_end_is_what_the_summary_says(tmp_path: Path) -> None:
    with RunWriter(tmp_path) as writer:
        for number, (outcome, ended) in enumerate((("removed", 30), ("running", None), ("refused", 15))):
            row = {"pod": f"p{number}", "group": "g", "provider": "b", "requested_ns": 10, "outcome": outcome}
            writer.append("deployments", row | ({"ended_ns": ended} if ended else {}))
            row = {
                "pod": f"p{number}",
                "provider": "b",
                "opened_ns": 20,
                "status": "open",
                "invested": 10**18,
            }
            row |= {"owed": 4 * 10**17, "withdrawn": 10**17, "available_at_end": 9 * 10**17}
            writer.append("channels", row)
    tables = RunTables(tmp_path)
    line = stranded(tables, 0, np.array([20, 29, 30, 99])) / 1e18
    assert line.tolist() == pytest.approx([0.6, 0.6, 1.2, 1.2])
    assert World(tables, 0, decimals=18, gas_decimals=18).stranded() == pytest.approx(1.2)


def test_the_stranded_are_known_at_every_instant(tmp_path: Path) -> None:
    """A pod that went and came back: its money is stranded only while it is away, and no longer once it is returned."""
    with RunWriter(tmp_path) as writer:
        for asked, ended, outcome in ((10, 30, "removed"), (50, 70, "removed")):
            writer.append(
                "deployments",
                {
                    "pod": "p",
                    "group": "g",
                    "provider": "b",
                    "requested_ns": asked,
                    "ended_ns": ended,
                    "outcome": outcome,
                },
            )
        writer.append(
            "channels",
            {"pod": "p", "provider": "b", "opened_ns": 20, "closed_ns": 90, "invested": 100, "owed": 40, "status": "closed"},
        )  # fmt: skip
    line = stranded(RunTables(tmp_path), 0, np.array([0, 20, 29, 30, 49, 50, 69, 70, 89, 90]))
    assert line.tolist() == [0, 0, 0, 60, 60, 0, 0, 60, 60, 0]


def test_numbers_of_the_page_are_those_of_the_tables(run: Path) -> None:
    data, text = RunData(run), page(run)
    exhausted = [data.tables.rows("channels", n) for n in data.replications]
    spent = sum(int(rows.present("exhausted_ns").sum()) for rows in exhausted)
    assert spent > 0
    assert f"{spent} of {sum(map(len, exhausted))} channels ran out of money" in text
    rows = re.findall(
        r"<tr>(<td>.*?)</tr>", text.partition('<section id="overrun">')[2].partition("</section>")[0]
    )
    counts = [float(re.findall(r"<td>(.*?)</td>", row)[2]) for row in rows]
    overran = sum(int((rows.floats("overrun") > 0).sum()) for rows in exhausted)
    assert sum(counts) * len(data.replications) == pytest.approx(overran, rel=0.01)
    survivors = re.findall(
        r"<td>(.*?)</td>", text.partition('<section id="survival">')[2].partition("</section>")[0]
    )
    assert survivors[1] == "100"
    if len(data.replications) > 1:
        last = text.partition('<section id="running-mean">')[2].partition("</tbody>")[0].rpartition("<tr>")[2]
        told = [float(value.replace(",", "")) for value in re.findall(r"<td>(.*?)</td>", last)]
        entry = data.metric("cost_per_million")
        assert told[-2] == pytest.approx(entry["mean"], rel=1e-3)
        assert told[-1] == pytest.approx((entry["high"] - entry["low"]) / 2, rel=1e-3)


@pytest.mark.parametrize(
    ("said", "words", "cut"),
    [
        ({"asked": "none", "length_ns": 0}, "No warm-up is left out", False),
        (
            {"asked": "time", "length_ns": 30 * 60 * 10**9},
            "leave out the first 0.5 h (as the scenario says)",
            True,
        ),
        ({"asked": "auto", "length_ns": 45 * 60 * 10**9, "unsettled": ["held"]}, "0.75 h (by MSER-5", True),
        ({"asked": "auto", "length_ns": None}, "MSER-5 finds no end of the start", False),
    ],
)
def test_the_warm_up_shows_the_cut_that_is_in_force(
    run: Path, said: dict[str, object], words: str, cut: bool
) -> None:
    data = RunData(run)
    data.summary["warm_up"] = said
    with look():
        plot = warm_up(data)
    assert isinstance(plot, Plot)
    assert words in plot.sentence
    assert ("held" in plot.sentence) == ("unsettled" in said)
    assert plot.svg.count(">cut<") == 2 * cut


def test_cost_is_drawn_against_the_slowest_quantile_that_pods_have_requests_for(tmp_path: Path) -> None:
    """Pods of 12,000, 3,000, 2,500 and 50 requests: one has a p99, three have a p95, and one of those is dominated."""
    for replication in range(2):
        with RunWriter(tmp_path, replication=replication) as writer:
            writer.append("samples", {"time_ns": 0, "provider": "b"})
            for number, (requests, slow, owed) in enumerate(
                ((12_000, 50, 12), (3_000, 80, 45), (2_500, 90, 20), (50, 9, 1))
            ):
                pod = f"p{number}"
                writer.append("publishers", PublisherEnd(pod, "g", served=requests))
                writer.append(
                    "channels",
                    {
                        "pod": pod,
                        "provider": "b",
                        "owed": owed * 10**15 * (replication + 1),
                        "status": "open",
                    },
                )
                writer.append("latency", LatencyCount(pod, "b", "all", bucket_of(slow * 1e6), requests))
    write_provenance(tmp_path, Ending("x", 1, 2, ending().started, 1.0, 0, 10**9, (10**9, 10**9)))
    write_summary(tmp_path)
    with look():
        plot = cost_latency(RunData(tmp_path))
    assert isinstance(plot, Plot)
    assert plot.title == "Cost against p95"
    found = {row[0]: (float(row[3]), row[5]) for row in plot.rows}
    assert found == {"p0": (1.5, "yes"), "p2": (12, ""), "p1": (22.5, "")}
    assert float(plot.rows[0][4]) == pytest.approx(12.7062 * 0.5, rel=1e-3), "half of the interval of 1 and 2"


def test_a_survival_curve_in_the_page_is_the_product_limit_estimate(tmp_path: Path) -> None:
    """Two of four channels run out, one is closed in between: 1, 3/4, then one of the two at risk."""
    with RunWriter(tmp_path) as writer:
        writer.append("publishers", PublisherEnd("p", "p"))
        for at in (0, 60):
            writer.append("samples", {"time_ns": at * 10**9, "provider": "b"})
        for life, (closed, exhausted) in enumerate(
            ((None, 10), (20, None), (None, 30), (None, None)), start=1
        ):
            row = {"pod": "p", "provider": "b", "life": life, "opened_ns": 0, "status": "open"}
            row |= {"closed_ns": closed * 10**9} if closed else {}
            row |= {"exhausted_ns": exhausted * 10**9} if exhausted else {}
            writer.append("channels", row)
    write_provenance(tmp_path, Ending("x", 1, 1, ending().started, 1.0, 0, 60 * 10**9, (60 * 10**9,)))
    write_summary(tmp_path)
    with look():
        plot = survival(RunData(tmp_path))
    assert isinstance(plot, Plot)
    assert [row[1] for row in plot.rows] == ["100", "100", "75", "75", "37.5", "37.5", "37.5", "37.5", "37.5"]
    assert "2 of 4 channels ran out of money" in plot.sentence


def test_the_page_is_whole_and_needs_nothing_else(run: Path) -> None:
    text = page(run)
    assert len(text.encode()) < 2_000_000
    assert not re.search(r"https?:|//[a-z]|src=|@import|<script|<link|url\((?!#)", text)
    parser = Balance()
    parser.feed(text)
    assert parser.open == []
    assert len(parser.ids) == len(set(parser.ids)), "ids of two drawings clash"
    assert set(re.findall(r'(?:url\(#|href="#)([\w-]+)', text)) <= set(parser.ids)


def test_colours_are_the_pages_own_so_that_dark_and_paper_can_differ(run: Path) -> None:
    text = page(run)
    body = text.partition("</style>")[2]
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    strays = set(re.findall(r"#[0-9a-f]{6}\b", body)) - {"#000000"}
    assert not strays
    for name in set(re.findall(r"var\((--\w+)\)", text)):
        assert text.count(f"{name}: #") == 2, f"{name} has a light and a dark value"


def test_residuals_and_what_is_not_modelled_are_listed(run: Path) -> None:
    text = page(run)
    laws = text.partition('<section id="conservation">')[2].partition("</section>")[0]
    assert laws.count("<td>0</td></tr>") == 6
    assert "trusted" not in laws
    assert "Rain." in text.partition('<section id="not-modelled">')[2]


def test_bands_are_drawn_when_there_are_replications_and_said_to_be_missing_when_not(run: Path) -> None:
    text = page(run)
    several = "4 replications" in text
    assert several == ("bands are 95 % intervals" in text)
    assert several != ("so no interval" in text)
    assert several == ("±" in text.partition("<section")[0])


def test_the_same_run_gives_the_same_page_whatever_the_readers_own_settings(run: Path) -> None:
    before = page(run)
    with mpl.rc_context(
        {"font.size": 20, "axes.ymargin": 0.4, "scatter.marker": "x", "svg.hashsalt": "else"}
    ):
        write_report(run)
    assert page(run) == before


def test_an_unbalanced_run_is_called_so(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    with RunWriter(copy, replication=9) as writer:
        writer.append("conservation", ("tokens", "base units", 10**25, 1))
    write_summary(copy)
    shutil.rmtree(copy / "tables" / "samples")
    write_report(copy)
    text = page(copy)
    assert "nothing on this page can be trusted" in text
    assert f"{10**25 - 1:,}" in text
    assert "there is nothing to draw" in text


def test_a_run_in_which_nothing_happened_has_a_page(tmp_path: Path) -> None:
    with RunWriter(tmp_path) as writer:
        writer.append("publishers", PublisherEnd("p", "p"))
        for at in range(3):
            writer.append("samples", {"time_ns": 1000 + at * 10**9, "provider": ""})
    write_provenance(tmp_path, ending(interrupted=True))
    write_summary(tmp_path)
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert "This run was interrupted: it reached 75.0% of its virtual time." in text
    plots, absent = draw(RunData(tmp_path))
    assert {plot.key for plot in plots} == {"deployments", "money", "replicas", "requests"}
    assert len(absent) == len(DRAWN) - 4
    for plot in absent:
        assert f"<li>{escape(plot.title)}: {escape(plot.reason)}.</li>" in text


def test_replications_cut_short_are_drawn_as_far_as_all_came(tmp_path: Path) -> None:
    for replication, count in enumerate((5, 3)):
        with RunWriter(tmp_path, replication=replication) as writer:
            for at in range(count):
                writer.append("samples", {"time_ns": at * 60 * 10**9, "provider": "b", "owed": at * 10**18})
    write_provenance(tmp_path, Ending("x", 1, 2, ending().started, 1.0, 0, 10**12, (10**12, 10**12)))
    write_summary(tmp_path)
    data = RunData(tmp_path)
    assert data.time.word == "min"
    assert data.instants.tolist() == [0, 1, 2]
    assert data.series("owed", money=True).tolist() == [[0, 1, 2], [0, 1, 2]]


def test_a_band_is_the_interval_at_each_instant() -> None:
    shown = band(np.array([[1.0, 5.0], [3.0, 5.0]]))
    assert shown.low is not None
    assert shown.high is not None
    assert shown.mean.tolist() == [2, 5]
    assert shown.high[0] - 2 == pytest.approx(12.706204736432095 * 2**0.5 / 2**0.5)
    assert shown.low[1] == shown.high[1] == 5
    assert band(np.array([[1.0]])).low is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1200, "1.2k"), (3e6, "3M"), (2.5e9, "2.5G"), (0.00002, "2e-5"), (0.25, "0.25")],
)
def test_ticks_are_short(value: float, text: str) -> None:
    assert short_number(value) == text


def test_places_are_spread_evenly_and_hold_both_ends() -> None:
    assert quantile_places(3, 5) == [0, 1, 2]
    assert quantile_places(101, 5) == [0, 25, 50, 75, 100]


def test_a_pods_cold_median_is_its_own(run: Path) -> None:
    pods = RunData(run).pods
    waited = pods.cold > 0
    assert waited.sum() > 10
    assert np.isnan(pods.cold_median_ms[~waited]).all()
    assert (pods.cold_median_ms[waited] > 2_000).all()  # the example draws them around 3.2 s, pod by pod
    assert len(set(pods.cold_median_ms[waited])) > 5
