"""The contracts: their Solidity sources, what the compiler made of them, and what they cost in gas.

What belongs here: `src/` (Registry, Payment, a test token, the interfaces with their NatSpec), `test/` (odd
tokens, for the tests alone), `build.mjs` and the npm packages that it needs, `artifacts/` (compiled; committed,
so that using the project needs no Node.js), `gas.json` (measured), and this loader. What does not: the rules in
Python, which are `protocol.payment` and `protocol.registry`, and anything that talks to a chain.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER: Final = Path(__file__).parent
PUBLISHED: Final = ("Payment", "Registry", "TestToken")
"""The contracts that have an artifact."""

Place = tuple[int, int, int]
"""Where something lies in storage: slot, first byte in it from the low end, bytes."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A compiled contract.

    Attributes:
        contract: its name.
        source_hash: `source_hash` of the sources it was compiled from.
        compiler: versions of solc and OpenZeppelin, and the settings.
        abi: the interface as the compiler describes it.
        bytecode: creation code; the constructor's arguments follow it.
        runtime_bytecode: what stands at the address, with zeros for the immutables.
        immutables: (first byte, length) of each place in the runtime code that the constructor fills in.
        variables: where each state variable lies.
        structs: where each member of a struct lies, from the struct's own place, by the struct's name.
    """

    contract: str
    source_hash: str
    compiler: dict[str, Any]
    abi: list[dict[str, Any]]
    bytecode: bytes
    runtime_bytecode: bytes
    immutables: tuple[tuple[int, int], ...]
    variables: Mapping[str, Place]
    structs: Mapping[str, Mapping[str, Place]]


@cache
def artifact(contract: str) -> Artifact:
    """The artifact of a contract in `PUBLISHED`."""
    raw = json.loads((FOLDER / "artifacts" / f"{contract}.json").read_text(encoding="utf-8"))
    return Artifact(
        contract=raw["contract"],
        source_hash=raw["sourceHash"],
        compiler=raw["compiler"],
        abi=raw["abi"],
        bytecode=bytes.fromhex(raw["bytecode"]),
        runtime_bytecode=bytes.fromhex(raw["runtimeBytecode"]),
        immutables=tuple(
            (place["start"], place["length"])
            for places in raw["immutableReferences"].values()
            for place in places
        ),
        variables=_places(raw["storage"]["variables"]),
        structs={name: _places(members) for name, members in raw["storage"]["structs"].items()},
    )


def _places(raw: dict[str, list[int]]) -> dict[str, Place]:
    return {name: (slot, offset, size) for name, (slot, offset, size) in raw.items()}


def source_hash(*more: str) -> str:
    """SHA-256 of the sources as they stand, in hex; `build.mjs` does the same.

    Args:
        more: further files below this folder, such as `test/OddTokens.sol`.
    """
    digest = hashlib.sha256()
    names = sorted(path.relative_to(FOLDER).as_posix() for path in (FOLDER / "src").rglob("*.sol"))
    for name in (*names, *more):
        digest.update(f"{name}\0{(FOLDER / name).read_text(encoding='utf-8')}\0".encode())
    return digest.hexdigest()


@cache
def gas() -> dict[str, Any]:
    """The measured gas of every function and the contracts' sizes; `tests/contracts/gas.py` says how it is measured."""
    measured: dict[str, Any] = json.loads((FOLDER / "gas.json").read_text(encoding="utf-8"))
    return measured
