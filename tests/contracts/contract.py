"""A contract on the test EVM: calls by name, commands of the core, and its events and errors by name.

Encoding is eth-abi's, so that the interface is read by somebody else's eyes. Whatever the contract emits or
returns that the core has a name for becomes that; anything else is an error of the test.
"""

from __future__ import annotations

import json
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, Final

from eth_abi.abi import decode, encode

import contracts
from protocol import payment, registry
from protocol.abi import Function
from protocol.errors import PaymentError, RegistryError
from protocol.keccak import keccak256
from protocol.payment import Claim, SkipReason
from protocol.units import Address
from tests.contracts.evm import Evm, Log, Reverted

COMPILED: Final = Path(__file__).parent / "compiled.json"
TOKEN_REFUSED: Final = frozenset(
    {"ERC20InsufficientBalance", "ERC20InsufficientAllowance", "SafeERC20FailedOperation", "Blocked"}
)
"""The refusals of tokens, OpenZeppelin's on their behalf included."""
SKIP_REASONS: Final = tuple(SkipReason)
"""The contract's enum, in its order."""

EVENTS: Final[dict[str, Any]] = {
    kind.__name__: kind
    for kind in (
        payment.ChannelCreated,
        payment.Deposited,
        payment.UnlockTimerStarted,
        payment.Unlocked,
        payment.Withdrawn,
        payment.ClaimSkipped,
        payment.ChannelClosed,
        registry.ProviderRegistered,
        registry.ProviderDeregistered,
        registry.NewPricingTable,
        registry.Subscribed,
        registry.Unsubscribed,
    )
}


@cache
def compiled() -> dict[str, Any]:
    """Creation code of odd tokens and of mutants; build.mjs writes it."""
    found: dict[str, Any] = json.loads(COMPILED.read_text(encoding="utf-8"))
    return found


def type_of(parameter: dict[str, Any]) -> str:
    """The canonical type of an ABI parameter, such as `(address,bytes32)[]`."""
    kind: str = parameter["type"]
    if kind.startswith("tuple"):
        return f"({','.join(map(type_of, parameter['components']))}){kind.removeprefix('tuple')}"
    return kind


def signature_of(entry: dict[str, Any]) -> str:
    """The canonical signature of an ABI entry."""
    return f"{entry['name']}({','.join(map(type_of, entry['inputs']))})"


class Interface:
    """What an ABI names, by name and by the hash of its signature."""

    def __init__(self, abi: list[dict[str, Any]]) -> None:
        named = [entry for entry in abi if "name" in entry]
        self.functions = {entry["name"]: entry for entry in named if entry["type"] == "function"}
        self.selectors = {
            name: keccak256(signature_of(entry).encode())[:4] for name, entry in self.functions.items()
        }
        self.events = {
            keccak256(signature_of(entry).encode()): entry for entry in named if entry["type"] == "event"
        }
        self.errors = {
            keccak256(signature_of(entry).encode())[:4]: entry for entry in named if entry["type"] == "error"
        }

    def encode(self, name: str, *values: Any) -> bytes:
        """A call's data."""
        kinds = [type_of(parameter) for parameter in self.functions[name]["inputs"]]
        return self.selectors[name] + encode(kinds, [_plain(value) for value in values])

    def decode(self, name: str, output: bytes) -> Any:
        """What a function returned: a value, or a tuple of several."""
        kinds = [type_of(parameter) for parameter in self.functions[name]["outputs"]]
        values = tuple(map(_read, decode(kinds, output)))
        return values[0] if len(values) == 1 else values

    def event(self, log: Log) -> tuple[str, dict[str, Any]]:
        """An event's name and its values by name."""
        entry = self.events[log.topics[0]]
        indexed = [parameter for parameter in entry["inputs"] if parameter["indexed"]]
        plain = [parameter for parameter in entry["inputs"] if not parameter["indexed"]]
        values = {
            parameter["name"]: _read(decode([parameter["type"]], topic)[0])
            for parameter, topic in zip(indexed, log.topics[1:], strict=True)
        }
        data = decode([type_of(parameter) for parameter in plain], log.data)
        values |= {parameter["name"]: _read(value) for parameter, value in zip(plain, data, strict=True)}
        return entry["name"], values

    def error(self, refusal: Reverted) -> tuple[str, tuple[Any, ...]]:
        """A refusal's name and values; `("", ())` when it said nothing."""
        if not refusal.data:
            return "", ()
        entry = self.errors[refusal.data[:4]]
        kinds = [type_of(parameter) for parameter in entry["inputs"]]
        return entry["name"], tuple(map(_read, decode(kinds, refusal.data[4:])))


