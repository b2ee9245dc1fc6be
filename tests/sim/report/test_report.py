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

from sim.records.directory import Ending, write_provenance
from sim.records.schema import PublisherEnd
from sim.records.writer import RunWriter
from sim.report import write_report
from sim.report.data import RunData, band, quantile_places
from sim.report.page import draw
from sim.report.style import short_number
from sim.summary import write_summary
from tests.sim.example_run import write_example
from tests.sim.records.test_directory import ending

PLOTS = ("money", "replicas", "requests", "latency", "pods", "removals", "revenue", "cost")
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
    assert any("[" in word or word in {"replicas", "channels so far"} for word in words), (
        "an axis says its unit"
    )
    assert re.search(r"<p>\S.*\d.*</p>", section)
    assert "n: " in section
    header = re.findall(r"<th>(.*?)</th>", section)
    rows = re.findall(r"<tr>(<td>.*?)</tr>", section)
    assert len(rows) >= 3
    assert all(row.count("<td>") == len(header) for row in rows)


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
    assert {plot.key for plot in draw(RunData(tmp_path))} == {"money", "replicas", "requests"}


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
