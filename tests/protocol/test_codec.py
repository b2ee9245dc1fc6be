"""Commands, events, refusals and views, held to the compiled contracts' own description, both ways."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, get_args

import pytest
from eth_abi.abi import decode as their_decode
from eth_abi.abi import encode as their_encode
from hypothesis import given
from hypothesis import strategies as st

import contracts
from protocol import codec, payment, registry, views
from protocol.abi import View, selector
from protocol.codec import EventForm, Log, call_data, error_name, event_of, events_of, target
from protocol.errors import BadInput, PaymentError, PeerFault, RegistryError
from protocol.keccak import keccak256
from protocol.payment import Claim
from protocol.ports import Approve, ChainTerms, Command
from protocol.pricing import PriceTable
from protocol.units import Address

TERMS = ChainTerms(
    chain_id=1,
    payment=Address(b"\x01" * 20),
    registry=Address(b"\x02" * 20),
    token=Address(b"\x03" * 20),
    confirmations=1,
    inclusion_s=1,
)
COMMANDS: tuple[type[Command], ...] = (*get_args(payment.Command), *get_args(registry.Command), Approve)
CONTRACT_OF = {
    **dict.fromkeys(get_args(payment.Command), "Payment"),
    **dict.fromkeys(get_args(registry.Command), "Registry"),
    Approve: "TestToken",
}


def type_of(parameter: dict[str, Any]) -> str:
    kind: str = parameter["type"]
    if kind.startswith("tuple"):
        return f"({','.join(map(type_of, parameter['components']))}){kind.removeprefix('tuple')}"
    return kind


def signature_of(entry: dict[str, Any]) -> str:
    return f"{entry['name']}({','.join(map(type_of, entry['inputs']))})"


def entries(contract: str, kind: str) -> dict[str, dict[str, Any]]:
    return {signature_of(e): e for e in contracts.artifact(contract).abi if e["type"] == kind}


# ---------------------------------------------------------------- the tables against the contracts


def test_every_command_is_a_function_and_every_function_that_changes_something_a_command() -> None:
    assert set(codec.FUNCTIONS) == set(COMMANDS)
    for contract in ("Payment", "Registry"):
        changing = {
            signature: [parameter["name"] for parameter in entry["inputs"]]
            for signature, entry in entries(contract, "function").items()
            if entry["stateMutability"] not in ("view", "pure")
        }
        ours = {
            function.signature: [name for _, name, _ in function.arguments]
            for command, function in codec.FUNCTIONS.items()
            if CONTRACT_OF[command] == contract
        }
        assert ours == changing
    approve = codec.FUNCTIONS[Approve]
    entry = entries("TestToken", "function")[approve.signature]
    assert [p["name"] for p in entry["inputs"]] == [name for _, name, _ in approve.arguments]


def test_every_event_of_the_contracts_has_a_form_and_every_form_an_event() -> None:
    theirs = entries("Payment", "event") | entries("Registry", "event")
    assert {form.signature for form in codec.EVENTS} == set(theirs)
    for form in codec.EVENTS:
        inputs = theirs[form.signature]["inputs"]
        assert [type_of(p) for p in inputs if p["indexed"]] == list(form.indexed)
        assert [p["indexed"] for p in inputs] == [True] * len(form.indexed) + [False] * len(form.plain)
    assert set(codec.TOPICS) == {keccak256(signature.encode()) for signature in theirs}


def test_every_refusal_of_the_contracts_has_a_name_and_every_name_a_refusal() -> None:
    theirs = set(entries("Payment", "error")) | set(entries("Registry", "error"))
    of_tokens = {"SafeERC20FailedOperation(address)", "ReentrancyGuardReentrantCall()"}
    assert set(codec.ERRORS) == theirs - of_tokens
    assert set(codec.ERRORS.values()) == {
        kind.__name__ for base in (PaymentError, RegistryError) for kind in base.__subclasses__()
    }
    for signature, name in codec.ERRORS.items():
        assert error_name(selector(signature) + bytes(64)) == name
    for signature in (*of_tokens, *entries("TestToken", "error"), "Error(string)", "Blocked()"):
        assert error_name(selector(signature) + bytes(96)) == "TokenRefused"
    assert error_name(b"") == "TokenRefused"
    assert error_name(selector("Panic(uint256)") + bytes(32)) == "Panic"


@pytest.mark.parametrize(
    ("contract", "asked"),
    [("Payment", views.PAYMENT), ("Registry", views.REGISTRY), ("TestToken", views.ERC20)],
)
def test_every_view_stands_in_the_contract(contract: str, asked: tuple[View, ...]) -> None:
    theirs = entries(contract, "function")
    for view in asked:
        entry = theirs[view.name + view.asked]
        assert f"({','.join(map(type_of, entry['outputs']))})" == view.told


# ---------------------------------------------------------------- values

ADDRESS = st.binary(min_size=20, max_size=20).map(Address)
BYTES32 = st.binary(min_size=32, max_size=32)
UINT = st.integers(0, 2**256 - 1)
CLAIM = st.builds(Claim, ADDRESS, BYTES32, UINT, UINT)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "address": ADDRESS,
    "bytes32": BYTES32,
    "uint256": UINT,
    "uint8": st.integers(0, 2),
    "string": st.text(max_size=80),
    "uint256[5]": st.tuples(*[UINT] * 5),
    "(address,bytes32,uint256,uint256)[]": st.lists(CLAIM, max_size=5).map(tuple),
}


def commands_of(kind: type[Command]) -> st.SearchStrategy[Command]:
    arguments = codec.FUNCTIONS[kind].arguments
    return st.builds(kind, **{name: VALUES[abi_type] for name, _, abi_type in arguments})


@given(st.sampled_from(COMMANDS).flatmap(commands_of))
def test_call_data_is_what_eth_abi_makes_of_the_contracts_entry(command: Command) -> None:
    function = codec.FUNCTIONS[type(command)]
    entry = entries(CONTRACT_OF[type(command)], "function")[function.signature]
    values = [getattr(command, name) for name, _, _ in function.arguments]
    if isinstance(command, payment.WithdrawMany):
        values[0] = [tuple(getattr(claim, f.name) for f in fields(claim)) for claim in command.claims]
    expected = their_encode([type_of(p) for p in entry["inputs"]], values)
    assert call_data(command) == keccak256(function.signature.encode())[:4] + expected
    assert target(command, TERMS) == {
        "Payment": TERMS.payment, "Registry": TERMS.registry, "TestToken": TERMS.token
    }[CONTRACT_OF[type(command)]]  # fmt: skip


def test_a_number_that_the_contract_cannot_hold_is_bad_input() -> None:
    with pytest.raises(BadInput, match="Subscribe"):
        call_data(registry.Subscribe(2**256))


@st.composite
def logs(draw: st.DrawFn) -> tuple[EventForm, list[Any], Log]:
    form = draw(st.sampled_from(codec.EVENTS))
    values = [draw(VALUES[kind]) for kind in (*form.indexed, *form.plain)]
    cut = len(form.indexed)
    topics = [their_encode([kind], [value]) for kind, value in zip(form.indexed, values, strict=False)]
    data = their_encode(list(form.plain), values[cut:])
    return form, values, Log(TERMS.payment, (keccak256(form.signature.encode()), *topics), data)


@given(logs())
def test_a_log_becomes_the_event_it_was_made_from(case: tuple[EventForm, list[Any], Log]) -> None:
    form, values, log = case
    event: Any = event_of(log)
    assert type(event).__name__ == form.name
    found: list[Any] = []
    for field in fields(event):
        value = getattr(event, field.name)
        if isinstance(value, payment.SkipReason):
            value = list(payment.SkipReason).index(value)
        found += value if field.name in ("key", "prices") else [value]
    assert found == values
    cut_short = Log(log.address, log.topics[:-1], log.data)
    with pytest.raises(PeerFault):
        event_of(cut_short)


def test_what_others_emit_is_left_out() -> None:
    log = Log(TERMS.payment, (keccak256(b"ChannelClosed(address,address,bytes32)"), *[bytes(32)] * 3), b"")
    foreign = Log(TERMS.token, log.topics, b"")
    unknown = Log(TERMS.payment, (b"\x01" * 32,), b"")
    nameless = Log(TERMS.payment, (), b"")
    (event,) = events_of([foreign, unknown, log, nameless], TERMS)
    assert isinstance(event, payment.ChannelClosed)


def test_a_reason_that_there_is_not_is_refused() -> None:
    form = next(form for form in codec.EVENTS if form.name == "ClaimSkipped")
    topics = (keccak256(form.signature.encode()), *[bytes(32)] * 3)
    with pytest.raises(PeerFault, match="reason 3"):
        event_of(Log(TERMS.payment, topics, (3).to_bytes(32, "big")))


@given(st.lists(st.tuples(*[UINT] * 5), max_size=5))
def test_records_become_channels(records: list[tuple[int, ...]]) -> None:
    entry = entries("Payment", "function")["channelsOf((address,address,bytes32)[])"]
    data = their_encode([type_of(p) for p in entry["outputs"]], [records])
    (found,) = views.CHANNELS_OF.answer(data)
    assert list(found) == records
    for record in found:
        channel = views.channel_of(record)
        if channel is None:
            assert record[0] == record[3] == 0
        else:
            assert tuple(getattr(channel, field.name) for field in fields(channel)) == record


def test_views_are_asked_as_eth_abi_asks() -> None:
    key = (b"\x01" * 20, b"\x02" * 20, b"\x03" * 32)
    asked = views.CHANNELS_OF.call([key])
    assert their_decode(["(address,address,bytes32)[]"], asked[4:]) == (
        (("0x" + "01" * 20, "0x" + "02" * 20, key[2]),),
    )
    entry = (7, b"\x05" * 20, (1, 2, 3, 4, 5), "model", "tee", 1)
    assert views.table_of(entry) == (
        7,
        PriceTable(
            token=Address(b"\x05" * 20), cpu=1, ram=2, storage=3, egress=4, ingress=5, cpu_model="model", tee_type="tee"
        ),
    )  # fmt: skip