@cache
def interface(name: str) -> Interface:
    """The interface of a published contract or an odd token; token errors that pass through Payment included."""
    if name in contracts.PUBLISHED:
        own = contracts.artifact(name).abi
    else:
        own = compiled()["tokens"][name]["abi"]
    if name != "Payment":
        return Interface(own)
    others = [contracts.artifact("TestToken").abi, *(t["abi"] for t in compiled()["tokens"].values())]
    errors = [entry for abi in others for entry in abi if entry["type"] == "error"]
    return Interface([*own, *errors])


class Contract:
    """A deployed contract.

    Args:
        evm: where.
        name: of a published contract or an odd token.
        arguments: the constructor's (ABI type, value).
        bytecode: creation code to use instead, of a mutant.
    """

    def __init__(
        self, evm: Evm, name: str, *arguments: tuple[str, Any], bytecode: bytes | None = None
    ) -> None:
        self.evm = evm
        self.interface = interface(name)
        if bytecode is None and name in contracts.PUBLISHED:
            bytecode = contracts.artifact(name).bytecode
        elif bytecode is None:
            bytecode = bytes.fromhex(compiled()["tokens"][name]["bytecode"])
        tail = encode([kind for kind, _ in arguments], [_plain(value) for _, value in arguments])
        self.address = evm.deploy(bytecode + tail)

    def read(self, name: str, *values: Any) -> Any:
        """What a view says: a value, or a tuple of several."""
        return self.interface.decode(name, self.evm.read(self.address, self.interface.encode(name, *values)))

    def call(self, caller: Address, name: str, *values: Any) -> tuple[Any, ...]:
        """A transaction; what this contract emitted, as the core's events.

        Raises:
            Reverted: it was refused.
        """
        return self.events(self.send(caller, name, *values))

    def send(self, caller: Address, name: str, *values: Any) -> tuple[Log, ...]:
        """A transaction; what anybody emitted, as it stands.

        Raises:
            Reverted: it was refused.
        """
        return self.evm.call(caller, self.address, self.interface.encode(name, *values))

    def events(self, logs: tuple[Log, ...]) -> tuple[Any, ...]:
        """Those logs that this contract emitted, as the core's events."""
        return tuple(self._event(log) for log in logs if log.emitter == self.address)

    def _event(self, log: Log) -> Any:
        name, values = self.interface.event(log)
        kind = EVENTS[name]
        if "podId" in values:
            key = payment.ChannelKey(values.pop("publisher"), values.pop("provider"), values.pop("podId"))
            if "reason" in values:
                values["reason"] = SKIP_REASONS[values["reason"]]
            [*rest] = values.values()
            expected = [_camel(field.name) for field in fields(kind)][1:]
            assert list(values) == expected, (name, values)
            return kind(key, *rest)
        if kind is registry.NewPricingTable:
            prices = tuple(values[f"{what}Price"] for what in PRICES)
            return kind(values["token"], values["id"], prices, values["cpumodel"], values["teeType"])
        return kind(**values)


PRICES: Final = ("cpu", "ram", "storage", "bandwidthEgress", "bandwidthIngress")


def call_of(command: Any) -> tuple[str, tuple[Any, ...]]:
    """The function of a command and its arguments, as the core's table has them."""
    table: dict[type[Any], Function] = {**payment.FUNCTIONS, **registry.FUNCTIONS}
    function = table[type(command)]
    return function.name, tuple(getattr(command, name) for name, _, _ in function.arguments)


def refusal_name(contract: Contract, refusal: Reverted) -> str:
    """The name that the core has for a refusal.

    Raises:
        AssertionError: the core has none.
    """
    name, _ = contract.interface.error(refusal)
    if name in TOKEN_REFUSED or name == "":
        return "TokenRefused"
    known = {kind.__name__ for base in (PaymentError, RegistryError) for kind in base.__subclasses__()}
    assert name in known, f"{name} is no error of the core"
    return name


def _plain(value: Any) -> Any:
    match value:
        case Claim():
            return (value.publisher, value.pod_id, value.life, value.total)
        case tuple() | list():
            return [_plain(item) for item in value]
        case _:
            return value


def _read(value: Any) -> Any:
    match value:
        case str() if len(value) == 42 and value.startswith("0x"):
            return Address(bytes.fromhex(value[2:]))
        case tuple() | list():
            return tuple(_read(item) for item in value)
        case _:
            return value


def _camel(name: str) -> str:
    first, *rest = name.removesuffix("_s").split("_")
    return first + "".join(word.capitalize() for word in rest)
