"""Parties that lie: what each gains against its honest twin, to the base unit where that can be known, and who notices when."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from protocol.claiming import Claimer
from protocol.provider import ProviderClient
from protocol.units import NS_PER_S
from sim.metrics import METRICS, World
from sim.records.reader import RunTables
from sim.scenario import ScenarioErrors
from tests.sim.test_conservation import balanced
from tests.sim.worlds import Data, Played, S, play, provider, publisher, scenario, world

RATE: Final = 25 * 10**8
"""What the pod below costs [base units a replica-ms]: 250 millicores at 0.036 DAI a core-hour."""
LOOK_S: Final = 600
"""The publisher looks at its pod at least so often."""


def host(**changes: Any) -> Data:
    said: Data = {
        "prices": {"cpu": "0.036 DAI/core-h", "memory": "0 DAI/GiB-h"},
        "terms": {"tick": "20s", "runway": "1m", "exposure": "2h", "min_unlock_time": "17m"},
        "policies": {"claim": {"use": "interval", "with": {"every": "5m"}}},
    }
    terms = {**said["terms"], **changes.pop("terms", {})}
    return provider(**{**said, "terms": terms, **changes})


def pod(**changes: Any) -> Data:
    """One replica that runs all the time and that nobody calls: what it costs is a product."""
    funding = {"first": "1h", "low": "20m", "tranche": "30m", "look_most": "10m"}
    said: Data = {
        "scaling": {"policy": "fixed", "replicas": 1},
        "traffic": {"none": True},
        "unlock_time": "17m",
        "policies": {"funding": {"use": "runway", "with": funding}, **changes.pop("policies", {})},
    }
    return publisher(**{**said, **changes})


def run(
    folder: Path, *, hosts: list[Data] | None = None, pods: list[Data] | None = None, **more: Any
) -> Played:
    """A world in which everything adds up, whoever lies."""
    said: Data = {"duration": "90m", "providers": hosts or [host()], "publishers": pods or [pod()]}
    played = play(world(**{**said, **more}), folder)
    assert played.outcome.violations == ()
    assert balanced(played) == []
    for channel in played.rows("channels"):
        assert channel["withdrawn"] + channel["returned"] <= channel["invested"]
        assert channel["overcharged"] == max(0, channel["withdrawn"] - channel["owed"])
    return played


def metric(played: Played, name: str) -> Any:
    (found,) = [m for m in METRICS if m.name == name]
    return found.of(World(RunTables(played.directory), 0, decimals=18, gas_decimals=18))


def lying(use: str, **settings: Any) -> Data:
    return {"behaviour": {"use": use, "with": settings}}


def cost(played: Played) -> int:
    """What truly ran, at the agreed prices [base units]."""
    return int(sum(row["billed_replica_ms"] for row in played.rows("deployments"))) * RATE


# ---------------------------------------------------------------- honest


def test_honest_parties_are_never_found_out_and_charge_what_ran(tmp_path: Path) -> None:
    calm = run(tmp_path)
    assert calm.row("channels")["owed"] == cost(calm)
    assert {row["behaviour"] for table in ("providers", "publishers") for row in calm.rows(table)} == {
        "honest"
    }
    assert metric(calm, "overcharged") == metric(calm, "lies_found") == metric(calm, "unpaid_dishonest") == 0
    assert calm.rows("events", event="LieFound") == []
    assert len(calm.rows("claims")) > 10  # there was much to check


# ---------------------------------------------------------------- over-claimer


@pytest.mark.parametrize("times", [1.5, 1000])
def test_an_over_claimer_gets_what_it_claims_up_to_what_the_channel_holds(
    tmp_path: Path, times: float
) -> None:
    liar = run(tmp_path, hosts=[host(**lying("over_claimer", times=times))])
    channel, claim = liar.row("channels"), liar.rows("claims")[0]
    assert channel["owed"] == cost(liar)
    assert channel["withdrawn"] == min(int(channel["owed"] * times), channel["invested"])
    assert channel["overcharged"] > 0
    assert liar.row("providers")["overcharged"] == channel["overcharged"]
    assert metric(liar, "overcharged") == channel["overcharged"] / 10**18
    # The first look at which its first claim counts: what was signed does not cover it.
    found = liar.row("deployments")
    assert (found["lie"], found["reason"]) == ("Overclaimed", "unlocked")
    assert claim["time_ns"] < found["lie_found_ns"] < claim["time_ns"] + (LOOK_S + 10) * S
    assert metric(liar, "lies_found") == 1
    assert metric(liar, "lie_found_delay_s")[0] == (found["lie_found_ns"] - found["accepted_ns"]) / NS_PER_S
    # Nothing was put in after that.
    event = liar.row("events", event="LieFound")
    assert not [e for e in liar.rows("events", event="ToppedUp") if e["time_ns"] > event["time_ns"]]


def test_a_liar_is_left_for_an_honest_provider_and_not_asked_again(tmp_path: Path) -> None:
    cheap = host(name="cheap", **lying("over_claimer"))
    dear = host(name="dear", prices={"cpu": "0.072 DAI/core-h", "memory": "0 DAI/GiB-h"})
    again = pod(policies={"on_loss": {"use": "redeploy", "with": {"times": 3, "wait": "10s"}}})
    left = run(tmp_path / "left", hosts=[cheap, dear], pods=[again])
    first, second = sorted(left.rows("deployments"), key=lambda row: int(row["attempt"]))
    assert (first["provider"], first["lie"]) == ("cheap-0", "Overclaimed")
    assert (second["provider"], second["lie"], second["outcome"]) == ("dear-0", None, "running")
    assert len(left.rows("events", party="cheap-0", event="OfferMade")) == 1
    honest = run(tmp_path / "honest", hosts=[{**cheap, "behaviour": "honest"}, dear], pods=[again])
    assert [row["provider"] for row in honest.rows("deployments")] == ["cheap-0"]


# ---------------------------------------------------------------- over-meterer


def test_an_over_meterer_within_what_could_have_run_is_never_found_out(tmp_path: Path) -> None:
    """Between nothing and the most replicas a publisher has only the provider's word: the damage is all of it."""
    ends = pod(lifetime="70m", leave="delete")
    liar = run(tmp_path / "liar", hosts=[host(**lying("over_meterer", times=1.5))], pods=[ends])
    twin = run(tmp_path / "twin", pods=[ends])
    ran_ms = liar.row("deployments")["billed_replica_ms"]
    assert liar.row("deployments")["lie"] is None
    assert liar.row("channels")["owed"] == ran_ms * RATE
    assert liar.row("channels")["withdrawn"] == ran_ms * 3 // 2 * RATE
    assert twin.row("channels")["withdrawn"] == twin.row("deployments")["billed_replica_ms"] * RATE
    # Nothing else moved: the same pod ran as long, up to a call's time on the way.
    assert abs(ran_ms - twin.row("deployments")["billed_replica_ms"]) < 2000
    told = [e["amount"] for e in liar.rows("events", event="ClaimSubmitted")]
    assert told == sorted(told) and told[-1] == ran_ms * 3 // 2 * RATE


