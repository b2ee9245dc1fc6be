"""Policies and behaviours by name: from what a scenario says to an instance, and back with every default.

A policy's fields are its `with:` keys. A field's metadata may name a unit (`duration`, `money`,
`money_an_hour`); it is then read and written as a quantity of that unit.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
import typing
from dataclasses import dataclass, is_dataclass
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any, Final

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from protocol.errors import BadInput
from protocol.manifest import hint, nearest
from protocol.policies import admission, claims, funding, on_loss, price, scaling, selection
from protocol.provider import ProviderClient
from protocol.publisher import PublisherClient
from sim import behaviours
from sim.scenario import quantities as q
from sim.scenario.problems import KeyPath

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic_core import ErrorDetails

    from sim.scenario.demand import Publisher
    from sim.scenario.model import Scenario
    from sim.scenario.supply import PolicySpec, Provider

KINDS: Final[Mapping[str, Mapping[str, type]]] = MappingProxyType({
    "price": price.PRICE,
    "admission": admission.ADMISSION,
    "claim": claims.CLAIMS,
    "selection": selection.SELECTION,
    "funding": funding.FUNDING,
    "on_loss": on_loss.ON_LOSS,
    "scaling": {},
})  # fmt: skip
"""Short names of our policies, by the key of `policies:` they stand under."""

PROTOCOLS: Final[Mapping[str, type]] = MappingProxyType({
    "price": price.Price,
    "admission": admission.Admission,
    "claim": claims.Claims,
    "selection": selection.Selection,
    "funding": funding.Funding,
    "on_loss": on_loss.OnLoss,
    "scaling": scaling.Scaling,
})  # fmt: skip
"""What a class of one's own must be, by the same key."""

METHODS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({
    kind: tuple(name for name, value in vars(protocol).items() if callable(value) and not name.startswith("_"))
    for kind, protocol in PROTOCOLS.items()
})  # fmt: skip
"""The methods that it must have."""


OURS: Final = ("protocol.", "sim.behaviours")
"""Where our own policies and clients come from."""

CLIENTS: Final[Mapping[str, tuple[Mapping[str, type], type]]] = MappingProxyType({
    "provider": (behaviours.PROVIDER, ProviderClient),
    "publisher": (behaviours.PUBLISHER, PublisherClient),
})  # fmt: skip
"""Short names of whole clients, by whose `behaviour:` they are, and what a class of one's own inherits."""


class BadPolicy(BadInput):
    """A policy cannot be built.

    Args:
        found: what is wrong: the setting, with keys and indices below it (None: the policy itself), and a text; one
            pair or more.
    """

    def __init__(self, *found: tuple[KeyPath | None, str]) -> None:
        super().__init__("; ".join(text for _, text in found))
        self.found = found


@dataclass(frozen=True, slots=True)
class _Unit:
    read: Callable[[object, q.Denomination], int]
    write: Callable[[int, q.Denomination], str]


_UNITS: Final[dict[str, _Unit]] = {
    "duration": _Unit(lambda v, _: q.read_duration_ns(v), lambda v, _: q.write_duration(v)),
    "money": _Unit(q.read_money, q.write_money),
    "money_an_hour": _Unit(
        lambda v, token: _whole(q.read_rate_of_money(v, token, "node-s") * 3600),
        lambda v, token: f"{q.decimal(Fraction(v, token.base_units))} {token.symbol}/h",
    ),
}


def _whole(value: Fraction) -> int:
    if value.denominator != 1:
        raise ValueError(f"{value} is not a whole number of the token's base units")
    return int(value)


