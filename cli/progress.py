"""Progress on stderr: of a run in virtual time and requests, of a sweep in evaluations; and what is left."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from protocol.units import NS_PER_S

Progress = Callable[[int, int, int], None]
"""Called as a run goes: virtual time done and in all, over all replications [ns], and requests so far."""


def hours(ns: int) -> str:
    """Virtual time as `5:03:20`."""
    minutes, seconds = divmod(ns // NS_PER_S, 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"


@contextmanager
def progress_bar(*, quiet: bool) -> Iterator[Progress | None]:
    """A bar to hand to a run; None when nobody would see it (quiet, or stderr is not a terminal)."""
    texts = "{task.fields[clock]} of {task.fields[end]} virtual", "{task.fields[requests]:,} requests"
    with _bar(*texts, quiet=quiet, clock=hours(0), end="...", requests=0) as show:
        if show is None:
            yield None
            return

        def update(done_ns: int, total_ns: int, requests: int) -> None:
            show(
                completed=done_ns,
                total=total_ns,
                clock=hours(done_ns),
                end=hours(total_ns),
                requests=requests,
            )

        yield update


@contextmanager
def sweep_bar(*, quiet: bool) -> Iterator[Progress | None]:
    """A bar to hand to a sweep: evaluations done, in all, and kept from before; None when nobody would see it."""
    text = "{task.fields[done]} of {task.fields[asked]} evaluations{task.fields[kept]}"
    with _bar(text, quiet=quiet, done=0, asked="...", kept="") as show:
        if show is None:
            yield None
            return

        def update(done: int, asked: int, kept: int) -> None:
            show(
                completed=done - kept,  # what is left is judged by what was run
                total=asked - kept,
                done=done,
                asked=asked,
                kept=f", {kept} from before" if kept else "",
            )

        yield update


@contextmanager
def _bar(before: str, after: str = "", *, quiet: bool, **fields: Any) -> Iterator[Callable[..., None] | None]:
    """A bar between two texts, and what is left; gives what changes its state and the fields of its texts."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = [TextColumn(before), BarColumn(), TaskProgressColumn()]
    columns += [TextColumn(after)] if after else []
    columns += [TimeRemainingColumn(), TextColumn("left")]
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield partial(bar.update, bar.add_task("", total=None, **fields))
