"""The backend whose contracts are bytecode. See `sim.chain.contracts.Contracts`."""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Final

import contracts
from protocol import registry as registry_rules
from protocol.abi import encode, selector
from protocol.codec import call_data, error_name, events_of, target
from protocol.registry import Registry
from sim.chain.contracts import Contracts, Executed
from sim.chain.evm import registry
from sim.chain.evm.book import EvmBook
from sim.chain.evm.layout import Layout
from sim.chain.evm.machine import Machine, created, touched
from sim.chain.evm.storage import Storage
from sim.chain.gas import limit_of
from sim.chain.history import History
from sim.chain.undo import UndoLog

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from protocol.payment import BookView, Channel, ChannelKey
    from protocol.ports import Block, ChainTerms
    from protocol.units import Address
    from sim.chain.evm.machine import Place, Ran
    from sim.chain.transactions import AnyCommand

DECIMALS: Final = 18
"""Of the test token; it counts base units whatever they are."""
_MINT: Final = selector("mint(address,uint256)")
_GENESIS_GAS: Final = 1_000_000


class EvmContracts:
    """The compiled contracts at the addresses of the terms, deployed and minted at genesis. See `Contracts`.

    Args:
        tokens: what each address holds of the payment token at genesis [base units].
        terms: where the contracts are.
        history_blocks: how many blocks back can be read, at least 1.
        keeps: whether it can be taken back.
    """

    def __init__(
        self,
        tokens: Mapping[Address, int],
        terms: ChainTerms,
        *,
        history_blocks: int = 128,
        keeps: bool = True,
    ) -> None:
        self._terms = terms
        self._undo = UndoLog(keeps=False)
        self._layout = Layout(terms.payment, terms.token)
        token, payment, listing = (
            created(contracts.artifact(name).bytecode + encode(kinds, values), runtime_bytes(name))
            for name, kinds, values in (
                ("TestToken", "(uint8)", (DECIMALS,)),
                ("Payment", "(address)", (terms.token,)),
                ("Registry", "()", ()),
            )
        )
        deployed = {terms.token: token, terms.payment: payment, terms.registry: listing}
        self._machine = Machine({address: code for address, (code, _) in deployed.items()})
        genesis = {address: slots for address, (_, slots) in deployed.items()}
        self._storage = Storage(genesis, self._undo, history_blocks)
        self._mint(tokens)
        self._undo.keeps = keeps
        self._book = EvmBook(self._storage, self._layout, terms.payment)
        self._subscribers: dict[Address, None] = {}
        # Each change makes a registry with a number of its own, which not even a reorganisation gives again.
        self._fresh = count(1)
        self._versions: History[None, int] = History(history_blocks)
        self._registries: dict[int, Registry] = {0: Registry()}
        self._history_blocks = history_blocks

    def gas_limit(self, command: AnyCommand) -> int:
        """See `Contracts.gas_limit`."""
        return limit_of(command)

    def execute(self, command: AnyCommand, sender: Address, block: Block) -> Executed:
        """See `Contracts.execute`."""
        places: Collection[Place]
        if isinstance(command, registry_rules.Command):
            ran, places = self._discover(command, sender, block)
        else:
            places = self._layout.touched(command, sender)
            ran = self._run(command, sender, block, places)
        if not ran.succeeded:
            error = ran.halted if ran.refusal is None else error_name(ran.refusal)
            return Executed(ran.gas_used, error=error)
        self._storage.put(block.number, self._machine.left(ran, places))
        if isinstance(command, registry_rules.Command):
            self._registry_changed(sender, block)
        return Executed(ran.gas_used, events_of(ran.logs, self._terms))

    def checkpoint(self) -> int:
        """See `Contracts.checkpoint`."""
        return self._undo.mark()

    def revert(self, checkpoint: int) -> None:
        """See `Contracts.revert`."""
        self._undo.back_to(checkpoint)

    def forget(self, checkpoint: int) -> None:
        """See `Contracts.forget`."""
        self._undo.forget(checkpoint)

    def channels(self, keys: Iterable[ChannelKey], block: int) -> dict[ChannelKey, Channel | None]:
        """See `Contracts.channels`."""
        at, record = self._storage.at, self._layout.record

        def read(place: Place) -> int:
            return at(place, block)

        found = {key: record(read, key) for key in keys}
        return {key: c if c is not None and c.exists else None for key, c in found.items()}

    def balance(self, owner: Address, block: int) -> int:
        """See `Contracts.balance`."""
        return self._storage.at(self._layout.balance(owner), block)

    def registry(self, block: int) -> Registry:
        """See `Contracts.registry`."""
        version = self._versions.at(None, block, 0)
        found = self._registries.get(version)
        if found is None:
            at, address = self._storage.at, self._terms.registry
            found = registry.listed(lambda slot: at((address, slot), block), self._subscribers)
            self._registries[version] = found
            while len(self._registries) > self._history_blocks:  # the oldest are asked for the least
                del self._registries[next(iter(self._registries))]
        return found

    @property
    def book(self) -> BookView:
        """See `Contracts.book`."""
        return self._book

    def _mint(self, tokens: Mapping[Address, int]) -> None:
        layout, storage, token = self._layout, self._storage, self._terms.token
        for owner, amount in tokens.items():
            places = [layout.balance(owner), layout.supply()]
            data = _MINT + encode("(address,uint256)", (owner, amount))
            ran = self._machine.run(owner, token, data, storage.held(places), gas_limit=_GENESIS_GAS)
            assert ran.succeeded, f"{amount} for 0x{owner.hex()}: {ran}"
            storage.put(0, self._machine.left(ran, places))

    def _run(self, command: AnyCommand, sender: Address, block: Block, places: Collection[Place]) -> Ran:
        return self._machine.run(
            sender,
            target(command, self._terms),
            call_data(command),
            self._storage.held(places),
            gas_limit=self.gas_limit(command),
            number=block.number,
            time_s=block.time_s,
        )

    def _discover(
        self, command: registry_rules.Command, sender: Address, block: Block
    ) -> tuple[Ran, set[Place]]:
        """Run a command until it touches no slot that it should have found filled; the run, and what it touched.

        A refused run does not tell what it has read, so it counts only when it could have read everything.
        """
        storage, address = self._storage, self._terms.registry
        known = {(address, slot) for slot in registry.likely(command, sender)}
        whole = False
        while True:
            ran = self._run(command, sender, block, known)
            seen = touched(ran.evm)
            if whole or (ran.succeeded and not storage.held(seen - known)):
                return ran, seen
            whole = not ran.succeeded
            known |= {(address, slot) for slot in storage.places(address)} if whole else seen

    def _registry_changed(self, sender: Address, block: Block) -> None:
        self._subscribers[sender] = None
        self._undo.note(partial(self._versions.cut, None, block.number))
        self._versions.put(None, block.number, before=0, after=next(self._fresh))


def runtime_bytes(name: str) -> int:
    """Length of a contract's runtime code."""
    return len(contracts.artifact(name).runtime_bytecode)


if TYPE_CHECKING:
    _is_a_backend: type[Contracts] = EvmContracts
