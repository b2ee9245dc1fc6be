"""From a file to a `Scenario`, or to everything that is wrong with it.

In order: the file is read with its lines, `--set` values are put in, manifests are read in place of
their paths, the tree is built (types, units, bounds, unknown keys), and what stands of it is checked
against the rest and against the files it names.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from protocol import manifest as manifests
from protocol.errors import BadManifest
from protocol.quantities import show
from sim.scenario import checks, policies
from sim.scenario.demand import Own
from sim.scenario.fields import FIAT_DECIMALS, Context
from sim.scenario.laws import Unsound
from sim.scenario.model import Scenario
from sim.scenario.optimise import Optimise, optimise_problems
from sim.scenario.overrides import Override, OverrideError, put
from sim.scenario.partial import partial_scenario
from sim.scenario.problems import KeyPath, Problem, ScenarioErrors
from sim.scenario.quantities import Denomination
from sim.scenario.ranges import read_range
from sim.scenario.resolve import to_data
from sim.scenario.supply import PolicySpec
from sim.scenario.sweep import Sweep, place_of, structural_problems
from sim.scenario.tokens import DECIMALS_MAX, SYMBOL
from sim.scenario.translate import translate
from sim.scenario.yaml_file import Document, parse_yaml, read_yaml


def load(path: str | Path, overrides: Iterable[str | Override] = ()) -> Scenario:
    """The scenario in a file, checked.

    Args:
        path: a scenario file.
        overrides: `path=value`, such as `providers.0.count=3` or `providers.budget.count=3`; the value is YAML
            (an `Override` holds it as a file would).

    Raises:
        ScenarioErrors: everything that is wrong with it. A check that looks at something wrong says nothing, as its
            finding could be due to that; all of them wait for a `--set` that cannot be put.
    """
    return _load(read_yaml(Path(path)), Path(path).resolve().parent, overrides)


def loads_resolved(text: str) -> Scenario:
    """As `load`, from the text of a resolved scenario: its paths are complete, and no folder is looked at for modules."""
    return loads(text, base=Path(os.devnull))


def loads(
    text: str, *, base: Path | None = None, file: str = "scenario", overrides: Iterable[str | Override] = ()
) -> Scenario:
    """As `load`, from text; relative paths start from `base` (None: the working folder)."""
    return _load(parse_yaml(text, file), (base or Path()).resolve(), overrides)


class _Sources:
    """Says for each path whether the file or a `--set` put the value there."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.set: dict[KeyPath, str] = {}
        self.files: dict[KeyPath, Document] = {}
        self.unreadable: set[KeyPath] = set()
        """Manifests in whose place something else stands."""

    def problem(self, path: KeyPath, text: str) -> Problem:
        for end in range(len(path), -1, -1):
            if path[:end] in self.set:
                return Problem(f"--set {self.set[path[:end]]}", None, ".".join(map(str, path)), text)
            if path[:end] in self.files:
                return self.files[path[:end]].problem(path[end:], text)
        return self.document.problem(path, text)


def _load(document: Document, base: Path, overrides: Iterable[str | Override]) -> Scenario:
    if not isinstance(document.data, dict):
        raise ScenarioErrors(
            [
                Problem(
                    document.file, None, "", "this is not a scenario: a mapping of keys such as `name: ...`"
                )
            ]
        )
    sources = _Sources(document)
    data = copy.deepcopy(document.data)
    problems = _put_all(data, overrides, base, sources)
    misplaced = bool(problems)
    problems += _read_manifests(data, base, sources)
    context = context_of(data, base)
    bad: list[checks.Found] = [*_tree_errors(data, base)]
    whole = not bad and not sources.unreadable
    scenario = partial_scenario(data, context, sources.unreadable)
    if not misplaced:
        scenario, wrong = _with_policies(scenario)
        bad += wrong + checks.cross_check(scenario)
        whole_data = to_data(scenario) if whole else data
        bad += _check_sweep(scenario, whole_data, base, data.get("sweep"))
        bad += _check_optimise(scenario, whole_data, base)
    problems += [found if isinstance(found, Problem) else sources.problem(*found) for found in bad]
    if problems:
        raise ScenarioErrors(problems)
    return scenario


def context_of(data: Any, base: Path) -> Context:
    """The tokens as far as the raw data says them right, else the defaults: their own errors are reported by the tree."""
    default = Context()
    tokens = data.get("tokens") if isinstance(data, dict) else None
    tokens = tokens if isinstance(tokens, dict) else {}
    numeraire = tokens.get("numeraire")
    if not isinstance(numeraire, str) or re.fullmatch(SYMBOL, numeraire) is None:
        numeraire = default.numeraire.symbol

    def token(role: str, fallback: Denomination) -> Denomination:
        said = tokens.get(role)
        if not isinstance(said, dict):
            return fallback
        symbol, decimals = said.get("symbol", fallback.symbol), said.get("decimals", fallback.decimals)
        named = isinstance(symbol, str) and re.fullmatch(SYMBOL, symbol) is not None
        good = named and type(decimals) is int and 0 <= decimals <= DECIMALS_MAX
        return Denomination(symbol, decimals) if good else fallback

    return Context(
        base,
        token("payment", default.payment),
        token("gas", default.gas),
        Denomination(numeraire, FIAT_DECIMALS),
    )


