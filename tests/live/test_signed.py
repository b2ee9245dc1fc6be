"""Signed bytes, the replacements that follow from them, and nodes' words."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.chain.rpc import NodeRefused
from live.chain.signed import BUMPS, Ladder, Unsigned, Verdict, parse, verdict
from live.settings import GWEI
from protocol.errors import BadInput
from protocol.units import Address
from tests.live.chains import PROVIDER, PUBLISHER, owner

FIRST = Unsigned(31337, 7, Address(b"\x01" * 20), b"\x02\x03", 100_000, 20 * GWEI, GWEI)


@given(
    st.builds(
        Unsigned,
        chain_id=st.integers(1, 2**60),
        nonce=st.integers(0, 2**60),
        to=st.none() | st.binary(min_size=20, max_size=20).map(Address),
        data=st.binary(max_size=80),
        gas=st.integers(21_000, 30_000_000),
        max_fee_wei=st.integers(1, 10**15),
        tip_wei=st.integers(0, 10**12),
    )
)
def test_a_transaction_is_read_from_its_bytes(unsigned: Unsigned) -> None:
    signed = unsigned.sign(PROVIDER)
    assert parse(signed.raw) == (unsigned, owner(PROVIDER))
    assert unsigned.sign(PROVIDER) == signed


def test_the_same_replacements_follow_from_the_bytes_in_every_process() -> None:
    raw = FIRST.sign(PROVIDER).raw
    ladders = [Ladder(raw, PROVIDER, chain_id=31337, cap_wei=cap) for cap in (GWEI, 1000 * GWEI)]
    first, second = (list(ladder.hashes()) for ladder in ladders)
    assert first == second and len(set(first)) == BUMPS + 1
    for index in range(BUMPS):
        lower, higher = (ladders[0].rung(i).unsigned for i in (index, index + 1))
        assert replace(higher, max_fee_wei=0, tip_wei=0) == replace(FIRST, max_fee_wei=0, tip_wei=0)
        assert higher.max_fee_wei * 8 >= lower.max_fee_wei * 9  # what the strictest node asks for
        assert higher.tip_wei * 8 >= lower.tip_wei * 9


@pytest.mark.parametrize(
    ("cap_wei", "rungs"), [(20 * GWEI, 0), (25 * GWEI, 1), (31 * GWEI, 1), (32 * GWEI, 2)]
)
def test_the_cap_is_never_passed(cap_wei: int, rungs: int) -> None:
    ladder = Ladder(FIRST.sign(PROVIDER).raw, PROVIDER, chain_id=31337, cap_wei=cap_wei)
    at = 0
    while ladder.can_climb(at):
        at += 1
        assert ladder.rung(at).unsigned.max_fee_wei <= cap_wei
    assert at == rungs


def test_a_ladder_ends() -> None:
    ladder = Ladder(FIRST.sign(PROVIDER).raw, PROVIDER, chain_id=31337, cap_wei=10**30)
    for at in range(BUMPS):
        assert ladder.can_climb(at)
        ladder.rung(at + 1)
    assert not ladder.can_climb(BUMPS)


def test_a_tip_of_nothing_is_raised_as_well() -> None:
    """geth takes a replacement only where both fees are higher."""
    free = replace(FIRST, tip_wei=0)
    assert free.bumped().tip_wei == 1 and free.bumped().bumped().tip_wei == 2


def test_the_replacements_of_a_journal_are_those_of_every_release() -> None:
    """Another ladder would not hold what was sent, and a command that was mined would be taken for lost."""
    ladder = Ladder(FIRST.sign(PROVIDER).raw, PROVIDER, chain_id=31337, cap_wei=10**30)
    found = [ladder.rung(at).hash.hex()[:16] for at in (0, 1, 7, 20)]
    assert found == ["a7bfa4fb75ee7d3b", "54d76804cbd9b70a", "0e31d0113b89b7bd", "9995ff46385cc55e"]


def test_bytes_of_another_chain_or_key_or_of_nothing_are_refused() -> None:
    raw = FIRST.sign(PROVIDER).raw
    with pytest.raises(BadInput, match="for chain 31337; this is chain 1"):
        Ladder(raw, PROVIDER, chain_id=1, cap_wei=GWEI)
    with pytest.raises(BadInput, match="the key is"):
        Ladder(raw, PUBLISHER, chain_id=31337, cap_wei=GWEI)
    for nonsense in (b"", b"\x02", raw[:-1], b"\x02" + bytes(60), b"{}"):
        with pytest.raises(BadInput):
            Ladder(nonsense, PROVIDER, chain_id=31337, cap_wei=GWEI)


@pytest.mark.parametrize(
    ("words", "meaning"),
    [
        ("already known", Verdict.KNOWN),  # geth, erigon, reth
        ("transaction already imported", Verdict.KNOWN),  # anvil
        ("Known transaction", Verdict.KNOWN),  # besu
        ("AlreadyKnown", Verdict.KNOWN),  # nethermind
        ("nonce too low: next nonce 5, tx nonce 4", Verdict.NONCE_TOO_LOW),  # geth
        ("OldNonce, Current nonce: 5, nonce of rejected tx: 4", Verdict.NONCE_TOO_LOW),  # nethermind
        ("replacement transaction underpriced", Verdict.UNDERPRICED),  # geth
        ("max fee per gas less than block base fee: address 0x", Verdict.UNDERPRICED),  # geth, anvil
        ("insufficient funds for gas * price + value: balance 0", Verdict.NO_GAS_FUNDS),  # geth
        ("txpool is full", Verdict.OTHER),
    ],
)
def test_nodes_words_are_understood(words: str, meaning: Verdict) -> None:
    assert verdict(NodeRefused("http://node", -32000, words)) is meaning
