"""`trustedpods sweep`: every point of a scenario's sweep, and a table of what came of them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from cli.ending import BROKEN, IMPRECISE, INTERRUPTED, Told, telling
from cli.group import FILE, QUIET, SET

if TYPE_CHECKING:
    from sim.experiments.results import SweepResults

MOST_ROWS: Final = 50
WIDEST: Final = 14
"""Letters of a line of a heading, where its parts are not longer."""
MOST_FAILURES: Final = 10


@click.command()
@FILE
@SET
@click.option("--workers", type=click.IntRange(min=1), metavar="N",
              help="Processes on this machine.  [default: as many as there are processors]")  # fmt: skip
@click.option("--scheduler", metavar="ADDRESS",
              help="Scheduler of a Dask cluster that exists, such as tcp://host:8786, instead.")  # fmt: skip
@click.option("--replications", type=click.IntRange(min=1), metavar="N",
              help="Independent repetitions of each point, instead of the file's `replications` or `until`.")  # fmt: skip
@click.option("--metric", "metrics", multiple=True, metavar="NAME",
              help="A metric to print; may be given often.  [default: a handful]")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR",
              help="The sweep's directory; must not exist.  [default: sweeps/<name>/<time>-<hash>]")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print points and metrics as JSON on stdout, and nothing else.")  # fmt: skip
@QUIET
@telling
def sweep(
    file: Path, overrides: tuple[str, ...], workers: int | None, scheduler: str | None, replications: int | None,
    metrics: tuple[str, ...], out: Path | None, as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Run every point of the sweep in FILE; asked for again, it goes on where it was stopped.

    Leaves a directory with points.parquet, results.parquet (a row a point and replication), summary.parquet (an
    estimate and its interval a point and metric), report.html and provenance.json. What is evaluated is kept in sweeps/.cache.
    """
    from cli.progress import sweep_bar
    from cli.simulator import simulate_points
    from sim.experiments import HEADLINES

    silent = quiet or as_json
    with sweep_bar(quiet=silent) as progress:
        results = simulate_points(
            file,
            overrides,
            metrics=metrics,
            workers=workers,
            scheduler=scheduler,
            replications=replications,
            out=out,
            progress=progress,
            notice=None if silent else partial(click.echo, err=True),
        )
    names = list(metrics or HEADLINES)
    if as_json:
        import json

        click.echo(json.dumps(_plain(results, names), indent=2, ensure_ascii=False, allow_nan=False))
    elif not quiet:
        _print_table(results, names)
        click.echo(f"tables: {results.directory}")
    _end(results)


def _end(results: SweepResults) -> None:
    """Status 130 when it was stopped, 9 when something failed, 3 when a half-width was not reached."""
    there = results.provenance["evaluations"]
    if results.interrupted:
        raise Told(
            INTERRUPTED,
            f"interrupted: {there['there']} of {there['asked']} evaluations are there and kept; the same command goes on with"
            f" the rest; what there is is in {results.directory}",
        )
    if failures := results.failures:
        lines = [
            f"point {one['point']} ({one['parameters']}), replication {one['replication']}: {one['reason']}"
            for one in failures[:MOST_FAILURES]
        ]
        more = (
            [f"and {len(failures) - MOST_FAILURES} more, in {results.directory}/provenance.json"]
            if len(failures) > MOST_FAILURES
            else []
        )
        raise Told(
            BROKEN,
            "\n".join(
                [
                    f"{len(failures)} of {there['asked']} evaluations failed; the others are there",
                    *lines,
                    *more,
                ]
            ),
        )
    if imprecise := results.imprecise:
        from sim.summary import precision_text

        parameters = _parameters(results)
        lines = [
            f"point {one['point']} ({', '.join(f'{k}={v}' for k, v in parameters[one['point']].items())}): {precision_text(one)}"
            for one in imprecise[:MOST_FAILURES]
        ]
        more = [f"and {len(imprecise) - MOST_FAILURES} more, in {results.directory}/provenance.json"]
        told = lines + (more if len(imprecise) > MOST_FAILURES else [])
        head = f"{len(imprecise)} of {len(results.points)} points are less precise than asked; their results are there"
        raise Told(IMPRECISE, "\n".join([head, *told]))


def _entries(results: SweepResults, names: list[str]) -> list[dict[str, dict[str, Any]]]:
    """For each point, each metric's estimate; NaN, with which pandas says null, as None."""
    rows = results.summary[results.summary["metric"].isin(names)]
    points: list[dict[str, dict[str, Any]]] = [{} for _ in range(len(results.points))]
    for row in rows.to_dict("records"):
        entry = {
            key: None if row[key] != row[key] else row[key]
            for key in ("unit", "kind", "mean", "low", "high", "n")
        }
        points[int(row["point"])][str(row["metric"])] = {"name": row["metric"], **entry}
    return [{name: found[name] for name in names} for found in points]


def _parameters(results: SweepResults) -> list[dict[str, Any]]:
    return [
        {str(key): value for key, value in row.items() if key != "point" and not str(key).endswith(".number")}
        for row in results.points.to_dict("records")
    ]


def _plain(results: SweepResults, names: list[str]) -> dict[str, Any]:
    return {
        "directory": str(results.directory),
        "interrupted": results.interrupted,
        "failures": results.failures,
        "points": [
            {"point": number, "parameters": parameters, "metrics": metrics}
            for number, (parameters, metrics) in enumerate(
                zip(_parameters(results), _entries(results, names), strict=True)
            )
        ],
    }


def _print_table(results: SweepResults, names: list[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    from sim.summary import unit_text, value_text

    entries, parameters = _entries(results, names), _parameters(results)
    table = Table(box=None, header_style="bold cyan", padding=(0, 2, 0, 0))
    for key in ("point", *parameters[0]):
        table.add_column(_narrow(key, "."), justify="right" if key == "point" else "left", no_wrap=True)
    for name in names:
        unit = unit_text(entries[0][name])
        table.add_column(_narrow(name, "_") + (f"\n[{unit}]" if unit else ""), justify="right", no_wrap=True)
    for number, (point, metrics) in enumerate(zip(parameters, entries, strict=True)):
        if number < MOST_ROWS:
            table.add_row(
                str(number),
                *(str(value) for value in point.values()),
                *(value_text(metrics[name]) for name in names),
            )
    console = Console()
    needed = Console(width=10_000).measure(table).maximum
    console.width = max(console.width, needed)  # a line that the terminal breaks, rather than half a number
    console.print(table)
    if len(entries) > MOST_ROWS:
        console.print(f"and {len(entries) - MOST_ROWS} more points, in {results.directory}/summary.parquet")


def _narrow(name: str, between: str) -> str:
    """A long name on several lines, broken where its parts meet."""
    lines = [""]
    for part in name.split(between):
        if lines[-1] and len(lines[-1]) + len(part) > WIDEST:
            lines.append("")
        lines[-1] += part + between
    return "\n".join(lines)[: -len(between)]