def find(kind: str, use: str) -> type:
    """The class that a name stands for.

    Raises:
        BadPolicy: there is none.
    """
    client = CLIENTS.get(kind)
    known = KINDS[kind] if client is None else client[0]
    what = f"{kind} policy" if client is None else f"behaviour of a {kind}"
    if use in known:
        return known[use]
    module, colon, name = use.rpartition(":")
    if not colon:
        near = f"{hint(use, known)} (a class of your own is module:Class)"
        raise BadPolicy((None, f"there is no {what} '{use}'; {near}"))
    try:
        found = getattr(imported(module), name, None)
    except ImportError as error:
        beside = f"; there is no {module}.py beside the scenario either" if module.isidentifier() else ""
        raise BadPolicy((None, f"'{use}' cannot be imported: {error}{beside}")) from None
    except Exception as error:  # a module of a researcher's can fail in any way while it is imported
        text = f"'{use}' cannot be imported: {type(error).__name__}: {error}"
        raise BadPolicy((None, text)) from error
    methods = METHODS[kind] if client is None else ("run",)
    article = "an" if what[0] in "aeiou" else "a"
    needed = f"{article} {what} is a class with {' and '.join(f'`{method}`' for method in methods)}"
    ours = f"ours are called {', '.join(known)}" if known else "ours are the other values of `policy`"
    if found is None:
        meant = nearest(name, _classes(module))
        hinted = f"did you mean '{meant}'?" if meant else f"{needed}; {ours}"
        raise BadPolicy((None, f"module '{module}' has no class '{name}'; {hinted}"))
    if not isinstance(found, type):
        raise BadPolicy((None, f"'{use}' is not a class; {needed}; {ours}"))
    absent = [method for method in methods if not callable(getattr(found, method, None))]
    if absent:
        raise BadPolicy((None, f"'{use}' has no `{'`, no `'.join(absent)}`; {needed}; {ours}"))
    if client is None:
        for method in methods:
            _check_signature(use, getattr(found, method), getattr(PROTOCOLS[kind], method))
    elif not issubclass(found, client[1]):
        base = f"{client[1].__module__}:{client[1].__name__}"
        raise BadPolicy((None, f"'{use}' does not inherit {base}, as a {what} has to; {ours}"))
    return found


def _check_signature(use: str, method: Callable[..., Any], wanted: Callable[..., Any]) -> None:
    """Whether a method can be called as ours are.

    Raises:
        BadPolicy: it takes something else, or does not answer at once.
    """
    needed = inspect.signature(wanted)
    if inspect.iscoroutinefunction(method) or inspect.isgeneratorfunction(method):
        raise BadPolicy(
            (None, f"'{use}': `{wanted.__name__}` is asynchronous or yields; a plain method is needed")
        )
    named = {n: None for n, p in needed.parameters.items() if p.kind is p.KEYWORD_ONLY}
    try:
        found = inspect.signature(method)
    except ValueError:  # nothing is known of what is not written in Python
        return
    try:
        found.bind(*[None] * (len(needed.parameters) - len(named)), **named)
    except TypeError as error:
        names = ", ".join(needed.parameters)
        text = f"`{wanted.__name__}{found}` cannot be called with ({names}): {error}"
        raise BadPolicy((None, f"'{use}': {text}")) from None


_loaded: dict[tuple[Path, str], ModuleType] = {}
"""Modules beside scenarios, by file and hash of what was in it: one that was changed is another."""


def imported(module: str) -> ModuleType:
    """A module by its name, or by the path of its file (`.../module.py`).

    Raises:
        ImportError: there is none, or one of another file has the name.
        Exception: whatever it raises itself.
    """
    if not module.endswith(".py"):
        return importlib.import_module(module)
    path = Path(module)
    try:
        source = path.read_bytes()
    except OSError as error:
        raise ImportError(f"{path}: {error.strerror}") from None
    name, key = path.stem, (path, hashlib.sha256(source).hexdigest())
    present = sys.modules.get(name)
    if present is not None and present not in _loaded.values():
        where = getattr(present, "__file__", None) or "built in"
        if Path(where) != path:
            raise ImportError(f"another module is called '{name}' ({where}); give {path} another name")
    if key not in _loaded:
        if str(path.parent) not in sys.path:
            sys.path.append(str(path.parent))  # for what it imports itself
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None, "a .py file can be loaded"
        new = sys.modules[name] = importlib.util.module_from_spec(spec)
        try:
            # Not by its loader, which would take an older compilation of a file that changed within a second.
            exec(compile(source, str(path), "exec"), vars(new))  # noqa: S102
        except BaseException:
            del sys.modules[name]
            raise
        _loaded[key] = new
    sys.modules[name] = _loaded[key]
    return _loaded[key]


