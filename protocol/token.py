"""A plain ERC-20 token as a pure in-memory ledger: balances, allowances, and nothing that surprises.

Amounts are token base units, `int` in [0, 2**256). A change is journalled until `commit`, so that
whoever moves tokens as a part of something larger can take all of it back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from protocol.errors import TokenRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from protocol.units import Address

UNLIMITED: Final = 2**256 - 1
"""An allowance that is never used up, as in OpenZeppelin's ERC-20."""


class TokenView(Protocol):
    """A token, to be read."""

    @property
    def supply(self) -> int:
        """All tokens there are [base units]."""
        ...

    def balance(self, owner: Address) -> int:
        """What `owner` holds [base units]."""
        ...

    def balances(self) -> Mapping[Address, int]:
        """Every balance that is not zero, by owner."""
        ...

    def allowance(self, owner: Address, spender: Address) -> int:
        """What `spender` may still pull from `owner` [base units]."""
        ...


class Token:
    """Balances and allowances of one token.

    Odd tokens (a fee on each transfer, a refusal) are subclasses that override `_move`.
    """

    def __init__(self, balances: Mapping[Address, int] | None = None) -> None:
        self._balances: dict[Address, int] = {a: n for a, n in (balances or {}).items() if n}
        self._allowances: dict[tuple[Address, Address], int] = {}
        self._supply = sum(self._balances.values())
        self._undo: list[tuple[Address, int]] = []
        self._undo_allowance: list[tuple[tuple[Address, Address], int]] = []
        self._undo_supply = self._supply

    @property
    def supply(self) -> int:
        """All tokens there are [base units]."""
        return self._supply

    def balance(self, owner: Address) -> int:
        """What `owner` holds [base units]."""
        return self._balances.get(owner, 0)

    def balances(self) -> Mapping[Address, int]:
        """Every balance that is not zero, by owner; a copy."""
        return {owner: amount for owner, amount in self._balances.items() if amount}

    def allowance(self, owner: Address, spender: Address) -> int:
        """What `spender` may still pull from `owner` [base units]."""
        return self._allowances.get((owner, spender), 0)

    def approve(self, owner: Address, spender: Address, amount: int) -> None:
        """Let `spender` pull exactly `amount` from `owner`, or `UNLIMITED`; replaces the last approval.

        Raises:
            TokenRefused: the spender is the zero address; nothing changed.
        """
        if not any(spender):
            raise TokenRefused("an approval for the zero address")
        self._set_allowance((owner, spender), amount)

    def transfer(self, sender: Address, to: Address, amount: int) -> None:
        """Move `amount` from `sender` to `to`.

        Raises:
            TokenRefused: the balance is too small; nothing changed.
        """
        self._move(sender, to, amount)

    def transfer_from(self, spender: Address, owner: Address, to: Address, amount: int) -> None:
        """Let `spender` move `amount` from `owner` to `to`, using up its allowance.

        Raises:
            TokenRefused: the allowance or the balance is too small; nothing changed.
        """
        allowed = self.allowance(owner, spender)
        if allowed < amount:
            raise TokenRefused(f"allowance {allowed} is smaller than {amount}")
        self._move(owner, to, amount)
        if allowed != UNLIMITED:
            self._set_allowance((owner, spender), allowed - amount)

    def mint(self, to: Address, amount: int) -> None:
        """Make `amount` new tokens; for setting up a world, not a part of the market's rules."""
        self._set_balance(to, self.balance(to) + amount)
        self._supply += amount

    def commit(self) -> dict[Address, int]:
        """Keep what changed since the last `commit` or `rollback`.

        Returns:
            The owners whose balance was touched, in order of first touch, and what each held before
            [base units].
        """
        before: dict[Address, int] = {}
        for owner, amount in self._undo:
            before.setdefault(owner, amount)
        self._undo.clear()
        self._undo_allowance.clear()
        self._undo_supply = self._supply
        return before

    def rollback(self) -> None:
        """Take back what changed since the last `commit` or `rollback`."""
        for owner, amount in reversed(self._undo):
            self._balances[owner] = amount
        for pair, amount in reversed(self._undo_allowance):
            self._allowances[pair] = amount
        self._supply = self._undo_supply
        self._undo.clear()
        self._undo_allowance.clear()

    def _move(self, sender: Address, to: Address, amount: int) -> None:
        held = self.balance(sender)
        if held < amount:
            raise TokenRefused(f"balance {held} is smaller than {amount}")
        self._set_balance(sender, held - amount)
        self._set_balance(to, self.balance(to) + amount)

    def _burn(self, owner: Address, amount: int) -> None:
        self._set_balance(owner, self.balance(owner) - amount)
        self._supply -= amount

    def _set_balance(self, owner: Address, amount: int) -> None:
        self._undo.append((owner, self.balance(owner)))
        self._balances[owner] = amount

    def _set_allowance(self, pair: tuple[Address, Address], amount: int) -> None:
        self._undo_allowance.append((pair, self._allowances.get(pair, 0)))
        self._allowances[pair] = amount
