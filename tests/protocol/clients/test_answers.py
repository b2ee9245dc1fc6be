"""Refused is told apart from "nobody knows": lost answers, lost receipts, silent chains, wrong clocks, bad bytes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from protocol import agreement, manifest, requests, wire
from protocol.auth import Offer, Usage
from protocol.eip712 import Domain
from protocol.errors import PeerFault, Refusal
from protocol.guard import Wish
from protocol.hosting import ANSWERS, Phase
from protocol.paying import Payer
from protocol.payment import (
    ClaimSkipped,
    CloseChannel,
    CreateChannel,
    Deposit,
    Release,
    SkipReason,
    Unlock,
    WithdrawMany,
    Withdrawn,
    WithdrawUpTo,
)
from protocol.ports import NoAnswer, Peer
from protocol.publisher import PublisherClient
from protocol.renting import ERRANDS, Failed, Rental, Stage
from protocol.units import NS_PER_S, PeerId
from sim.cluster import SimCluster
from sim.store import MemoryStore
from tests.protocol.clients.market import A_SECOND, KEPT, WEB, Data, Market, killing, tapped

UNLOCK_S = 17 * 60
LONG: Data = {"policies": {"funding": {"use": "once", "with": {"first": "1h"}}}}
WATCHFUL: Data = {
    "policies": {
        "funding": {
            "use": "runway",
            "with": {"first": "30m", "low": "1m", "look_least": "20s", "look_most": "20s"},
        }
    }
}
NO_HOST: Data = {"containers": [{**WEB["containers"][0], "host": None}]}


def _client(market: Market) -> PublisherClient:
    assert market.pod.client is not None
    return market.pod.client


# ---------------------------------------------------------------- messages


@pytest.mark.parametrize("lost", [1, 2, 3, 5])
def test_an_answer_lost_after_acceptance_leads_to_no_second_deployment(
    lost: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    market = Market(provider={"count": 2})
    with tapped(monkeypatch, wire.PROVISION_POD) as tap:
        tap.lose_answers = lost
        market.running()
    assert len(market.events("PodAccepted")) == 1
    assert len(market.mined(CreateChannel)) == 1
    assert market.events("CandidatePassedOver") == []
    market.run(300).finish()


def test_an_answer_that_is_none_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    market = Market(provider={"count": 2})
    with tapped(monkeypatch, wire.PROVISION_POD) as tap:
        tap.alter_answer = lambda raw: raw[:-1] + b"\xff"
        market.running()
    assert len(market.events("PodAccepted")) == len(market.mined(CreateChannel)) == 1


def test_the_same_provision_twice_at_once_is_one_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    capacity = SimCluster.capacity

    async def slow(self: SimCluster, *, deadline_ns: int) -> Any:
        await self._process.sleep_until(self._process.now + NS_PER_S)
        return await capacity(self, deadline_ns=deadline_ns)

    monkeypatch.setattr(SimCluster, "capacity", slow)
    market = Market()
    with tapped(monkeypatch) as tap:
        market.until(lambda: [m for _, m, _ in tap.calls if m == wire.PROVISION_POD])
    (raw,) = [raw for _, method, raw in tap.calls if method == wire.PROVISION_POD]
    handler = market.world.web.places[PeerId("host-0")].handlers[wire.PROVISION_POD]
    answers: list[bytes] = []

    async def ask() -> None:
        answers.append(await handler(PeerId("pod-0"), raw))

    for _ in range(2):
        market.env.process(ask().__await__())
    market.running()
    assert len(answers) == 2 and answers[0] == answers[1]
    assert wire.parse(wire.pb.ProvisionPodResponse, wire.decode(answers[0]).body).namespace == market.name
    assert len(market.events("PodAccepted")) == 1
    market.run(200).finish()


def test_duplicated_and_lost_messages_change_nothing_but_time() -> None:
    market = Market(network={"duplicates": "60%", "loss": "30%"}, publisher=LONG, seed=5)
    market.running()
    market.wish(Wish.LOGS)
    market.run(400)
    market.wish(Wish.DELETE)
    market.until(lambda: market.rental().stage is Stage.ENDED)
    assert len(market.mined(CreateChannel)) == 1
    assert len(market.events("PodAccepted")) == len(market.events("PodRemoved")) == 1
    assert market.hosted().settled
    market.finish()


def test_a_wrong_clock_is_refused_with_the_providers_time_and_loses_no_pod() -> None:
    market = Market(publisher=WATCHFUL).running()
    assert market.pod.process is not None
    market.pod.process._skew_ns = -45 * NS_PER_S
    with pytest.raises(Refusal, match=r"RequestExpired: .*the provider's time is \d+ ms"):
        market.do(
            _client(market).caller.ask(
                market.rental(), wire.POD_STATUS, wire.pb.PodStatusRequest(), wire.pb.PodStatusResponse
            )
        )
    market.run(market.now_s + 600)
    assert len(market.events("RequestRefused", rule="RequestExpired")) > 5
    assert market.events("PodLost") == [] and market.state == "configured"
    market.pod.process._skew_ns = 0
    market.run(market.now_s + 600)
    assert market.events("PodLost") == []


def test_garbage_from_the_provider_is_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    market = Market(publisher=WATCHFUL).running()
    with tapped(monkeypatch, wire.POD_STATUS) as tap:
        tap.alter_answer = lambda raw: b"garbage"
        market.run(market.now_s + 600)
        assert market.events("PodLost") == []
        market.until(lambda: market.events("PodLost", rule="ProviderSilent"), limit_s=3600)
    market.until(lambda: market.events("FundsReturned"), limit_s=UNLOCK_S + 120)
    market.finish()


def test_a_provider_that_never_received_it_is_passed_over_after_the_request_is_void(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    market = Market(provider={"count": 2}, publisher={"policies": {"selection": "round_robin"}})
    with tapped(monkeypatch, wire.PROVISION_POD) as tap:
        tap.lose_answers = 99
        tap.alter = lambda raw: b"" if len(tap.answers) < 9 else raw
        market.running()
    (passed,) = market.events("CandidatePassedOver")
    assert passed.rule == "NoSuchPod"
    assert len(market.events("PodAccepted")) == 1
    market.until(lambda: market.events("FundsReturned"), limit_s=UNLOCK_S + 120)  # of the first
    assert market.channel(market.world.providers["host-0"]) is None
    market.finish()


def test_answers_are_forgotten_after_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "KEPT_S", 600)
    rich: Data = {"policies": {"funding": {"use": "once", "with": {"first": "9h"}}}}
    market = Market(publisher=[rich, {"name": "other", "arrive": "150m", "manifest": NO_HOST}]).running()

    def update() -> None:
        market.wish(Wish.UPDATE, pod=_bigger(market))
        market.run(market.now_s + 60)

    answers = market.host.disk.tables[ANSWERS]
    for _ in range(3):
        update()
    assert len(answers) == 4  # with that of the deployment
    market.run(4000)
    update()
    assert market.hosted().version == 5
    assert sorted(record["seq"] for record in answers.values()) == [4, 5]  # 4 was the pod's newest until now
    market.wish(Wish.DELETE)
    market.until(lambda: len(market.events("PodConfirmed")) == 2, limit_s=9000)
    other = market.world.publishers["other-0"].address
    assert [record["publisher"] for record in answers.values()] == [other.hex()]


# ---------------------------------------------------------------- transactions


def _nonces(market: Market, sender: Any) -> list[int]:
    return sorted(tx.nonce for tx, _ in market.receipts if tx.sender == sender.address)


def test_a_provider_without_gas_asks_again_now_and_then() -> None:
    market = Market()
    native, market.ledger._native[market.host.address] = market.ledger._native[market.host.address], 0
    market.run(30)
    refused = market.events("TransactionReverted", rule="InsufficientGasFunds")
    assert 3 <= len(refused) <= 20
    market.ledger._native[market.host.address] = native
    market.until(lambda: market.events("PriceChanged"), limit_s=30)  # its table is on the chain


def test_a_claim_whose_receipt_is_lost_is_paid_once() -> None:
    market = Market(publisher=LONG).running()
    market.until(lambda: market.mined(WithdrawMany))
    market.silence(market.host, for_s=40)  # mined, and not yet confirmed
    market.until(lambda: market.events("TransactionUnknown", rule="withdrawMany"), limit_s=60)
    market.run(600)
    total = market.hosted().withdrawn
    assert (
        market.tokens(market.host)
        == total
        == sum(e.withdrawn_amount for _, r in market.receipts for e in r.events if isinstance(e, Withdrawn))
    )
    assert _nonces(market, market.host) == list(range(len(_nonces(market, market.host))))
    assert market.host.disk.tables["transactions"] == {}
    market.finish()


@pytest.mark.parametrize("at", [Deposit, CreateChannel], ids=["approval", "creation"])
def test_a_chain_that_falls_silent_while_the_channel_is_made_costs_one_deposit(at: Any) -> None:
    market = Market()
    if at is CreateChannel:
        market.until(lambda: any(isinstance(tx.command, CreateChannel) for tx in market._sent.values()))
    else:
        market.until(lambda: market.events("OfferTaken"))
    market.silence(market.pod, for_s=400)  # longer than a transaction is waited for, and than the Offer holds
    market.until(lambda: market.events("PodConfirmed") or market.events("DeploymentFailed"), limit_s=3000)
    assert len(market.mined(CreateChannel)) == 1
    assert market.mined(CreateChannel, failed=True) == []
    market.until(
        lambda: market.events("PodConfirmed") or market.events("FundsReturned"), limit_s=UNLOCK_S + 200
    )
    market.finish()


def test_a_deposit_that_nobody_knows_of_is_not_made_twice() -> None:
    market = Market(publisher=WATCHFUL).running()
    market.until(lambda: any(isinstance(tx.command, Deposit) for tx in market._sent.values()), limit_s=3000)
    market.silence(market.pod, for_s=330)
    market.until(lambda: market.events("TransactionUnknown", rule="deposit"), limit_s=400)
    market.run(market.now_s + 60)
    assert len(market.mined(Deposit)) == 1


def test_an_unlock_before_a_routine_claim_leaves_the_timer_and_the_final_claim_whole() -> None:
    market = Market(publisher=LONG).running()
    market.until(lambda: any(isinstance(tx.command, WithdrawMany) for tx in market._sent.values()))
    market.wish(Wish.UNLOCK)
    market.until(lambda: market.mined(Unlock) and market.mined(WithdrawMany), limit_s=30)
    channel = market.channel()
    assert channel is not None
    mined_s = next(r.block.time_s for tx, r in market.receipts if isinstance(tx.command, Unlock))
    assert channel.unlocked_at_s == mined_s + UNLOCK_S
    market.until(lambda: market.hosted().settled, limit_s=60)
    channel, hosted = market.channel(), market.hosted()
    assert channel is not None
    # Nothing more is owed: the final claim lets the publisher have the rest at once.
    (final,) = [r.block.time_s for tx, r in market.receipts if isinstance(tx.command, WithdrawUpTo)]
    assert channel.unlocked_at_s == final
    assert market.tokens(market.host) == hosted.owed == channel.withdrawn_by_provider
    market.until(lambda: market.events("FundsReturned"), limit_s=UNLOCK_S + 60)
    market.finish()


@pytest.mark.parametrize("down_s", [1010, 1016], ids=["claimed in time", "claimed too late"])
def test_what_came_back_is_what_was_told(down_s: float) -> None:
    market = Market().running().run(100)
    market.wish(Wish.UNLOCK)
    market.run(107)
    market.crash(market.host, for_s=down_s)  # it comes back just before the unlock has passed
    before = market.tokens(market.pod)
    market.until(lambda: market.events("FundsReturned"), limit_s=1400)
    (returned,) = market.events("FundsReturned")
    assert returned.amount == market.tokens(market.pod) - before


def test_a_closed_channel_in_a_batch_does_not_hold_up_the_others() -> None:
    market = Market(
        provider={"policies": {"claim": {"use": "interval", "with": {"every": "2h"}}}},
        publisher={"count": 2, "manifest": NO_HOST, **LONG},
    )
    market.until(lambda: len(market.events("PodConfirmed")) == 2).run(120)
    provider = market.host.client
    assert provider is not None
    gone, there = provider.pods.values()
    provider.meters.bring(there)
    market.do(provider.sender.execute(Release(gone.key.publisher, gone.key.pod_id)))
    market.do(provider.claimer._settle_claims([gone, there]))
    (events,) = [r.events for tx, r in market.receipts if isinstance(tx.command, WithdrawMany)]
    assert ClaimSkipped(gone.key, SkipReason.DOES_NOT_EXIST) in events
    assert Withdrawn(there.key, there.withdrawn) in events and there.withdrawn > 90 * A_SECOND
    assert [(e.rule, e.amount) for e in market.events("ClaimSettled")] == [
        ("DoesNotExist", 0),
        ("", there.withdrawn),
    ]
    market.run(200)
    assert [e.rule for e in market.events("PodRemoved")] == ["ChannelGone"]
    market.finish()


def test_an_errand_for_an_old_life_leaves_the_new_one_alone() -> None:
    market = Market(
        publisher={
            "policies": {
                "funding": {"use": "once", "with": {"first": "2m"}},
                "on_loss": {"use": "redeploy", "with": {"times": 1, "wait": "30m"}},
            }
        }
    )
    market.until(lambda: len(market.events("PodConfirmed")) == 2, limit_s=3 * 3600)
    market.do(_client(market).payer.reclaim(market.key(), 1, market.name, None))
    channel = market.channel()
    assert channel is not None and (channel.life, channel.unlocked_at_s) == (2, 0)


@pytest.mark.parametrize("down_s", [30, 2000])
def test_money_is_fetched_back_after_a_crash(down_s: float) -> None:
    # The image takes longer to upload than the Offer holds: paid for, and refused.
    market = Market(provider={"terms": {"offer_valid": "15s"}}, publisher={"image": {"size": "2GB"}})
    before = market.tokens(market.pod)
    market.until(lambda: market.events("DeploymentFailed", rule="OfferExpired"))
    market.run(market.now_s + 3)
    assert market.tokens(market.pod) == before - 600 * A_SECOND
    assert len(market.pod.disk.tables[ERRANDS]) == 1
    market.crash(market.pod, for_s=down_s)
    market.run(market.now_s + down_s + UNLOCK_S + 120)
    assert market.tokens(market.pod) == before
    assert len(market.mined(CloseChannel)) == 1
    assert market.pod.disk.tables[ERRANDS] == {}
    market.finish()


def test_a_refusal_after_a_crash_is_told_too() -> None:
    market = Market(provider={"terms": {"offer_valid": "15s"}}, publisher={"image": {"size": "2GB"}})
    market.until(lambda: market.events("ChannelFunded"))
    market.crash(market.pod, for_s=20)  # while the image is uploaded
    market.until(lambda: market.events("DeploymentFailed"))
    assert [e.rule for e in market.events("CandidatePassedOver")] == ["OfferExpired", "UnlockRunning"]


def test_a_deployment_that_never_saw_the_registry_failed() -> None:
    market = Market()
    market.silence(market.pod, for_s=3000)
    market.run(2000)
    assert market.rental().stage is Stage.ENDED
    assert [e.rule for e in market.events("DeploymentFailed")] == ["ChainUnknown"]


def test_leaving_a_provider_is_written_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    market = Market(provider={"terms": {"offer_valid": "15s"}}, publisher={"image": {"size": "2GB"}})
    commit, stages = MemoryStore.commit, []

    async def look(self: MemoryStore, changes: Any) -> None:
        await commit(self, changes)
        if market.pod.disk.tables.get(ERRANDS):
            stages.append(market.rental().stage)

    monkeypatch.setattr(MemoryStore, "commit", look)
    market.until(lambda: market.events("DeploymentFailed", rule="OfferExpired"))
    market.run(market.now_s + 3)
    assert stages and set(stages) <= {
        Stage.CHOOSING,
        Stage.ENDED,
    }  # whoever is killed here does not send again


def test_a_channel_that_is_being_fetched_back_is_not_rented_with() -> None:
    # Paid for and refused, as above; and at once the same provider is chosen again, before the unlock is mined.
    market = Market(
        provider={"terms": {"offer_valid": "15s"}},
        publisher={
            "image": {"size": "2GB"},
            "policies": {"on_loss": {"use": "redeploy", "with": {"times": 1, "wait": "0s"}}},
        },
    )
    before = market.tokens(market.pod)
    market.until(lambda: market.events("FundsReturned"), limit_s=UNLOCK_S + 600)
    passed = [e.rule for e in market.events("CandidatePassedOver")]
    assert (passed, market.events("PodAccepted")) == (["OfferExpired", "UnlockRunning"], [])
    assert market.tokens(market.pod) == before
    market.finish()


# ---------------------------------------------------------------- suspension and top-ups


def test_a_top_up_within_the_grace_time_resumes_with_the_same_volume() -> None:
    market = Market(
        publisher={"manifest": KEPT, "policies": {"funding": {"use": "once", "with": {"first": "5m"}}}}
    )
    market.running()
    market.until(lambda: market.events("PodSuspended", rule="FundsExhausted"))
    tenant = market.host.machines.tenants[market.name]
    assert market.state == "suspended"
    market.run(market.now_s + 120)
    market.wish(Wish.DEPOSIT, amount=400 * A_SECOND)
    market.until(lambda: market.events("PodResumed"), limit_s=60)
    assert market.host.machines.tenants[market.name] is tenant
    market.run(market.now_s + 60)
    (segment,) = market.hosted().meter.segments
    configured_ns = market.events("PodConfigured")[0].at_ns
    assert segment.bound_ms == market.hosted().meter.at_ns // 10**6 - configured_ns // 10**6
    assert segment.replica_ms < segment.bound_ms - 120_000  # storage went on, the replica did not
    market.finish()


def test_without_a_top_up_it_is_removed_after_the_grace_time_which_was_paid_for() -> None:
    market = Market(
        provider={"prices": {"storage": "0.01 DAI/GiB-h"}},
        publisher={"manifest": KEPT, "policies": {"funding": {"use": "once", "with": {"first": "5m"}}}},
    )
    market.until(lambda: market.events("PodSuspended", rule="FundsExhausted"))
    suspended_ns = market.events("PodSuspended")[0].at_ns
    market.until(lambda: market.events("PodRemoved"), limit_s=700)
    removed = market.events("PodRemoved")[0]
    assert 600 <= (removed.at_ns - suspended_ns) / NS_PER_S <= 621
    market.until(lambda: market.hosted().settled)
    hosted = market.hosted()
    a_tick = 21 * (A_SECOND + 10**16 // 3600 + 1)
    assert max(0, hosted.owed - hosted.invested) <= a_tick  # the grace time's storage was reserved
    market.finish()


def test_a_top_up_while_the_provider_is_down_never_finds_half_a_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    def scene() -> Market:
        market = Market(
            publisher={"manifest": KEPT, "policies": {"funding": {"use": "once", "with": {"first": "5m"}}}}
        )
        market.until(lambda: market.events("PodMetered", rule="FundsExhausted"))
        market.wish(Wish.DEPOSIT, amount=400 * A_SECOND)
        return market

    market = scene()
    with killing(monkeypatch, market.host, None) as killer:
        market.run(market.now_s + 1)
    assert killer.points >= 6
    for point in range(killer.points):
        market = scene()
        with killing(monkeypatch, market.host, point, comes_back_after_s=60) as killed:
            market.run(market.now_s + 120)
        assert (market.state, market.hosted().phase.value) in (
            ("configured", "running"),
            ("configured", "low"),
        ), (
            killed.killed,
            market.log(),
        )
        before = market.hosted().meter.segments[0].replica_ms
        market.run(market.now_s + 60)
        assert market.hosted().meter.segments[0].replica_ms >= before + 40_000
        market.finish()


def test_a_top_up_that_was_not_made_is_soon_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    pay, tried = Payer.pay, []

    async def refused_once(self: Payer, rental: Rental, command: Any, amount: int) -> Any:
        if isinstance(command, Deposit):
            tried.append(amount)
            if len(tried) == 1:
                return Failed("TokenRefused", "not today")
        return await pay(self, rental, command, amount)

    monkeypatch.setattr(Payer, "pay", refused_once)
    funding = {"first": "30m", "low": "5m", "tranche": "30m", "look_least": "20s", "look_most": "1h"}
    market = Market(publisher={"policies": {"funding": {"use": "runway", "with": funding}}}).running()
    market.until(lambda: market.events("ToppedUp"), limit_s=1800)
    assert len(tried) == 2
    assert market.events("PodRemoved") == []


def test_too_much_unpaid_work_suspends_until_it_is_claimed() -> None:
    market = Market(
        provider={
            "terms": {"exposure": "2m"},
            "policies": {"claim": {"use": "when_it_pays", "with": {"multiple": 10**9, "cap_share": 1.0}}},
        },
        publisher=LONG,
    )
    market.running()
    market.silence(market.host, for_s=200)
    market.until(lambda: market.events("PodSuspended", rule="ExposureCap"), limit_s=400)
    market.until(lambda: market.events("PodResumed"), limit_s=120)
    assert market.mined(WithdrawMany)
    market.finish()


# ---------------------------------------------------------------- refusals and their reasons


@pytest.mark.parametrize(
    ("provider", "publisher", "rule"),
    [
        (
            {"policies": {"admission": {"use": "standard", "with": {"max_pods": 1}}}},
            {"count": 2},
            "TooManyPods",
        ),
        ({"nodes": [{"cpu": 0.4, "memory": "1Gi"}]}, {"count": 2}, "NoCapacity"),
        (
            {"nodes": [{"cpu": 4, "memory": "1Gi", "storage": "1.5Gi"}]},
            {"count": 2, "manifest": KEPT},
            "NoCapacity",
        ),
    ],
    ids=["pods", "cores", "disk"],
)
def test_an_admission_refusal_reaches_the_publisher_with_its_reason(
    provider: Data, publisher: Data, rule: str
) -> None:
    market = Market(
        provider=provider, publisher={"manifest": NO_HOST, "arrive": {"exponential": "60s"}, **publisher}
    )
    market.until(lambda: market.events("DeploymentFailed"))
    (failed,) = market.events("DeploymentFailed")
    assert failed.rule == rule and failed.detail
    assert market.events("CandidatePassedOver")[0].rule == rule
    assert len(market.events("PodAccepted")) == len(market.mined(CreateChannel)) == 1


def test_a_second_pod_of_a_publisher_is_refused_by_its_own_rule() -> None:
    limit = {"use": "standard", "with": {"max_pods_of_publisher": 1}}
    market = Market(provider={"policies": {"admission": limit}}, publisher={"manifest": NO_HOST}).running()
    failed = market.do(_client(market).deploy(Rental(b"\x05" * 32, market.pod.pod)))  # type: ignore[arg-type]
    assert not isinstance(failed, Rental) and failed.rule == "TooManyPodsOfPublisher"


def test_an_offer_that_has_expired_is_refused_by_the_provider_too() -> None:
    market = Market(provider={"terms": {"offer_valid": "10s"}}, publisher={"image": {"size": "2GB"}})
    market.until(lambda: market.events("DeploymentFailed"))
    assert market.events("RequestRefused", rule="OfferExpired")
    assert market.events("CandidatePassedOver", rule="OfferExpired")


OFFER_FIELDS: dict[str, Any] = {
    "publisher": b"\x01" * 20,
    "provider": b"\x01" * 20,
    "pod_id": b"\x01" * 32,
    "capacity_hash": b"\x01" * 32,
    "token": b"\x01" * 20,
    "table_id": 2,
    "prices_hash": b"\x01" * 32,
    "keys_hash": b"\x01" * 32,
    "expires_at_s": 1,
}


@pytest.mark.parametrize("field", OFFER_FIELDS)
def test_an_offer_for_something_else_is_the_providers_fault(field: str) -> None:
    market = Market().running()
    rental = market.rental()
    assert rental.offer is not None and rental.prices is not None
    asked = agreement.capacity_request(rental.pod, 1)
    agreed: dict[str, Any] = {
        "publisher": market.pod.address,
        "provider": market.host.address,
        "pod_id": rental.pod_id,
        "asked": asked,
        "token": market.world.terms.token,
        "table_id": 1,
        "prices": rental.prices,
        "keys_hash": rental.offer.keys_hash,
        "now_ns": market.world.start_ns,
    }
    agreement.check_offer(rental.offer, **agreed)
    last_ns = rental.offer.expires_at_s * NS_PER_S  # held to the same instant by its provider
    agreement.check_offer(rental.offer, **{**agreed, "now_ns": last_ns})
    with pytest.raises(PeerFault, match="OfferExpired"):
        agreement.check_offer(rental.offer, **{**agreed, "now_ns": last_ns + 1})
    with pytest.raises(PeerFault) as raised:
        agreement.check_offer(replace(rental.offer, **{field: OFFER_FIELDS[field]}), **agreed)
    assert raised.value.rule == ("OfferExpired" if field == "expires_at_s" else "OfferDiffers")


def test_an_offer_signed_by_somebody_else_is_not_paid(monkeypatch: pytest.MonkeyPatch) -> None:
    market = Market(provider={"count": 1})

    def forge(raw: bytes) -> bytes:
        answer = wire.parse(wire.pb.CapacityResponse, wire.decode(raw).body)
        offer = Offer.from_wire(answer.offer)
        digest = offer.digest(Domain(market.world.terms.chain_id, market.world.terms.payment))
        answer.offerSignature = market.world.scheme.sign(digest, market.pod.key)
        return wire.encode(wire.pb.Envelope(body=wire.dump(answer)))

    with tapped(monkeypatch, wire.PROVISIONING_CAPACITY) as tap:
        tap.alter_answer = forge
        market.until(lambda: market.events("DeploymentFailed"))
    assert market.events("CandidatePassedOver", rule="OfferNotSignedByProvider")
    assert market.deposits == []


# ---------------------------------------------------------------- update, logs, bills


def _bigger(market: Market, cpu: str = "500m") -> manifest.Pod:
    pod = manifest.parse({"containers": [{**WEB["containers"][0], "resources": {"cpu": cpu}}]})
    return market.world.with_image(pod, market.world.demands[market.pod.address].reference)


def test_an_update_is_billed_by_version() -> None:
    market = Market(publisher=LONG).running().run(100)
    market.wish(Wish.UPDATE, pod=_bigger(market))
    market.run(200)
    before = market.hosted().owed
    market.run(300)
    assert 198 * A_SECOND <= market.hosted().owed - before <= 202 * A_SECOND + 40 * A_SECOND
    assert [s.version for s in market.hosted().meter.segments] == [1, 2]
    assert market.host.machines.tenants[market.name].workload.version == 2


@pytest.mark.parametrize("limit", ["max_pods", "max_pods_of_publisher"])
def test_an_update_of_the_only_pod_is_not_one_pod_too_many(limit: str) -> None:
    admission = {"use": "standard", "with": {limit: 1}}
    market = Market(
        provider={"policies": {"admission": admission}, "nodes": [{"cpu": 0.6, "memory": "1Gi"}]},
        publisher=LONG,
    ).running()
    market.wish(Wish.UPDATE, pod=_bigger(market))
    market.run(60)
    assert market.events("UpdateRefused") == [] and market.events("PodUpdated")


def test_a_refused_update_leaves_all_as_it_was() -> None:
    market = Market(publisher=LONG).running().run(60)
    before = market.hosted()
    market.wish(Wish.UPDATE, pod=_bigger(market, "64"))
    market.run(120)
    (refused,) = market.events("UpdateRefused")
    assert refused.rule == "NoCapacity"
    after = market.hosted()
    assert (after.version, after.pod, after.todo) == (1, before.pod, ())
    assert market.rental().pod == market.pod.pod
    assert after.owed > before.owed
    market.finish()


def test_an_update_that_the_cluster_refuses_leaves_no_trace_in_the_bill(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    market = Market(publisher=[LONG, {"name": "other", "manifest": NO_HOST, **LONG}])
    market.until(lambda: len(market.events("PodConfirmed")) == 2)
    other = market.world.publishers["other-0"]
    reference = market.world.demands[other.address].reference
    stolen = market.world.with_image(manifest.parse(WEB), reference)
    assert other.client is not None
    from protocol.guard import Wanted

    other.wish(Wanted(Wish.UPDATE, pod=stolen))
    market.until(lambda: market.events("RequestRefused", rule="HostTaken"), limit_s=60)
    market.run(market.now_s + 40)
    assert market.host.client is not None
    hosted = next(p for p in market.host.client.pods.values() if p.key.publisher == other.address)
    assert (hosted.version, len(hosted.meter.segments), hosted.todo) == (1, 1, ())
    market.finish()


def test_logs_are_read_page_by_page() -> None:
    market = Market(publisher=LONG).running().run(60)
    market.wish(Wish.UPDATE, pod=_bigger(market))
    market.run(120)
    market.wish(Wish.LOGS)
    market.until(lambda: market.events("LogsRead"), limit_s=30)
    assert market.events("LogsRead")[0].amount == 2
    cursor, lines = "", []
    for _ in range(3):
        page = _ask(market, wire.POD_LOGS, wire.pb.PodLogRequest(containerName="web", cursor=cursor, limit=1))
        cursor = page.cursor
        lines += [entry.log for entry in page.entries]
    assert lines == ["version 1 configured", "version 2 configured"]
    with pytest.raises(Refusal, match="NoSuchContainer"):
        _ask(market, wire.POD_LOGS, wire.pb.PodLogRequest(containerName="none"))


def _ask(market: Market, method: str, body: Any) -> Any:
    kinds: dict[str, Any] = {wire.POD_LOGS: wire.pb.PodLogResponse, wire.POD_USAGE: wire.pb.PodUsageResponse}
    rental = market.rental()
    answer = market.do(
        _client(market).caller.call(
            rental.peer or Peer(PeerId("host-0")),
            method,
            body,
            kinds[method],
            provider=market.host.address,
            pod_id=rental.pod_id,
            life=rental.life,
            seq=rental.seq,
        )
    )
    assert not isinstance(answer, NoAnswer)
    return answer


def _statements(market: Market) -> list[Usage]:
    """A publisher's check of its bills: who signed, that none is missing, and what they come to."""
    domain = Domain(market.world.terms.chain_id, market.world.terms.payment)
    found: list[Usage] = []
    while True:
        page = _ask(market, wire.POD_USAGE, wire.pb.PodUsageRequest(afterSeq=len(found), limit=2))
        for statement in page.statements:
            usage = Usage.from_wire(statement.usage)
            assert (
                market.world.scheme.recover(usage.digest(domain), statement.signature) == market.host.address
            )
            found.append(usage)
        if not page.more:
            break
    rental = market.rental()
    assert rental.prices is not None
    previous, to_ms = bytes(32), None
    for seq, usage in enumerate(found, 1):
        assert (usage.seq, usage.previous, usage.life) == (seq, previous, rental.life)
        assert to_ms is None or usage.from_ms == to_ms
        (amount,) = usage.cumulative
        assert (amount.resource, amount.usage) == ("cpu", False)
        assert usage.owed == amount.quantity * rental.prices.cpu // (1000 * 1000)
        assert amount.quantity <= CPU_MOST * (usage.to_ms - found[0].from_ms)
        previous, to_ms = usage.digest(domain), usage.to_ms
    return found


