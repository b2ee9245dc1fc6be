"""Measures what each function of the contracts costs, and writes it: `python -m tests.contracts.gas`.

Each figure is of a transaction of its own: what it touches is cold, and refunds are subtracted. `first` is the
call that fills slots that were zero (for a channel, its first life; for a claim, the first of that channel), `again`
the same call later. Accounts, keys and amounts have the sizes of real ones, because a zero byte of call data costs less.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import contracts
from protocol import registry
from protocol.keccak import keccak256
from protocol.payment import (
    Claim,
    CloseChannel,
    CreateChannel,
    Deposit,
    Release,
    Unlock,
    Withdraw,
    WithdrawMany,
    WithdrawUnlocked,
    WithdrawUpTo,
)
from protocol.units import Address, Cid, PodId
from tests.contracts.contract import Contract, call_of
from tests.contracts.evm import Evm, Reverted

SNAPSHOT: Final = Path(contracts.FOLDER) / "gas.json"
UNIT: Final = 10**18
ENTRIES: Final = (1, 10, 100)


def some_address(name: str) -> Address:
    """An address without zero bytes to speak of."""
    return Address(keccak256(name.encode())[-20:])


def some_pod(number: int) -> PodId:
    """A pod's id."""
    return PodId(keccak256(b"pod %d" % number))


ANN, PIA, PAT = some_address("ann"), some_address("pia"), some_address("pat")


class Meter:
    """A chain on which each transaction is measured, cold."""

    def __init__(self) -> None:
        self.now_s = 1_700_000_000
        self.evm = Evm(now_s=self.now_s)
        self.token = Contract(self.evm, "TestToken", ("uint8", 18))
        self.payment = Contract(self.evm, "Payment", ("address", self.token.address))
        self.registry = Contract(self.evm, "Registry")
        for person in (ANN, PIA):  # who holds tokens already: a first transfer costs more
            self.token.send(PIA, "mint", person, 10**9 * UNIT)

    def wait(self, seconds: int) -> None:
        """Let time pass."""
        self.now_s += seconds
        self.evm.set_time(self.now_s)

    def pay(self, caller: Address, command: Any) -> int:
        """Gas of a command to the Payment contract."""
        return self._measure(self.payment, caller, *call_of(command))

    def list(self, caller: Address, command: Any) -> int:
        """Gas of a command to the Registry contract."""
        return self._measure(self.registry, caller, *call_of(command))

    def approve(self, amount: int) -> int:
        """Gas of Ann's approval of the Payment contract."""
        return self._measure(self.token, ANN, "approve", (self.payment.address, amount))

    def refused(self, caller: Address, command: Any) -> int:
        """Gas of a command that the Payment contract refuses."""
        self.evm.settle()
        try:
            self.payment.call(caller, *_flat(call_of(command)))
        except Reverted as reverted:
            return reverted.gas_used
        raise AssertionError(f"{command} was not refused")

    def _measure(self, contract: Contract, caller: Address, name: str, values: tuple[Any, ...]) -> int:
        self.evm.settle()
        contract.send(caller, name, *values)
        return self.evm.gas_used


def _flat(call: tuple[str, tuple[Any, ...]]) -> tuple[Any, ...]:
    return call[0], *call[1]


def measured() -> dict[str, Any]:
    """Every figure of the snapshot."""
    return {
        "about": "Gas of a transaction, refunds subtracted; see tests/contracts/gas.py. Sizes in bytes.",
        "compiler": contracts.artifact("Payment").compiler["solc"],
        "bytes": {
            name: {
                "creation": len(contracts.artifact(name).bytecode),
                "runtime": len(contracts.artifact(name).runtime_bytecode),
            }
            for name in contracts.PUBLISHED
        },
        "token": _token(),
        "payment": _payment(),
        "withdrawMany": _withdraw_many(),
        "registry": _registry(),
    }


def _token() -> dict[str, Any]:
    meter = Meter()
    return {"approve": {"first": meter.approve(UNIT), "again": meter.approve(2 * UNIT)}}


