"""Commands as call data, logs as the core's events, refusals as the core's error names.

One table for each; a test holds them to the compiled contracts' own description, both ways.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from protocol import payment, registry
from protocol.abi import Function, compiled, decode, malformed, selector
from protocol.errors import (
    AlreadySubscribed,
    BadInput,
    NotRegistered,
    NotSubscribed,
    PaymentError,
    ProtocolError,
    RegistryError,
    TokenRefused,
    UnknownTable,
    UnlockTimeTooLong,
)
from protocol.keccak import keccak256
from protocol.payment import ChannelKey, PaymentEvent, SkipReason
from protocol.ports import Approve

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from protocol.ports import ChainTerms, Command
    from protocol.registry import RegistryEvent
    from protocol.units import Address

# ---------------------------------------------------------------- commands

_CLAIMS: Final = attrgetter("publisher", "pod_id", "life", "total")

_ALL: Final[list[tuple[type[Command], Function]]] = [
    *payment.FUNCTIONS.items(),
    *registry.FUNCTIONS.items(),
    (Approve, Function("approve", (("spender", "spender", "address"), ("amount", "value", "uint256")))),
]
FUNCTIONS: Final[Mapping[type[Command], Function]] = dict(_ALL)
"""Each command's function, in whichever contract."""


def _writer(function: Function) -> Callable[[Command], bytes]:
    begin, kind = selector(function.signature), compiled(function.kinds)
    names = [name for name, _, _ in function.arguments]

    def write(command: Command) -> bytes:
        return begin + kind.encode([getattr(command, name) for name in names])

    def write_claims(command: Command) -> bytes:
        claims, to = (getattr(command, name) for name in names)
        return begin + kind.encode([list(map(_CLAIMS, claims)), to])

    return write_claims if names[:1] == ["claims"] else write


_WRITERS: Final = {command: _writer(function) for command, function in FUNCTIONS.items()}


def call_data(command: Command) -> bytes:
    """What is sent to `target` to have `command` carried out.

    Raises:
        BadInput: a value does not fit the contract's type.
    """
    try:
        return _WRITERS[type(command)](command)
    except (OverflowError, ValueError) as error:
        raise BadInput(f"{type(command).__name__}: {error}") from error


def target(command: Command, terms: ChainTerms) -> Address:
    """The contract that carries out `command`."""
    if isinstance(command, Approve):
        return terms.token
    return terms.payment if type(command) in payment.FUNCTIONS else terms.registry


# ---------------------------------------------------------------- events


