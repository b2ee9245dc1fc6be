"""Every error of the core, in one tree.

    TrustedPodsError
    ├── BadInput                 a person or a file said something that cannot be; nothing was done
    │   ├── BadManifest          ... in a pod manifest: names the path, the value and what is allowed
    │   └── PolicyFault          a policy raised, or decided what cannot be
    ├── ProtocolError            a rule was broken by the caller; the state is unchanged
    │   ├── PaymentError         the payment channel's refusals; the class name is the Solidity error's name
    │   │   ├── AmountRequired   ├── AlreadyExists      ├── DoesNotExist
    │   │   ├── ChannelLocked    ├── InsufficientFunds  └── UnlockTimeTooLong
    │   ├── TokenRefused         the token's transfer was refused (balance or allowance too small)
    │   ├── RegistryError        the registry's refusals
    │   │   └── EmptyCid, UnknownTable, AlreadySubscribed, NotSubscribed, NotRegistered
    │   └── Refusal              what one party answers the other; `.rule` names the rule; travels on the wire
    ├── PeerFault                the other side broke the protocol; `.rule` is the evidence
    └── PortError                the world failed; `.sent` says whether anything left, `.retry_after_s` when to try again

Not knowing is an outcome (`ports.TxUnknown`, `ports.NoAnswer`), not an exception.
`Killed` is a `BaseException`: the process of a party ended at that await, and nothing may catch it.
"""

from __future__ import annotations


class TrustedPodsError(Exception):
    """The root: whatever the project raises on purpose is one of these."""


class BadInput(TrustedPodsError):
    """A value given by a person or a file cannot be used; nothing was done."""


class BadManifest(BadInput):
    """A manifest is wrong.

    Args:
        path: where in the manifest, such as `containers[0].image`.
        problem: the value and what is allowed there.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}" if path else problem)
        self.path = path
        self.problem = problem


class PolicyFault(BadInput):
    """A policy that somebody brought raised, took too long, or decided what cannot be; nothing followed from it."""


class ProtocolError(TrustedPodsError):
    """A rule of the protocol was broken; the state is what it was before."""


class PaymentError(ProtocolError):
    """The payment contract refuses. Class names equal the Solidity errors' names."""


class AmountRequired(PaymentError):
    """The amount to move is zero."""


class AlreadyExists(PaymentError):
    """A channel for this publisher, provider and pod exists."""


class DoesNotExist(PaymentError):
    """No channel for this publisher, provider and pod exists."""


class ChannelLocked(PaymentError):
    """No unlock runs, or its time has not passed."""


class InsufficientFunds(PaymentError):
    """The claim is larger than what was invested."""


class UnlockTimeTooLong(PaymentError):
    """The unlock time is more than 365 days."""


class TokenRefused(ProtocolError):
    """The token refused a transfer: the balance or the allowance is too small, or the token says no."""


class RegistryError(ProtocolError):
    """The registry contract refuses."""


class EmptyCid(RegistryError):
    """A provider cannot be registered without a record."""


class UnknownTable(RegistryError):
    """There is no pricing table with this id."""


class AlreadySubscribed(RegistryError):
    """The provider is subscribed to this table."""


class NotSubscribed(RegistryError):
    """The provider is not subscribed to this table."""


class NotRegistered(RegistryError):
    """The caller is not a registered provider."""


class Refusal(ProtocolError):
    """What one party answers when it will not do what it was asked.

    Args:
        rule: the name of the rule, in CamelCase, such as `RequestIdReused` or `DepositTooSmall`.
        detail: the value and what is allowed, for a person.
    """

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(f"{rule}: {detail}")
        self.rule = rule
        self.detail = detail


class PeerFault(TrustedPodsError):
    """The other side broke the protocol.

    Args:
        rule: which rule, in CamelCase, such as `OfferNotSignedByProvider`.
        detail: the evidence, for a person.
    """

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(f"{rule}: {detail}")
        self.rule = rule
        self.detail = detail


class PortError(TrustedPodsError):
    """The world failed: a node is out of reach, a store is full.

    Args:
        detail: what failed, for a person.
        sent: whether anything may have left this process; False means trying again is safe.
        retry_after_s: seconds to wait before another try [s]; None when trying again cannot help.
    """

    def __init__(self, detail: str, *, sent: bool, retry_after_s: int | None) -> None:
        super().__init__(detail)
        self.sent = sent
        self.retry_after_s = retry_after_s


class Killed(BaseException):
    """The party's process ended at this await. Never caught by the core."""
