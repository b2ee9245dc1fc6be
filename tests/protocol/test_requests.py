from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from protocol import wire
from protocol.auth import Request
from protocol.eip712 import Domain
from protocol.errors import Refusal
from protocol.keccak import keccak256
from protocol.requests import (
    CLOCK_SKEW_S,
    KEPT_S,
    MAX_LIFETIME_S,
    Answered,
    Fresh,
    Known,
    RequestLog,
    authenticate,
    bind,
    bind_payment,
    payment_channel,
    refusal_message,
)
from protocol.signing import SECP256K1, address_of
from protocol.units import NS_PER_MS, NS_PER_S, Address, PodId
from protocol.wire import pb

KEY, OTHER_KEY = bytes(31) + b"\x01", bytes(31) + b"\x02"
PUBLISHER, STRANGER = address_of(KEY), address_of(OTHER_KEY)
PROVIDER = Address(b"\xaa" * 20)
DOMAIN = Domain(31337, Address(b"\xcc" * 20))
NOW_S = 1_700_000_000
POD = PodId(b"\x01" * 32)
BODY = b"a body"


def a_request(**changes: Any) -> Request:
    request = Request(
        method=wire.UPDATE_POD,
        publisher=PUBLISHER,
        provider=PROVIDER,
        pod_id=POD,
        life=1,
        seq=1,
        request_id=b"\x07" * 32,
        body_hash=keccak256(BODY),
        expires_at_s=NOW_S + 10,
    )
    return replace(request, **changes)


@dataclass(frozen=True)
class Flaws:
    """What may be wrong with a call; the default is nothing."""

    missing: bool = False
    short_id: bool = False
    method: str = wire.UPDATE_POD
    provider: Address = PROVIDER
    body: bytes = BODY
    ahead_s: int = 10
    key: bytes = KEY
    domain: Domain = field(default=DOMAIN)
    signature_bytes: int = 65

    def envelope(self) -> pb.Envelope:
        request = a_request(method=self.method, provider=self.provider, expires_at_s=NOW_S + self.ahead_s)
        signature = (SECP256K1.sign(request.digest(self.domain), self.key) + b"\0")[: self.signature_bytes]
        message = request.to_wire()
        if self.short_id:
            message.requestId = bytes(31)
        return pb.Envelope(request=None if self.missing else message, signature=signature, body=self.body)

    def first_rule(self, now_ns: int) -> str | None:
        """The rule that refuses the call, worked out in the order that `authenticate` promises; None: accepted."""
        expires_ns = (NOW_S + self.ahead_s) * NS_PER_S
        rules = [
            (self.missing, "RequestMissing"),
            (self.short_id, "MalformedMessage"),
            (self.method != wire.UPDATE_POD, "RequestWrongMethod"),
            (self.provider != PROVIDER, "RequestWrongProvider"),
            (self.body != BODY, "RequestWrongBody"),
            (now_ns - expires_ns > 30 * NS_PER_S, "RequestExpired"),
            (expires_ns - now_ns > 90 * NS_PER_S, "RequestNotYetValid"),
            (self.signature_bytes != 65, "BadSignature"),
            (self.key != KEY or self.domain != DOMAIN, "RequestNotSignedByPublisher"),
        ]
        return next((rule for broken, rule in rules if broken), None)


flaws = st.builds(
    Flaws,
    missing=st.sampled_from([False] * 9 + [True]),
    short_id=st.sampled_from([False] * 9 + [True]),
    method=st.sampled_from([wire.UPDATE_POD] * 4 + [wire.DELETE_POD]),
    provider=st.sampled_from([PROVIDER] * 4 + [STRANGER]),
    body=st.sampled_from([BODY] * 4 + [b"", BODY + b"\0"]),
    ahead_s=st.one_of(st.integers(-40, 100), st.sampled_from([-31, -30, 0, 60, 90, 91])),
    key=st.sampled_from([KEY] * 4 + [OTHER_KEY]),
    domain=st.sampled_from(
        [DOMAIN] * 4 + [Domain(1, DOMAIN.contract), Domain(DOMAIN.chain_id, Address(b"\xcd" * 20))]
    ),
    signature_bytes=st.sampled_from([65] * 6 + [64, 66, 0]),
)


@given(flaw=flaws, past_ns=st.sampled_from([0, 1, NS_PER_S - 1]))
@example(flaw=Flaws(ahead_s=-30), past_ns=0)
@example(flaw=Flaws(ahead_s=-30), past_ns=1)
@example(flaw=Flaws(ahead_s=90), past_ns=0)
@example(flaw=Flaws(ahead_s=91), past_ns=NS_PER_S - 1)
@example(flaw=Flaws(ahead_s=91), past_ns=0)
@example(flaw=Flaws(domain=Domain(1, DOMAIN.contract)), past_ns=0)
@example(flaw=Flaws(signature_bytes=64), past_ns=0)
def test_accepted_if_and_only_if_nothing_is_wrong(flaw: Flaws, past_ns: int) -> None:
    now_ns = NOW_S * NS_PER_S + past_ns
    expected = flaw.first_rule(now_ns)
    envelope = flaw.envelope()
    got: str | None = None
    detail = ""
    try:
        request = authenticate(
            envelope,
            method=wire.UPDATE_POD,
            provider=PROVIDER,
            domain=DOMAIN,
            scheme=SECP256K1,
            now_ns=now_ns,
        )
    except Refusal as refusal:
        got, detail = refusal.rule, refusal.detail
    else:
        assert request == Request.from_wire(envelope.request)
    assert got == expected
    if got in ("RequestExpired", "RequestNotYetValid"):
        assert f"{now_ns // NS_PER_MS} ms" in detail


