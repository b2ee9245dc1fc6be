"""Each event of the protocol's trace as half a sentence; the party that says it comes before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any, Final

from protocol.events import Happened
from protocol.quantities import decimal
from protocol.units import NS_PER_MS, NS_PER_S

Row = Mapping[str, Any]
Money = Callable[[int], str]
"""Base units of the payment token as text, such as `0.0085 DAI`."""

RULES: Final = {
    "FundsExhausted": "its funds are used up",
    "Unlocked": "its publisher takes its funds back",
    "Deleted": "its publisher asked for it",
    "ChannelGone": "its channel is gone",
    "ChainUnconfirmed": "the chain has not been heard of for too long",
    "ExposureCap": "more is owed and unpaid than the provider risks",
    "ProviderSilent": "the provider has been silent for too long",
    "NoCapacity": "there is no room",
    "NoCandidate": "no listed provider fits",
    "NoAnswer": "no answer came",
    "Overclaimed": "more was claimed than is signed",
    "BillWithheld": "no statement comes for what was claimed",
    "BillNotSigned": "a statement is not signed by it",
    "BillDiffers": "a statement does not fit what was agreed",
    "BillTooHigh": "a statement asks for more than its amounts cost",
    "UsageImpossible": "a statement bills more than can have run",
    "ChainUnknown": "the chain does not answer",
}
"""Rules that a story is full of; the others keep the name they have in the protocol, which says what they are."""

FUNCTIONS: Final = {
    "approve": "let the contract take its deposit",
    "createChannel": "open the channel with the first deposit",
    "deposit": "put more into the channel",
    "unlock": "begin to take back what is left",
    "closeChannel": "take back what is left",
    "withdrawUnlocked": "take back what was unlocked",
    "withdrawMany": "claim what its pods owe",
    "withdrawUpTo": "make its final claim, which releases the rest",
    "withdraw": "claim what a pod owes",
    "release": "give back what is left",
    "registerProvider": "list itself",
    "registerPricingTable": "publish its prices",
}


def rule_text(rule: str) -> str:
    """A rule in words, with its name."""
    return f"{RULES[rule]} ({rule})" if rule in RULES else rule


def function_text(name: str) -> str:
    """What calling a function of the contracts is for, with its name."""
    return f"{FUNCTIONS[name]} ({name})" if name in FUNCTIONS else name


def clock_text(elapsed_ns: int) -> str:
    """Time since the start, `hours:minutes:seconds`, to the millisecond."""
    sign = "-" if elapsed_ns < 0 else ""
    seconds, ms = divmod(abs(elapsed_ns) // NS_PER_MS, 1000)
    return f"{sign}{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{ms:03d}"


def span_text(span_ns: int) -> str:
    """How long, for a sentence: `53.9 s`, `4 min 12 s`, `1 h 2 min`."""
    if span_ns < NS_PER_S:
        return f"{span_ns / NS_PER_MS:.3g} ms"
    if span_ns < 60 * NS_PER_S:
        return f"{span_ns / NS_PER_S:.3g} s"
    seconds = round(span_ns / NS_PER_S)
    parts = [
        (seconds // 86400, "d"),
        (seconds // 3600 % 24, "h"),
        (seconds // 60 % 60, "min"),
        (seconds % 60, "s"),
    ]
    first = next(place for place, (count, _) in enumerate(parts) if count)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count)


def exact_text(base_units: int, decimals: int, symbol: str) -> str:
    """Money with every digit that is not zero."""
    return f"{decimal(Fraction(base_units, 10**decimals))} {symbol}"


def money_text(base_units: int, decimals: int, symbol: str) -> str:
    """Money to six significant digits, without an exponent: `0.00850019 DAI`."""
    value = Context(prec=6).divide(Decimal(base_units), Decimal(10**decimals))
    digits = f"{value:f}"
    return f"{digits.rstrip('0').rstrip('.') if '.' in digits else digits} {symbol}"


def phrase(row: Row, money: Money, gas: Money) -> str:
    """What an event says, without who and when.

    Args:
        row: of the table `events`.
        money: writes an amount of the payment token.
        gas: writes an amount of the gas token.
    """
    name, amount, rule = row["event"], int(row["amount"] or 0), str(row["rule"])
    detail, provider, pod = str(row["detail"]), row["provider"], row["pod"]
    why = rule_text(rule)
    match name:
        case Happened.MANIFEST_COLLECTED:
            return f"collects its manifest ({amount} bytes)"
        case Happened.PROVIDERS_LISTED:
            return f"reads the registry: {amount} provider{'' if amount == 1 else 's'} listed"
        case Happened.PROVIDER_ATTESTED:
            return f"checks {provider}'s keys and evidence: they hold"
        case Happened.OFFER_MADE:
            return f"offers to run it for a first deposit of {money(amount)} at least"
        case Happened.OFFER_TAKEN:
            return f"takes {provider}'s offer ({money(amount)} at least)"
        case Happened.CANDIDATE_PASSED_OVER:
            return f"passes {provider} over: {why}{_more(detail)}"
        case Happened.TRANSACTION_SENT:
            return f"sends a transaction to {function_text(rule)}"
        case Happened.TRANSACTION_CONFIRMED:
            return f"believes that its {rule} counts; the fee was {gas(amount)}"
        case Happened.TRANSACTION_REVERTED:
            return f"learns that the contract refused its transaction: {rule}; the fee was {gas(amount)}"
        case Happened.TRANSACTION_UNKNOWN:
            return f"does not know what became of its {rule}{_more(detail)}"
        case Happened.CHANNEL_FUNDED:
            return f"sees its channel with {provider} hold {money(amount)}"
        case Happened.IMAGES_UPLOADED:
            return f"has its image encrypted and uploaded ({amount:,} bytes sent)"
        case Happened.BUNDLE_SENT:
            return f"has sent {provider} the sealed manifest ({amount} bytes)"
        case Happened.POD_ACCEPTED:
            return f"accepts the pod, at its pricing table {detail}"
        case Happened.REQUEST_REFUSED:
            return f"refuses a request: {why}{_more(detail)}"
        case Happened.POD_FAILED:
            return f"cannot run the pod: {why}{_more(detail)}"
        case Happened.POD_CONFIGURED:
            return f"has set the pod up (version {amount}): it runs, and is billed while replicas run"
        case Happened.POD_CONFIRMED:
            return f"hears from {provider} that the pod runs"
        case Happened.DEPLOYMENT_FAILED:
            return f"found nobody to run it: {why}{_more(detail)}"
        case Happened.POD_METERED:
            return f"reads the meter: {money(amount)} owed, so {why}"
        case Happened.CLAIM_SUBMITTED:
            final = "for the last time " if rule == "final" else ""
            return f"claims {final}{money(amount)} in all, of {money(int(detail or amount))} owed"
        case Happened.CLAIM_SETTLED:
            return f"gets nothing for its claim: {why}" if rule else f"is paid {money(amount)}"
        case Happened.FUNDS_LOW:
            return f"sees that funds are low: {money(amount)} left in the channel beyond what is owed"
        case Happened.POD_SUSPENDED:
            return f"suspends the pod (no replicas, data kept): {why}; {money(amount)} owed"
        case Happened.POD_RESUMED:
            return "lets the pod run again"
        case Happened.POD_UPDATED:
            return f"has brought the update out (version {amount})"
        case Happened.POD_REMOVED:
            unpaid = f"; by its count {money(amount)} of what it served is not covered" if amount else ""
            return f"has removed the pod: {why}{unpaid}"
        case Happened.CHANNEL_RELEASED:
            return f"has given {pod} back what was left in the channel: {money(amount)}"
        case Happened.UNLOCK_SEEN:
            return f"sees that {pod} is taking its funds back"
        case Happened.CHAIN_UNKNOWN:
            return f"gets no answer from the chain{_more(rule)}"
        case Happened.ENDPOINTS_DIFFER:
            return "is told different things by its two endpoints of the chain"
        case Happened.TOPPED_UP:
            return f"has put {money(amount)} more into the channel"
        case Happened.UPDATE_REFUSED:
            return f"is refused its update by {provider}: {why}{_more(detail)}"
        case Happened.UNLOCK_STARTED:
            return "has begun to take back what is left in the channel: the unlock time runs"
        case Happened.FUNDS_RETURNED:
            return f"has got {money(amount)} back from its channel with {provider}"
        case Happened.POD_DELETED:
            return f"has told {provider} to delete the pod"
        case Happened.LIE_FOUND:
            return f"finds {provider} out: {why}{_more(detail)}; {money(amount)} claimed so far"
        case Happened.POD_LOST:
            return f"learns that the pod is gone: {why}"
        case Happened.LOGS_READ:
            return f"reads the log ({amount} lines)"
        case Happened.RECOVERED:
            return f"is back after a crash, with {amount} pod{'' if amount == 1 else 's'}"
        case Happened.PRICE_CHANGED:
            return f"changes its prices (table {amount})"
        case _:
            return f"{name}{_more(rule)}{_more(detail)}"  # of a version that had other events


def _more(detail: str) -> str:
    return f" ({detail})" if detail else ""
