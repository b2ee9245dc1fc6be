"""What is committed was made from the sources that stand beside it, and has the interface that the core expects."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest

import contracts
from protocol import payment, registry
from protocol.abi import Function
from protocol.errors import PaymentError, RegistryError
from tests.contracts.contract import EVENTS, compiled, interface, signature_of


@pytest.mark.parametrize("name", contracts.PUBLISHED)
def test_artifact_is_of_these_sources(name: str) -> None:
    artifact = contracts.artifact(name)
    assert artifact.contract == name
    assert artifact.source_hash == contracts.source_hash(), "the sources have changed: make contracts"
    assert artifact.compiler["settings"]["evmVersion"] == "cancun"
    assert artifact.compiler["settings"]["optimizer"]["enabled"] is True


def test_odd_tokens_and_mutants_are_of_these_sources() -> None:
    assert compiled()["sourceHash"] == contracts.source_hash("test/OddTokens.sol"), "make contracts"


def test_source_hash_moves_with_any_source(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contracts.source_hash()
    for path in sorted((contracts.FOLDER / "src").rglob("*.sol")):
        copy = tmp_path / path.relative_to(contracts.FOLDER)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    monkeypatch.setattr(contracts, "FOLDER", tmp_path)
    assert contracts.source_hash() == before
    with (tmp_path / "src" / "interfaces" / "IPayment.sol").open("a") as file:
        file.write("\n")
    assert contracts.source_hash() != before


@pytest.mark.parametrize(
    ("name", "table"), [("Payment", payment.FUNCTIONS), ("Registry", registry.FUNCTIONS)]
)
def test_every_command_has_its_function(name: str, table: dict[Any, Function]) -> None:
    functions = interface(name).functions
    for function in table.values():
        entry = functions[function.name]
        assert signature_of(entry) == function.signature
        assert [given["name"] for given in entry["inputs"]] == [given for _, given, _ in function.arguments]
    changing = {n for n, entry in functions.items() if entry["stateMutability"] != "view"}
    assert changing == {function.name for function in table.values()}


def test_events_are_those_of_the_published_interface() -> None:
    found = {
        signature_of(entry): [given["name"] for given in entry["inputs"] if given["indexed"]]
        for name in ("Payment", "Registry")
        for entry in contracts.artifact(name).abi
        if entry["type"] == "event"
    }
    keys = ["publisher", "provider", "podId"]
    assert found == {
        "ChannelCreated(address,address,bytes32)": keys,
        "Deposited(address,address,bytes32,uint256)": keys,
        "UnlockTimerStarted(address,address,bytes32,uint256)": keys,
        "Unlocked(address,address,bytes32,uint256)": keys,
        "Withdrawn(address,address,bytes32,uint256)": keys,
        "ChannelClosed(address,address,bytes32)": keys,
        "ClaimSkipped(address,address,bytes32,uint8)": keys,
        "NewPricingTable(address,uint256,uint256,uint256,uint256,uint256,uint256,string,string)": ["token", "id"],
        "Subscribed(uint256,address)": ["id", "provider"],
        "Unsubscribed(uint256,address)": ["id", "provider"],
        "ProviderRegistered(address,string)": ["provider"],
        "ProviderDeregistered(address)": ["provider"],
    }  # fmt: skip
    assert {signature.partition("(")[0] for signature in found} == set(EVENTS)


def test_errors_have_the_names_of_the_core() -> None:
    for name, base in (("Payment", PaymentError), ("Registry", RegistryError)):
        known = {kind.__name__ for kind in base.__subclasses__()}
        named = {entry["name"] for entry in contracts.artifact(name).abi if entry["type"] == "error"}
        foreign = {"ReentrancyGuardReentrantCall", "SafeERC20FailedOperation"} if name == "Payment" else set()
        assert named == known | foreign
    old = ("AmountRequired", "AlreadyExists", "DoesNotExist", "ChannelLocked", "InsufficientFunds")
    for entry in contracts.artifact("Payment").abi:
        if entry["type"] == "error" and entry["name"] in old:
            assert entry["inputs"] == []


def test_the_view_of_a_channel_has_the_old_names() -> None:
    entry = interface("Payment").functions["channels"]
    assert [given["name"] for given in entry["inputs"]] == ["publisher", "provider", "podId"]
    assert [given["name"] for given in entry["outputs"]] == [
        "investedByPublisher", "withdrawnByProvider", "unlockTime", "unlockedAt"
    ]  # fmt: skip
    claim = interface("Payment").functions["withdrawMany"]["inputs"][0]
    assert [given["name"] for given in claim["components"]] == ["publisher", "podId", "life", "total"]
    assert [field.name for field in fields(payment.Claim)] == ["publisher", "pod_id", "life", "total"]


def test_no_address_of_a_registry_is_in_the_lock() -> None:
    packages = json.loads((contracts.FOLDER / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    assert packages and all("resolved" not in package for package in packages.values())
    assert all("integrity" in package for name, package in packages.items() if name)
    assert "omit-lockfile-registry-resolved=true" in (contracts.FOLDER / ".npmrc").read_text(encoding="utf-8")


def test_storage_is_where_the_compiler_says() -> None:
    """What an EVM is filled by: a variable's slot, and a member's slot, first byte and size."""
    payment_, registry_, token = map(contracts.artifact, ("Payment", "Registry", "TestToken"))
    assert payment_.variables == {"_channels": (0, 0, 32)}
    assert payment_.structs["Payment.Channel"] == {
        "invested": (0, 0, 32), "withdrawn": (1, 0, 32),
        "unlockTime": (2, 0, 8), "unlockedAt": (2, 8, 8), "life": (2, 16, 8),
    }  # fmt: skip
    assert list(registry_.variables) == ["tableCount", "_providers", "_cids", "_tables", "_subscriptions"]
    assert registry_.structs["Registry.Stored"]["subscribers"] == (0, 20, 12)
    assert token.variables["_balances"] == (0, 0, 32) and token.variables["_totalSupply"] == (2, 0, 32)