def test_limits_are_those_of_the_protocol() -> None:
    assert (MAX_LIFETIME_S, CLOCK_SKEW_S, KEPT_S) == (60, 30, 86_400)


@given(publisher=st.booleans(), pod=st.booleans(), life=st.integers(0, 3))
def test_bound_if_and_only_if_the_channel_is_the_same(publisher: bool, pod: bool, life: int) -> None:
    rules = [
        (not publisher, "RequestWrongPublisher"),
        (not pod, "RequestWrongPod"),
        (life != 1, "RequestWrongLife"),
    ]
    expected = next((rule for broken, rule in rules if broken), None)
    got: str | None = None
    try:
        bind(
            a_request(),
            publisher=PUBLISHER if publisher else STRANGER,
            pod_id=POD if pod else PodId(bytes(32)),
            life=life,
        )
    except Refusal as refusal:
        got = refusal.rule
    assert got == expected


@given(
    wrong=st.sets(
        st.sampled_from(["chainID", "contractAddress", "publisherAddress", "providerAddress", "podID"])
    )
)
def test_payment_is_bound_if_and_only_if_all_five_agree(wrong: set[str]) -> None:
    message = payment_channel(DOMAIN, PUBLISHER, PROVIDER, POD)
    for name in wrong:
        setattr(message, name, b"\x99" * len(getattr(message, name)))
    rules = {
        "chainID": "PaymentWrongChain",
        "contractAddress": "PaymentWrongContract",
        "publisherAddress": "PaymentWrongPublisher",
        "providerAddress": "PaymentWrongProvider",
        "podID": "PaymentWrongPod",
    }
    expected = next((rule for name, rule in rules.items() if name in wrong), None)
    got: str | None = None
    try:
        bind_payment(a_request(), message, DOMAIN)
    except Refusal as refusal:
        got = refusal.rule
    assert got == expected


def test_a_chain_id_may_be_written_short() -> None:
    message = payment_channel(DOMAIN, PUBLISHER, PROVIDER, POD)
    message.chainID = b"\x7a\x69"
    bind_payment(a_request(), message, DOMAIN)


def test_a_refusal_travels_with_the_provider_s_time() -> None:
    message = refusal_message(Refusal("DepositTooSmall", "3; at least 5"), 1_234_567_891)
    assert (message.rule, message.detail, message.providerTimeMs) == (
        "DepositTooSmall",
        "3; at least 5",
        1234,
    )


# ---------------------------------------------------------------- the log


