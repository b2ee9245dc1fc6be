"""What is made from the tree of models: the JSON Schema for editors, and the reference of all keys."""

from __future__ import annotations

import inspect
import json
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sim.scenario import checks
from sim.scenario.fields import DEFAULT_CONTEXT
from sim.scenario.laws import OneOf
from sim.scenario.model import Scenario
from sim.scenario.policies import CLIENTS, KINDS
from sim.scenario.tree import fields_by_key, models_of, quantity, tag_of, walk


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a scenario file."""
    schema = Scenario.model_json_schema(by_alias=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "Trusted Pods scenario",
    }


def schema_text() -> str:
    """`json_schema` as `scenarios/scenario.schema.json` holds it."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def reference_markdown() -> str:
    """`docs/reference/scenario.md`: every key with its kind, default and meaning."""
    lines = [
        "# Scenario keys",
        "",
        "Made from the models in `sim/scenario/`; do not edit by hand: `python -m sim.scenario.reference > docs/reference/scenario.md`.",
        "",
        "Relative paths start from the folder of the scenario file. A member of a group is called `<group>-<index>`, from 0.",
    ]
    for model in walk():
        lines += ["", f"## {_title(model)}", "", *_about(model), ""]
        lines += ["| key | what may stand there | default | meaning |", "| --- | --- | --- | --- |"]
        lines += [_row(name, field) for name, field in fields_by_key(model).items()]
    lines += ["", "## Policies", "", "Short names that `use` takes, and their settings.", ""]
    for kind, known in KINDS.items():
        for name, cls in known.items():
            lines.append(f"- `{kind}: {name}`: {_first_line(cls)} Settings: {_settings(cls)}.")
    lines += ["", "## Behaviours", "", "Short names that `behaviour` takes, and their settings.", ""]
    for party, (named, _) in CLIENTS.items():
        for name, cls in named.items():
            conduct = getattr(cls, "Conduct", None)
            said = "none" if conduct is None else _settings(conduct)
            lines.append(f"- of a {party}, `{name}`: {_first_line(cls)} Settings: {said}.")
    lines += ["", "## What is checked between keys", ""]
    lines += [f"- {_first_line(check)}" for check in checks.CHECKS]
    return "\n".join(lines) + "\n"


def _title(model: type[BaseModel]) -> str:
    tag = tag_of(model)
    return f"{model.__name__} (`{tag[0]}: {tag[1]}`)" if tag else model.__name__


def _about(model: type[BaseModel]) -> list[str]:
    text = inspect.getdoc(model) or ""
    return [*text.splitlines(), *(["", f"Exactly one {model.what}."] if issubclass(model, OneOf) else [])]


def _first_line(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").split("\n\n")[0].replace("\n", " ")


def _settings(cls: type) -> str:
    names = [name for name in inspect.signature(cls).parameters if name not in ("args", "kwargs")]
    return ", ".join(f"`{name}`" for name in names) or "none"


def _row(name: str, field: FieldInfo) -> str:
    return f"| `{name}` | {_allowed(field)} | {_default(field)} | {field.description} |"


def _allowed(field: FieldInfo) -> str:
    found = quantity(field)
    if found is not None and not models_of(field.annotation):
        return found.kind
    models = [f"[{model.__name__}](#{_anchor(model)})" for model in models_of(field.annotation)]
    words = [
        f"`{str(word).lower() if isinstance(word, bool) else word}`" for word in _literals(field.annotation)
    ]
    plain = [found.kind] if found is not None else [] if models or words else [_plain(field.annotation)]
    many = "list of " if get_origin(field.annotation) is tuple and plain != ["two names"] else ""
    return many + ", ".join([*words, *plain, *models])


def _anchor(model: type[BaseModel]) -> str:
    kept = [c if c.isalnum() or c in "-_" else "-" if c == " " else "" for c in _title(model).lower()]
    return "".join(kept)


def _literals(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return tuple(word for arg in get_args(annotation) for word in _literals(arg))


def _plain(annotation: Any) -> str:
    if annotation is int:
        return "whole number"
    if annotation is bool:
        return "true or false"
    if get_origin(annotation) is dict:
        return "mapping"
    if get_origin(annotation) is tuple:
        return "two names" if get_args(annotation) == (str, str) else "rows, such as `0:400`"
    inner = [arg for arg in get_args(annotation) if arg is not type(None)]
    return _plain(inner[0]) if inner else "text"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    value = field.default
    if value is None:
        return "null"
    if value == {}:
        return "its own defaults"
    if value == ():
        return "none"
    if isinstance(value, str):
        found = quantity(field)
        kind = found.kind if found else ""
        token = DEFAULT_CONTEXT.gas if "gas" in kind else DEFAULT_CONTEXT.payment
        token = DEFAULT_CONTEXT.numeraire if "numéraire" in kind else token
        return f"`{value.replace('{token}', token.symbol)}`" if value else "empty"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{json.dumps(value)}`" if isinstance(value, dict) else f"`{value}`"


if __name__ == "__main__":
    import sys

    sys.stdout.write(reference_markdown())