CPU_MOST = 250


def test_usage_statements_are_signed_chained_and_add_up() -> None:
    market = Market(publisher=LONG).running().run(500)
    statements = _statements(market)
    assert len(statements) == len(market.mined(WithdrawMany)) >= 5
    assert statements[-1].owed == market.tokens(market.host)


def test_a_killed_provider_never_signs_two_statements_of_one_number(monkeypatch: pytest.MonkeyPatch) -> None:
    signed: dict[tuple[bytes, str], set[str]] = {}
    commit = MemoryStore.commit

    async def keep(self: MemoryStore, changes: Any) -> None:
        await commit(self, changes)
        for change in changes:
            if change.table == "statements":
                signed.setdefault((run, change.key), set()).add(change.record["statement"])

    def scene() -> Market:
        return Market(publisher=LONG).running().run(78)

    market = scene()
    with killing(monkeypatch, market.host, None) as killer:
        market.run(90)
    run = b""
    monkeypatch.setattr(MemoryStore, "commit", keep)
    for point in range(killer.points):
        market, run = scene(), bytes([point])
        with killing(monkeypatch, market.host, point):
            market.run(300)
        assert len(_statements(market)) >= 3
    assert len(signed) > 3 * killer.points
    assert {len(texts) for texts in signed.values()} == {1}