class LogMachine(RuleBasedStateMachine):
    """Whatever is asked, in whatever order: no mutation is carried out twice, none out of order, all are bounded.

    The model keeps every mutation ever carried out and works each answer out of that history.
    """

    MAX, MAX_A_POD = 5, 3

    @initialize()
    def start(self) -> None:
        self.log = RequestLog(max_kept=self.MAX, max_kept_a_pod=self.MAX_A_POD)
        self.history: list[tuple[Request, bytes]] = []
        self.stored: dict[str, dict[str, Any]] = {}
        self.kept: list[tuple[Request, bytes, int]] = []
        self.now_ns = NOW_S * NS_PER_S

    @rule(
        publisher=st.sampled_from([PUBLISHER, STRANGER]),
        pod=st.integers(1, 2),
        life=st.integers(1, 2),
        seq=st.integers(1, 4),
        request_id=st.integers(1, 6),
        body=st.integers(0, 1),
        method=st.sampled_from([wire.UPDATE_POD, wire.DELETE_POD]),
    )
    def ask(
        self, publisher: Address, pod: int, life: int, seq: int, request_id: int, body: int, method: str
    ) -> None:
        request = a_request(
            method=method,
            publisher=publisher,
            pod_id=PodId(bytes([pod]) * 32),
            life=life,
            seq=seq,
            request_id=bytes([request_id]) * 32,
            body_hash=bytes([body]) * 32,
            expires_at_s=self.now_ns // NS_PER_S + 10,
        )
        same_id = [
            (r, a) for r, a, _ in self.kept if (r.publisher, r.request_id) == (publisher, request.request_id)
        ]
        of_pod = [r for r, _, _ in self.kept if (r.publisher, r.pod_id) == (publisher, request.pod_id)]
        expected: str | None = None
        if same_id:
            known, answer = same_id[0]
            if replace(request, expires_at_s=0) == replace(known, expires_at_s=0):
                assert self.log.check(request) == Known(answer)
                with pytest.raises(ValueError, match="recorded before"):
                    self.log.record(request, b"other", self.now_ns)
                return
            expected = "RequestIdReused"
        elif any((life, seq) <= (r.life, r.seq) for r in of_pod):
            expected = "SequenceTooLow"
        elif len(of_pod) >= self.MAX_A_POD or len(self.kept) >= self.MAX:
            expected = "TooManyRequests"
        got: str | None = None
        try:
            assert self.log.check(request) == Fresh()
        except Refusal as refusal:
            got = refusal.rule
        assert got == expected
        if got is not None:
            with pytest.raises(Refusal, match=got):
                self.log.record(request, b"", self.now_ns)
            return
        answer = f"answer {len(self.history)}".encode()
        entry = self.log.record(request, answer, self.now_ns)
        self.history.append((request, answer))
        self.kept.append((request, answer, self.now_ns))
        assert entry.key not in self.stored
        self.stored[entry.key] = json.loads(json.dumps(entry.to_record()))

    @rule(
        hours=st.integers(1, 30),
        living=st.sets(st.tuples(st.sampled_from([PUBLISHER, STRANGER]), st.integers(1, 2))),
    )
    def a_while_passes(self, hours: int, living: set[tuple[Address, int]]) -> None:
        self.now_ns += hours * 3600 * NS_PER_S
        pods = {(publisher, PodId(bytes([pod]) * 32)) for publisher, pod in living}
        for key in self.log.prune(self.now_ns, pods):
            del self.stored[key]
        day_ns = 24 * 3600 * NS_PER_S

        def newest(r: Request) -> bool:
            pod = [o for o, _, _ in self.kept if (o.publisher, o.pod_id) == (r.publisher, r.pod_id)]
            is_newest = (r.life, r.seq) == max((o.life, o.seq) for o in pod)
            return is_newest and (r.publisher, r.pod_id) in pods

        self.kept = [(r, a, at) for r, a, at in self.kept if self.now_ns - at <= day_ns or newest(r)]

    @rule()
    def restart(self) -> None:
        entries = [Answered.from_record(self.stored[key]) for key in sorted(self.stored)]
        self.log = RequestLog.restore(entries, max_kept=self.MAX, max_kept_a_pod=self.MAX_A_POD)

    @invariant()
    def the_store_and_the_log_hold_the_same(self) -> None:
        if hasattr(self, "log"):
            assert len(self.log) == len(self.stored) == len(self.kept) <= self.MAX


TestLog = LogMachine.TestCase


def test_a_call_repeated_with_a_later_expiry_is_answered_again() -> None:
    log = RequestLog()
    log.record(a_request(), b"answer", NOW_S * NS_PER_S)
    assert log.check(a_request(expires_at_s=NOW_S + 50)) == Known(b"answer")


def test_an_empty_body_of_another_method_is_no_repetition() -> None:
    log = RequestLog()
    log.record(a_request(), b"answer", NOW_S * NS_PER_S)
    with pytest.raises(Refusal, match="RequestIdReused"):
        log.check(a_request(method=wire.DELETE_POD))


def test_a_sequence_counts_once_even_after_days() -> None:
    log = RequestLog()
    now_ns = NOW_S * NS_PER_S
    log.record(a_request(seq=8), b"", now_ns)
    log.record(a_request(seq=9, request_id=bytes(32)), b"", now_ns + 1)
    living = {(PUBLISHER, a_request().pod_id)}
    dropped = log.prune(now_ns + 30 * KEPT_S * NS_PER_S, living)
    assert len(dropped) == 1
    assert len(log) == 1
    with pytest.raises(Refusal, match="SequenceTooLow"):
        log.check(a_request(seq=8))
    assert len(log.prune(now_ns + 30 * KEPT_S * NS_PER_S, set())) == 1
    assert len(log) == 0


@pytest.mark.parametrize(("kept", "kept_a_pod", "detail"), [(9, 2, "of this pod"), (2, 9, "2 in a day")])
def test_no_more_is_kept_than_allowed(kept: int, kept_a_pod: int, detail: str) -> None:
    log = RequestLog(max_kept=kept, max_kept_a_pod=kept_a_pod)
    for seq in (1, 2):
        log.record(a_request(seq=seq, request_id=bytes([seq]) * 32), b"", NOW_S * NS_PER_S)
    with pytest.raises(Refusal, match=f"TooManyRequests: .*{detail}"):
        log.check(a_request(seq=3, request_id=bytes([3]) * 32))
    assert log.check(a_request(seq=1, request_id=bytes([1]) * 32)) == Known(b"")


def test_an_answer_is_kept_for_a_whole_day() -> None:
    log = RequestLog()
    now_ns = NOW_S * NS_PER_S
    first = log.record(a_request(seq=1), b"", now_ns)
    log.record(a_request(seq=2, request_id=bytes(32)), b"", now_ns)
    living = {(PUBLISHER, a_request().pod_id)}
    assert log.prune(now_ns + KEPT_S * NS_PER_S, living) == []
    assert log.prune(now_ns + KEPT_S * NS_PER_S + 1, living) == [first.key]