def _payment() -> dict[str, Any]:
    meter, pod = Meter(), some_pod(0)
    gas: dict[str, Any] = {}

    def note(name: str, when: str, used: int) -> None:
        gas.setdefault(name, {})[when] = used

    for when in ("first", "again"):  # the channel's first life, and its second
        meter.approve(8 * UNIT)
        note("createChannel", when, meter.pay(ANN, CreateChannel(PIA, pod, 3600, 8 * UNIT)))
        meter.approve(UNIT)
        note("deposit", when, meter.pay(ANN, Deposit(PIA, pod, UNIT)))
        meter.pay(PIA, Withdraw(ANN, pod, UNIT))
        note("unlock", when, meter.pay(ANN, Unlock(PIA, pod)))
        meter.wait(3600)
        note("withdrawUnlocked", when, meter.pay(ANN, WithdrawUnlocked(PIA, pod)))
        meter.approve(UNIT)
        meter.pay(ANN, Deposit(PIA, pod, UNIT))
        meter.pay(ANN, Unlock(PIA, pod))
        meter.wait(3600)
        note("closeChannel", when, meter.pay(ANN, CloseChannel(PIA, pod)))
    for kind in (WithdrawUpTo, Withdraw):  # the first claim of a life, and a later one
        meter.approve(8 * UNIT)
        meter.pay(ANN, CreateChannel(PIA, pod, 3600, 8 * UNIT))
        for when, amount in (("first", UNIT), ("again", 2 * UNIT)):
            note(call_of(kind(ANN, pod, amount))[0], when, meter.pay(PIA, kind(ANN, pod, amount)))
        note("release", "again" if "release" in gas else "first", meter.pay(PIA, Release(ANN, pod)))
    gas["refused"] = {
        "unlock": meter.refused(ANN, Unlock(PIA, pod)),
        "withdrawUpTo": meter.refused(PIA, WithdrawUpTo(ANN, pod, UNIT)),
        "closeChannel": meter.refused(ANN, CloseChannel(PIA, pod)),
    }
    return dict(sorted(gas.items()))


def _withdraw_many() -> dict[str, Any]:
    gas: dict[str, Any] = {"first": {}, "again": {}, "skipped": {}, "single claims instead": {}}
    for entries in ENTRIES:
        meter = Meter()
        pods = [some_pod(n) for n in range(entries)]
        meter.token.send(ANN, "approve", meter.payment.address, 8 * UNIT * entries)
        for pod in pods:
            meter.payment.call(ANN, *_flat(call_of(CreateChannel(PIA, pod, 3600, 8 * UNIT))))
        for when, total in (("first", UNIT), ("again", 2 * UNIT), ("skipped", 2 * UNIT)):
            claims = tuple(Claim(ANN, pod, 1, total) for pod in pods)
            gas[when][str(entries)] = meter.pay(PIA, WithdrawMany(claims))
        gas["single claims instead"][str(entries)] = sum(
            meter.pay(PIA, WithdrawUpTo(ANN, pod, 3 * UNIT)) for pod in pods
        )
    return gas


def _registry() -> dict[str, Any]:
    meter, cid = Meter(), Cid("bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy")
    other = Cid("bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku")
    prices = (2 * 10**11, 500, 500, 800, 800)
    table = registry.RegisterPricingTable(meter.token.address, prices, "AMD EPYC 7763", "sev-snp")
    return {
        "registerProvider": {
            "first": meter.list(PIA, registry.RegisterProvider(cid)),
            "again": meter.list(PIA, registry.RegisterProvider(other)),
        },
        "registerPricingTable": {"first": meter.list(PIA, table), "again": meter.list(PIA, table)},
        "subscribe": {
            "first": meter.list(PAT, registry.Subscribe(1)),
            "again": meter.list(PAT, registry.Subscribe(2)),
        },
        "unsubscribe": {
            "first": meter.list(PAT, registry.Unsubscribe(2)),
            "again": meter.list(PAT, registry.Unsubscribe(1)),
        },
        "deregisterProvider": {"first": meter.list(PIA, registry.DeregisterProvider())},
    }


def main() -> None:
    """Write the snapshot."""
    SNAPSHOT.write_text(json.dumps(measured(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
