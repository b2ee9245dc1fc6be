"""What a publisher makes of the statements that it is sent: each kind of lie, and what is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, cast

import pytest

from protocol import manifest, wire
from protocol.auth import Amount, Usage
from protocol.bills import Bills, most_held
from protocol.calls import Caller
from protocol.eip712 import Domain
from protocol.errors import PeerFault, Refusal
from protocol.payment import Channel
from protocol.ports import NoAnswer
from protocol.pricing import PriceTable
from protocol.renting import Rental
from protocol.signing import SECP256K1
from protocol.units import NS_PER_MS, NS_PER_S, Address, PodId, Resource

KEY: Final = bytes(31) + b"\x01"
OTHER_KEY: Final = bytes(31) + b"\x02"
PROVIDER: Final = SECP256K1.recover(bytes(32), SECP256K1.sign(bytes(32), KEY))
PUBLISHER: Final = Address(b"p" * 20)
DOMAIN: Final = Domain(1, Address(b"c" * 20))
PRICES: Final = PriceTable(
    token=Address(b"t" * 20), cpu=10**6, ram=0, storage=0, egress=0, ingress=0, gpu=None, ip=None
)
POD: Final = manifest.parse(
    {
        "containers": [{"name": "web", "image": "web:1", "port": 80, "resources": {"cpu": "1"}}],
        "replicas": {"min": 0, "max": 2},
    }
)
AGREED_NS: Final = 1_000 * NS_PER_S
NOW_NS: Final = AGREED_NS + 100 * NS_PER_S
SILENCE_NS: Final = 600 * NS_PER_S


class Desk:
    """Answers as a provider would; stands where `Caller` does.

    Args:
        statements: signed, in order.
        page: most of them in one answer.
    """

    def __init__(self, *statements: wire.pb.PodUsageResponse.Statement, page: int = 100) -> None:
        self.statements = list(statements)
        self.page = page
        self.asked: list[int] = []
        self.instead: NoAnswer | Exception | None = None

    async def ask(self, rental: Rental, method: str, body: Any, kind: Any) -> Any:
        assert method == wire.POD_USAGE
        self.asked.append(body.afterSeq)
        if isinstance(self.instead, Exception):
            raise self.instead
        if self.instead is not None:
            return self.instead
        wanted = [s for s in self.statements if s.usage.seq > body.afterSeq]
        return kind(statements=wanted[: self.page], more=len(wanted) > self.page)


def rental() -> Rental:
    return Rental(
        PodId(b"i" * 32),
        POD,
        provider=PROVIDER,
        prices=PRICES,
        life=1,
        agreed_ns=AGREED_NS,
        most=most_held(POD),
    )


def bill(cpu_s: int, *, before: Usage | None = None, **changes: Any) -> Usage:
    """A true bill of one core for so many seconds, with changes."""
    said: dict[str, Any] = {
        "publisher": PUBLISHER,
        "provider": PROVIDER,
        "pod_id": PodId(b"i" * 32),
        "life": 1,
        "seq": 1 if before is None else before.seq + 1,
        "from_ms": AGREED_NS // NS_PER_MS,
        "to_ms": NOW_NS // NS_PER_MS,
        "cumulative": (Amount("cpu", False, cpu_s * 1_000_000),),
        "owed": cpu_s * 10**6,
        "previous": bytes(32) if before is None else before.digest(DOMAIN),
    }
    return Usage(**{**said, **changes})


def signed(usage: Usage, key: bytes = KEY) -> wire.pb.PodUsageResponse.Statement:
    return wire.pb.PodUsageResponse.Statement(
        usage=usage.to_wire(), signature=SECP256K1.sign(usage.digest(DOMAIN), key)
    )


def check(
    desk: Desk, of: Rental, claimed: int, *, now_ns: int = NOW_NS, bills: Bills | None = None
) -> PeerFault | None:
    """One look at which the chain shows so much claimed."""
    channel = Channel(10**12, claimed, 3600, 0, 1)
    coroutine = (bills or bills_of(desk)).check(of, channel, now_ns)
    with pytest.raises(StopIteration) as done:
        coroutine.send(None)
    return cast("PeerFault | None", done.value.value)


def bills_of(desk: Desk) -> Bills:
    return Bills(PUBLISHER, cast("Caller", desk), DOMAIN, SECP256K1, silence_ns=SILENCE_NS)


def test_a_true_bill_is_kept_and_nobody_is_asked_twice() -> None:
    of, first = rental(), bill(50)
    second = bill(80, before=first)
    desk = Desk(signed(first), signed(second), page=1)
    assert check(desk, of, 0) is None and desk.asked == []
    assert check(desk, of, 50 * 10**6) is None
    assert of.bill == second and desk.asked == [0, 1]  # all pages
    assert check(desk, of, 80 * 10**6) is None and desk.asked == [0, 1]
    third = bill(90, before=second)
    desk.statements.append(signed(third))
    assert check(desk, of, 90 * 10**6) is None and desk.asked == [0, 1, 2]
    assert Rental.from_record(of.to_record()) == of
    assert Rental.from_record(of.to_record()).bill == third


FIRST: Final = bill(50)
LIES: Final[list[tuple[str, Callable[[], list[wire.pb.PodUsageResponse.Statement]]]]] = [
    ("Overclaimed", lambda: [signed(FIRST)]),
    ("Overclaimed", list),
    ("BillNotSigned", lambda: [signed(bill(60), OTHER_KEY)]),
    ("BillDiffers", lambda: [signed(bill(60, publisher=Address(b"q" * 20)))]),
    ("BillDiffers", lambda: [signed(bill(60, provider=Address(b"q" * 20)))]),
    ("BillDiffers", lambda: [signed(bill(60, pod_id=PodId(b"q" * 32)))]),
    ("BillDiffers", lambda: [signed(bill(60, life=2))]),
    ("BillDiffers", lambda: [signed(bill(60, seq=2))]),
    ("BillDiffers", lambda: [signed(bill(60, previous=b"q" * 32))]),
    ("BillDiffers", lambda: [signed(FIRST), signed(bill(60, seq=2))]),
    ("BillDiffers", lambda: [signed(bill(60, cumulative=(Amount("gold", False, 1),)))]),
    ("BillDiffers", lambda: [signed(bill(60, cumulative=(Amount("cpu", True, 1),)))]),
    ("BillDiffers", lambda: [signed(bill(60, cumulative=(Amount("gpu", False, 1),)))]),
    ("BillTooHigh", lambda: [signed(bill(60, owed=60 * 10**6 + 1))]),
    ("BillTooHigh", lambda: [signed(bill(60, cumulative=()))]),
    ("UsageImpossible", lambda: [signed(bill(521))]),
]


@pytest.mark.parametrize(("rule", "statements"), LIES)
def test_a_lie_is_found_and_nothing_of_it_is_kept(
    rule: str, statements: Callable[[], list[wire.pb.PodUsageResponse.Statement]]
) -> None:
    of, said = rental(), statements()
    lie = check(Desk(*said), of, 60 * 10**6)
    assert lie is not None and lie.rule == rule
    assert of.bill == (FIRST if said and said[0] == signed(FIRST) else None)


def test_what_could_have_run_at_most() -> None:
    """Two replicas, and two that drain beside them, since the agreement; clocks may differ by 30 s."""
    assert most_held(POD)[Resource.CPU] == 4000
    for cpu_s, rule in ((4 * 130, None), (4 * 130 + 1, "UsageImpossible")):
        lie = check(Desk(signed(bill(cpu_s))), rental(), 1)
        assert (None if lie is None else lie.rule) == rule


def test_a_bill_below_its_amounts_is_a_gift() -> None:
    assert check(Desk(signed(bill(60, owed=7))), rental(), 7) is None


@pytest.mark.parametrize(
    "instead", [NoAnswer(sent=True, reason="lost"), Refusal("Later", ""), PeerFault("Bad", "")]
)
def test_silence_is_a_lie_only_after_its_time(instead: Any) -> None:
    of, desk = rental(), Desk(signed(FIRST))
    bills = bills_of(desk)
    desk.instead = instead
    assert check(desk, of, 1, bills=bills) is None
    assert check(desk, of, 1, now_ns=NOW_NS + SILENCE_NS, bills=bills) is None
    lie = check(desk, of, 1, now_ns=NOW_NS + SILENCE_NS + 1, bills=bills)
    assert lie is not None and lie.rule == "BillWithheld"
    desk.instead = None
    assert check(desk, of, 1, now_ns=NOW_NS + SILENCE_NS + 2, bills=bills) is None
    desk.instead = instead
    assert check(desk, of, 50 * 10**6 + 1, now_ns=NOW_NS + 9 * SILENCE_NS, bills=bills) is None  # anew


def test_a_statement_that_is_none_is_no_answer() -> None:
    broken = signed(FIRST)
    broken.usage.previous = b"short"
    assert check(Desk(broken), rental(), 1) is None


def test_a_bill_is_what_it_was_when_it_is_read_back() -> None:
    assert Usage.from_record(FIRST.to_record()) == FIRST
    assert replace(FIRST, owed=1) != FIRST
