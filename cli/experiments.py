"""Commands that look at finished runs together: `compare` and `replay`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from cli.ending import DIFFERENT, INTERRUPTED, WRONG_INPUT, Told, telling

if TYPE_CHECKING:
    from rich.table import Table

    from sim.experiments.compare import Compared, Comparison
    from sim.experiments.replay import Replay, RowDifference

MOST_INPUTS: Final = 20
WIDEST: Final = 130
"""Columns of text that the widest table needs: it is not cut where a terminal is narrower, or where there is none."""
RUN: Final = click.Path(path_type=Path)


@click.command()
@click.argument("a", type=RUN)
@click.argument("b", type=RUN)
@click.option(
    "--metric", "metrics", multiple=True, metavar="NAME",
    help="Compare this metric only, and correct over those named; may be given often.",
)  # fmt: skip
@click.option(
    "--equivalent", metavar="SHARE",
    help="Also test whether B lies within this share of A's mean, such as 2%.",
)  # fmt: skip
@click.option("--unpaired", is_flag=True, help="Take the replications as independent (Welch's method).")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@telling
def compare(
    a: Path, b: Path, metrics: tuple[str, ...], equivalent: str | None, unpaired: bool, as_json: bool
) -> None:
    """Compare two finished runs, metric by metric: what changed from A to B, and how sure that is.

    Replication i of A and of B drew the same chance, so the variance of their difference is not that of independent
    runs, but that divided by what `variance` says. ± is a 95 % interval of each by itself; p is corrected over the metrics compared (Holm). Runs of another scenario, seed, number of replications or
    version of the code are no pairs and are refused without --unpaired.

    Exit status: 0 when no metric differs at 5 % (with --equivalent: when all are shown equivalent); 1 when one does
    (or is not shown equivalent); 2 when the input is wrong, or too small to test anything: at least two replications.
    """
    import sim
    from protocol.errors import BadInput
    from sim.scenario.quantities import read_share

    try:
        margin = None if equivalent is None else float(read_share(equivalent))
    except ValueError as wrong:
        raise BadInput(f"--equivalent: {wrong}") from None
    result = sim.compare(a, b, metrics=metrics, equivalent=margin, unpaired=unpaired)
    if as_json:
        import json

        click.echo(json.dumps(result.to_data(), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        _print_comparison(result, everything=bool(metrics))
    if not result.tested:
        raise Told(WRONG_INPUT, "too few: at least two replications of each; nothing was tested")
    if result.failing:
        what = "found different" if margin is None else "not shown equivalent"
        names = ", ".join(row.metric for row in result.failing)
        raise Told(DIFFERENT, f"{len(result.failing)} of {len(result.metrics)} compared {what}: {names}")


@click.command()
@click.argument("directory", metavar="RUN", type=RUN)
@click.option(
    "--workers", type=click.IntRange(min=1), default=1, show_default=True, metavar="N",
    help="Processes for the replications.",
)  # fmt: skip
@click.option(
    "--threads", type=click.IntRange(min=1), metavar="N",
    help="Threads for the data plane in each process.  [default: the processors, shared between the workers]",
)  # fmt: skip
@telling
def replay(directory: Path, workers: int, threads: int | None) -> None:
    """Run a finished run again and compare every table, byte for byte.

    It runs the scenario that the run kept, into a temporary directory (as large as the run; TMPDIR says where).
    What differs is shown by its first row, and by the first event that differs with what led to it.

    Exit status: 0 when the bytes are the same; 1 when they are not; 2 when RUN cannot be run again.
    """
    from functools import partial

    import sim
    from cli.progress import progress_bar

    notice = partial(click.echo, err=True)
    with progress_bar(quiet=False) as progress:
        try:
            result = sim.replay(directory, workers=workers, threads=threads, progress=progress, notice=notice)
        except KeyboardInterrupt:
            raise Told(
                INTERRUPTED, "interrupted before the run was whole again; nothing was compared"
            ) from None
    if result.same:
        click.echo("the same bytes")
        return
    _print_replay(result)
    raise Told(DIFFERENT, f"not the same: {', '.join(result.tables)}")


def _print_comparison(result: Comparison, *, everything: bool) -> None:
    """What a person reads; metrics that are equal in every replication are only counted, unless they were asked for."""
    from rich.console import Console
    from rich.text import Text

    from sim.experiments.compare import TOO_FEW

    console = Console(highlight=False)
    how = "paired" if result.paired else "unpaired (Welch)"
    console.print(Text.assemble(("A ", "bold"), str(result.a), "\n", ("B ", "bold"), str(result.b)))
    _print_list(console, "Inputs that differ (A against B)", [str(change) for change in result.inputs])
    _print_list(console, "Versions that differ (A against B)", [str(change) for change in result.versions])
    shown = [
        row
        for row in result.metrics
        if everything or row.difference or row.low != row.high or row.low is None
    ]
    console.print()
    if shown:
        Console(highlight=False, width=max(console.width, WIDEST)).print(_comparison_table(shown, result))
        console.print(
            f"{how}; {'± is 95 % for each; ' if result.tested else f'{TOO_FEW}; '}"
            f"p corrected for {len(result.metrics)} compared (Holm)"
            + (
                ""
                if result.margin is None
                else f"; equivalent: within {100 * result.margin:.4g} % of A's mean (TOST)"
            ),
            style="dim",
        )
    if len(shown) < len(result.metrics):
        console.print(f"{len(result.metrics) - len(shown)} metrics are equal in every replication.")
    for why in dict.fromkeys(result.left_out.values()):
        names = [name for name, reason in result.left_out.items() if reason == why]
        console.print(f"Left out, for it {why}: {', '.join(names)}.")
    for note in result.notes:
        console.print(f"Note: {note}.", style="yellow")


def _comparison_table(rows: list[Compared], result: Comparison) -> Table:
    from rich.table import Table

    from sim.summary import number_text, unit_text, value_text

    table = Table(box=None, padding=(0, 1), header_style="bold cyan")
    table.add_column("metric", no_wrap=True)
    table.add_column("unit", style="dim", no_wrap=True)
    titles = ["A", "B", "B - A", "of A", *(["variance"] if result.paired else []), "p"]
    for title in titles if result.margin is None else [*titles, "p equiv."]:
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("verdict", style="bold", no_wrap=True)
    for row in rows:
        scale = 100 if row.unit == "share" else 1
        entry = {
            "name": row.metric,
            "mean": row.difference,
            "low": row.low,
            "high": row.high,
            "unit": row.unit,
        }
        cells = [
            row.metric,
            unit_text(entry),
            number_text(row.mean_a * scale),
            number_text(row.mean_b * scale),
        ]
        cells.append(value_text(entry) + (" (too few)" if row.low is None else ""))
        cells.append("–" if row.relative is None else f"{row.relative:+.1%}")
        if result.paired:
            cells.append(
                "–" if row.variance_ratio is None else f"÷ {number_text(float(f'{row.variance_ratio:.3g}'))}"
            )
        cells.append(_p_text(row.p_holm))
        if result.margin is not None:
            cells.append(_p_text(row.p_equivalent_holm))
        cells.append("–" if row.verdict in ("no difference found", "too few") else row.verdict)
        table.add_row(*cells)
    return table


def _p_text(p: float | None) -> str:
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _print_list(console: Any, title: str, lines: list[str]) -> None:
    if not lines:
        return
    console.print(f"\n{title}", style="bold cyan")
    for line in lines[:MOST_INPUTS]:
        console.print(f"  {line}", markup=False)
    if len(lines) > MOST_INPUTS:
        console.print(f"  and {len(lines) - MOST_INPUTS} more (--json has all)")


def _print_replay(result: Replay) -> None:
    from sim.results import load

    if result.first is None:
        click.echo(
            "every row is the same; only the files' bytes differ: how rows are split, or the library's form"
        )
        return
    _print_row("first differing row", result.first)
    if result.event is None:
        return
    if result.event != result.first:
        _print_row("first differing event", result.event)
    start_ns = load(result.directory).provenance["start_ns"]
    chains = [("recorded", result.cause), ("again", result.cause_again)]
    for name, chain in chains[:1] if result.cause == result.cause_again else chains:
        click.echo(f"\nwhat led to it ({name})" + ("" if chain else ": there is no such event"))
        for event in chain:
            click.echo(f"  {_event_text(event, start_ns)}")


def _print_row(title: str, row: RowDifference) -> None:
    click.echo(f"\n{title}: {row.table}, replication {row.replication}, row {row.number}")
    recorded, again = row.recorded or {}, row.again or {}
    if row.recorded is None or row.again is None:
        click.echo(f"  only in the run {'of now' if row.recorded is None else 'recorded'}")
        for name, value in (recorded or again).items():
            click.echo(f"    {name}: {value}")
        return
    for name in dict.fromkeys((*recorded, *again)):
        if name in row.columns:
            click.echo(f"  ! {name}: {recorded.get(name, '–')} recorded, {again.get(name, '–')} now")
        else:
            click.echo(f"    {name}: {recorded[name]}")


def _event_text(event: dict[str, Any], start_ns: int) -> str:
    about = " ".join(f"{name} {event[name]}" for name in ("pod", "provider", "rule", "amount") if event[name])
    words = (
        f"#{event['event_id']} {(event['time_ns'] - start_ns) / 1e9:.3f} s: {event['party']} {event['event']}"
    )
    return " ".join(part for part in (words, about, event["detail"]) if part)