def test_an_over_meterer_beyond_what_could_have_run_is_found_out(tmp_path: Path) -> None:
    liar = run(tmp_path, hosts=[host(**lying("over_meterer", times=3))])
    found, claim = liar.row("deployments"), liar.rows("claims")[0]
    assert found["lie"] == "UsageImpossible"
    assert found["lie_found_ns"] < claim["time_ns"] + (LOOK_S + 10) * S
    assert liar.row("channels")["withdrawn"] == 3 * cost(liar)


# ---------------------------------------------------------------- price switcher


def test_a_bill_by_another_table_is_found_out(tmp_path: Path) -> None:
    liar = run(tmp_path, hosts=[host(**lying("price_switcher", times=1.5, after="30m"))])
    found, channel = liar.row("deployments"), liar.row("channels")
    assert found["lie"] == "BillTooHigh"
    assert channel["withdrawn"] == cost(liar) * 3 // 2
    since = found["accepted_ns"] + 1800 * S
    first = next(row for row in liar.rows("claims") if row["time_ns"] > since + 30 * S)
    assert since < found["lie_found_ns"] < first["time_ns"] + (LOOK_S + 10) * S
    honest = [row for row in liar.rows("claims") if row["time_ns"] < since]
    assert len(honest) >= 4 and all(row["total"] <= row["owed"] for row in honest)


