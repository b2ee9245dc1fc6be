"""The seed's steps 0 to 14, one test each; and each step taken away once, upon which its test fails.

docs/steps.md is the table of them; the last test here holds it to the code.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from protocol import agreement, attestation, wire
from protocol.auth import ProviderKeys
from protocol.billing import Biller
from protocol.bundling import Bundler
from protocol.caretaker import Caretaker
from protocol.claiming import Claimer
from protocol.desk import Desk
from protocol.errors import BadManifest
from protocol.guard import Guard, Wish
from protocol.manifest import Pod
from protocol.meters import Meters
from protocol.paying import Payer
from protocol.payment import CreateChannel, WithdrawMany, WithdrawUpTo
from protocol.policies.selection import Cheapest
from protocol.ports import Market as Listed
from protocol.ports import Workload
from protocol.publisher import PublisherClient
from protocol.renting import Failed, Rental, Stage
from protocol.scaling import keda_params
from protocol.storefront import Storefront
from sim.kernel.plane import DataPlane
from sim.keys import SimAttestor
from sim.scenario import convert
from tests.protocol.clients.market import A_SECOND, WEB, Data, Market, tapped

ROOT = Path(__file__).resolve().parents[3]
BUSY: Data = {
    "scaling": {"policy": "keda", "target_pending_requests": 2, "max_replicas": 3, "idle": "60s"},
    "traffic": {"poisson": {"steps": [{"at": "60s", "rate": "2/s"}, {"at": "300s", "rate": "0/s"}]}},
    "policies": {"funding": {"use": "once", "with": {"first": "1h"}}},
}
"""Nobody for a minute, a crowd for four, then nobody."""


def _client(market: Market) -> PublisherClient:
    assert market.pod.client is not None
    return market.pod.client


# ---------------------------------------------------------------- 0 to 7: from a manifest to a running pod


def test_step_00_a_deployment_begins_with_a_pod_id_of_its_own() -> None:
    market = Market(publisher={"count": 2, "arrive": "2h"}).run(1)
    ids = []
    for party in market.world.publishers.values():
        rental = market.do(market.person(party).rent(replace(party.pod, containers=_without_host(party.pod))))
        assert isinstance(rental, Rental) and rental.stage is Stage.RUNNING
        assert rental.pod_id.hex() in party.disk.tables["rentals"]
        ids.append(rental.pod_id)
    assert len(set(ids)) == 2


def _without_host(pod: Pod) -> Any:
    (container,) = pod.containers
    return (replace(container, ports=tuple(replace(p, http_host="") for p in container.ports)),)


def test_step_01_the_manifest_is_checked_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    market = Market().run(1)
    with tapped(monkeypatch) as tap, pytest.raises(BadManifest, match="containers"):
        market.do(_client(market).rent(Pod(containers=(), volumes=())))
    assert [method for peer, method, _ in tap.calls if method == wire.PROVISION_POD] == []


def test_step_02_providers_are_listed_from_the_registry() -> None:
    market = Market(provider={"count": 3})
    market.running()
    assert [e.amount for e in market.events("ProvidersListed")] == [3]


def test_step_03_the_cheapest_is_selected_and_its_offer_taken() -> None:
    dear = {"name": "dear", "prices": {"cpu": "0.072 DAI/core-h"}}
    market = Market(provider=[dear, {}]).running()
    assert market.rental().provider == market.host.address
    assert [e.party for e in market.events("OfferMade")] == ["host-0"]
    rental = market.rental()
    assert rental.offer is not None and rental.prices is not None
    assert rental.offer.prices_hash == rental.prices.hash()
    assert rental.offer.min_deposit == 60 * A_SECOND  # a minute of runway


ATTESTED: Data = {"policies": {"selection": {"use": "cheapest", "with": {"assurance": "cluster"}}}}


def test_step_03_forged_evidence_gets_no_deposit_and_no_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    original = SimAttestor.__init__

    def forge(self: SimAttestor, assurance: attestation.Assurance, *, honest: bool = True) -> None:
        original(self, assurance, honest=False)

    monkeypatch.setattr(SimAttestor, "__init__", forge)
    market = Market(provider={"assurance": "cluster"}, publisher=ATTESTED)
    with tapped(monkeypatch) as tap:
        market.until(lambda: market.events("DeploymentFailed"))
    assert market.events("CandidatePassedOver", rule="EvidenceFalse")
    assert market.receipts and market.mined(CreateChannel) == market.deposits == []
    assert {method for _, method, _ in tap.calls} == {wire.ATTEST}
    assert market.events("ImagesUploaded") == []


def test_step_03_prices_that_are_not_the_registrys_are_not_paid() -> None:
    market = Market()
    market.run(-1)
    assert market.host.client is not None
    tables = market.host.client.front.tables
    tables[1] = tables[1].scaled(2.0)
    market.until(lambda: market.events("DeploymentFailed"))
    assert market.events("CandidatePassedOver", rule="OfferDiffers")
    assert market.deposits == []


def test_step_04_the_channel_is_created_with_the_deposit() -> None:
    market = Market().running()
    channel = market.channel()
    assert channel is not None
    assert (channel.invested_by_publisher, channel.life) == (600 * A_SECOND, 1)
    assert channel.unlock_time_s == market.pod.settings.unlock_time_s
    assert market.deposits == [600 * A_SECOND]


SECRET = "open-sesame"


def test_step_05_what_is_sent_can_be_opened_by_the_provider_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    pod = {
        "containers": [
            {
                **WEB["containers"][0],
                "env": {"PASSWORD": SECRET},
                "volumes": [{"mountPath": "/secret", "secret": {"contentsString": SECRET}}],
            }
        ]
    }
    market = Market(publisher={"manifest": pod}, crypto="real")
    with tapped(monkeypatch) as tap:
        market.running()
    on_the_wire = b"".join(raw for _, _, raw in tap.calls)
    stored = b"".join(market.world.contents.blobs.values())
    assert wire.PROVISION_POD.encode() in on_the_wire
    assert SECRET.encode() not in on_the_wire
    assert SECRET.encode() not in stored
    assert dict(market.hosted().pod.containers[0].env)["PASSWORD"] == SECRET
    assert market.hosted().images[0].packed_bytes == 10_000_000


def test_step_06_the_cluster_is_configured_once_the_deposit_counts() -> None:
    market = Market()
    market.until(lambda: market.events("PodAccepted"))
    market.silence(market.host, for_s=90)  # accepted, but the provider cannot see any deposit
    market.run(market.now_s + 85)
    assert not market.events("PodConfigured") and market.name not in market.host.machines.tenants
    market.until(lambda: market.events("PodConfigured"))
    tenant = market.host.machines.tenants.get(market.name)
    assert tenant is not None
    assert isinstance(tenant.workload, Workload)
    assert tenant.workload.images == ("registry.example/pod-0/image:1",)
    channel = wire.parse(wire.pb.PaymentChannel, bytes.fromhex(tenant.workload.annotation))
    assert (channel.publisherAddress, channel.providerAddress) == (market.pod.address, market.host.address)
    funded = market.events("ChannelFunded")[0].at_ns
    assert market.events("PodConfigured")[0].at_ns > funded


def test_step_07_the_publisher_is_told_that_its_pod_runs_and_where() -> None:
    market = Market().running()
    configured, confirmed = market.events("PodConfigured")[0], market.events("PodConfirmed")[0]
    assert confirmed.at_ns > configured.at_ns
    assert market.rental().stage is Stage.RUNNING
    status = market.do(
        _client(market).caller.ask(
            market.rental(), wire.POD_STATUS, wire.pb.PodStatusRequest(), wire.pb.PodStatusResponse
        )
    )
    assert isinstance(status, wire.pb.PodStatusResponse)
    (address,) = status.addresses
    assert (address.containerName, address.containerPort) == ("web", 80)


# ---------------------------------------------------------------- 8 to 11: requests


def _totals(market: Market) -> dict[str, int]:
    now_ns = int(market.env.now)
    market.host.machines.plane.advance(now_ns)
    return dict(market.host.machines.plane.totals(now_ns))


def _replicas(market: Market) -> int:
    sums = _totals(market)
    return int(sums["starting"] + sums["unplaced"] + sums["idle"] + sums["busy"])


def test_step_08_requests_scale_the_pod_up() -> None:
    market = Market(publisher=BUSY).running().run(59)
    assert _replicas(market) == 0
    market.run(200)
    assert 2 <= _replicas(market) <= 3


def test_step_09_a_replica_starts_from_the_configuration() -> None:
    market = Market(publisher=BUSY).running().run(200)
    caller = market.world.callers[market.pod.address]
    now = caller.count(int(market.env.now))
    assert now.cold >= 1 and now.starts >= 1
    assert market.host.machines.plane.totals(int(market.env.now))["cpu_millis"] == 250 * _replicas(market)


def test_step_10_requests_are_served() -> None:
    market = Market(publisher=BUSY).running().run(290)
    now = market.world.callers[market.pod.address].count(int(market.env.now))
    assert now.served > 350
    assert sum(now.failed.values()) == 0


def test_step_11_without_requests_the_pod_goes_to_zero_and_costs_nothing() -> None:
    market = Market(publisher=BUSY).running().run(290)
    assert _replicas(market) >= 1
    market.run(800)
    assert _replicas(market) == 0
    owed = market.hosted().owed
    market.run(1500)
    assert market.hosted().owed == owed > 0


# ---------------------------------------------------------------- 12 to 14: money


def test_step_12_what_ran_is_metered_at_every_tick() -> None:
    market = Market().running()
    ticks = []
    for _ in range(5):
        market.run(market.now_s + 20)
        ticks.append(market.hosted().owed)
    assert {b - a for a, b in pairwise(ticks)} == {20 * A_SECOND}


def test_step_13_what_is_due_is_claimed_with_a_signed_statement() -> None:
    market = Market().running()
    market.until(lambda: len(market.events("ClaimSettled")) == 2)
    assert len(market.mined(WithdrawMany)) == 2
    assert market.tokens(market.host) == sum(e.amount for e in market.events("ClaimSettled"))
    assert len(market.host.disk.tables.get("statements", {})) == 2


def test_step_14_the_pod_is_removed_when_its_funds_run_out() -> None:
    market = Market(publisher={"policies": {"funding": {"use": "once", "with": {"first": "2m"}}}}).running()
    market.run(300)
    assert market.state is None
    assert market.hosted().reason == "FundsExhausted"
    assert market.tokens(market.host) == 120 * A_SECOND
    assert 0 < market.hosted().owed - 120 * A_SECOND < 21 * A_SECOND  # at most a tick is not paid
    market.finish()


def test_step_14_an_unlock_returns_what_is_left() -> None:
    market = Market().running()
    before = market.tokens(market.pod)
    market.run(100)
    market.wish(Wish.UNLOCK)
    market.run(100 + 17 * 60 + 60)
    assert market.state is None and market.channel() is None
    assert len(market.mined(WithdrawUpTo)) == 1
    assert market.tokens(market.pod) == before + 600 * A_SECOND - market.hosted().owed
    market.finish()


# ---------------------------------------------------------------- each step, taken away


async def _nothing(*_: Any, **__: Any) -> None:
    """Do nothing."""


async def _no_market(self: PublisherClient, rental: Rental) -> Listed:
    deadline_ns = self.world.clock.now_ns() + self.settings.chain_timeout_ns
    market = await self.world.chain.market(deadline_ns=deadline_ns)
    assert isinstance(market, Listed)
    return replace(market, listings=())


async def _same_id(self: PublisherClient, pod: Pod) -> Rental | Failed:
    rental = Rental(bytes(32), pod)  # type: ignore[arg-type]
    await self.keep(rental)
    return await self.deploy(rental)


async def _unpaid(self: PublisherClient, rental: Rental) -> Rental:
    rental.life, rental.stage = 1, Stage.FUNDED
    await self.keep(rental)
    return rental


async def _unclear(self: Desk, request: Any, body: bytes) -> Any:
    return wire.pb.PodStatusResponse(state=wire.pb.PodStatusResponse.ACCEPTED)


def _any_order(self: Cheapest, choice: Any) -> Any:
    return sorted(choice.candidates, key=lambda c: c.name)


def _open(self: Bundler, rental: Rental, bundle: wire.pb.Bundle) -> bytes:
    return wire.dump(bundle)


def _readable(key: bytes, nonce: bytes, contents: bytes) -> bytes:
    return contents


_keda = keda_params


def _never_idle(*args: Any, **settings: Any) -> Any:
    return _keda(*args, **{**settings, "idle_ns": 10**18})


Sabotage = tuple[Any, str, Any]
STEPS: list[tuple[Callable[..., None], Sabotage]] = [
    (test_step_00_a_deployment_begins_with_a_pod_id_of_its_own, (PublisherClient, "rent", _same_id)),
    (
        test_step_01_the_manifest_is_checked_before_anything_is_sent,
        (PublisherClient, "_collect_manifest", lambda self, rental: None),
    ),
    (test_step_02_providers_are_listed_from_the_registry, (PublisherClient, "_list_providers", _no_market)),
    (test_step_02_providers_are_listed_from_the_registry, (Storefront, "open", _nothing)),
    (test_step_03_the_cheapest_is_selected_and_its_offer_taken, (Cheapest, "order", _any_order)),
    (
        test_step_03_forged_evidence_gets_no_deposit_and_no_byte,
        (attestation, "check_answer", lambda answer, nonce, **_: ProviderKeys.from_wire(answer.keys)),
    ),
    (
        test_step_03_prices_that_are_not_the_registrys_are_not_paid,
        (agreement, "check_offer", lambda offer, **_: None),
    ),
    (test_step_04_the_channel_is_created_with_the_deposit, (PublisherClient, "_fund", _unpaid)),
    (test_step_05_what_is_sent_can_be_opened_by_the_provider_alone, (Bundler, "seal", _open)),
    (
        test_step_05_what_is_sent_can_be_opened_by_the_provider_alone,
        (importlib.import_module("protocol.bundling"), "seal_secret", _readable),
    ),
    (
        test_step_06_the_cluster_is_configured_once_the_deposit_counts,
        (Caretaker, "_apply_workload", _nothing),
    ),
    (
        test_step_06_the_cluster_is_configured_once_the_deposit_counts,
        (Caretaker, "_configure", _nothing),
    ),
    (
        test_step_06_the_cluster_is_configured_once_the_deposit_counts,
        (Caretaker, "_await_deposit", _nothing),
    ),
    (test_step_07_the_publisher_is_told_that_its_pod_runs_and_where, (Desk, "_status", _unclear)),
    (test_step_08_requests_scale_the_pod_up, (DataPlane, "deploy", lambda self, handle, now_ns: None)),
    (
        test_step_09_a_replica_starts_from_the_configuration,
        (DataPlane, "deploy", lambda self, handle, now_ns: None),
    ),
    (test_step_10_requests_are_served, (DataPlane, "deploy", lambda self, handle, now_ns: None)),
    (
        test_step_11_without_requests_the_pod_goes_to_zero_and_costs_nothing,
        (convert, "keda_params", _never_idle),
    ),
    (
        test_step_12_what_ran_is_metered_at_every_tick,
        (Meters, "meter", lambda self, pod, usage, final=False: False),
    ),
    (test_step_13_what_is_due_is_claimed_with_a_signed_statement, (Claimer, "claim", _nothing)),
    (test_step_13_what_is_due_is_claimed_with_a_signed_statement, (Claimer, "_state", lambda self, pod: [])),
    (
        test_step_14_the_pod_is_removed_when_its_funds_run_out,
        (Biller, "_exhausted", lambda self, pod: None),
    ),
    (test_step_14_the_pod_is_removed_when_its_funds_run_out, (Claimer, "settle", _nothing)),
    (test_step_14_an_unlock_returns_what_is_left, (Guard, "_unlock", _nothing)),
    (test_step_14_an_unlock_returns_what_is_left, (Payer, "reclaim", _nothing)),
]


@pytest.mark.parametrize(("test", "sabotage"), STEPS, ids=[f"{s[0].__name__}.{s[1]}" for _, s in STEPS])
def test_a_step_that_is_taken_away_is_missed(
    test: Callable[..., None], sabotage: Sabotage, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, name, replacement = sabotage
    monkeypatch.setattr(target, name, replacement)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        test(monkeypatch) if "monkeypatch" in test.__code__.co_varnames[
            : test.__code__.co_argcount
        ] else test()


def test_the_table_of_steps_names_what_exists() -> None:
    text = (ROOT / "docs" / "steps.md").read_text(encoding="utf-8")
    functions = re.findall(r"`([a-z_.]+):([A-Za-z_.]+)`", text)
    tests = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
    assert len(functions) > 30 and len(tests) > 25
    for module, path in functions:
        found: Any = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    for file, name in tests:
        assert re.search(rf"^ *(async )?def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.M), name
    named = {name for _, name in tests}
    assert {test.__name__ for test, _ in STEPS} <= named
    steps = [
        int(n) for n in re.findall(r"^\| (\d+) ", re.split(r"^#+ .*[Dd]efects", text, flags=re.M)[0], re.M)
    ]
    assert sorted(set(steps)) == list(range(15))
