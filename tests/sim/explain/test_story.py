"""`explain RUN`: a person can follow a pod from its deposit to its removal, line by line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import sim
from cli.main import main
from protocol.events import Happened
from sim.explain.phrases import clock_text, money_text, phrase, span_text
from sim.explain.source import Source
from sim.explain.story import (
    ANSWERS,
    TRUTH,
    Line,
    Story,
    story_of_channel,
    story_of_pod,
    story_of_transaction,
)
from tests.sim.explain.conftest import DATA, run

SPENT = """\
00:00:00.000 spent-0: collects its manifest (309 bytes) [10]
00:00:00.020 spent-0: reads the registry: 2 providers listed [15 < 10]
00:00:00.241 spent-0: checks box-0's keys and evidence: they hold [24 < 15]
00:00:00.279 box-0: offers to run it for a first deposit of 0.0014167 DAI at least [29 << 24]
00:00:00.343 spent-0: takes box-0's offer (0.0014167 DAI at least) [34 < 24]
00:00:00.383 spent-0: sends a transaction to let the contract take its deposit (approve) [35 < 34]
00:00:02.000 (the world): block 31 carries out spent-0's approve; nobody counts on it yet [ < 35]
00:00:08.000 spent-0: believes that its approve counts; the fee was 0.00000229785 ETH [44 < 35]
00:00:08.000 spent-0: sends a transaction to open the channel with the first deposit (createChannel) [45 < 44]
00:00:10.000 (the world): block 35 carries out spent-0's createChannel; nobody counts on it yet [ < 45]
00:00:16.000 spent-0: believes that its createChannel counts; the fee was 0.00000534815 ETH [52 < 45]
00:00:16.020 spent-0: sees its channel with box-0 hold 0.0028334 DAI [57 < 52]
00:00:17.565 spent-0: has its image encrypted and uploaded (150,000,000 bytes sent) [61 < 57]
00:00:17.656 box-0: accepts the pod, at its pricing table 1 [68 << 61]
00:00:17.688 spent-0: has sent box-0 the sealed manifest (313 bytes) [72 < 61]
00:00:19.337 box-0: has set the pod up (version 1): it runs, and is billed while replicas run [78 < 68]
00:00:22.911 spent-0: hears from box-0 that the pod runs [83 < 72]
00:05:53.766 box-0: claims 0.000781531 DAI in all, of 0.000781531 DAI owed [93 < 78]
00:05:53.766 box-0: sends a transaction to claim what its pods owe (withdrawMany) [95 < 93]
00:05:54.000 (the world): block 207 carries out box-0's withdrawMany; nobody counts on it yet [ < 95]
00:06:00.000 box-0: believes that its withdrawMany counts; the fee was 0.00000321845 ETH [96 < 95]
00:06:00.000 box-0: is paid 0.000781531 DAI [97 < 93]
00:10:53.766 box-0: sees that funds are low: 0.00134352 DAI left in the channel beyond what is owed [107 < 78]
00:10:53.766 box-0: claims 0.00148988 DAI in all, of 0.00148988 DAI owed [108 < 78]
00:10:53.766 box-0: sends a transaction to claim what its pods owe (withdrawMany) [110 < 108]
00:10:54.000 (the world): block 357 carries out box-0's withdrawMany; nobody counts on it yet [ < 110]
00:11:00.000 box-0: believes that its withdrawMany counts; the fee was 0.00000321845 ETH [111 < 110]
00:11:00.000 box-0: is paid 0.000708349 DAI [112 < 108]
00:15:53.766 box-0: claims 0.00219823 DAI in all, of 0.00219823 DAI owed [122 < 78]
00:15:53.766 box-0: sends a transaction to claim what its pods owe (withdrawMany) [124 < 122]
00:15:54.000 (the world): block 507 carries out box-0's withdrawMany; nobody counts on it yet [ < 124]
00:16:00.000 box-0: believes that its withdrawMany counts; the fee was 0.00000321845 ETH [125 < 124]
00:16:00.000 box-0: is paid 0.000708349 DAI [126 < 122]
00:20:22.752 (the world): the use has now cost all that the channel with box-0 holds for it; box-0 notices 31 s later []
00:20:53.766 box-0: reads the meter: 0.00290658 DAI owed, so its funds are used up (FundsExhausted) [133 < 78]
00:20:53.866 box-0: has removed the pod: its funds are used up (FundsExhausted); by its count 0.0000733472 DAI of what it served is not covered [136 < 133]
00:20:53.886 box-0: claims for the last time 0.0028334 DAI in all, of 0.00290674 DAI owed [137 < 136]
00:20:53.886 box-0: sends a transaction to make its final claim, which releases the rest (withdrawUpTo) [138 < 137]
00:20:54.000 (the world): block 657 carries out box-0's withdrawUpTo; nobody counts on it yet [ < 138]
00:21:00.000 box-0: believes that its withdrawUpTo counts; the fee was 0.00000251305 ETH [141 < 138]
00:21:00.000 box-0: is paid 0.000635167 DAI [142 < 137]
01:00:23.061 spent-0: learns that the pod is gone: its funds are used up (FundsExhausted) [218 << 136]
01:00:23.081 spent-0: sends a transaction to begin to take back what is left (unlock) [219 < 218]
01:00:24.000 (the world): block 1,842 carries out spent-0's unlock; nobody counts on it yet [ < 219]
01:00:30.000 spent-0: believes that its unlock counts; the fee was 0.00000161935 ETH [220 < 219]
01:25:24.020 spent-0: sends a transaction to take back what is left (closeChannel) [246 < 218]
01:25:26.000 (the world): block 2,593 carries out spent-0's closeChannel; nobody counts on it yet [ < 246]
01:25:32.000 spent-0: believes that its closeChannel counts; the fee was 0.0000023173 ETH [247 < 246]
01:25:32.000 spent-0: has got 0 DAI back from its channel with box-0 [248 < 218]
"""


def told(story: Story, *, everything: bool = False) -> str:
    def mark(line: Line) -> str:
        arrow = "" if line.cause is None else f" {'<<' if line.answers else '<'} {line.cause}"
        return f"[{'' if line.number is None else line.number}{arrow}]"

    return "".join(
        f"{clock_text(line.time_ns - story.start_ns)} {line.who}: {line.text} {mark(line)}\n"
        for line in story.told(everything=everything)
    )


def command(*args: object) -> Result:
    result = CliRunner().invoke(main, ["explain", *map(str, args)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_an_evicted_pod_can_be_followed_from_its_deposit_to_its_removal(source: Source) -> None:
    assert told(story_of_pod(source, "spent-0")) == SPENT


def test_the_chain_leads_from_the_manifest_over_the_deposit_to_the_removal(source: Source) -> None:
    chain = [line.event for line in story_of_pod(source, "spent-0").chain()]
    assert chain[0] == Happened.MANIFEST_COLLECTED
    assert chain[-1] == Happened.POD_REMOVED
    in_order = [
        Happened.OFFER_TAKEN,
        Happened.CHANNEL_FUNDED,
        Happened.POD_ACCEPTED,
        Happened.POD_CONFIGURED,
        Happened.POD_METERED,
    ]
    places = [chain.index(name) for name in in_order]
    assert places == sorted(places)


@pytest.mark.parametrize("pod", ["spent-0", "leaver-0", "leaver-1", "deleter-0", "keeper-0"])
def test_every_line_but_the_first_is_led_to_by_an_earlier_one(source: Source, pod: str) -> None:
    story = story_of_pod(source, pod)
    numbers: dict[int | None, int] = {
        line.number: line.time_ns for line in story.lines if line.number is not None
    }
    for place, line in enumerate(story.lines):
        if line.event in ("Exhausted", "Fault"):
            assert (line.who, line.cause) == (TRUTH, None)
        elif place:
            assert line.cause in numbers, line
            assert numbers[line.cause] <= line.time_ns
        if line.answers and line.event in ANSWERS:
            answered = next(other for other in story.lines if other.number == line.cause)
            assert answered.who != line.who


def test_what_the_chain_does_comes_before_a_party_believes_it(source: Source) -> None:
    """Three blocks of two seconds lie between: what is so, and what is known."""
    story = story_of_pod(source, "spent-0")
    mined = {line.cause: line.time_ns for line in story.lines if line.event == "Mined"}
    believed = {
        line.cause: line.time_ns for line in story.lines if line.event == Happened.TRANSACTION_CONFIRMED
    }
    assert mined.keys() == believed.keys()
    assert {believed[number] - mined[number] for number in mined} == {6 * 10**9}


def test_routine_claims_are_folded_and_unfolded(source: Source) -> None:
    story = story_of_pod(source, "keeper-0")
    folded = [line for line in story.told() if line.event == "Claims"]
    whole = list(story.told(everything=True))
    assert len(folded) == 2
    assert whole == list(story.lines)
    claims = [line for line in whole if line.event == Happened.CLAIM_SUBMITTED]
    shown = [line for line in story.told() if line.event == Happened.CLAIM_SUBMITTED]
    assert len(claims) == len(shown) + sum(int(line.text.split()[1]) for line in folded)
    paid = sum(int(line.row["amount"]) for line in whole if line.event == Happened.CLAIM_SETTLED)
    told_paid = [int(x.row["amount"]) for x in story.told() if x.event in ("Claims", Happened.CLAIM_SETTLED)]
    assert sum(told_paid) == paid


def test_a_channels_story_is_the_part_of_its_pods_that_is_about_it(source: Source) -> None:
    whole, part = story_of_pod(source, "spent-0"), story_of_channel(source, "spent-0@box-0")
    assert part.lines[0].event == Happened.OFFER_TAKEN
    assert set(part.lines) < set(whole.lines)
    assert part.lines == whole.lines[-len(part.lines) :]


def test_a_transaction_of_many_claims_names_every_pod(source: Source) -> None:
    story = story_of_transaction(source, "box-1/4")
    claims = [line for line in story.lines if line.event == Happened.CLAIM_SUBMITTED]
    paid = [line for line in story.lines if line.event == Happened.CLAIM_SETTLED]
    assert {line.row["pod"] for line in claims} == {"leaver-0", "leaver-1", "deleter-0"}
    assert [line.cause for line in paid] == [line.number for line in claims]
    assert all(f"(pod {line.row['pod']})" in line.text for line in claims)


def test_each_replication_has_a_story_of_its_own(rich: Path) -> None:
    first, second = (told(story_of_pod(Source(sim.load(rich), number), "spent-0")) for number in (0, 1))
    assert first != second


def test_json_holds_exact_amounts_and_every_line(rich: Path, source: Source) -> None:
    data = json.loads(command(rich, "--pod", "spent-0", "--json").stdout)
    assert len(data["lines"]) == len(story_of_pod(source, "spent-0").lines)
    (metered,) = [line for line in data["lines"] if line["event"] == "PodMetered"]
    row = next(
        row
        for row in source.run.tables["events"].to_dict("records")
        if row["event"] == "PodMetered" and row["replication"] == 0
    )
    assert metered["amount"] == str(row["amount"])
    assert metered["joined_by"] == "trace"


@pytest.mark.parametrize("name", list(Happened))
def test_every_event_has_a_phrase(name: Happened) -> None:
    row = {"event": name, "amount": 1, "rule": "Rule", "detail": "1", "provider": "box-0", "pod": "shop-0"}
    said = phrase(row, str, str)
    assert said
    assert name not in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--pod", "spent-1"], "there is no such pod; did you mean 'spent-0'"),
        (["--pod", "box-0"], "this is a provider; pods are called spent-0, leaver-0, leaver-1 and so on (5)"),
        (["--channel", "spent-0@box-9"], "there is no such channel; spent-0's are spent-0@box-0/1"),
        (["--channel", "spent-0"], "a channel is called pod@provider or pod@provider/life, such as"),
        (["--channel", "spent-0@box-0/3"], "spent-0@box-0 had 1, counted from 1"),
        (["--channel", "spend-0@box-0"], "there is no such channel; did you mean 'spent-0@box-0/1'"),
        (["--tx", "box-0/999"], "there is no such transaction; box-0 sent "),
        (["--tx", "box-0"], "box-0 sent "),
        (["--tx", "bix-0/1"], "no party is called bix-0; did you mean 'box-0'"),
        (
            ["--tx", "0xabc"],
            "a transaction is called sender/number, such as box-0/3; no party is called 0xabc",
        ),
        (["--pod", "spent-0", "--replication", "7"], "--replication 7: this run has 0 to 1"),
        (["--metric", "unpayed"], "did you mean 'unpaid'"),
        ([], "one of --pod, --channel, --tx, --metric says what to explain of a run; given: none"),
        (["--pod", "spent-0", "--tx", "box-0/1"], "given: --pod, --tx"),
        (["--pod", "spent-0", "--set", "seed=2"], "a finished run cannot be changed"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is_near(rich: Path, arguments: list[str], said: str) -> None:
    result = command(rich, *arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())


def test_a_run_without_events_says_how_to_get_them(tmp_path: Path) -> None:
    quiet = run(tmp_path, DATA | {"duration": "25m", "faults": [], "output": {"events": False}})
    result = command(quiet, "--pod", "spent-0")
    assert result.exit_code == 2
    assert "kept no events (`output.events` is false)" in result.output
    assert "--set output.events=true" in result.output


def test_a_file_and_a_run_are_asked_different_things(tmp_path: Path, rich: Path) -> None:
    file = Path(shutil.copy(rich / "scenario.yaml", tmp_path / "copy.yaml"))
    asked = command(file, "--pod", "spent-0")
    assert asked.exit_code == 2
    assert "--pod: asks about a run" in asked.output
    assert "rich" in command(file).output
    missing = command(tmp_path / "nowhere", "--pod", "spent-0")
    assert missing.exit_code == 2
    assert "there is no such directory" in missing.output


def test_a_metric_is_shown_with_its_sum(rich: Path) -> None:
    said = command(rich, "--metric", "unpaid").output
    assert "by cause" in said
    assert "exactly" in said
    assert "there is none of it" in command(rich, "--metric", "stranded").output


def test_amounts_and_times_are_written_for_people() -> None:
    assert money_text(57_943_523_346_992, 18, "DAI") == "0.0000579435 DAI"
    assert money_text(12 * 10**24, 18, "DAI") == "12000000 DAI"
    assert money_text(-5 * 10**17, 18, "DAI") == "-0.5 DAI"
    assert clock_text(-1_500_000_000) == "-00:00:01.500"
    assert clock_text(90_061_001_000_000) == "25:01:01.001"
    assert [span_text(ns) for ns in (5_000_000, 53_900_000_000, 252 * 10**9, 3_720 * 10**9, 90_000 * 10**9)] == [
        "5 ms", "53.9 s", "4 min 12 s", "1 h 2 min", "1 d 1 h",
    ]  # fmt: skip
