"""A scenario of which parts are wrong, for the checks whose parts stand.

Where a value is wrong, its attribute is missing; who asks for it gets `Unsound`, so that a check ends where
it would have to guess. Everything else is as in a whole scenario.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args, get_origin

from annotated_types import MinLen
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from sim.scenario.laws import Model, OneOf, Unsound
from sim.scenario.model import Scenario

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from sim.scenario.fields import Context
    from sim.scenario.problems import KeyPath

T = TypeVar("T")


class Hole:
    """A member of a list that does not stand at all: every question about it is `Unsound`."""

    def __getattr__(self, name: str) -> Any:
        """See `Hole`."""
        raise Unsound(name)


def partial_scenario(data: dict[str, Any], context: Context, broken: Set[KeyPath]) -> Scenario:
    """The parts of a scenario that stand.

    Args:
        data: the raw scenario.
        context: its tokens and folder.
        broken: paths whose values are known to be wrong, though the tree takes them.
    """
    made = _Builder(context, broken).model(Scenario, data, ())
    assert isinstance(made, Scenario)
    return made


class _Builder:
    def __init__(self, context: Context, broken: Set[KeyPath]) -> None:
        self.context = context
        self.broken = broken
        self.left_out = 0
        """Values that are wrong and keys that are unknown, so far."""

    def model(self, model: type[BaseModel], data: Any, path: KeyPath) -> Any:
        """A model with what stands of it; raises `Unsound` when nothing does."""
        if not isinstance(data, dict) or issubclass(model, OneOf):
            return self._whole(lambda: model.model_validate(data, context=self.context), path)
        names = {field.alias or name: name for name, field in model.model_fields.items()}
        known = {key: value for key, value in data.items() if key in names}
        before, built = self.left_out, dict[str, Any]()
        self.left_out += len(data) - len(known)
        try:
            return self._whole(lambda: model.model_validate(known, context=self.context), path)
        except Unsound:
            pass
        for key, name in names.items():
            field = model.model_fields[name]
            try:
                built[name] = self._field(
                    field, known[key] if key in known else _default(field), (*path, key)
                )
            except Unsound:
                self.left_out += 1
        if self.left_out == before:
            raise Unsound(model.__name__)  # each key is right, but not all of them together
        made = model.model_construct()
        made.__dict__.clear()
        made.__dict__.update(built)
        return made

    def _field(self, field: FieldInfo, value: Any, path: KeyPath) -> Any:
        if isinstance(field.annotation, type) and issubclass(field.annotation, Model):
            return self.model(field.annotation, value, path)
        if get_origin(field.annotation) is tuple and isinstance(value, list):
            item = get_args(field.annotation)[0]
            if get_args(field.annotation)[1:] == (Ellipsis,):
                if any(len(value) < rule.min_length for rule in field.metadata if isinstance(rule, MinLen)):
                    raise Unsound
                return tuple(self._member(item, member, (*path, i)) for i, member in enumerate(value))
        told = Field(discriminator=field.discriminator)
        return self._plain(Annotated[field.annotation, told, *field.metadata], value, path)

    def _plain(self, annotation: Any, value: Any, path: KeyPath) -> Any:
        adapter = TypeAdapter[Any](annotation)
        return self._whole(lambda: adapter.validate_python(value, context=self.context), path)

    def _member(self, item: Any, value: Any, path: KeyPath) -> Any:
        try:
            if isinstance(item, type) and issubclass(item, Model):
                return self.model(item, value, path)
            return self._plain(item, value, path)
        except Unsound:
            self.left_out += 1
            return Hole()

    def _whole(self, validate: Callable[[], T], path: KeyPath) -> T:
        if any(known[: len(path)] == path for known in self.broken):
            raise Unsound(path)
        try:
            return validate()
        except ValidationError:
            raise Unsound(path) from None


def _default(field: FieldInfo) -> Any:
    if field.is_required():
        raise Unsound
    return field.default
