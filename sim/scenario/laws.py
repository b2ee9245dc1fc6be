"""Distributions of durations, as a scenario writes them: `{exponential: 2s}`, or `2s` for a constant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
    model_validator,
)

from sim.scenario import quantities as q
from sim.scenario.fields import Cv, DurationNs, FilePath, PositiveNs, Shape


def key(default: Any = ..., /, **rest: Any) -> Any:
    """A key of the scenario: pydantic's `Field`, whose default is written as a person would write it.

    In amounts of money `{token}` stands for the symbol of the token that the field is in.
    """
    return Field(default, **rest)


class Unsound(Exception):
    """A check looked at a part of the scenario that is wrong itself, which is reported where it stands."""


class Model(BaseModel):
    """What every part of the tree has in common: unknown keys are errors, values do not change, defaults are checked."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        validate_default=True,
        use_attribute_docstrings=False,
        allow_inf_nan=False,
        hide_input_in_errors=False,
    )

    if not TYPE_CHECKING:  # or every attribute would seem to be there

        def __getattr__(self, name: str) -> Any:
            """What is missing in a partial tree (`sim.scenario.partial`)."""
            if name in type(self).model_fields:
                raise Unsound(name)
            return super().__getattr__(name)


class OneOf(Model):
    """A mapping with exactly one key, which says what kind of thing it is."""

    what: ClassVar[str] = "kind"
    """What one of its keys is called, in messages."""
    bare: ClassVar[str] = ""
    """The key that a value stands for when it is given alone; empty: none."""

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        if isinstance(value, str) or (isinstance(value, int | float) and not isinstance(value, bool)):
            return {cls.bare: value} if cls.bare else value
        return value

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [
            field.alias or name
            for name, field in type(self).model_fields.items()
            if getattr(self, name) is not None
        ]
        if len(given) != 1:
            names = ", ".join(field.alias or name for name, field in type(self).model_fields.items())
            found = f"'{' and '.join(given)}'" if given else "none"
            raise ValueError(f"{found} given; exactly one {self.what} is allowed: {names}")
        return self

    @model_serializer(mode="wrap")
    def _only_the_one(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if value is not None}

    @property
    def kind(self) -> str:
        """The attribute that is set."""
        return next(name for name in type(self).model_fields if getattr(self, name) is not None)


class MeanCv(Model):
    """A law with two parameters."""

    mean_ns: PositiveNs = key(alias="mean", description="Mean.")
    cv: Cv = key(description="Coefficient of variation: standard deviation divided by mean.")


class Bounds(Model):
    """The uniform law."""

    low_ns: DurationNs = key(alias="low", description="Smallest value.")
    high_ns: PositiveNs = key(alias="high", description="Largest value.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.high_ns <= self.low_ns:
            raise ValueError(
                f"high ({q.write_duration(self.high_ns)}) must be more than low ({q.write_duration(self.low_ns)})"
            )
        return self


class ScaleShape(Model):
    """A law with a heavy or light tail."""

    scale_ns: PositiveNs = key(alias="scale", description="Scale; for `pareto` the smallest value.")
    shape: Shape = key(description="Shape; for `pareto` the tail's exponent.")


class Law(OneOf):
    """A distribution of durations. A bare duration means `constant`."""

    what = "law"
    bare = "constant"
    constant_ns: DurationNs | None = key(None, alias="constant", description="Always this long.")
    exponential_ns: PositiveNs | None = key(
        None, alias="exponential", description="Exponential with this mean."
    )
    lognormal: MeanCv | None = key(None, description="Log-normal, by its mean and coefficient of variation.")
    uniform: Bounds | None = key(None, description="Uniform between two durations.")
    weibull: ScaleShape | None = key(None, description="Weibull; shape 1 is exponential.")
    pareto: ScaleShape | None = key(None, description="Pareto; its mean is infinite for shapes up to 1.")
    empirical: FilePath | None = key(
        None,
        description="Measured values: a CSV file with a column `seconds`; straight lines between the sorted values.",
    )


def law_or(word: str) -> Any:
    """The annotation of a key that takes a law, or one word with a meaning of its own."""

    def which(value: Any) -> str:
        return "word" if value == word else "law"

    return Annotated[
        Annotated[Literal[word], Tag("word")] | Annotated[Law, Tag("law")],
        Discriminator(which),
    ]


__all__ = [
    "Bounds",
    "DurationNs",
    "Law",
    "MeanCv",
    "Model",
    "OneOf",
    "ScaleShape",
    "Unsound",
    "key",
    "law_or",
]