def test_the_final_claim_is_stated_too() -> None:
    market = Market(publisher=LONG).running().run(100)
    market.wish(Wish.DELETE)
    market.until(lambda: market.hosted().settled)
    assert market.hosted().phase is Phase.REMOVED
    assert len(market.mined(WithdrawUpTo)) == 1
    assert _statements(market)[-1].owed == market.hosted().owed == market.tokens(market.host)


@pytest.mark.parametrize("asked", [False, True])
def test_a_provider_without_a_node_that_large_is_asked_by_nobody(asked: bool) -> None:
    """Its record says what its nodes hold at most; who asks nevertheless is refused."""
    small = {"name": "small", "nodes": [{"cpu": 0.2, "memory": "8Gi"}], "prices": {"cpu": "0.001 DAI/core-h"}}
    selection: Data = {"use": "cheapest", "with": {"capacity": not asked}}
    policies = {"funding": {"use": "once", "with": {"first": "10m"}}, "selection": selection}
    market = Market(provider=[small, {}], publisher={"policies": policies}).running()
    assert market.rental().provider == market.host.address
    assert [e.rule for e in market.events("CandidatePassedOver")] == (["NoCapacity"] if asked else [])
    assert bool([e for e in market.events("RequestRefused") if e.party == "small-0"]) is asked


def test_gas_that_has_become_cheap_is_used_at_the_next_tick() -> None:
    """Though nothing else has happened since the policy said until when it need not be asked."""
    market = Market(
        provider={
            "terms": {"exposure": "2h"},
            "policies": {"claim": {"use": "when_it_pays", "with": {"cap_share": 1.0}}},
        },
        publisher={"policies": {"funding": {"use": "once", "with": {"first": "3h"}}}},
        chain={"gas_price": {"steps": [{"at": "0s", "price": "10 gwei"}, {"at": "30m", "price": "1 gwei"}]}},
    )
    market.running().run(1790)
    client = market.host.client
    assert client is not None and client.claimer._rest is not None and market.events("ClaimSubmitted") == []
    market.run(1800 + 25)
    (claimed,) = market.events("ClaimSubmitted")
    assert claimed.amount > 1600 * A_SECOND
    market.finish()
