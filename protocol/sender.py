"""Transactions that survive a crash: journalled before they are sent, sent again until the outcome is known.

Both clients send through one `Sender`, because a key has one sender. What a client must not do twice
it makes repeatable (a claim states a total) or checks first (a channel is read before it is created).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from protocol.errors import PortError
from protocol.events import Event, Happened
from protocol.ports import Put, Transaction, TxConfirmed, TxReverted, TxUnknown, Unknown
from protocol.units import NS_PER_S

if TYPE_CHECKING:
    from protocol.ports import Command, EventId, TxOutcome, World

JOURNAL: Final = "transactions"
PAUSE_NS: Final = 5 * NS_PER_S
"""Between two tries when the endpoint took nothing."""


class Sender:
    """Sends one party's transactions.

    Args:
        world: the party's ports.
        deadline_ns: how long one transaction is waited for before its outcome is called unknown [ns].
    """

    def __init__(self, world: World, *, deadline_ns: int) -> None:
        self._world = world
        self._deadline_ns = deadline_ns
        self._unknown: dict[int, Transaction] = {}

    async def resume(self) -> None:
        """Take up what an earlier incarnation journalled; call it before anything else is sent.

        It is sent again by a task of its own, and before whatever comes next: its nonces come first.
        """
        for record in (await self._world.store.scan(JOURNAL)).values():
            transaction = Transaction.from_record(record)
            self._unknown[transaction.nonce] = transaction
        if self._unknown:
            self._world.tasks.start("resume transactions", self._chase())

    async def execute(self, command: Command, *, pod: str = "", cause: EventId | None = None) -> TxOutcome:
        """Carry out `command`: journal, send, wait.

        Args:
            command: what to do.
            pod: namespace it is about, for the trace.
            cause: the event that led to it.

        Returns:
            The outcome. After `TxUnknown` the transaction stays in the journal and is sent again before
            the next one, so the caller asks the chain what happened before it repeats the command.
        """
        await self._chase()
        world = self._world
        function = type(command).__name__
        transaction = await world.chain.prepare(command)
        if isinstance(transaction, Unknown):
            world.trace.emit(
                Event(Happened.TRANSACTION_UNKNOWN, pod, rule=function, detail=transaction.reason), cause
            )
            return TxUnknown(transaction.reason)
        await world.store.commit([Put(JOURNAL, _key(transaction.nonce), transaction.to_record())])
        sent = world.trace.emit(Event(Happened.TRANSACTION_SENT, pod, rule=transaction.function), cause)
        outcome = await self._send(transaction)
        match outcome:
            case TxConfirmed():
                world.trace.emit(
                    Event(
                        Happened.TRANSACTION_CONFIRMED, pod, rule=transaction.function, amount=outcome.fee_wei
                    ),
                    sent,
                )
            case TxReverted():
                world.trace.emit(
                    Event(Happened.TRANSACTION_REVERTED, pod, rule=outcome.error, amount=outcome.fee_wei),
                    sent,
                )
            case TxUnknown():
                world.trace.emit(
                    Event(
                        Happened.TRANSACTION_UNKNOWN, pod, rule=transaction.function, detail=outcome.reason
                    ),
                    sent,
                )
        return outcome

    async def _chase(self) -> None:
        """Send again what nobody knows the outcome of, in the order of nonces: they block what follows."""
        for nonce in sorted(self._unknown):
            transaction = self._unknown.pop(nonce, None)  # another task may have taken it meanwhile
            if transaction is not None:
                await self._send(transaction)

    async def _send(self, transaction: Transaction) -> TxOutcome:
        world = self._world
        deadline_ns = world.clock.now_ns() + self._deadline_ns
        outcome: TxOutcome
        while True:
            try:
                outcome = await world.chain.send(transaction, deadline_ns=deadline_ns)
                break
            except PortError as error:
                if error.retry_after_s is None or world.clock.now_ns() + PAUSE_NS >= deadline_ns:
                    outcome = TxUnknown(str(error))
                    break
                await pause(world, max(PAUSE_NS, error.retry_after_s * NS_PER_S))
        if isinstance(outcome, TxUnknown):
            self._unknown[transaction.nonce] = transaction
        else:
            await world.store.commit([Put(JOURNAL, _key(transaction.nonce), None)])
        return outcome


async def pause(world: World, for_ns: int) -> None:
    """Wait: a mailbox into which nobody puts anything."""
    await world.tasks.mailbox().get(world.clock.now_ns() + for_ns)


def _key(nonce: int) -> str:
    return f"{nonce:020d}"