def _put_all(
    data: dict[str, Any], overrides: Iterable[str | Override], base: Path, sources: _Sources
) -> list[Problem]:
    problems: list[Problem] = []
    texts = list(overrides)
    if not texts:
        return problems
    defaults = _defaults(data, base)
    for text in texts:
        try:
            override = text if isinstance(text, Override) else Override.parse(text)
            sources.set[put(data, override, defaults)] = str(text)
        except OverrideError as error:
            problems.append(Problem(f"--set {text}", None, "", str(error)))
    return problems


def _defaults(data: dict[str, Any], base: Path) -> dict[str, Any]:
    """What keys the file leaves out stand for, where the file alone is sound; a `--set` may go into them."""
    trial = copy.deepcopy(data)
    if _read_manifests(trial, base, _Sources(Document("", trial, {}))):
        return {}
    context = context_of(trial, base)
    try:
        return to_data(Scenario.model_validate(trial, context=context))
    except ValidationError:
        return {}


def _read_manifests(data: dict[str, Any], base: Path, sources: _Sources) -> list[Problem]:
    """Puts pods in the place of manifests (paths or mappings)."""
    problems: list[Problem] = []
    publishers = data.get("publishers")
    for i, publisher in enumerate(publishers if isinstance(publishers, list) else []):
        if not isinstance(publisher, dict):
            continue
        places: list[tuple[KeyPath, dict[str, Any]]] = [(("publishers", i), publisher)]
        actions = publisher.get("actions")
        for j, action in enumerate(actions if isinstance(actions, list) else []):
            if isinstance(action, dict):
                places.append((("publishers", i, "actions", j), action))
        for path, holder in places:
            if isinstance(holder.get("manifest"), str | dict):
                problems += _read_manifest((*path, "manifest"), holder, base, sources)
    return problems


def _read_manifest(path: KeyPath, holder: dict[str, Any], base: Path, sources: _Sources) -> list[Problem]:
    said = holder["manifest"]
    document: Document | None = None
    if isinstance(said, str):
        file = base / said
        shown = str(Path(sources.document.file).parent / said) if sources.document.file else said
        try:
            document = read_yaml(file, shown)
        except ScenarioErrors as error:
            _leave_out(holder, path, sources)
            return [
                problem if problem.line else sources.problem(path, f"{show(said)}: {problem.text} ({shown})")
                for problem in error.problems
            ]
        said = document.data
    try:
        # A scenario is complete in its files, so a compose file's variables have their defaults alone.
        composed = manifests.is_compose(said)
        holder["manifest"] = manifests.from_compose(said).pod if composed else manifests.parse(said)
    except BadManifest as error:
        _leave_out(holder, path, sources)
        parts: Sequence[BadManifest] = (
            error.problems if isinstance(error, manifests.BadManifests) else [error]
        )
        if document is not None:
            return [document.problem(_keys(part.path), part.problem) for part in parts]
        return [sources.problem((*path, *_keys(part.path)), part.problem) for part in parts]
    return []


_HOLE = manifests.parse({"containers": [{"image": "unreadable"}]})
"""Stands where a manifest could not be read, so that the rest of the tree is still checked."""


def _leave_out(holder: dict[str, Any], path: KeyPath, sources: _Sources) -> None:
    holder["manifest"] = _HOLE
    sources.unreadable.add(path)


def _keys(path: str) -> KeyPath:
    """`containers[0].ports[1].name` as keys and indices."""
    parts: list[str | int] = []
    for word in path.replace("[", ".[").split("."):
        if word.startswith("[") and word.endswith("]") and word[1:-1].isdigit():
            parts.append(int(word[1:-1]))
        elif word:
            parts.append(word)
    return tuple(parts)


def _with_policies(scenario: Scenario) -> tuple[Scenario, list[checks.Found]]:
    """The scenario with every setting of its policies and behaviours written in, and what is wrong with them."""
    bad: list[checks.Found] = []

    def completed(holder: Any, name: str, at: KeyPath, kind: str) -> dict[str, Any]:
        """What is to be changed in `holder` so that all settings of its `name` are there."""
        try:
            spec = getattr(holder, name)
            if kind in policies.CLIENTS:
                built = policies.build_behaviour(kind, spec, token).conduct
            else:
                built = policies.build(kind, spec, token)
        except Unsound:
            return {}
        except policies.BadPolicy as error:
            bad.extend(((*at, name, "with", *key) if key else (*at, name), text) for key, text in error.found)
            return {}
        settings = policies.settings_of(built, token)
        return {} if settings is None else {name: spec.model_copy(update={"with_": settings})}

    def filled(group: Any, at: KeyPath, kind: str) -> Any:
        changed = completed(group, "behaviour", at, kind)
        with suppress(Unsound):
            chosen: dict[str, Any] = {}
            for name in type(group.policies).model_fields:
                chosen |= completed(group.policies, name, (*at, "policies"), name)
            changed["policies"] = group.policies.model_copy(update=chosen)
        scaling = getattr(group, "scaling", None)
        if isinstance(scaling, Own):
            try:
                spec = PolicySpec.model_validate({"use": scaling.use, "with": scaling.with_})
                settings = policies.settings_of(policies.build("scaling", spec, token), token)
                changed["scaling"] = scaling.model_copy(update={"with_": settings or scaling.with_})
            except policies.BadPolicy as error:
                where: KeyPath = (*at, "scaling")
                bad.extend(
                    ((*where, "with", *key) if key else (*where, "use"), text) for key, text in error.found
                )
        return group.model_copy(update=changed)

    for key in ("providers", "publishers"):
        with suppress(Unsound):
            token, groups = scenario.payment_token, list(getattr(scenario, key))
            for i, group in enumerate(groups):
                with suppress(Unsound):
                    groups[i] = filled(group, (key, i), key[:-1])
            scenario = scenario.model_copy(update={key: tuple(groups)})
    return scenario, bad


