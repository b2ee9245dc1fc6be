"""Looking into the tree of models: which keys stand where, and of what kind they are."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sim.scenario.fields import Quantity, quantity_of
from sim.scenario.model import Scenario
from sim.scenario.problems import KeyPath


def models_of(annotation: Any) -> list[type[BaseModel]]:
    """The models that a value with this annotation can be."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, types.UnionType, tuple, list, dict, Annotated):
        return [model for arg in get_args(annotation) for model in models_of(arg)]
    return []


def tag_of(model: type[BaseModel]) -> tuple[str, str] | None:
    """The key and the value that tell this model among others: `("policy", "keda")`."""
    for name, field in model.model_fields.items():
        if (
            get_origin(field.annotation) is Literal
            and field.is_required()
            and len(get_args(field.annotation)) == 1
        ):
            return name, str(get_args(field.annotation)[0])
    return None


def choose(models: list[type[BaseModel]], data: Any) -> type[BaseModel] | None:
    """The model that raw data is meant to be."""
    if len(models) == 1:
        return models[0]
    for model in models:
        tag = tag_of(model)
        if tag and isinstance(data, dict) and data.get(tag[0]) == tag[1]:
            return model
    return None


def fields_by_key(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """A model's fields by the key a file has for them."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def quantity(field: FieldInfo) -> Quantity | None:
    """How the field's value is read and written, when it is a quantity."""
    found = quantity_of(field.metadata)
    if found is not None:
        return found
    for arg in get_args(field.annotation):
        if get_origin(arg) is Annotated and (inner := quantity_of(get_args(arg)[1:])):
            return inner
    return None


def model_at(path: KeyPath, data: Any) -> type[BaseModel] | None:
    """The model at a path of raw data; None where there is none (a value, or free settings)."""
    model: type[BaseModel] | None = Scenario
    models: list[type[BaseModel]] = [Scenario]
    for part in path:
        below = data.get(part) if isinstance(data, dict) else None
        if isinstance(data, list) and isinstance(part, int) and part < len(data):
            below = data[part]
        if isinstance(part, str):
            model = choose(models, data)
            field = fields_by_key(model).get(part) if model else None
            models = models_of(field.annotation) if field else []
        data = below
    return choose(models, data) if models else None


def keys_at(path: KeyPath, data: Any) -> list[str] | None:
    """The keys allowed at a path.

    Args:
        path: of a mapping.
        data: the raw data there (it tells `keda` from `kpa`).

    Returns:
        None when anything may stand there.
    """
    holder: Any = data
    for part in reversed(path):
        holder = {part: holder} if isinstance(part, str) else [holder] * (part + 1)
    model = model_at(path, holder)
    return list(fields_by_key(model)) if model else None


def walk() -> Iterator[type[BaseModel]]:
    """Every model of the tree once, the scenario first, then as the keys come."""
    seen: list[type[BaseModel]] = [Scenario]
    for model in seen:
        yield model
        for field in model.model_fields.values():
            seen += [found for found in dict.fromkeys(models_of(field.annotation)) if found not in seen]


__all__ = ["choose", "fields_by_key", "keys_at", "model_at", "models_of", "quantity", "tag_of", "walk"]
