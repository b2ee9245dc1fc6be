"""The reference of policies, made from the classes: `python -m sim.scenario.policy_reference > docs/reference/policies.md`."""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from typing import TYPE_CHECKING, Final

from protocol.policies import admission, claims, funding, on_loss, price, scaling, selection
from sim.scenario.policies import KINDS, METHODS, PROTOCOLS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

TOLD: Final[Mapping[str, Sequence[type]]] = {
    "price": (price.Shop, price.Costs, price.Seen, price.Rival),
    "admission": (admission.Asked,),
    "claim": (claims.Due, claims.Quiet),
    "selection": (selection.Choice, selection.Candidate, selection.Past, selection.Load),
    "funding": (funding.Purse,),
    "on_loss": (on_loss.Loss, on_loss.Then),
    "scaling": (scaling.Demand, scaling.Scale),
}
"""What each kind of policy is told and answers with."""

HEAD: Final = """\
# Policies

What a party may decide as it likes, by key of `policies:` in a scenario (`scaling` stands apart: `scaling: {policy: own, use: ...}`).
How to write one: [the guide](../guides/write-a-policy.md). Made from the code by `python -m sim.scenario.policy_reference`.

Amounts of money are whole base units of the payment token, times whole nanoseconds. `chance()` gives the next uniform number in
(0, 1) of the party's own stream for that kind of decision.
"""


def page() -> str:
    """The page."""
    parts = [HEAD]
    for kind, protocol in PROTOCOLS.items():
        parts.append(f"## {kind}\n\n{_text(protocol)}\n")
        for name in METHODS[kind]:
            method = getattr(protocol, name)
            parts.append(f"### `{name}{_signature(method)}`\n\n{_text(method)}\n")
        parts += [f"### {cls.__name__}\n\n{_text(cls)}\n" for cls in TOLD[kind]]
        for name, cls in KINDS[kind].items():
            settings = ", ".join(f"`{field.name}`" for field in dataclasses.fields(cls)) or "none"
            parts.append(f"### `{name}`\n\n{_text(cls)}\n\nSettings: {settings}.\n")
    return "\n".join(parts)


def _signature(method: Callable[..., object]) -> str:
    return re.sub(
        r"\(self, ?|\(self\)", lambda m: "()" if m[0] == "(self)" else "(", str(inspect.signature(method))
    )


def _text(thing: object) -> str:
    """A docstring as Markdown: its sections' entries become lists."""
    lines = []
    section = False
    for line in (inspect.getdoc(thing) or "").splitlines():
        if re.fullmatch(r"(Attributes|Args|Returns):", line):
            section = line != "Returns:"
            lines += [f"**{line[:-1]}**", ""]
        elif section and (entry := re.fullmatch(r"    ([\w, ]+): (.*)", line)):
            lines.append(f"- `{entry[1]}`: {entry[2]}")
        else:
            lines.append(line.replace("        ", "  ", 1) if section else line.strip())
    return "\n".join(lines).strip()


if __name__ == "__main__":
    sys.stdout.write(page())
