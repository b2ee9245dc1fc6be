"""What pydantic found wrong, said in the project's words: the value, what is allowed, the nearest known key."""

from __future__ import annotations

from typing import Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from protocol.manifest import hint, nearest
from protocol.quantities import show
from sim.scenario.problems import KeyPath
from sim.scenario.tree import fields_by_key, model_at, models_of, quantity, tag_of

PATTERNS: Final = {
    "name": "lower-case letters, digits and dashes, at most 63",
    "region": "a region as name-zone-number, such as bul-east-1",
    "symbol": "a token's symbol: a letter, then letters, digits and dots, 16 at most",
    "numeraire": "a symbol: a letter, then letters, digits and dots, 16 at most",
}
"""What the pattern of a key means, by the key."""


def translate(error: ValidationError, data: Any) -> list[tuple[KeyPath, str]]:
    """Path and text of every error, in the order of the tree; paths are those of the raw data."""
    found = []
    details = error.errors()
    mistyped = _mistyped(details, data)
    for detail in details:
        if detail["type"] == "too_short" and len(detail["input"]) >= detail["ctx"]["min_length"]:
            continue  # members that are wrong are not counted; they have errors of their own
        path = _path(detail["loc"], data, missing=detail["type"] == "missing")
        if detail["type"] == "missing" and path in mistyped:
            continue  # it is there, under another name
        found.append((path, _text(detail, path, data)))
    return list(dict.fromkeys(found))


def _mistyped(details: list[ErrorDetails], data: Any) -> set[KeyPath]:
    """Keys that unknown ones beside them are meant to be."""
    found: set[KeyPath] = set()
    for detail in details:
        if detail["type"] == "extra_forbidden":
            path = _path(detail["loc"], data, missing=False)
            model = _holder(path, data)
            near = nearest(str(path[-1]), fields_by_key(model)) if model else None
            if near is not None:
                found.add((*path[:-1], near))
    return found


def _path(loc: tuple[str | int, ...], data: Any, *, missing: bool) -> KeyPath:
    """The location without the tags that pydantic puts in for the branch of a union it took."""
    path: list[str | int] = []
    here = data
    for i, part in enumerate(loc):
        last = i + 1 == len(loc)
        if isinstance(here, dict) and part in here and not (last and missing):
            here = here[part]
        elif isinstance(part, int):
            here = here[part] if isinstance(here, list) and part < len(here) else None
        elif not _is_key(tuple(path), here, part):
            continue
        else:
            here = None
        path.append(part)
    return tuple(path)


def _is_key(path: KeyPath, here: Any, part: str) -> bool:
    """Whether a word that the data does not have is a key it could have, or a tag of pydantic's."""
    if not isinstance(here, dict):
        return False
    return part not in ("word", "law", "price", "market", "product") and part not in (
        here.get("policy"),
        here.get("kind"),
    )


def _holder(path: KeyPath, data: Any) -> type[BaseModel] | None:
    return model_at(path[:-1], data)


def _text(detail: ErrorDetails, path: KeyPath, data: Any) -> str:
    kind, value, ctx = detail["type"], detail["input"], detail.get("ctx", {})
    model = _holder(path, data) if path else None
    field = fields_by_key(model).get(str(path[-1])) if model and path else None
    match kind:
        case "missing":
            if field is None:
                return "is missing"
            what = quantity(field)
            return f"is missing: {_lower(field.description)}" + (f" ({what.allowed})" if what else "")
        case "extra_forbidden":
            known = list(fields_by_key(model)) if model else []
            return f"unknown key; {hint(str(path[-1]), known)}"
        case "value_error":
            return str(ctx["error"])
        case "literal_error":
            words = [_word(word) for word in _words(field.annotation)] if field else []
            near = nearest(str(value), words)
            allowed = ", ".join(words) or str(ctx["expected"])
            return f"{show(value)} is not allowed: {allowed}" + (f"; did you mean '{near}'?" if near else "")
        case "greater_than_equal":
            return f"{show(value)} is less than {ctx['ge']}, the least allowed"
        case "less_than_equal":
            return f"{show(value)} is more than {ctx['le']}, the most allowed"
        case "int_type" | "int_from_float" | "int_parsing":
            return f"{show(value)} is not a whole number"
        case "string_type":
            return f"{show(value)} is not text"
        case "bool_type":
            return f"{show(value)} is not true or false"
        case "string_too_short":
            return f"{show(value)} is empty; at least {ctx['min_length']} character is needed"
        case "string_pattern_mismatch":
            return f"{show(value)} is not {PATTERNS.get(str(path[-1]), 'of the form ' + str(ctx['pattern']))}"
        case "string_too_long":
            return f"{show(value)} is longer than {ctx['max_length']} characters"
        case "too_short":
            return f"the list has {ctx['actual_length']} members; at least {ctx['min_length']} are needed"
        case "too_long":
            return f"the list has {ctx['actual_length']} members; at most {ctx['max_length']} are allowed"
        case "tuple_type" | "list_type":
            return f"{show(value)} is not a list"
        case "dict_type" | "model_type" | "model_attributes_type":
            return f"{show(value)} is not a mapping" + _keys(path, data, field)
        case "union_tag_not_found" | "union_tag_invalid":
            return _tag(detail, path, value, field)
        case _:
            return f"{show(value)} is not allowed: {detail['msg'][:1].lower()}{detail['msg'][1:]}"


def _lower(text: str | None) -> str:
    text = (text or "").rstrip(".")
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


def _words(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return tuple(word for arg in get_args(annotation) for word in _words(arg))


def _word(word: Any) -> str:
    return str(word).lower() if isinstance(word, bool) else str(word)


def _keys(path: KeyPath, data: Any, field: Any) -> str:
    models = models_of(field.annotation) if field else [m for m in [model_at(path, data)] if m]
    tags = {tag[0] for tag in map(tag_of, models) if tag}
    if len(models) > 1 and len(tags) == 1:
        return f" with the key '{tags.pop()}'"
    return f" with the keys {', '.join(fields_by_key(models[0]))}" if len(models) == 1 else ""


def _tag(detail: ErrorDetails, path: KeyPath, value: Any, field: Any) -> str:
    models = models_of(field.annotation) if field else models_of(_item(path))
    tags = [tag for tag in map(tag_of, models) if tag]
    key, words = tags[0][0], [tag[1] for tag in tags]
    if not isinstance(value, dict):
        return f"{show(value)} is not a mapping with the key '{key}'"
    if key not in value:
        return f"the key '{key}' is missing: {', '.join(words)}"
    near = nearest(str(value[key]), words)
    return f"{key} {show(value[key])} is not allowed: {', '.join(words)}" + (
        f"; did you mean '{near}'?" if near else ""
    )


def _item(path: KeyPath) -> Any:
    """The annotation of a member of a top-level list, such as one of `faults`."""
    from sim.scenario.model import Scenario

    return Scenario.model_fields[str(path[0])].annotation