@dataclass(frozen=True, slots=True)
class Log:
    """What a contract emitted.

    Attributes:
        address: the contract.
        topics: the event's, and those of its indexed values.
        data: the other values.
    """

    address: Address
    topics: tuple[bytes, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class EventForm:
    """How a contract emits one of the core's events: indexed values come first in all of ours.

    Attributes:
        name: the event's name.
        indexed: the indexed values' types.
        plain: the other values' types.
        made: the core's event from all values in order.
    """

    name: str
    indexed: tuple[str, ...]
    plain: tuple[str, ...]
    made: Callable[[Sequence[Any]], PaymentEvent | RegistryEvent]

    @property
    def signature(self) -> str:
        """The canonical signature, whose keccak is the first topic."""
        return f"{self.name}({','.join((*self.indexed, *self.plain))})"


def _of_channel(kind: Callable[..., PaymentEvent], *plain: str) -> EventForm:
    def made(values: Sequence[Any]) -> PaymentEvent:
        return kind(ChannelKey(*values[:3]), *values[3:])

    return EventForm(kind.__name__, ("address", "address", "bytes32"), plain, made)


_REASONS: Final = tuple(SkipReason)
"""The contract's enum, in its order."""


def _skipped(values: Sequence[Any]) -> PaymentEvent:
    if values[3] >= len(_REASONS):
        malformed(f"reason {values[3]} of a skipped claim; there are {len(_REASONS)}")
    return payment.ClaimSkipped(ChannelKey(*values[:3]), _REASONS[values[3]])


def _priced(values: Sequence[Any]) -> RegistryEvent:
    token, table_id, cpu, ram, storage, egress, ingress, cpu_model, tee_type = values
    return registry.NewPricingTable(
        token, table_id, (cpu, ram, storage, egress, ingress), cpu_model, tee_type
    )


EVENTS: Final = (
    _of_channel(payment.ChannelCreated),
    _of_channel(payment.Deposited, "uint256"),
    _of_channel(payment.UnlockTimerStarted, "uint256"),
    _of_channel(payment.Unlocked, "uint256"),
    _of_channel(payment.Withdrawn, "uint256"),
    _of_channel(payment.ChannelClosed),
    EventForm("ClaimSkipped", ("address", "address", "bytes32"), ("uint8",), _skipped),
    EventForm("NewPricingTable", ("address", "uint256"), ("uint256",) * 5 + ("string",) * 2, _priced),
    EventForm("Subscribed", ("uint256", "address"), (), lambda values: registry.Subscribed(*values)),
    EventForm("Unsubscribed", ("uint256", "address"), (), lambda values: registry.Unsubscribed(*values)),
    EventForm(
        "ProviderRegistered", ("address",), ("string",), lambda values: registry.ProviderRegistered(*values)
    ),
    EventForm(
        "ProviderDeregistered", ("address",), (), lambda values: registry.ProviderDeregistered(*values)
    ),
)
"""Every event of the two contracts."""

TOPICS: Final[Mapping[bytes, EventForm]] = {keccak256(form.signature.encode()): form for form in EVENTS}
"""Each event by its first topic."""


def event_of(log: Log) -> PaymentEvent | RegistryEvent | None:
    """The core's event of a log of one of the two contracts; None when the core has no name for it.

    Raises:
        PeerFault: `MalformedAbi`; its values are not those of such an event.
    """
    form = TOPICS.get(log.topics[0]) if log.topics else None
    if form is None:
        return None
    if len(log.topics) != 1 + len(form.indexed):
        malformed(f"{form.name} with {len(log.topics)} topics")
    indexed = decode(f"({','.join(form.indexed)})", b"".join(log.topics[1:]))
    return form.made(indexed + decode(f"({','.join(form.plain)})", log.data))


def events_of(logs: Sequence[Log], terms: ChainTerms) -> tuple[PaymentEvent | RegistryEvent, ...]:
    """The core's events among the logs of a transaction, in order: what others emitted is left out."""
    ours = (terms.payment, terms.registry)
    found = [event_of(log) for log in logs if log.address in ours]
    return tuple(event for event in found if event is not None)


# ---------------------------------------------------------------- errors

_VALUES: Final[Mapping[type[ProtocolError], str]] = {
    UnlockTimeTooLong: "(uint256,uint256)",
    UnknownTable: "(uint256,uint256)",
    AlreadySubscribed: "(uint256,address)",
    NotSubscribed: "(uint256,address)",
    NotRegistered: "(address)",
}
ERRORS: Final[Mapping[str, str]] = {
    kind.__name__ + _VALUES.get(kind, "()"): kind.__name__
    for kind in (*PaymentError.__subclasses__(), *RegistryError.__subclasses__())
}
"""The core's name of each refusal of the two contracts, by signature."""
PANIC: Final = "Panic(uint256)"
"""What Solidity itself raises: a sum that 256 bits do not hold."""
_NAMES: Final = {selector(signature): name for signature, name in ERRORS.items()} | {selector(PANIC): "Panic"}


def error_name(data: bytes) -> str:
    """The core's name of a refusal.

    Args:
        data: what the call returned. The two contracts name each of their refusals and pass on the token's, so
            what has no name here is `TokenRefused`.
    """
    return _NAMES.get(data[:4], TokenRefused.__name__)