def _check_sweep(scenario: Scenario, data: dict[str, Any], base: Path, said: Any) -> list[checks.Found]:
    """Every key of a sweep exists, every value can stand there, and every range is one.

    Args:
        scenario: what stands of it.
        data: the whole scenario as data, with its defaults if all of it stands.
        base: the folder of the file.
        said: the sweep as the file has it.
    """
    sweep: Sweep | None = None
    with suppress(Unsound):
        sweep = scenario.sweep
    if sweep is None:
        return []
    at = place_of(said, sweep)
    wrong = list(structural_problems(sweep, at))
    if any(where == at for where, _ in wrong):  # what is listed cannot be told
        return [*wrong]
    file, sampled = sweep.file is not None, sweep.sampled is not None
    return [*wrong, *_check_lists(sweep.lists, at, data, base, file=file, sampled=sampled)]


def _check_optimise(scenario: Scenario, data: dict[str, Any], base: Path) -> list[checks.Found]:
    """Every key that is looked in exists, every range is one, and what is looked for is measured."""
    optimise: Optimise | None = None
    with suppress(Unsound):
        optimise = scenario.optimise
    if optimise is None:
        return []
    wrong = optimise_problems(optimise, context_of(data, base))
    at: KeyPath = ("optimise", "over")
    return [*wrong, *_check_lists(optimise.over, at, data, base, file=False, sampled=True)]


def _check_lists(
    lists: Mapping[str, tuple[Any, ...]],
    at: KeyPath,
    data: dict[str, Any],
    base: Path,
    *,
    file: bool,
    sampled: bool,
) -> list[checks.Found]:
    """Every key exists, and every value can stand there.

    Args:
        lists: by key, the values to try or the ends of a range.
        at: where they stand.
        data: the whole scenario as data.
        base: the folder of the file.
        file: whether they come from a CSV file.
        sampled: whether they are ranges.
    """
    bad: list[checks.Found] = []
    known = _tree_errors({**data, **_NO_QUESTION}, base)
    for name, values in lists.items():
        place: KeyPath = at if file else (*at, name)
        tried = dict(reversed([(repr(value), (i, value)) for i, value in enumerate(values)]))  # each once
        before = len(bad)
        if not values and not sampled:
            bad.append((place, "the list of values is empty"))
        path: KeyPath = ()
        trial: dict[str, Any] = {}
        for i, value in sorted(tried.values(), key=lambda numbered: numbered[0])[: 2 if sampled else None]:
            trial = copy.deepcopy({**data, **_NO_QUESTION})
            try:
                path = _put_swept(trial, name, value, data)
            except OverrideError as error:
                bad.append((place, f"column '{name}': {error}" if file else str(error)))
                break
            problems = _read_manifests(trial, base, _Sources(Document("", trial, {})))
            new = [found for found in _tree_errors(trial, base) if found not in known]
            here = [text for where, text in new if where[: len(path)] == path]
            texts = [problem.text for problem in problems] + (here or [text for _, text in new[:1]])
            if file:
                bad += [(place, f"column '{name}', point {i}: {text}") for text in texts]
            else:
                bad += [((*place, i), text) for text in texts]
        if sampled and len(bad) == before:
            try:
                read_range(values, path, trial, context_of(data, base))
            except ValueError as error:
                bad.append((place, str(error)))
    return bad


_NO_QUESTION = {"sweep": None, "optimise": None}


def _put_swept(data: dict[str, Any], name: str, value: Any, defaults: dict[str, Any]) -> KeyPath:
    keys = tuple(str(name).split("."))
    if keys[0] in _NO_QUESTION:
        raise OverrideError("a sweep cannot change itself, nor what is looked for")
    return put(data, Override(keys, value), defaults)


def _tree_errors(data: dict[str, Any], base: Path) -> list[tuple[KeyPath, str]]:
    try:
        Scenario.model_validate(data, context=context_of(data, base))
    except ValidationError as error:
        return translate(error, data)
    return []