def origin(kind: str, use: str) -> tuple[str, str]:
    """Where a policy comes from: `package.module:Class` or `path/module.py:Class`, and the SHA-256 of its module's source (for provenance).

    The hash is empty for a class without a source file.

    Raises:
        BadPolicy: there is no such policy.
    """
    cls = find(kind, use)
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    digest = hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""
    return use if ".py:" in use else f"{cls.__module__}:{cls.__qualname__}", digest


def origins(scenario: Scenario) -> dict[str, str]:
    """Of every policy in a scenario where it comes from and its hash; see `origin`."""
    groups: tuple[Provider | Publisher, ...] = (*scenario.providers, *scenario.publishers)
    found = {
        origin(kind, getattr(group.policies, kind).use)
        for group in groups for kind in type(group.policies).model_fields
    }  # fmt: skip
    found |= {origin("provider", group.behaviour.use) for group in scenario.providers}
    found |= {origin("publisher", group.behaviour.use) for group in scenario.publishers}
    scalings = [group.scaling for group in scenario.publishers]
    found |= {origin("scaling", one.use) for one in scalings if one.policy == "own"}
    return dict(sorted(found))


def brought_policies(scenario: Scenario) -> dict[str, str]:
    """`origins` without our own, for the provenance."""
    return {name: digest for name, digest in origins(scenario).items() if not name.startswith(OURS)}


def _classes(module: str) -> list[str]:
    items = vars(imported(module)).items()
    return [name for name, value in items if isinstance(value, type) and not name.startswith("_")]


def _hints(cls: type) -> dict[str, Any]:
    names = {name: getattr(collections.abc, name) for name in collections.abc.__all__} | {"Any": Any}
    return typing.get_type_hints(cls, localns=names)


def build(kind: str, spec: PolicySpec, token: q.Denomination) -> Any:
    """The policy, with its settings.

    Args:
        kind: the key under `policies:`.
        spec: its name and settings.
        token: what amounts of money are in.

    Raises:
        BadPolicy: the class does not import, a setting is unknown, or has a value that it refuses.
    """
    return _with_settings(find(kind, spec.use), spec, token)


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """A client class, and what a scenario sets of it.

    Attributes:
        name: as the scenario says.
        client: the class.
        conduct: an instance of its `Conduct`; None when it has none.
    """

    name: str
    client: type
    conduct: Any

    @property
    def honest(self) -> bool:
        """Whether it is the honest client."""
        return self.name == "honest"

    @property
    def identities(self) -> int:
        """Under how many names it is in the market."""
        return int(getattr(self.conduct, "identities", 1))

    @property
    def more(self) -> dict[str, Any]:
        """What its constructor takes beyond what an honest client's does, its other names' ports apart."""
        return {} if self.conduct is None else {"conduct": self.conduct}


def build_behaviour(kind: str, spec: PolicySpec, token: q.Denomination) -> Behaviour:
    """The client that a party runs.

    Args:
        kind: `provider` or `publisher`.
        spec: its name and settings.
        token: what amounts of money are in.

    Raises:
        BadPolicy: the class does not import, is no client or cannot be called as one; a setting is unknown, or has a
            value that it refuses.
    """
    cls = find(kind, spec.use)
    holder = getattr(cls, "Conduct", None)
    if holder is not None and not (isinstance(holder, type) and is_dataclass(holder)):
        raise BadPolicy((None, f"'{spec.use}': its `Conduct` is no dataclass"))
    conduct = _with_settings(holder or _Nothing, spec, token)
    behaviour = Behaviour(name=spec.use, client=cls, conduct=None if holder is None else conduct)
    keys = list(behaviour.more) + (["aliases"] if behaviour.identities > 1 else [])
    honest = inspect.signature(CLIENTS[kind][1]).parameters.values()
    try:
        inspect.signature(cls).bind(
            *(p for p in honest if p.kind is not p.KEYWORD_ONLY),
            **{p.name: p for p in honest if p.kind is p.KEYWORD_ONLY},
            **dict.fromkeys(keys),
        )
    except TypeError as error:
        like = f"{CLIENTS[kind][1].__name__}{''.join(f' and `{key}`' for key in keys)}"
        raise BadPolicy((None, f"'{spec.use}' cannot be called with what {like} takes: {error}")) from None
    return behaviour


