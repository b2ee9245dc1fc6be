"""The Hypothesis machine of the Registry contract: bytecode and model side by side, every view compared."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from protocol.errors import RegistryError
from protocol.registry import (
    Command,
    DeregisterProvider,
    RegisterPricingTable,
    RegisterProvider,
    Registry,
    Subscribe,
    Unsubscribe,
    apply,
)
from protocol.units import Address, Cid
from protocol.views import table_of
from tests.contracts.contract import Contract, call_of, refusal_name
from tests.contracts.evm import Evm, Reverted

PEOPLE = [Address(bytes([n]) * 20) for n in (0xA1, 0xB2, 0xC3, 0xD4)]
TOKENS = [Address(b"\x71" * 20), Address(b"\x72" * 20)]

callers = st.sampled_from(PEOPLE)
ids = st.integers(0, 5)
texts = st.sampled_from(["", "epyc", "a name of more than thirty-two bytes: ☃"])
prices = st.lists(st.sampled_from([0, 1, 2, 3, 2**256 - 1]), min_size=5, max_size=5)
windows = st.sampled_from([0, 1, 2, 3, 9, 2**256 - 1])


def machine_for(bytecode: bytes | None = None) -> Any:
    """The machine of a Registry contract.

    Args:
        bytecode: its creation code; None: the published one.
    """

    class Machine(RuleBasedStateMachine):
        steps = 0

        def __init__(self) -> None:
            super().__init__()
            self.contract = Contract(Evm(), "Registry", bytecode=bytecode)
            self.model = Registry()

        def send(self, caller: Address, command: Command) -> None:
            events: tuple[Any, ...] | None = None
            found: tuple[Any, ...] | None = None
            refusal = told = None
            try:
                self.model, events = apply(self.model, command, caller=caller)
            except RegistryError as error:
                refusal = type(error).__name__
            name, values = call_of(command)
            try:
                found = self.contract.call(caller, name, *values)
            except Reverted as reverted:
                told = refusal_name(self.contract, reverted)
            assert told == refusal, f"{command}: {told or 'accepted'}; due was {refusal or 'yes'}"
            assert found == events, command

        # ------------------------------------------------ rules

        @rule(caller=callers, cid=st.sampled_from(["a", "b", "bafy" * 15, ""]))
        def somebody_registers(self, caller: Address, cid: str) -> None:
            self.send(caller, RegisterProvider(Cid(cid)))

        @rule(caller=callers)
        def somebody_deregisters(self, caller: Address) -> None:
            self.send(caller, DeregisterProvider())

        @rule(caller=callers, token=st.sampled_from(TOKENS), five=prices, cpu=texts, tee=texts)
        def somebody_publishes(
            self, caller: Address, token: Address, five: list[int], cpu: str, tee: str
        ) -> None:
            a, b, c, d, e = five
            self.send(caller, RegisterPricingTable(token, (a, b, c, d, e), cpu, tee))

        @rule(caller=callers, table=ids)
        def somebody_subscribes(self, caller: Address, table: int) -> None:
            self.send(caller, Subscribe(table))

        @rule(caller=callers, table=ids)
        def somebody_unsubscribes(self, caller: Address, table: int) -> None:
            self.send(caller, Unsubscribe(table))

        # ------------------------------------------------ pages

        @rule(start=windows, count=windows, each=windows)
        def a_page_of_providers(self, start: int, count: int, each: int) -> None:
            page = self.contract.read("providers", start, count, each)
            if count:
                assert tuple((a, cid) for a, cid, *_ in page) == self.model.provider_page(start, count)
            else:
                assert page == ()
            for provider, _, how_many, tables in page:
                offered = self.model.subscriptions.get(provider, ())
                assert how_many == len(offered) and len(tables) == min(each, how_many)
                assert set(tables) <= set(offered)
                assert tables == self.contract.read("subscriptions", provider, 0, each)

        @rule(first=windows, count=windows)
        def a_page_of_tables(self, first: int, count: int) -> None:
            page = self.contract.read("tables", first, count)
            due = self.model.table_page(first, count) if count else ()
            assert tuple(map(table_of, page)) == due

        # ------------------------------------------------ what is there

        @invariant()
        def views_agree(self) -> None:
            type(self).steps += 1
            read, model = self.contract.read, self.model
            assert read("providerCount") == len(model.providers)
            assert read("tableCount") == len(model.published)
            assert tuple(entry[0] for entry in read("tables", 0, 99)) == tuple(sorted(model.subscribers))
            for table_id, table in model.published.items():
                entry = read("table", table_id)
                assert table_of(entry) == (table_id, table)
                assert entry[5] == model.subscribers.get(table_id, 0)
            for caller in PEOPLE:
                offered = read("subscriptions", caller, 0, 99)
                assert tuple(sorted(offered)) == model.subscriptions.get(caller, ())
                for table_id in (0, *model.published, len(model.published) + 1):
                    assert read("isSubscribed", caller, table_id) == model.is_subscribed(caller, table_id)
            for table_id in (0, len(model.published) + 1):
                with pytest.raises(Reverted) as refused:
                    read("table", table_id)
                due = ("UnknownTable", (table_id, len(model.published)))
                assert self.contract.interface.error(refused.value) == due

    return Machine
