"""Philox against the published vectors, its two implementations against each other, and the streams."""

from __future__ import annotations

import itertools
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.kernel import chance, draws
from sim.kernel.streams import Stream
from sim.laws import Constant, Empirical, Exponential, Lognormal

# Random123 1.14, tests/kat_vectors, lines "philox4x32 10".
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def _block(words: Any) -> Any:
    return chance.philox(words[0], words[1], words[2], words[3], words[4], words[5])


def _pair(k0: Any, k1: Any, index: Any) -> Any:
    return chance.uniforms(k0, k1, index)


compiled_block = numba.njit(_block)
compiled_pair = numba.njit(_pair)
words = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_known_answers(
    counter: tuple[int, int, int, int], key: tuple[int, int], answer: tuple[int, int, int, int]
) -> None:
    assert draws.philox(counter, key) == answer
    assert tuple(int(w) for w in compiled_block(np.array([*counter, *key], np.uint32))) == answer


@given(words, words, st.integers(0, 2**63 - 1))
def test_compiled_and_plain_uniforms_are_equal(k0: int, k1: int, index: int) -> None:
    plain = draws.uniforms((k0, k1), index)
    assert compiled_pair(np.uint32(k0), np.uint32(k1), index) == plain
    assert min(plain) > 0.0 and max(plain) < 1.0 and 1.0 - (1.0 - plain[0]) == plain[0]


def test_streams_are_apart() -> None:
    parts = itertools.product(
        (1, 11), (0, 1), ("requests", "start_up"), ("publishers[1]", "publishers[11]", "")
    )
    keys = [draws.stream_key(*part) for part in parts]
    assert len(set(keys)) == len(keys)
    assert draws.stream_key(1, 0, "ab", "c") != draws.stream_key(1, 0, "a", "bc")


def test_a_stream_uses_both_uniforms_in_order() -> None:
    key = draws.stream_key(7, 3, "faults", "providers[2]")
    stream = Stream(key)
    got = [stream.next() for _ in range(6)]
    assert got == [u for index in range(3) for u in draws.uniforms(key, index)]
    assert Stream(key).sample(Exponential(2.0)) == Exponential(2.0).quantile(got[0])


LAWS = [
    Constant(2.0),
    Exponential(2.0),
    Lognormal(0.06, 0.5),
    Empirical(((0.0, 1.0), (0.5, 2.0), (1.0, 9.0))),
]


@given(st.lists(st.tuples(st.integers(1, 200), st.sampled_from(LAWS), st.booleans()), max_size=8))
def test_many_draws_are_as_many_single_ones(steps: list[tuple[int, Any, bool]]) -> None:
    key = draws.stream_key(7, 3, "network", "publishers[2]")
    numbers = itertools.count()
    stream = Stream(key)
    for count, law, at_once in steps:
        got = stream.samples(law, count).tolist() if at_once else [stream.sample(law) for _ in range(count)]
        wanted = [draws.uniforms(key, n // 2)[n % 2] for n in itertools.islice(numbers, count)]
        assert got == [law.quantile(u) for u in wanted]


def test_uniforms_are_uniform() -> None:
    """Kolmogorov-Smirnov at 20,000 draws: 1.95 / sqrt(n) is exceeded once in 1,000 streams; the key is fixed."""
    key = draws.stream_key(1, 0, "requests", "publishers[0]")
    both = np.array([draws.uniforms(key, index) for index in range(20_000)])
    for column in (np.sort(both[:, 0]), np.sort(both[:, 1])):
        distance = np.abs(column - (np.arange(20_000) + 0.5) / 20_000).max()
        assert distance < 1.95 / 20_000**0.5
    assert abs(np.corrcoef(both.T)[0, 1]) < 4 / 20_000**0.5


def test_the_second_of_an_antithetic_pair_draws_what_is_left_to_one() -> None:
    for seed, stream in ((1, "requests"), (7, "gas")):
        first, second = (draws.run_key(seed, number, stream, "a-0", antithetic=True) for number in (4, 5))
        assert first == draws.stream_key(seed, 4, stream, "a-0")  # as without pairs
        assert draws.run_key(seed, 5, stream, "a-0", antithetic=False) == draws.stream_key(
            seed, 5, stream, "a-0"
        )
        for index in (0, 1, 2**40 + 3):
            for u, v in zip(draws.uniforms(first, index), draws.uniforms(second, index), strict=True):
                assert v == 1 - u and 0 < v < 1
        one, other = Stream(first), Stream(second)
        for number in range(300):
            u, v = one.next(), other.next()
            assert v == 1 - u == draws.uniforms(second, number >> 1)[number & 1]
