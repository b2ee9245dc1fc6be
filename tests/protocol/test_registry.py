from __future__ import annotations

from collections import defaultdict
from dataclasses import fields
from typing import get_args

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from protocol.errors import (
    AlreadySubscribed,
    BadInput,
    EmptyCid,
    NotRegistered,
    NotSubscribed,
    RegistryError,
    UnknownTable,
)
from protocol.pricing import PriceTable
from protocol.registry import (
    FUNCTIONS,
    Command,
    DeregisterProvider,
    NewPricingTable,
    ProviderDeregistered,
    ProviderRegistered,
    RegisterPricingTable,
    RegisterProvider,
    Registry,
    Subscribe,
    Subscribed,
    Unsubscribe,
    Unsubscribed,
    apply,
)
from protocol.units import Address, Cid

PIA, PAT = Address(b"P" * 20), Address(b"Q" * 20)
TABLE = PriceTable(
    token=Address(b"T" * 20), cpu=1, ram=2, storage=3, egress=4, ingress=5, cpu_model="epyc", tee_type="snp"
)


def after(*steps: tuple[Address, Command]) -> Registry:
    registry = Registry()
    for caller, command in steps:
        registry, _ = apply(registry, command, caller=caller)
    return registry


def test_publishing_a_table_subscribes_and_numbers_from_1() -> None:
    registry, events = apply(Registry(), RegisterPricingTable.of(TABLE), caller=PIA)
    assert events == (NewPricingTable(TABLE.token, 1, (1, 2, 3, 4, 5), "epyc", "snp"), Subscribed(1, PIA))
    assert registry.table(1) == TABLE
    assert registry.is_subscribed(PIA, 1) and not registry.is_subscribed(PAT, 1)
    with pytest.raises(UnknownTable):
        registry.table(2)


def test_update_replaces_the_record_and_keeps_the_place() -> None:
    registry = after((PIA, RegisterProvider(Cid("a"))), (PAT, RegisterProvider(Cid("b"))))
    registry, events = apply(registry, RegisterProvider(Cid("c")), caller=PIA)
    assert events == (ProviderRegistered(PIA, Cid("c")),)
    assert registry.provider_page(0, 9) == ((PIA, "c"), (PAT, "b"))
    assert registry.provider_page(1, 1) == ((PAT, "b"),)
    assert registry.provider_page(2, 1) == ()


def test_table_without_subscribers_is_not_listed_and_stays_readable() -> None:
    registry = after(
        (PIA, RegisterPricingTable.of(TABLE)), (PAT, RegisterPricingTable.of(TABLE)), (PAT, Subscribe(1))
    )
    registry, events = apply(registry, Unsubscribe(1), caller=PIA)
    assert events == (Unsubscribed(1, PIA),)
    assert [i for i, _ in registry.table_page(1, 9)] == [1, 2]
    registry, _ = apply(registry, Unsubscribe(1), caller=PAT)
    assert [i for i, _ in registry.table_page(0, 9)] == [2]
    assert registry.table(1) == TABLE


def test_the_last_takes_the_place_of_one_that_leaves() -> None:
    people = [Address(bytes([n]) * 20) for n in range(1, 5)]
    registry = after(
        *[(one, RegisterProvider(Cid("a"))) for one in people], (people[1], DeregisterProvider())
    )
    assert [a for a, _ in registry.provider_page(0, 9)] == [people[0], people[3], people[2]]
    registry, _ = apply(registry, DeregisterProvider(), caller=people[2])
    assert [a for a, _ in registry.provider_page(0, 9)] == [people[0], people[3]]


def test_pages_are_windows_that_follow_each_other() -> None:
    registry = after(*[(PIA, RegisterPricingTable.of(TABLE))] * 5, (PIA, Unsubscribe(3)))
    assert [[i for i, _ in registry.table_page(first, 2)] for first in (0, 2, 4, 6)] == [[1], [2], [4, 5], []]
    for start, count in ((-1, 1), (0, 0)):
        with pytest.raises(BadInput):
            registry.table_page(start, count)
        with pytest.raises(BadInput):
            registry.provider_page(start, count)


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (RegisterProvider(Cid("")), EmptyCid),
        (DeregisterProvider(), NotRegistered),
        (Subscribe(0), UnknownTable),
        (Subscribe(2), UnknownTable),
        (Unsubscribe(2), UnknownTable),
    ],
)
def test_refusals(command: Command, error: type[RegistryError]) -> None:
    registry = after((PIA, RegisterPricingTable.of(TABLE)))
    with pytest.raises(error):
        apply(registry, command, caller=PAT)


