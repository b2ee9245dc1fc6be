"""Transactions that survive a crash: journalled before they are sent, sent again until the outcome is known.

Both clients send through one `Sender`, because a key has one sender. What a client must not do twice
it makes repeatable (a claim states a total) or checks first (a channel is read before it is created).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from protocol.errors import PortError
from protocol.events import Event, Happened
from protocol.ports import Put, Transaction, TxConfirmed, TxReverted, TxUnknown, Unknown
from protocol.units import NEVER_NS, NS_PER_S

if TYPE_CHECKING:
    from protocol.ports import Command, EventId, Mailbox, TxOutcome, World

JOURNAL: Final = "transactions"
PAUSE_NS: Final = 5 * NS_PER_S
"""Between two tries when the endpoint took nothing."""


class Sender:
    """Sends one party's transactions.

    Args:
        world: the party's ports.
        deadline_ns: how long one transaction is waited for before its outcome is called unknown [ns].

    Attributes:
        told: the event with which the last `execute` that ended told its outcome; None before the first.
    """

    def __init__(self, world: World, *, deadline_ns: int) -> None:
        self._world = world
        self._deadline_ns = deadline_ns
        self._unknown: dict[int, Transaction] = {}
        self._chasing = False
        self._waiting: list[Mailbox[None]] = []
        self.told: EventId | None = None

    async def resume(self) -> None:
        """Take up what an earlier incarnation journalled; call it before anything else is sent.

        It is sent again by a task of its own, and before whatever comes next: its nonces come first.
        """
        for record in (await self._world.store.scan(JOURNAL)).values():
            transaction = Transaction.from_record(record)
            self._unknown[transaction.nonce] = transaction
        if self._unknown:
            self._world.tasks.start("resume transactions", self._resume())

    async def _resume(self) -> None:
        await self.quiet()

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
        world = self._world
        function = type(command).__name__
        # A nonce that may or may not have been sent would be given out again.
        known = await self.quiet()
        transaction = (
            await world.chain.prepare(command) if known else Unknown("an earlier transaction is not known")
        )
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
                self.told = world.trace.emit(
                    Event(
                        Happened.TRANSACTION_CONFIRMED, pod, rule=transaction.function, amount=outcome.fee_wei
                    ),
                    sent,
                )
            case TxReverted():
                self.told = world.trace.emit(
                    Event(Happened.TRANSACTION_REVERTED, pod, rule=outcome.error, amount=outcome.fee_wei),
                    sent,
                )
            case TxUnknown():
                self.told = world.trace.emit(
                    Event(
                        Happened.TRANSACTION_UNKNOWN, pod, rule=transaction.function, detail=outcome.reason
                    ),
                    sent,
                )
        return outcome

    async def quiet(self) -> bool:
        """Send again what nobody knows the outcome of, in the order of nonces: they block what follows.

        Whoever asks while a task is at it waits for that task. What is read from the chain after this
        returned True holds everything that was ever sent.

        Returns:
            Whether all outcomes are known now.
        """
        if self._chasing:
            box = self._world.tasks.mailbox()
            self._waiting.append(box)
            await box.get(NEVER_NS)
            return not self._unknown
        self._chasing = True
        for nonce in sorted(self._unknown):
            if isinstance(await self._send(self._unknown.pop(nonce)), TxUnknown):
                break  # those that follow wait for it
        self._chasing = False
        waiting, self._waiting = self._waiting, []
        for box in waiting:
            box.put(None)
        return not self._unknown

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
