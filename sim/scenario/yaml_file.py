"""Reading YAML so that every value knows its line, and reads as it looks.

Scalars follow YAML 1.2's core schema: `1e9` is a number, `on`, `12:30` and dates are text (YAML 1.1, which
most readers follow, makes them true, 750 and a date). A key given twice is an error.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import yaml

from protocol.quantities import show
from sim.scenario.problems import KeyPath, Problem, ScenarioErrors, dotted

BYTES_MAX: Final = 16 * 1024 * 1024
"""Largest file that is read."""
VALUES_MAX: Final = 1_000_000
"""Most values of a file, aliases counted as often as they are used (a few lines can ask for billions)."""


class _Loader(yaml.SafeLoader):
    """Holds its own rules of what plain words mean, and none of YAML 1.1's."""


_Loader.yaml_implicit_resolvers = {}  # its own, where add_implicit_resolver would have copied the parent's


_FORMS: Final[dict[str, re.Pattern[str]]] = {}


def _resolver(tag: str, pattern: str, first: str) -> None:
    _FORMS[tag] = re.compile(pattern)
    _Loader.add_implicit_resolver(tag, re.compile(pattern), list(first) or None)


_NULL, _BOOL, _INT, _FLOAT = (f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float"))
_PLAIN: Final = {f"tag:yaml.org,2002:{name}" for name in ("str", "map", "seq")}
_SCALARS: Final = {_NULL: "null", _BOOL: "true or false", _INT: "a whole number", _FLOAT: "a number"}
_resolver(_NULL, r"^(?:~|null|Null|NULL|)$", "~nN")
_Loader.yaml_implicit_resolvers.setdefault("", []).append((_NULL, re.compile(r"^$")))
_resolver(_BOOL, r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF")
_resolver(_INT, r"^[-+]?[0-9]+$", "-+0123456789")
_resolver(_FLOAT, r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", "-+.0123456789")


@dataclass(frozen=True, slots=True)
class Document:
    """A file's content.

    Attributes:
        file: as the person named it.
        data: mappings, lists, text, numbers, booleans, None.
        lines: line of every value, from 1, by its path.
    """

    file: str
    data: Any
    lines: dict[KeyPath, int]

    def line(self, path: KeyPath) -> int | None:
        """The line of a value, or of the nearest thing around it that the file has."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return None

    def problem(self, path: KeyPath, text: str) -> Problem:
        """A problem at a path of this file."""
        return Problem(self.file, self.line(path), dotted(path), text)


def read_text(path: Path, name: str | None = None) -> str:
    """The text of a file.

    Raises:
        ScenarioErrors: it is missing, unreadable, too large or not UTF-8.
    """
    shown = name or str(path)
    try:
        if path.stat().st_size > BYTES_MAX:
            raise ScenarioErrors([Problem(shown, None, "", f"the file is larger than {BYTES_MAX} bytes")])
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ScenarioErrors([Problem(shown, None, "", "there is no such file")]) from None
    except IsADirectoryError:
        raise ScenarioErrors([Problem(shown, None, "", "this is a folder, not a file")]) from None
    except UnicodeDecodeError:
        raise ScenarioErrors([Problem(shown, None, "", "the file is not UTF-8 text")]) from None
    except ValueError:  # what no file can be called
        raise ScenarioErrors([Problem(show(shown), None, "", "there is no such file")]) from None
    except OSError as error:
        raise ScenarioErrors([Problem(shown, None, "", f"cannot be read: {error.strerror}")]) from None


def read_yaml(path: Path, name: str | None = None) -> Document:
    """The content of a YAML (or JSON) file.

    Args:
        path: the file.
        name: what to call it in messages; None: its path.

    Raises:
        ScenarioErrors: it cannot be read or is not YAML.
    """
    return parse_yaml(read_text(path, name), name or str(path))


def parse_yaml(text: str, file: str) -> Document:
    """As `read_yaml`, from text."""
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(part for part in (error.context, error.problem) if part)
        raise ScenarioErrors(
            [Problem(file, mark.line + 1 if mark else None, "", f"this is not YAML: {what}")]
        ) from None
    except yaml.YAMLError as error:
        raise ScenarioErrors(
            [Problem(file, None, "", f"this is not YAML: {str(error).splitlines()[0]}")]
        ) from None
    builder = _Builder(file)
    data = builder.build(node, ()) if node is not None else None
    if builder.problems:
        raise ScenarioErrors(builder.problems)
    return Document(file, data, builder.lines)


def parse_value(text: str) -> Any:
    """One value as it would read in a file: `3`, `2h`, `[1, 2]`, `{exponential: 2s}`.

    Raises:
        ScenarioErrors: it is not YAML.
    """
    return parse_yaml(text, "value").data


class _Builder:
    """Builds data from nodes, keeping lines."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: dict[KeyPath, int] = {}
        self.problems: list[Problem] = []
        self.values = 0

    def build(self, node: yaml.Node, path: KeyPath) -> Any:
        self.values += 1
        if self.values > VALUES_MAX or len(path) > 100:
            text = f"the file stands for more than {VALUES_MAX} values, or is nested deeper than 100"
            raise ScenarioErrors([Problem(self.file, None, "", text)])
        self.lines.setdefault(path, node.start_mark.line + 1)
        self._check_tag(node, path)
        match node:
            case yaml.MappingNode():
                return self._mapping(node, path)
            case yaml.SequenceNode():
                return [self.build(item, (*path, i)) for i, item in enumerate(node.value)]
            case _:
                try:
                    return _scalar(node)
                except ValueError as error:  # UnicodeDecodeError too
                    text = str(error)
                    if isinstance(error, UnicodeDecodeError):
                        text = "the text has half a character (a lone surrogate)"
                    self.problems.append(Problem(self.file, node.start_mark.line + 1, dotted(path), text))
                    return ""

    def _check_tag(self, node: yaml.Node, path: KeyPath) -> None:
        """Tags may name what a value is anyway, such as `!!str 3`; nothing else is made of them."""
        if node.tag in _PLAIN or (node.tag in _SCALARS and isinstance(node, yaml.ScalarNode)):
            return
        shown = node.tag.replace("tag:yaml.org,2002:", "!!", 1)
        text = f"unknown tag {show(shown)}; a scenario needs none, and !!str, !!int, !!float, !!bool and !!null are allowed"
        self.problems.append(Problem(self.file, node.start_mark.line + 1, dotted(path), text))

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(
                    Problem(self.file, line, dotted(path), "a key is a word, not a list or a mapping")
                )
                continue
            key = str(key_node.value)
            self._check_tag(key_node, (*path, key))
            if key in data:
                first = self.lines[(*path, key)]
                self.problems.append(
                    Problem(
                        self.file,
                        line,
                        dotted((*path, key)),
                        f"the key is given twice, first in line {first}",
                    )
                )
                continue
            self.lines[(*path, key)] = line
            data[key] = self.build(value_node, (*path, key))
        return data


def _scalar(node: yaml.Node) -> Any:
    text = str(node.value)
    if any("\ud800" <= letter <= "\udfff" for letter in text):  # JSON escapes one character as two halves
        text = text.encode("utf-16", "surrogatepass").decode("utf-16")
    if node.tag in _SCALARS and not _FORMS[node.tag].match(text):  # said to be one by a tag, `!!int x`
        raise ValueError(f"{show(text)} is not {_SCALARS[node.tag]}, as its tag says")
    if node.tag == _NULL:
        return None
    if node.tag == _BOOL:
        return text.lower() == "true"
    if node.tag == _INT:
        return int(text) if len(text) < 4000 else text
    if node.tag == _FLOAT:
        value = float(text)
        # One that a float would not hold stays text: quantities read it exactly. The first two conditions
        # keep numbers such as 1e999999999 from being worked out.
        ordinary = math.isfinite(value) and (value != 0 or not text.strip("+-.0"))
        return value if ordinary and len(text) < 40 and Fraction(repr(value)) == Fraction(text) else text
    return text