def test_subscriptions_outlive_a_deregistration() -> None:
    registry = after((PIA, RegisterProvider(Cid("a"))), (PIA, RegisterPricingTable.of(TABLE)))
    registry, events = apply(registry, DeregisterProvider(), caller=PIA)
    assert events == (ProviderDeregistered(PIA),)
    assert registry.providers == {} and registry.is_subscribed(PIA, 1)


def test_prices_that_do_not_fit_the_contract() -> None:
    for prices in ((-1, 0, 0, 0, 0), (0, 0, 0, 0, 2**256)):
        with pytest.raises(BadInput):
            RegisterPricingTable(TABLE.token, prices, "", "")
    with pytest.raises(BadInput):
        RegisterPricingTable(Address(b""), (0, 0, 0, 0, 0), "", "")


@pytest.mark.parametrize("kind", get_args(Command))
def test_each_command_has_its_contract_function(kind: type[Command]) -> None:
    assert [name for name, _, _ in FUNCTIONS[kind].arguments] == [f.name for f in fields(kind)]


callers = st.sampled_from([PIA, PAT])
ids = st.integers(0, 4)


class RegistryMachine(RuleBasedStateMachine):
    """Each rule is accepted if and only if the sets below say so, and old values never change."""

    def __init__(self) -> None:
        super().__init__()
        self.registry = Registry()
        self.records: dict[Address, str] = {}
        self.offers: defaultdict[int, set[Address]] = defaultdict(set)
        self.tables = 0

    def send(self, caller: Address, command: Command, refusal: type[RegistryError] | None) -> bool:
        before, said = self.registry, repr(self.registry)
        refused = None
        try:
            self.registry, events = apply(self.registry, command, caller=caller)
            assert events
        except RegistryError as error:
            refused = type(error)
        assert refused is refusal, (command, refused)
        assert repr(before) == said
        return refusal is None

    @rule(caller=callers, cid=st.sampled_from(["", "a", "b"]))
    def register(self, caller: Address, cid: str) -> None:
        if self.send(caller, RegisterProvider(Cid(cid)), None if cid else EmptyCid):
            self.records[caller] = cid

    @rule(caller=callers)
    def deregister(self, caller: Address) -> None:
        if self.send(caller, DeregisterProvider(), None if caller in self.records else NotRegistered):
            del self.records[caller]

    @rule(caller=callers)
    def publish(self, caller: Address) -> None:
        self.send(caller, RegisterPricingTable.of(TABLE), None)
        self.tables += 1
        self.offers[self.tables].add(caller)

    @rule(caller=callers, table_id=ids)
    def subscribe(self, caller: Address, table_id: int) -> None:
        known = 1 <= table_id <= self.tables
        held = caller in self.offers[table_id]
        if self.send(
            caller, Subscribe(table_id), UnknownTable if not known else AlreadySubscribed if held else None
        ):
            self.offers[table_id].add(caller)

    @rule(caller=callers, table_id=ids)
    def unsubscribe(self, caller: Address, table_id: int) -> None:
        known = 1 <= table_id <= self.tables
        held = caller in self.offers[table_id]
        if self.send(
            caller, Unsubscribe(table_id), UnknownTable if not known else None if held else NotSubscribed
        ):
            self.offers[table_id].remove(caller)

    @invariant()
    def views_agree(self) -> None:
        registry = self.registry
        assert dict(registry.provider_page(0, 99)) == self.records
        assert [i for i, _ in registry.table_page(0, 99)] == sorted(
            i for i, who in self.offers.items() if who
        )
        assert len(registry.published) == self.tables
        for table_id, who in self.offers.items():
            assert {p for p in (PIA, PAT) if registry.is_subscribed(p, table_id)} == who


TestRegistry = RegistryMachine.TestCase
TestRegistry.settings = settings(max_examples=60, stateful_step_count=30)