def test_an_offer_by_another_table_is_not_taken(tmp_path: Path) -> None:
    liar = run(tmp_path, hosts=[host(**lying("price_switcher", where="offer"))])
    assert [(r["outcome"], r["reason"]) for r in liar.rows("deployments")] == [("refused", "OfferDiffers")]
    assert liar.rows("channels") == []


def test_who_lies_about_nobody_is_honest_to_the_byte(tmp_path: Path) -> None:
    twin = run(tmp_path / "twin")
    for use in ("over_claimer", "over_meterer", "price_switcher"):
        calm = run(tmp_path / use, hosts=[host(**lying(use, share=0))])
        assert {n: h for n, h in calm.hashes.items() if n != "providers"} == {
            n: h for n, h in twin.hashes.items() if n != "providers"
        }
        assert calm.row("providers") == {**twin.row("providers"), "behaviour": use}


def test_a_lie_about_some_is_about_some(tmp_path: Path) -> None:
    some = run(tmp_path, hosts=[host(**lying("over_meterer", share=0.5))], pods=[pod(count=12)])
    found = [row["overcharged"] > 0 for row in some.rows("channels")]
    assert 1 <= sum(found) <= 11


# ---------------------------------------------------------------- sybil


def test_a_sybil_wins_as_often_as_it_has_names(tmp_path: Path) -> None:
    """Under random selection k names among n + k − 1 win k ÷ (n + k − 1) of the pods, at the price of k registrations."""
    names, others, pods = 3, 3, 60
    everybody = pod(count=pods, arrive={"exponential": "5s"}, policies={"selection": "random"})
    roomy = {"nodes": [{"count": 10, "cpu": 8, "memory": "32Gi"}]}
    honest = host(name="fair", count=others, **roomy)

    def won(behaviour: Data, folder: str) -> tuple[int, int]:
        played = run(
            tmp_path / folder,
            hosts=[honest, host(name="evil", **roomy, **behaviour)],
            pods=[everybody],
            duration="20m",
        )
        row = played.row("providers", provider="evil-0")
        taken = played.rows("deployments", provider="evil-0", outcome="running")
        assert row["revenue"] + row["owed_unclaimed"] == sum(r["owed"] for r in taken) > 0
        assert len(played.rows("deployments", outcome="running")) == pods
        listed = played.rows("transactions", sender="evil-0", function="registerProvider")
        return len(taken), len(listed)

    lone, once = won({}, "lone")
    many, often = won(lying("sybil", identities=names), "many")
    assert (once, often) == (1, names)
    for count, share in ((lone, 1 / (others + 1)), (many, names / (others + names))):
        assert abs(count - pods * share) < 4 * math.sqrt(pods * share * (1 - share))
    assert many > lone


def test_a_sybil_comes_back_from_a_crash_under_all_its_names(tmp_path: Path) -> None:
    fault = {"kind": "provider_crash", "provider": "host-0", "at": "20m", "for": "10m"}
    pods = pod(count=9, policies={"selection": "random"})
    back = run(tmp_path, hosts=[host(**lying("sybil"))], pods=[pods], faults=[fault])
    assert len(back.rows("events", party="host-0", event="Recovered")) >= 2
    for row in back.rows("deployments"):
        assert row["outcome"] == "running" and row["owed"] == row["billed_replica_ms"] * RATE
    assert back.row("providers")["unpaid"] == back.row("providers")["overcharged"] == 0


# ---------------------------------------------------------------- exit racer


@dataclass(frozen=True)
class Race:
    """Where a racer unlocks after half an hour: what is swept, and whether the provider must lose."""

    silent: str = "0s"
    outage: str = "0s"
    unlock: str = "17m"
    tick: str = "20s"
    every: str = "5m"
    ordering: str = "fee"
    loses: bool = False


