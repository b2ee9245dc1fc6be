"""Asking a policy, which may be anybody's code: what it answers is looked at before anything follows from it.

A policy that raises, or answers what cannot be, ends the party with a `PolicyFault`, which names the policy, the
party, the instant, and what is allowed.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

from protocol.errors import PolicyFault, Refusal
from protocol.policies.on_loss import Then
from protocol.pricing import PriceTable
from protocol.units import NS_PER_S

if TYPE_CHECKING:
    from protocol.ports import World

Check = Callable[[Any], bool]


def ask(
    world: World, kind: str, policy: Any, method: str, *args: Any, ok: Check, allowed: str, **named: Any
) -> Any:
    """Ask a policy of the party that has these ports; see `ask_of`."""
    party, now_ns = str(world.network.peer_id), world.clock.now_ns()
    return ask_of(party, now_ns, kind, policy, method, *args, ok=ok, allowed=allowed, **named)


def ask_of(
    party: str,
    now_ns: int,
    kind: str,
    policy: Any,
    method: str,
    *args: Any,
    ok: Check,
    allowed: str,
    **named: Any,
) -> Any:
    """Ask a policy.

    Args:
        party: whose it is.
        now_ns: the present [Unix ns].
        kind: what is decided, such as `price`.
        policy: who is asked.
        method: what.
        *args: what it is told.
        ok: whether it can have answered that.
        allowed: what it can, in words.
        **named: what it is told by name.

    Raises:
        PolicyFault: it raised, or its answer cannot be.
    """

    def fault(text: str) -> PolicyFault:
        cls = policy.__class__
        who = f"{kind} policy {cls.__module__}:{cls.__qualname__} of {party}"
        when = f"asked for `{method}` at {now_ns / NS_PER_S:.3f} s (Unix time)"
        return PolicyFault(f"{who}, {when}: {text}; allowed: {allowed}")

    try:
        answer = getattr(policy, method)(*args, **named)
        good = ok(answer)
    except Exception as error:  # anybody's code can fail in any way
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = f"it raised {type(error).__name__}: {error} ({where.filename}, line {where.lineno})"
        if isinstance(error, TimeoutError):
            text = str(error)
        raise fault(text) from error
    if not good:
        shown = repr(answer)
        text = f"it answered {shown if len(shown) <= 200 else shown[:200] + '...'}"
        raise fault(text)
    return answer


# ---------------------------------------------------------------- what can be answered

A_WAIT = "a whole number of nanoseconds above 0, or None for never"


def is_wait(answer: Any) -> bool:
    """Nanoseconds above 0, or None."""
    return answer is None or (type(answer) is int and answer > 0)


A_TIME = "a whole number of nanoseconds of 0 and more"


def is_time(answer: Any) -> bool:
    """Nanoseconds of 0 and more."""
    return type(answer) is int and answer >= 0


AN_AMOUNT = "a whole number of the token's base units of 0 and more"


def is_amount(answer: Any) -> bool:
    """Base units of 0 and more."""
    return type(answer) is int and answer >= 0


A_TABLE = "a PriceTable in the token of `shop.base`, all of whose prices are whole base units"


def is_table(answer: Any, base: PriceTable) -> bool:
    """A table of whole prices in the same token."""
    if not isinstance(answer, PriceTable) or answer.token != base.token:
        return False
    return all(type(price) is int for price in (*answer.five, *answer.extras.values()))


A_REFUSAL = "None, or a Refusal whose rule is a name such as `TooManyPods`"


def is_refusal(answer: Any) -> bool:
    """None, or why not."""
    return answer is None or (isinstance(answer, Refusal) and answer.rule.isidentifier())


A_STEP = "Then.LEAVE, Then.REDEPLOY, or Then.WAIT where `loss.can_wait`"


def is_step(answer: Any, *, can_wait: bool) -> bool:
    """What to do after a loss."""
    return isinstance(answer, Then) and (can_wait or answer is not Then.WAIT)


def is_some_of(answer: Any, offered: Collection[Any]) -> bool:
    """A sequence of things out of `offered`, none twice: the very same, not equal ones."""
    if not isinstance(answer, Sequence):
        return False
    known = {id(one) for one in offered}
    chosen = {id(one) for one in answer}
    return chosen <= known and len(chosen) == len(answer)


def is_quiet(answer: Any, count: int) -> bool:
    """None, or as many whole amounts as there are pods and a time."""
    if answer is None:
        return True
    try:
        amounts, for_ns = answer
    except (TypeError, ValueError):
        return False
    return (
        type(for_ns) is int
        and isinstance(amounts, Sequence)
        and len(amounts) == count
        and all(type(amount) is int for amount in amounts)
    )
