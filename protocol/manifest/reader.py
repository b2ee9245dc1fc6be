"""Reading parsed data value by value; what cannot be read is noted, and reading goes on."""

from __future__ import annotations

import binascii
import shlex
from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from protocol.manifest.problems import Collector, hint
from protocol.quantities import number, show


class Reader:
    """Reads plain values of parsed data.

    Args:
        out: gets every problem, with its path.
    """

    OTHER_NAMES: ClassVar[Mapping[str, str]] = {}
    """Other names of keys."""

    def __init__(self, out: Collector) -> None:
        self.out = out

    def mapping(self, data: object, at: str, known: Sequence[str]) -> dict[str, Any]:
        """A mapping with some of the keys `known`; each other key is a problem."""
        if not isinstance(data, Mapping):
            self.out.add(at, f"{show(data)} is not a mapping with the keys {', '.join(known)}")
            return {}
        found: dict[str, Any] = {}
        for raw, value in data.items():
            key = self.OTHER_NAMES.get(str(raw), str(raw))
            where = f"{at}.{raw}" if at else str(raw)
            if key not in known:
                self.out.add(where, f"unknown key; {hint(key, known)}")
            elif key in found:
                self.out.add(where, f"'{key}' is given twice")
            else:
                found[key] = value
        return found

    def items(self, data: object, at: str) -> list[object]:
        """A list; null is an empty one."""
        if data is None:
            return []
        if not isinstance(data, list | tuple):
            self.out.add(at, f"{show(data)} is not a list")
            return []
        return list(data)

    def text(self, data: object, at: str, default: str = "") -> str:
        """Text; null is `default`."""
        if data is None:
            return default
        if not isinstance(data, str):
            self.out.add(at, f"{show(data)} is not text; put it in quotes")
            return default
        return data

    def whole(self, data: object, at: str, default: int, most: int = 2**64 - 1) -> int:
        """A whole number from 0 to `most`, also as text; null is `default`."""
        if data is None:
            return default
        try:
            value = number(data, "a whole number, 0 or more")
        except ValueError as problem:
            self.out.add(at, str(problem))
            return default
        if value.denominator != 1 or not 0 <= value <= most:
            self.out.add(at, f"{show(data)} is not a whole number from 0 to {most}")
            return default
        return int(value)

    def flag(self, data: object, at: str) -> bool:
        """True or false; null is false."""
        if data is None or isinstance(data, bool):
            return bool(data)
        self.out.add(at, f"{show(data)} is not true or false")
        return False

    def binary(self, data: object, at: str) -> bytes:
        """Bytes, written in base64 with or without its padding; null is none."""
        if data is None:
            return b""
        if isinstance(data, str):
            try:
                return b64decode(data + "=" * (-len(data) % 4), validate=True)
            except (binascii.Error, ValueError):
                pass
        self.out.add(at, f"{show(data)} is not base64")
        return b""

    def words(self, data: object, at: str) -> tuple[str, ...]:
        """A list of words, or one text that a shell would split into them."""
        if isinstance(data, str):
            try:
                return tuple(shlex.split(data))
            except ValueError as problem:
                self.out.add(at, f"{show(data)} cannot be split into words: {problem}")
                return ()
        return tuple(self.text(item, f"{at}[{i}]") for i, item in enumerate(self.items(data, at)))
