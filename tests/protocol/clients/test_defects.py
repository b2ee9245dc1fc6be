"""The defects of the original that are not repeated, each through the simulated clients.

Defect 15 (no limits, quotas, network policy, security context) needs Kubernetes itself; see docs/steps.md.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from protocol import manifest, publisher, wire
from protocol.attestation import Assurance
from protocol.eip712 import Domain
from protocol.guard import Wish
from protocol.hosting import Phase
from protocol.payment import (
    Claim,
    ClaimSkipped,
    CloseChannel,
    CreateChannel,
    Release,
    SkipReason,
    Unlock,
    WithdrawMany,
    WithdrawUpTo,
)
from protocol.ports import Approve, TxConfirmed
from protocol.renting import Rental
from protocol.requests import payment_channel
from protocol.units import MS_PER_S, NS_PER_S, Address, PodId
from tests.protocol.clients.market import A_SECOND, CPU_CORE_H, CPU_MILLIS, KEPT, WEB, Data, Market, tapped

PATIENT: Data = {"tick": "20s", "exposure": "2h"}
TWO_MINUTES: Data = {"policies": {"funding": {"use": "once", "with": {"first": "2m"}}}}
UNLOCK_S = 17 * 60


def test_defect_01_owed_more_than_the_deposit_is_claimed_then_evicted() -> None:
    market = Market(publisher=TWO_MINUTES)
    market.until(lambda: market.events("ClaimSettled", rule="") and market.hosted().settled)
    channel, hosted = market.channel(), market.hosted()
    assert channel is not None
    assert hosted.owed > channel.invested_by_publisher == channel.withdrawn_by_provider == 120 * A_SECOND
    assert hosted.phase is Phase.REMOVED and market.state is None
    (removed,) = market.events("PodRemoved", rule="FundsExhausted")
    assert removed.amount == hosted.owed - 120 * A_SECOND  # the unpaid remainder is recorded
    assert market.mined(WithdrawUpTo, failed=True) == market.mined(WithdrawMany, failed=True) == []
    market.finish()


def test_defect_02_a_silent_chain_is_no_verdict() -> None:
    market = Market().running()
    market.silence(market.host, for_s=500)
    market.run(market.now_s + 300)
    assert market.state == "configured"  # not a third of the unlock time yet
    market.run(market.now_s + 190)
    assert market.state == "suspended"
    assert market.hosted().reason == "ChainUnconfirmed"
    market.until(lambda: market.events("PodResumed"), limit_s=60)
    assert market.state == "configured"
    assert market.events("PodRemoved") == []
    market.until(lambda: market.mined(WithdrawMany), limit_s=120)
    market.finish()


def test_defect_02_nor_is_a_short_silence_after_ticks_that_passed_a_pod_over() -> None:
    """Its channel was seen at each of them: what counts is since when it was not."""
    market = Market(
        provider={"policies": {"claim": {"use": "interval", "with": {"every": "2h"}}}, "terms": PATIENT},
        publisher={"policies": {"funding": {"use": "once", "with": {"first": "2h"}}}},
    ).running()
    market.run(market.now_s + 100)
    client = market.host.client
    assert client is not None
    (pod,) = client.pods.values()
    looked_ns = pod.seen_ns
    market.run(market.now_s + 600)
    assert pod.seen_ns == looked_ns  # nothing to look at
    market.silence(market.host, for_s=100)
    market.run(market.now_s + 100)
    assert market.events("ChainUnknown") and market.state == "configured"
    market.finish()


def test_who_is_billed_is_who_runs() -> None:
    market = Market(publisher={"policies": {"funding": {"use": "once", "with": {"first": "2h"}}}})
    market.until(lambda: market.events("PodAccepted"))
    client = market.host.client
    assert client is not None and list(client.meters.billed) == []
    market.running()
    (pod,) = client.pods.values()
    assert list(client.meters.billed) == [pod] and client.meters.keys == (pod.key,)
    market.until(lambda: pod.namespace in client.meters.marks, limit_s=100)
    market.wish(Wish.DELETE)
    market.until(lambda: market.events("PodRemoved"))
    assert [len(x) for x in (client.meters.billed, client.meters.keys, client.meters.marks)] == [0, 0, 0]
    market.finish()


@pytest.mark.parametrize("away", [False, True], ids=["provider up", "provider down meanwhile"])
def test_defect_03_a_pod_without_any_reading_is_checked(away: bool) -> None:
    market = Market(publisher={"scaling": {"policy": "keda"}}).running()
    market.run(100)
    if away:
        market.crash(market.host, for_s=UNLOCK_S + 60)  # the channel is gone when it comes back
    market.wish(Wish.UNLOCK)
    market.until(lambda: market.hosted().settled, limit_s=UNLOCK_S + 120)
    assert market.hosted().owed == 0
    assert market.hosted().reason == ("ChannelGone" if away else "Unlocked")
    assert market.state is None
    market.run(market.now_s + UNLOCK_S + 120)
    market.finish()


def test_defect_04_metering_is_exact_and_survives_a_silent_provider() -> None:
    market = Market(publisher={"policies": {"funding": {"use": "once", "with": {"first": "1h"}}}}).running()
    market.run(300.123)
    market.crash(market.host, for_s=500)  # 25 ticks are lost
    market.run(1500.777)
    market.wish(Wish.DELETE)
    market.until(lambda: market.hosted().settled)
    hosted = market.hosted()
    (segment,) = hosted.meter.segments
    configured_ns = market.events("PodConfigured")[0].at_ns
    removed_ns = market.events("PodRemoved")[0].at_ns
    # It is billed from the container's start: 100 ms of scheduling, then the pull of 10 MB and its decryption.
    ready_ms = (100 * 10**6 + 10**7 * NS_PER_S // 125_000_000 + 10**7 * NS_PER_S // 200_000_000) // 10**6
    lived_ms = removed_ns // 10**6 - configured_ns // 10**6
    assert (
        abs(segment.replica_ms - (lived_ms - ready_ms)) <= 100
    )  # writes to the cluster's API take 50 ms each
    price = market.simulation.world.price_table(market.host.member).cpu
    assert hosted.owed == segment.replica_ms * CPU_MILLIS * price // (1000 * MS_PER_S)
    (attempt,) = market.world.recorder.attempts
    assert hosted.owed == _metered(market, attempt)
    market.run(market.now_s + 60)
    market.finish()


def _metered(market: Market, attempt: Any) -> int:
    assert attempt.row["billed_replica_ms"] == attempt.run_ms  # what is billed is what the kernel ran
    return int(attempt.row["owed"])


@pytest.mark.parametrize("resource", ["memory", "ram", "storage", "egress", "ingress", "gpu"])
def test_defect_05_every_resource_is_metered_and_billed(resource: str) -> None:
    name = {"ram": "memory"}.get(resource, resource)
    unit = {"memory": "GiB-h", "storage": "GiB-h", "gpu": "h"}.get(name, "GB")
    free = {"cpu": "0 DAI/core-h", "memory": "0 DAI/GiB-h", "storage": "0 DAI/GiB-h"}
    asks = {"memory": "1Gi", "ram": "1Gi", "gpu": 1}
    container = {**KEPT["containers"][0], "resources": {"cpu": "100m"}}
    if resource in asks:
        container["resources"][{"gpu": "nvidia.com/gpu"}.get(resource, resource)] = asks[resource]
    market = Market(
        provider={
            "prices": {**free, name: f"3.6 DAI/{'gpu-h' if name == 'gpu' else unit}"},
            "nodes": [{"cpu": 4, "memory": "8Gi", "gpu": 1}],
        },
        publisher={
            "manifest": {"containers": [container]},
            "traffic": {"poisson": "0.5/s"},
            "request_bytes": "1MB",
            "response_bytes": "1MB",
            "policies": {"funding": {"use": "once", "with": {"first": "3h"}}},
            "wallet": {"payment": "20 DAI"},
        },
    )
    market.running().run(400)
    owed = market.hosted().owed
    if name in ("egress", "ingress"):
        assert owed % (36 * 10**17 * 10**6 // 10**9) == 0 and owed > 0  # whole requests of a megabyte
    else:
        expected = 10**15 * 380  # 0.001 DAI a second for a unit of it
        assert abs(owed - expected) < expected // 10
    market.finish()


def test_defect_06_a_short_unlock_time_is_refused_before_anything_is_paid() -> None:
    dear = {"cpu": "0.072 DAI/core-h", "memory": "0 DAI/GiB-h", "storage": "0.0001 DAI/GiB-h"}
    market = Market(
        provider=[{}, {"name": "lenient", "prices": dear, "terms": {"min_unlock_time": "980s"}}],
        publisher={"unlock_time": "990s", "policies": {"selection": "cheapest"}},
    )
    market.until(lambda: market.events("CandidatePassedOver"))
    assert [seen.rule for seen in market.events("CandidatePassedOver")] == ["UnlockTimeTooShort"]
    assert market.deposits == []
    market.until(lambda: market.events("PodConfigured"))  # the dearer one, and nobody else was paid
    assert len(market.deposits) == 1
    assert market.rental().provider == market.world.providers["lenient-0"].address


def _short_unlock(provider: Address, pod_id: PodId, unlock_time_s: int, amount: int) -> CreateChannel:
    return CreateChannel(provider, pod_id, 60, amount)


def _small_deposit(provider: Address, pod_id: PodId, unlock_time_s: int, amount: int) -> CreateChannel:
    return CreateChannel(provider, pod_id, unlock_time_s, 59 * A_SECOND)


@pytest.mark.parametrize(
    ("make", "rule"), [(_short_unlock, "UnlockTimeTooShort"), (_small_deposit, "DepositTooSmall")]
)
def test_defect_06_the_provider_inspects_the_channel_itself(
    make: Any, rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "CreateChannel", make)  # a publisher that does not keep the Offer's terms
    market = Market()
    before = market.tokens(market.pod)
    market.until(lambda: market.events("DeploymentFailed"))
    assert market.events("PodFailed", rule=rule)
    assert market.events("CandidatePassedOver", rule=rule)
    assert market.events("PodConfigured") == []
    market.until(lambda: market.mined(Release), limit_s=60)  # what was paid in goes back
    assert market.tokens(market.pod) == before
    market.run(market.now_s + 60)
    market.finish()


def test_defect_06_an_unlock_gets_a_final_claim_and_ends_the_pod() -> None:
    market = Market(provider={"policies": {"claim": {"use": "interval", "with": {"every": "1h"}}}})
    market.running().run(200)
    market.wish(Wish.UNLOCK)
    market.until(lambda: market.events("FundsReturned"), limit_s=UNLOCK_S + 60)
    hosted = market.hosted()
    assert (hosted.reason, hosted.settled) == ("Unlocked", True)
    assert len(market.mined(WithdrawUpTo)) == 1 and market.mined(WithdrawMany) == []
    assert market.tokens(market.host) == hosted.owed > 180 * A_SECOND
    market.finish()


def _provision_body(market: Market, **payment: bytes) -> bytes:
    rental = market.rental()
    assert rental.offer is not None and rental.provider is not None
    channel = payment_channel(
        Domain(market.world.terms.chain_id, market.world.terms.payment),
        market.pod.address,
        rental.provider,
        rental.pod_id,
    )
    for field, value in payment.items():
        setattr(channel, field, value)
    return wire.dump(
        wire.pb.ProvisionPodRequest(
            payment=channel, sealed=b"?", offer=rental.offer.to_wire(), offerSignature=rental.offer_signature
        )
    )


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("podID", b"\x01" * 32, "PaymentWrongPod"),
        ("publisherAddress", b"\x01" * 20, "PaymentWrongPublisher"),
        ("providerAddress", b"\x01" * 20, "PaymentWrongProvider"),
        ("chainID", b"\x01", "PaymentWrongChain"),
        ("contractAddress", b"\x01" * 20, "PaymentWrongContract"),
    ],
)
def test_defect_07_a_channel_backs_the_one_pod_that_it_names(field: str, value: bytes, rule: str) -> None:
    market = Market().running()
    body = _provision_body(market, **{field: value})
    raw = market.envelope(market.request(wire.PROVISION_POD, body), body)
    assert market.refusal(wire.PROVISION_POD, raw) == rule


def test_defect_07_the_same_channel_is_not_taken_twice() -> None:
    market = Market().running()
    body = _provision_body(market)
    raw = market.envelope(market.request(wire.PROVISION_POD, body), body)
    assert market.refusal(wire.PROVISION_POD, raw) == "PodExists"
    other = market.request(wire.PROVISION_POD, body, pod_id=PodId(b"\x07" * 32), seq=1)
    assert market.refusal(wire.PROVISION_POD, market.envelope(other, body)) == "PaymentWrongPod"


def _rented_again() -> Market:
    market = Market(
        publisher={
            "policies": {
                **TWO_MINUTES["policies"],
                "on_loss": {"use": "redeploy", "with": {"times": 1, "wait": "30m"}},
            }
        }
    )
    return market.until(lambda: len(market.events("PodConfirmed")) == 2, limit_s=3 * 3600)


def test_defect_08_a_channel_created_again_is_not_billed_for_old_usage() -> None:
    market = _rented_again()
    first, second = market.world.recorder.lives
    assert (first.key, first.row["life"], second.row["life"]) == (second.key, 1, 2)
    hosted = market.hosted()
    assert (hosted.life, hosted.withdrawn) == (2, 0)
    assert hosted.owed < 30 * A_SECOND
    old = Claim(market.pod.address, hosted.key.pod_id, 1, 120 * A_SECOND)
    assert market.host.client is not None
    outcome = market.do(market.host.client.sender.execute(WithdrawMany((old,))))
    assert isinstance(outcome, TxConfirmed)
    assert outcome.events == (ClaimSkipped(hosted.key, SkipReason.OTHER_LIFE),)
    market.run(market.now_s + 300)
    assert [life.row["withdrawn"] for life in (first, second)] == [120 * A_SECOND] * 2
    market.finish()


def test_defect_08_a_provider_that_was_away_takes_nothing_from_the_next_life() -> None:
    """The channel is closed and created again while the provider is down: what the old life owes is lost to it."""
    market = Market(publisher=TWO_MINUTES | {"unlock_time": "17m"}).running().run(100)
    pod, host = market.pod, market.host
    key, unpaid = market.hosted().key, market.hosted().owed
    pod.crash()  # the person goes on by hand
    market.crash(host, for_s=30 * 60)
    client = market.person(pod)
    market.do(client.payer.sender.execute(Unlock(key.provider, key.pod_id)))
    market.run(market.now_s + 18 * 60)
    again = CreateChannel(key.provider, key.pod_id, 3600, 10**16)
    for command in (
        CloseChannel(key.provider, key.pod_id),
        Approve(market.world.terms.payment, 10**16),
        again,
    ):
        assert isinstance(market.do(client.payer.sender.execute(command)), TxConfirmed)
    market.until(lambda: market.events("PodRemoved"))
    market.run(market.now_s + 300)
    assert unpaid > 0 and market.events("PodRemoved")[0].rule == "ChannelGone"
    second = market.world.recorder.lives[-1]
    assert (second.row["life"], second.row["withdrawn"]) == (2, 0)


REPLAYS: dict[str, tuple[dict[str, Any], str]] = {
    "method": ({"method": wire.POD_USAGE}, "RequestWrongMethod"),
    "provider": ({"provider": Address(b"\x01" * 20)}, "RequestWrongProvider"),
    "pod": ({"pod_id": PodId(b"\x01" * 32)}, "NoSuchPod"),
    "life": ({"life": 2}, "RequestWrongLife"),
    "body": ({"body_hash": b"\x01" * 32}, "RequestWrongBody"),
    "publisher": ({"publisher": Address(b"\x01" * 20)}, "RequestNotSignedByPublisher"),
    "sequence": ({"seq": 1}, "SequenceTooLow"),
}


@pytest.mark.parametrize("binding", REPLAYS)
def test_defect_09_a_request_is_bound(binding: str) -> None:
    market = Market().running()
    body = wire.dump(wire.pb.DeletePodRequest())
    changes, rule = REPLAYS[binding]
    raw = market.envelope(market.request(wire.DELETE_POD, body, **changes), body)
    assert market.refusal(wire.DELETE_POD, raw) == rule
    market.run(market.now_s + 30)
    assert market.state == "configured"


@pytest.mark.parametrize("changes", [{"chain_id": 1}, {"contract": b"\x01" * 20}])
def test_defect_09_a_request_is_bound_to_its_chain(changes: Any) -> None:
    market = Market(crypto="real").running()
    body = wire.dump(wire.pb.DeletePodRequest())
    raw = market.envelope(market.request(wire.DELETE_POD, body), body, **changes)
    assert market.refusal(wire.DELETE_POD, raw) == "RequestNotSignedByPublisher"


@pytest.mark.parametrize(
    ("ahead_s", "rule"),
    [(-31, "RequestExpired"), (-29, ""), (89, ""), (92, "RequestNotYetValid")],
)
def test_defect_09_a_request_expires_by_the_providers_clock(ahead_s: int, rule: str) -> None:
    market = Market().running()
    body = wire.dump(wire.pb.PodStatusRequest())
    request = market.request(wire.POD_STATUS, body, expires_at_s=int(market.env.now) // NS_PER_S + ahead_s)
    raw = market.envelope(request, body)
    assert market.refusal(wire.POD_STATUS, raw) == rule
    if rule:
        answer = wire.parse(wire.pb.PodStatusResponse, market.send(wire.POD_STATUS, raw))
        assert answer.refusal.providerTimeMs == int(market.env.now) // 10**6
        assert str(answer.refusal.providerTimeMs) in answer.refusal.detail


def test_defect_09_recorded_bytes_do_nothing_a_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    market = Market(
        provider={"count": 2},
        publisher={"policies": {"selection": {"use": "by_hand", "with": {"providers": ["host-0"]}}}},
    )
    with tapped(monkeypatch) as tap:
        market.running()
        market.wish(Wish.DELETE)
        market.run(market.now_s + 5)
    (provision,) = [raw for _, method, raw in tap.calls if method == wire.PROVISION_POD]
    (delete,) = [raw for _, method, raw in tap.calls if method == wire.DELETE_POD]
    other = market.world.providers["host-1"]
    assert market.refusal(wire.PROVISION_POD, provision, to=other) == "RequestWrongProvider"
    assert market.refusal(wire.DELETE_POD, provision) == "RequestWrongMethod"
    assert market.refusal(wire.DELETE_POD, delete) == ""  # the same answer again, and nothing is done
    market.until(lambda: market.hosted().settled)
    assert len(market.events("PodAccepted")) == len(market.events("PodRemoved")) == 1
    market.run(market.now_s + 60)
    assert market.refusal(wire.PROVISION_POD, provision) == "RequestExpired"
    market.finish()


def test_defect_09_an_altered_body_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def flip(raw: bytes) -> bytes:
        envelope = wire.decode(raw)
        return wire.encode(
            wire.pb.Envelope(
                request=envelope.request, signature=envelope.signature, body=envelope.body + b"\0"
            )
        )

    market = Market()
    with tapped(monkeypatch, wire.PROVISION_POD) as tap:
        tap.alter = flip
        market.until(lambda: market.events("DeploymentFailed"))
    assert market.events("CandidatePassedOver", rule="RequestWrongBody")
    assert market.events("PodAccepted") == []


def test_defect_10_a_pod_without_a_port_runs() -> None:
    worker = {"containers": [{"name": "worker", "image": "worker:1", "resources": {"cpu": "250m"}}]}
    market = Market(publisher={"manifest": worker, "scaling": {"policy": "keda"}}).running()
    market.run(300)
    assert 270 * A_SECOND < market.hosted().owed < 290 * A_SECOND  # one replica all the time


def test_defect_11_a_host_that_is_taken_is_refused() -> None:
    market = Market(publisher=[{}, {"name": "late", "arrive": "60s"}])
    late = market.world.publishers["late-0"]
    before = market.tokens(late)
    market.until(lambda: market.events("DeploymentFailed", party=late))
    assert market.events("PodFailed", rule="HostTaken")
    assert market.events("CandidatePassedOver", party=late, rule="HostTaken")
    market.until(lambda: market.mined(Release), limit_s=60)
    assert market.tokens(late) == before
    assert market.state == "configured"
    market.run(market.now_s + 60)
    market.finish()


def test_defect_12_an_update_keeps_data_replicas_and_service() -> None:
    market = Market(
        publisher={
            "manifest": KEPT,
            "scaling": {"policy": "keda", "min_replicas": 1, "max_replicas": 3},
            "traffic": {"poisson": "1/s"},
            "policies": {"funding": {"use": "once", "with": {"first": "1h"}}},
        }
    ).running()
    market.run(300)
    before = market.hosted()
    container = KEPT["containers"][0]
    volumes = [*container["volumes"], {"mountPath": "/more", "storage": "2Gi", "readOnly": True}]
    new = manifest.parse({"containers": [{**container, "resources": {"cpu": "500m"}, "volumes": volumes}]})
    caller = market.world.callers[market.pod.address]
    counters = caller.count(int(market.env.now))
    market.wish(
        Wish.UPDATE, pod=market.world.with_image(new, market.world.demands[market.pod.address].reference)
    )
    market.until(lambda: market.events("PodUpdated"))
    market.run(600)
    after = market.hosted()
    assert (after.version, market.rental().version) == (2, 2)
    assert [m.read_only for c in after.pod.containers for m in c.mounts] == [False, True]
    assert [v.name for v in after.pod.volumes][: len(before.pod.volumes)] == [
        v.name for v in before.pod.volumes
    ]
    old, fresh = after.meter.segments
    configured_ms = market.events("PodConfigured")[0].at_ns // 10**6
    # The volume was bound all the time; the first version's meters stay as they were.
    assert abs(old.bound_ms + fresh.bound_ms - (after.meter.at_ns // 10**6 - configured_ms)) <= 1
    assert fresh.replica_ms > 200_000
    now = caller.count(int(market.env.now))
    assert now.served > counters.served + 200
    assert now.failed == counters.failed
    market.finish()


@pytest.mark.parametrize("suspended", [False, True], ids=["running", "evicted"])
def test_defect_13_delete_settles_and_works_in_every_phase(suspended: bool) -> None:
    market = Market(
        publisher={"manifest": KEPT, "policies": {"funding": {"use": "once", "with": {"first": "5m"}}}}
    )
    before = market.tokens(market.pod)
    market.running()
    if suspended:
        market.until(lambda: market.events("PodSuspended", rule="FundsExhausted"))
    else:
        market.run(100)
    market.wish(Wish.DELETE)
    market.until(lambda: market.hosted().settled)
    hosted = market.hosted()
    assert (hosted.phase, hosted.reason) == (Phase.REMOVED, "Deleted")
    assert market.state is None
    assert market.tokens(market.host) == min(hosted.owed, hosted.invested)
    assert market.tokens(market.pod) == before - market.tokens(market.host)  # all the rest came back
    market.run(market.now_s + 60)
    assert (market.rental().stage.value, market.rental().reason) == ("ended", "Deleted")
    market.finish()


def test_defect_14_prices_other_than_the_registrys_are_refused() -> None:
    market = Market()
    market.run(-1)
    assert market.host.client is not None
    tables = market.host.client.front.tables
    tables[1] = tables[1].scaled(1.5)
    market.until(lambda: market.events("DeploymentFailed"))
    (passed,) = market.events("CandidatePassedOver")
    assert passed.rule == "OfferDiffers" and "pricesHash" in passed.detail
    assert market.deposits == []


def test_defect_16_unlock_withdraw_and_close_are_there() -> None:
    market = Market().running()
    before = market.tokens(market.pod)
    market.run(60)
    market.wish(Wish.UNLOCK)
    market.until(lambda: market.events("FundsReturned"), limit_s=UNLOCK_S + 60)
    assert len(market.mined(Unlock)) == len(market.mined(CloseChannel)) == 1
    assert market.channel() is None
    assert market.tokens(market.pod) == before + 600 * A_SECOND - market.hosted().owed
    market.finish()


def test_defect_17_an_image_is_uploaded_once() -> None:
    market = _rented_again()
    assert [e.amount for e in market.events("ImagesUploaded")] == [10_000_000, 0]


def test_defect_18_pod_ids_are_random_and_kept() -> None:
    market = Market(
        publisher={"count": 3, "manifest": {"containers": [{**WEB["containers"][0], "host": None}]}}
    )
    market.run(60)
    ids = {market.rental(p).pod_id for p in market.world.publishers.values()}
    assert len(ids) == 3 and all(len(i) == 32 for i in ids)
    kept = market.rental().pod_id
    market.crash(market.pod, for_s=5)
    market.run(200)
    assert market.rental().pod_id == kept
    assert len(market.events("PodAccepted")) == 3
    # A second pod of one publisher has another id.
    assert market.pod.client is not None
    second = market.do(market.pod.client.rent(market.pod.pod))
    assert isinstance(second, Rental) and second.pod_id not in ids
    assert len({life.key for life in market.world.recorder.lives}) == 4
    again = _rented_again()
    assert len({life.key.pod_id for life in again.world.recorder.lives}) == 1


def test_price_constants_are_those_of_the_market() -> None:
    market = Market()
    table = market.world.price_table(market.host.member)
    assert table.cpu * 3600 == CPU_CORE_H
    assert table.cpu * CPU_MILLIS == A_SECOND * 1000
    assert replace(market.host.settings, assurance=Assurance.NONE) == market.host.settings