# The unlock is mined at 30:02. The provider cannot see the chain from 25:00 on, or no block is made from 30:20 on.
RACES: Final = [
    Race(),
    Race(silent="20m"),
    Race(silent="25m", loses=True),
    Race(silent="25m", every="20m", loses=True),
    Race(silent="25m", unlock="24m"),
    Race(silent="30m", unlock="24m", loses=True),
    # The next tick comes at 50:18, or at 51:34; the unlock ends at 51:02.
    Race(silent="25m", unlock="21m"),
    Race(silent="25m", unlock="21m", tick="100s", loses=True),
    # The claim waits for the first block longer than the racer's: it comes first, unless the builder is the racer's friend.
    Race(outage="18m"),
    Race(outage="15m", ordering="adversary"),
    Race(outage="18m", ordering="adversary", loses=True),
    Race(outage="18m", ordering="adversary", unlock="20m"),
]


def race(folder: Path, case: Race, behaviour: Any) -> Played:
    faults = [{"kind": "rpc_silence", "party": "host", "at": "25m", "for": case.silent}]
    chain: Data = {"ordering": case.ordering}
    if case.outage != "0s":
        chain["outages"] = [{"at": "30m20s", "for": case.outage}]
    claim = {"claim": {"use": "interval", "with": {"every": case.every}}}
    return run(
        folder,
        hosts=[host(terms={"tick": case.tick, "min_unlock_time": case.unlock}, policies=claim)],
        pods=[{**pod(unlock_time="1h"), "behaviour": behaviour}],
        chain=chain,
        faults=faults if case.silent != "0s" else [],
    )


@pytest.mark.parametrize("case", RACES, ids=str)
def test_a_racer_gains_only_while_detection_outage_and_inclusion_outlast_the_unlock(
    tmp_path: Path, case: Race
) -> None:
    racer = race(tmp_path, case, {"use": "exit_racer", "with": {"after": "30m"}})
    channel = racer.row("channels")
    (unlock,) = racer.rows("transactions", function="unlock")
    assert unlock["status"] == "confirmed"
    assert (channel["unpaid"] > 0) == case.loses
    assert metric(racer, "channels_unpaid") == case.loses
    assert channel["owed"] == cost(racer)
    # It gains exactly what was served between the last claim that was mined before the unlock and the end.
    before = [row for row in racer.rows("claims", outcome="paid") if row["time_ns"] <= unlock["mined_ns"]]
    if case.loses:
        assert channel["withdrawn"] == before[-1]["total"]
        assert channel["unpaid"] == cost(racer) - before[-1]["total"]
        assert channel["returned"] == channel["invested"] - before[-1]["total"]
    else:
        assert channel["withdrawn"] == channel["owed"]
    assert racer.row("providers")["unpaid"] == channel["unpaid"]
    assert metric(racer, "unpaid_dishonest") == metric(racer, "unpaid") == channel["unpaid"] / 10**18
    assert racer.row("publishers")["behaviour"] == "exit_racer"


def test_the_honest_twin_of_a_racer_pays_for_everything(tmp_path: Path) -> None:
    case = Race(silent="25m", loses=True)
    twin = race(tmp_path, case, "honest")
    assert twin.row("channels")["unpaid"] == metric(twin, "unpaid_dishonest") == 0
    assert twin.row("channels")["status"] == "open"


def test_a_racer_may_keep_its_own_unlock_time(tmp_path: Path) -> None:
    own = {"use": "exit_racer", "with": {"after": "30m", "shortest": False}}
    assert race(tmp_path, Race(silent="25m"), own).row("channels")["unpaid"] == 0  # an hour is enough


# ---------------------------------------------------------------- a class of one's own


class Generous(ProviderClient):
    """Claims half of what it is owed."""

    class Half(Claimer):
        def total(self, hosted: Any) -> int:
            return super().total(hosted) // 2

    claimer_type = Half