@dataclass(frozen=True, slots=True)
class _Nothing:
    """No settings."""


def _with_settings(cls: type, spec: PolicySpec, token: q.Denomination) -> Any:
    """An instance of `cls` by the settings of `spec`."""
    parameters = {
        name: parameter
        for name, parameter in inspect.signature(cls).parameters.items()
        if name not in ("args", "kwargs")
    }
    known = list(parameters)
    fields = {field.name: field for field in dataclasses.fields(cls)} if is_dataclass(cls) else {}
    hints = _hints(cls) if fields else {}
    found: list[tuple[KeyPath | None, str]] = []
    settings: dict[str, Any] = {}
    for name, value in spec.with_.items():
        unit = _UNITS.get(fields[name].metadata.get("unit", "")) if name in fields else None
        try:
            if name not in known:
                found.append(((name,), f"unknown setting of '{spec.use}'; {hint(name, known)}"))
            elif unit is not None and value is not None:
                settings[name] = unit.read(value, token)
            elif name in hints:
                settings[name] = _typed(hints[name], value)
            else:
                settings[name] = value
        except ValidationError as error:
            found += [((name, *detail["loc"]), _refused(detail)) for detail in error.errors()[:1]]
        except ValueError as error:
            found.append(((name,), str(error)))
    absent = [n for n, p in parameters.items() if p.default is p.empty and n not in spec.with_]
    if not any(name not in known for name in spec.with_):  # or it may be there, mistyped
        found += [((name,), f"is missing: '{spec.use}' has no default for it") for name in absent]
    if found:
        raise BadPolicy(*found)
    try:
        policy = cls(**settings)
    except BadInput as error:
        raise BadPolicy(_placed(str(error), fields, token)) from None
    except TypeError as error:
        raise BadPolicy((None, f"'{spec.use}': {error}")) from None
    if isinstance(policy, funding.Runway) and policy.low >= policy.first:
        low, first = q.write_duration(policy.low), q.write_duration(policy.first)
        text = f"{low} is not less than first, {first}: it would top up as soon as it had deposited"
        raise BadPolicy((("low",), text))
    return policy


_TYPES: Final = {
    "int": "a whole number", "float": "a number", "finite": "a finite number", "string": "text", "bool": "true or false",
    "list": "a list", "tuple": "a list", "sequence": "a list", "iterable": "a list", "dict": "a mapping",
    "mapping": "a mapping", "is": "a list",
}  # fmt: skip
"""What pydantic's kinds of errors ask for, by the first word of their names (`is_instance_of`: a sequence)."""


def _typed(hint: Any, value: Any) -> Any:
    try:
        return TypeAdapter(hint, config=ConfigDict(allow_inf_nan=False)).validate_python(value)
    except PydanticUserError:  # a type with a configuration of its own
        return TypeAdapter(hint).validate_python(value)


def _refused(detail: ErrorDetails) -> str:
    wanted = _TYPES.get(detail["type"].partition("_")[0])
    said = detail["msg"]
    return f"{q.show(detail['input'])} is not {wanted or f'allowed: {said[:1].lower()}{said[1:]}'}"


def _placed(
    text: str, fields: Mapping[str, dataclasses.Field[Any]], token: q.Denomination
) -> tuple[KeyPath | None, str]:
    """A policy's refusal (`first: 0; allowed are durations above 0`), with its setting as the path and with units."""
    name, colon, rest = text.partition(": ")
    keys = tuple(name.split("."))
    if not colon or keys[0] not in fields:
        return None, text
    unit = _UNITS.get(fields[keys[0]].metadata.get("unit", ""))
    if unit is None:
        return keys, rest
    return keys, re.sub(r"-?\b[0-9]+\b", lambda found: unit.write(int(found[0]), token), rest)


def settings_of(policy: Any, token: q.Denomination) -> dict[str, Any] | None:
    """All settings of a built policy as a person would write them; None when it is no dataclass."""
    if not is_dataclass(policy):
        return None
    written: dict[str, Any] = {}
    for field in dataclasses.fields(policy):
        value = getattr(policy, field.name)
        unit = _UNITS.get(field.metadata.get("unit", ""))
        written[field.name] = unit.write(value, token) if unit and value is not None else _plain(value)
    return written


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return value
