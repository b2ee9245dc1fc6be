"""Draws that belong to things: the counter-based generator Philox4x32-10; `chance` is the same, compiled.

A stream is a key of 64 bits made from (seed, replication, stream name, path in the scenario). Counter i of
a stream is the pair of uniforms that belongs to its thing number i (request, replica, state change). So a
draw depends on nothing that is executed: not on the order of events, nor on what else is drawn.

The antithetic stream of a key gives 1 - u where that gives u: every bit of its words is the other one. Its key is
the same with the bits above the second word set.

Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
"""

from __future__ import annotations

import hashlib
from typing import Final

MULTIPLIER_0: Final = 0xD2511F53  # Random123 philox.h, PHILOX_M4x32_0
MULTIPLIER_1: Final = 0xCD9E8D57  # PHILOX_M4x32_1
WEYL_0: Final = 0x9E3779B9  # PHILOX_W32_0, the golden ratio
WEYL_1: Final = 0xBB67AE85  # PHILOX_W32_1, sqrt(3) - 1
ROUNDS: Final = 10
MASK: Final = 0xFFFFFFFF

GRID: Final = 1.0 / (1 << 52)
"""Uniforms are (n + 1/2) / 2^52: never 0 nor 1, and 1 - u is exact."""
MIRRORED: Final = MASK << 32
"""What is added to a key's second word for the antithetic stream: the upper half is what flips the words drawn."""


def stream_key(seed: int, replication: int, stream: str, path: str) -> tuple[int, int]:
    """Key of the stream named `stream` of the thing at `path`: two words of 32 bits (BLAKE2b).

    The parts are length-prefixed, so that no two different tuples meet.
    """
    digest = hashlib.blake2b(digest_size=8, person=b"tp-stream")
    for part in (str(seed), str(replication), stream, path):
        raw = part.encode()
        digest.update(len(raw).to_bytes(8, "big"))
        digest.update(raw)
    raw = digest.digest()
    return int.from_bytes(raw[:4], "big"), int.from_bytes(raw[4:], "big")


def run_key(seed: int, replication: int, stream: str, path: str, *, antithetic: bool) -> tuple[int, int]:
    """The key that a stream has in a replication.

    Args:
        seed: of the scenario.
        replication: its number, from 0.
        stream: its name.
        path: of the thing that draws.
        antithetic: replications are pairs 2k and 2k + 1, and the second of a pair draws 1 - u where the first draws u.
    """
    second = antithetic and replication % 2 == 1
    key = stream_key(seed, replication - 1 if second else replication, stream, path)
    return (key[0], key[1] | MIRRORED) if second else key


def philox(counter: tuple[int, int, int, int], key: tuple[int, int]) -> tuple[int, int, int, int]:
    """One block of Philox4x32-10: four words of 32 bits."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        p0 = MULTIPLIER_0 * c0
        p1 = MULTIPLIER_1 * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & MASK, (p0 >> 32) ^ c3 ^ k1, p0 & MASK
        k0 = (k0 + WEYL_0) & MASK
        k1 = (k1 + WEYL_1) & MASK
    return c0, c1, c2, c3


def uniforms(key: tuple[int, int], index: int) -> tuple[float, float]:
    """The two uniforms in (0, 1) of counter `index` (0 to 2^64 - 1) of the stream `key`."""
    flip = key[1] >> 32
    words = philox((index & MASK, index >> 32, 0, 0), (key[0], key[1] & MASK))
    a, b, c, d = (word ^ flip for word in words)
    return (((a << 32 | b) >> 12) + 0.5) * GRID, (((c << 32 | d) >> 12) + 0.5) * GRID