class Lonely:
    """No client at all."""


class NoClient:
    async def run(self) -> None:
        raise NotImplementedError


class Odd(ProviderClient):
    def __init__(self, world: Any) -> None:
        raise NotImplementedError


class Loose(ProviderClient):
    class Conduct:
        pass


def test_a_behaviour_of_ones_own(tmp_path: Path) -> None:
    own = run(tmp_path, hosts=[host(behaviour="tests.sim.test_behaviours:Generous")])
    assert own.row("providers")["behaviour"] == "tests.sim.test_behaviours:Generous"
    for claim in own.rows("claims"):
        assert claim["total"] == claim["owed"] // 2


def test_the_documented_behaviour_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs/background/behaviours.md").read_text(encoding="utf-8")
    code = page.partition("```python\n")[2].partition("```")[0]
    (tmp_path / "rounding.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    to = 7 * 10**13
    own = run(tmp_path / "run", hosts=[host(**lying("rounding:Rounder", to=to))])
    totals = [row["total"] for row in own.rows("claims")]
    assert totals and all(total % to == 0 for total in totals)
    assert own.row("deployments")["lie"] == "Overclaimed"


HERE: Final = "tests.sim.test_behaviours"


@pytest.mark.parametrize(
    ("said", "where", "text"),
    [
        ("over_claimr", "behaviour", "there is no behaviour of a provider 'over_claimr'; did you mean 'over_claimer'?"),
        ("exit_racer", "behaviour", "there is no behaviour of a provider 'exit_racer'"),
        ({"use": "over_claimer", "with": {"time": 2}}, "behaviour.with.time", "unknown setting of 'over_claimer'; did you mean 'times'?"),
        ({"use": "over_claimer", "with": {"times": 0.5}}, "behaviour.with.times", "0.5; allowed are numbers of 1 and more"),
        ({"use": "over_claimer", "with": {"share": "half"}}, "behaviour.with.share", "'half' is not a number"),
        ({"use": "over_meterer", "with": {"after": "soon"}}, "behaviour.with.after", "'soon'"),
        ({"use": "price_switcher", "with": {"where": "till"}}, "behaviour.with.where", "'till' is not allowed"),
        ({"use": "sybil", "with": {"identities": 0}}, "behaviour.with.identities", "allowed are whole numbers from 1 to 64"),
        ({"use": "honest", "with": {"times": 2}}, "behaviour.with.times", "unknown setting of 'honest'; there is none"),
        ("no.such:Class", "behaviour", "'no.such:Class' cannot be imported"),
        (f"{HERE}:Nobody", "behaviour", f"module '{HERE}' has no class 'Nobody'"),
        (f"{HERE}:Lonely", "behaviour", "has no `run`; a behaviour of a provider is a class with `run`"),
        (f"{HERE}:NoClient", "behaviour", "does not inherit protocol.provider:ProviderClient"),
        (f"{HERE}:Odd", "behaviour", "cannot be called with what ProviderClient takes"),
        (f"{HERE}:Loose", "behaviour", "its `Conduct` is no dataclass"),
    ],
)  # fmt: skip
def test_a_behaviour_that_cannot_be(said: Any, where: str, text: str) -> None:
    with pytest.raises(ScenarioErrors) as refused:
        scenario(world(providers=[host(behaviour=said)]))
    (problem,) = refused.value.problems
    assert problem.path == f"providers.0.{where}" or problem.path.endswith(where)
    assert text in problem.text


def test_names_cost_gas() -> None:
    poor = host(**lying("sybil", identities=64), wallet={"gas": "0.02 ETH"})
    with pytest.raises(ScenarioErrors, match="does not pay for its 64 entries in the registry"):
        scenario(world(providers=[poor], chain={"gas_price": "10 gwei"}))


def test_every_default_is_written_out() -> None:
    whole = scenario(world(providers=[host(behaviour="over_claimer")]))
    assert whole.providers[0].behaviour.with_ == {"times": 1.5, "share": 1.0, "after": "0s"}
    assert whole.publishers[0].behaviour.with_ == {}
