"""Single cases of the Payment bytecode that the machine is too small for."""

from __future__ import annotations

import pytest

import contracts
from protocol.payment import (
    MAX_UNLOCK_TIME_S,
    ChannelKey,
    Claim,
    CreateChannel,
    Deposit,
    Unlock,
    Withdraw,
    WithdrawMany,
    WithdrawUnlocked,
)
from protocol.ports import Approve
from protocol.units import PodId
from tests.contracts.evm import Reverted
from tests.contracts.world import ANN, EVE, PIA, PODS, World

pytestmark = pytest.mark.evm

POD = PODS[0]
KEY = ChannelKey(ANN, PIA, POD)


def opened(amount: int = 10, unlock_time_s: int = 60) -> World:
    world = World("TestToken")
    world.send(ANN, Approve(world.payment.address, amount))
    assert world.send(ANN, CreateChannel(PIA, POD, unlock_time_s, amount)) is not None
    return world


def test_amounts_of_256_bits() -> None:
    world = World("TestToken")
    more = 2**256 - 1 - world.twin.supply  # as much as a token can have
    world.twin.mint(ANN, more)
    world.token.send(EVE, "mint", ANN, more)
    whole = world.twin.balance(ANN)
    world.send(ANN, Approve(world.payment.address, whole))
    world.send(ANN, CreateChannel(PIA, POD, 0, whole))
    world.send(PIA, Withdraw(ANN, POD, 5))
    assert world.send(PIA, Withdraw(ANN, POD, 2**256 - 1)) is None  # the sum does not fit 256 bits
    assert world.payment.read("available", *KEY) == whole - 5
    world.check()


def test_error_says_the_values() -> None:
    world = World("TestToken")
    with pytest.raises(Reverted) as refused:
        world.execute(ANN, CreateChannel(PIA, POD, MAX_UNLOCK_TIME_S + 1, 1))
    assert world.payment.interface.error(refused.value) == (
        "UnlockTimeTooLong",
        (MAX_UNLOCK_TIME_S + 1, MAX_UNLOCK_TIME_S),
    )
    assert world.payment.read("MAX_UNLOCK_TIME") == MAX_UNLOCK_TIME_S


def test_channel_created_again_is_locked_from_birth() -> None:
    """The original's defect: emptied with nothing claimed, then created again, it could be emptied while the pod ran."""
    world = opened()
    world.send(ANN, Unlock(PIA, POD))
    world.go_to(world.now_s + 60)
    world.send(ANN, WithdrawUnlocked(PIA, POD))
    world.send(ANN, Approve(world.payment.address, 10))
    world.send(ANN, CreateChannel(PIA, POD, 60, 10))
    world.go_to(world.now_s + 10_000)
    assert world.payment.read("channelsOf", [KEY]) == ((10, 0, 60, 0, 2),)
    with pytest.raises(Reverted):
        world.execute(ANN, WithdrawUnlocked(PIA, POD))


def test_a_hundred_claims_in_one_transaction() -> None:
    world = World("TestToken")
    pods = [PodId(bytes([n]) * 32) for n in range(1, 101)]
    world.keys = [ChannelKey(ANN, PIA, pod) for pod in pods]
    world.twin.mint(ANN, 1000)
    world.token.send(EVE, "mint", ANN, 1000)
    world.send(ANN, Approve(world.payment.address, 1000))
    for pod in pods:
        world.send(ANN, CreateChannel(PIA, pod, 60, 5))
    claims = tuple(Claim(ANN, pod, 1, 2 + n % 5) for n, pod in enumerate(pods))
    events = world.send(PIA, WithdrawMany(claims))
    assert events is not None and len(events) == 100
    world.check()


def test_nothing_to_claim_moves_nothing() -> None:
    world = opened()
    assert world.send(PIA, WithdrawMany(())) == ()
    logs = world.evm.call(PIA, world.payment.address, world.payment.interface.encode("withdrawMany", [], EVE))
    assert logs == ()


def test_views_of_nothing() -> None:
    world = World("TestToken")
    world.check_views(KEY)
    assert world.payment.read("channelsOf", []) == ()
    assert world.payment.read("token") == world.token.address


def test_contract_takes_no_gas_tokens_and_no_unknown_call() -> None:
    world = opened()
    for data in (b"", b"\x01\x02\x03\x04"):
        with pytest.raises(Reverted):
            world.evm.call(EVE, world.payment.address, data)


def test_deployed_code_is_the_artifact_with_the_token_filled_in() -> None:
    world = World("TestToken")
    artifact = contracts.artifact("Payment")
    code = bytearray(artifact.runtime_bytecode)
    assert artifact.immutables
    for start, length in artifact.immutables:
        code[start : start + length] = world.token.address.rjust(length, b"\0")
    found = world.evm.code(world.payment.address)
    assert found[: len(code)] == bytes(code)
    assert not found[len(code) :].strip(b"\0")  # how revm pads what it has analysed


@pytest.mark.parametrize("token", ["FeeToken"])
def test_a_deposit_of_which_nothing_arrives_is_refused(token: str) -> None:
    world = World(token)
    world.send(ANN, Approve(world.payment.address, 5))
    assert world.send(ANN, CreateChannel(PIA, POD, 60, 1)) is None  # the fee takes all of it
    assert world.send(ANN, CreateChannel(PIA, POD, 60, 4)) is not None
    assert world.payment.read("available", *KEY) == 3
    assert world.send(ANN, Deposit(PIA, POD, 1)) is None
    world.check()
