"""How a command is called in a contract: the function's name, and its arguments in the contract's order."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Function:
    """How a command is called in the contract.

    Attributes:
        name: the function's name.
        arguments: (name in the command, name in the contract, ABI type), in the contract's order.
    """

    name: str
    arguments: tuple[tuple[str, str, str], ...]

    @property
    def signature(self) -> str:
        """The canonical signature, such as `unlock(address,bytes32)`, whose keccak starts the call's data."""
        return f"{self.name}({','.join(kind for _, _, kind in self.arguments)})"
