"""Progress on stderr: of a run in virtual time and requests, of a sweep in evaluations; and what is left."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.fields[clock]} of {task.fields[end]} virtual"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[requests]:,} requests"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("run", total=None, clock=hours(0), end="...", requests=0)

        def update(done_ns: int, total_ns: int, requests: int) -> None:
            bar.update(
                task,
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
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.fields[done]} of {task.fields[asked]} evaluations{task.fields[kept]}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("sweep", total=None, done=0, asked="...", kept="")

        def update(done: int, asked: int, kept: int) -> None:
            bar.update(
                task,
                completed=done - kept,  # what is left is judged by what was run
                total=asked - kept,
                done=done,
                asked=asked,
                kept=f", {kept} from before" if kept else "",
            )

        yield update
