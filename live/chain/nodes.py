"""The endpoints of a party: asked in worker threads, and compared where there are two.

An endpoint may lie, lag or have forked away. What decides over money is asked of all, at one block hash; where
they differ the answer is that nobody knows, and an alarm in the log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import trio

from live.chain.rpc import RETRY_S, CallReverted, Endpoint, NodeError
from protocol.errors import PortError

if TYPE_CHECKING:
    from live.tasks import Process
    from protocol.abi import View
    from protocol.ports import Block
    from protocol.units import Address

T = TypeVar("T")
log = logging.getLogger(__name__)

LAG_BLOCKS: Final = 32
"""So far apart two endpoints' newest blocks may be; an epoch of Ethereum."""


class NotKnown(PortError):
    """The answer cannot be had: the endpoints failed, were late or differ. A read's becomes `Unknown` at the port."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, sent=False, retry_after_s=RETRY_S)


class Differ(NotKnown):
    """Two endpoints tell different things."""

    def __init__(self, what: str) -> None:
        super().__init__(f"endpoints differ: {what}")
        log.error("ALARM: endpoints differ: %s", what)


class Answer(Generic[T]):
    """What one endpoint answered: a value, or why there is none."""

    __slots__ = ("error", "value")

    def __init__(self, value: T | None, error: NodeError | CallReverted | None = None) -> None:
        self.value = value
        self.error = error

    def get(self) -> T:
        """The value.

        Raises:
            NodeError: the endpoint failed.
            CallReverted: the call was refused.
        """
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]


class Nodes:
    """One party's endpoints.

    Args:
        process: the party's process.
        endpoints: one or more.
        confirmations: blocks on top of a block before it counts.
    """

    def __init__(self, process: Process, endpoints: Sequence[Endpoint], *, confirmations: int) -> None:
        self._process = process
        self._endpoints = tuple(endpoints)
        self.confirmations: Final = confirmations

    async def each(self, question: Callable[[Endpoint], T], *, until_ns: int) -> list[Answer[T]] | None:
        """Ask all at once; None when `until_ns` came before all had answered."""
        answers: list[Answer[T]] = [Answer(None)] * len(self._endpoints)

        async def ask(index: int, endpoint: Endpoint) -> None:
            answers[index] = await trio.to_thread.run_sync(
                partial(_answer, question, endpoint), abandon_on_cancel=True
            )

        async def ask_all() -> bool:
            if len(self._endpoints) == 1:
                await ask(0, self._endpoints[0])
                return True
            async with trio.open_nursery() as nursery:
                for index, endpoint in enumerate(self._endpoints):
                    nursery.start_soon(ask, index, endpoint)
            return True

        return answers if await self._process.wait(ask_all, until_ns=until_ns) else None

    async def all(self, question: Callable[[Endpoint], T], *, until_ns: int) -> list[T]:
        """Everybody's answer.

        Raises:
            NotKnown: an endpoint failed, or was late.
            CallReverted: the call was refused.
        """
        answers = await self.each(question, until_ns=until_ns)
        if answers is None:
            raise NotKnown("no answer before the deadline")
        try:
            return [answer.get() for answer in answers]
        except NodeError as error:
            raise NotKnown(str(error)) from error

    async def same(self, what: str, question: Callable[[Endpoint], T], *, until_ns: int) -> T:
        """The one answer of all.

        Args:
            what: what is asked, for the alarm.
            question: asks one endpoint, blocking.
            until_ns: the deadline.

        Raises:
            NotKnown: an endpoint failed, was late, or they differ.
            CallReverted: all say that the call is refused.
        """

        def ask(endpoint: Endpoint) -> tuple[T | None, bytes | None]:
            try:
                return question(endpoint), None
            except CallReverted as reverted:
                return None, reverted.data

        first, *others = await self.all(ask, until_ns=until_ns)
        if any(other != first for other in others):
            raise Differ(what)
        value, refusal = first
        if refusal is not None:
            raise CallReverted(refusal)
        return value  # type: ignore[return-value]

    async def counting_block(self, *, until_ns: int) -> Block:
        """The newest block that counts: N deep at every endpoint, and the same one.

        Raises:
            NotKnown: see `same`.
        """
        numbers = [head.block.number for head in await self.all(Endpoint.head, until_ns=until_ns)]
        if max(numbers) - min(numbers) > LAG_BLOCKS:
            raise Differ(f"the newest blocks are {numbers}")
        number = max(0, min(numbers) - self.confirmations)
        block = await self.same(f"block {number}", lambda node: node.block(number), until_ns=until_ns)
        if block is None:
            raise NotKnown(f"block {number} is gone")
        return block

    async def call(
        self, view: View, to: Address, block: Block, *values: Any, until_ns: int
    ) -> tuple[Any, ...]:
        """What a view tells at a block, by everybody's word.

        Raises:
            NotKnown: see `same`.
            CallReverted: the contract refuses.
            PeerFault: it is no answer to this question.
        """
        data = view.call(*values)
        output = await self.same(
            f"{view.name} at block {block.number}",
            lambda node: node.call(to, data, block),
            until_ns=until_ns,
        )
        return view.answer(output)


def _answer(question: Callable[[Endpoint], T], endpoint: Endpoint) -> Answer[T]:
    try:
        return Answer(question(endpoint))
    except (NodeError, CallReverted) as error:
        return Answer(None, error)
