"""The commands of `trustedpods`, one function each.

Exit status: 0; 1 when `compare` or `replay` finds a difference; 2 when the input is wrong (nothing was done; `compare`:
or too small to test anything); 3 when a half-width that was asked for (`until`) was not reached (the results are
there); 5 when an endpoint or a peer fails; 9 when an invariant of the simulation broke (a bug; the tables are kept) or a
point of a sweep failed (the others are there); 130 when interrupted (the tables can be read).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from cli.contracts import contracts
from cli.ending import BROKEN, IMPRECISE, INTERRUPTED, Told, telling
from cli.experiments import compare, replay
from cli.explain import explain
from cli.group import CONTEXT, FILE, QUIET, SET, Commands
from cli.optimise import optimise
from cli.sweep import sweep

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sim.scenario import Scenario


@click.group(cls=Commands, context_settings=CONTEXT)
@click.version_option(package_name="trusted-pods", prog_name="trustedpods")
def main() -> None:
    """Trusted Pods: simulate a decentralised marketplace of compute.

    Begin with `trustedpods new first` and `trustedpods run first/scenario.yaml`.
    """


main.add_command(contracts)
main.add_command(compare)
main.add_command(replay)
main.add_command(explain)
main.add_command(optimise)
main.add_command(sweep)


@main.command()
@click.argument("name")
@telling
def new(name: str) -> None:
    """Write a commented scenario that runs in seconds, into the folder NAME."""
    from cli.template import write_scenario

    path = write_scenario(Path(name))
    click.echo(f"wrote {path}\nrun it: trustedpods run {quote(str(path))}")


@main.command()
@FILE
@SET
@click.option(
    "--seed", type=click.IntRange(min=0), metavar="N", help="Seed of every draw, instead of the file's."
)
@click.option(
    "--replications",
    type=click.IntRange(min=1),
    metavar="N",
    help="Independent repetitions, instead of the file's `replications` or `until`.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Processes for the replications.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    metavar="N",
    help="Threads for the data plane in each process.  [default: the processors, shared between the workers]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The run's directory; must not exist.  [default: runs/<name>/<time>-<hash>]",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print the summary as JSON on stdout, and nothing else."
)
@QUIET
@telling
def run(
    file: Path, overrides: tuple[str, ...], seed: int | None, replications: int | None, workers: int, threads: int | None,
    out: Path | None, as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Run the scenario in FILE; leaves a directory with its tables, summary and report."""
    from cli.progress import progress_bar
    from cli.simulator import simulate
    from sim.runner import InvariantBroken

    broken: InvariantBroken | None = None
    with progress_bar(quiet=quiet or as_json) as progress:
        try:
            results = simulate(
                file,
                overrides,
                seed=seed,
                replications=replications,
                workers=workers,
                threads=threads,
                out=out,
                progress=progress,
                notice=None if quiet or as_json else partial(click.echo, err=True),
            )
        except InvariantBroken as bug:
            broken, results = bug, bug.results
    summary = results.summary
    if as_json:
        _print_json(summary)
    elif not quiet:
        _print_summary(summary)
        click.echo(f"report: {results.directory / 'report.html'}")
    if broken is not None:
        raise Told(BROKEN, str(broken))
    if summary["interrupted"]:
        raise Told(
            INTERRUPTED,
            f"interrupted: {summary['complete_share']:.1%} of the virtual time was reached; the tables are in {results.directory}",
        )
    if (found := summary["precision"]) is not None and not found["reached"]:
        from sim.summary import precision_text

        raise Told(IMPRECISE, f"{precision_text(found)} The results are in {results.directory}")


@main.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@SET
@click.option("--pilot", type=click.IntRange(min=2), metavar="N", help="Run N replications to tell how many are needed.")  # fmt: skip
@click.option("--metric", default="spend", show_default=True, metavar="NAME", help="Of the pilot: what is to be known.")  # fmt: skip
@click.option("--half-width", "half_width", default="5%", show_default=True, metavar="SHARE", help="Of the pilot: how well, as a share of the mean.")  # fmt: skip
@QUIET
@telling
def validate(
    files: tuple[Path, ...], overrides: tuple[str, ...], pilot: int | None, metric: str, half_width: str, quiet: bool
) -> None:  # fmt: skip
    """Check scenarios as a run would, files and traces included, without running them.

    Of a sound one it tells the load (ρ) on replicas and nodes, how long deposits last, its slowest time constant, and
    what a run will take; what is likely a mistake begins with !. With --pilot it runs a few replications, and tells
    how many bring the interval of a metric to a width.
    """
    from sim.scenario import Problem, ScenarioErrors, load

    problems: list[Problem] = []
    for file in files:
        try:
            scenario = load(file, overrides)
        except ScenarioErrors as error:
            problems += error.problems
            continue
        if not quiet:
            parties = f"{len(scenario.provider_members())} providers, {len(scenario.publisher_members())} publishers"
            click.echo(f"{file}: sound ({scenario.name}: {parties})")
            from sim.explain.forecast import forecast

            for line in forecast(scenario):
                click.echo(f"  {'!' if line.warns else ' '} {line.text}")
        if pilot is not None:
            click.echo(f"    {_pilot(scenario, pilot, metric, half_width)}")
    if problems:
        raise ScenarioErrors(problems)


@main.command()
@click.argument("path", type=click.Path(path_type=Path))
@SET
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@telling
def show(path: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Print a scenario with every default and unit, or the summary of a finished run (a directory)."""
    if path.is_dir():
        from sim.results import load as load_run

        if overrides:
            raise click.UsageError("--set changes a scenario; a finished run cannot be changed")
        summary = load_run(path).summary
        _print_json(summary) if as_json else _print_summary(summary)
        return
    from sim.scenario import load, resolved
    from sim.scenario.resolve import to_data

    scenario = load(path, overrides)
    if as_json:
        _print_json(to_data(scenario))
    else:
        click.echo(resolved(scenario), nl=False)


@main.command()
@telling
def schema() -> None:
    """Print the JSON Schema of scenario files; editors complete from it."""
    from sim.scenario.reference import schema_text

    click.echo(schema_text(), nl=False)


@main.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--metric", "metrics", multiple=True, metavar="NAME",
              help="Of a sweep: a metric to draw; may be given often.  [default: a handful]")  # fmt: skip
@click.option("--against", type=click.IntRange(min=0), metavar="POINT",
              help="Of a sweep: the point that all are held against.  [default: the first, where points are listed]")  # fmt: skip
@telling
def report(directory: Path, metrics: tuple[str, ...], against: int | None) -> None:
    """Write report.html of a finished run or sweep again, from its tables."""
    from sim.experiments.results import is_sweep, load_sweep

    if is_sweep(directory):
        from sim.report.sweep_page import write_sweep_report

        click.echo(write_sweep_report(load_sweep(directory), metrics=metrics, against=against))
        return
    from sim.report.page import write_report
    from sim.results import load as load_run

    if metrics or against is not None:
        raise click.UsageError(
            f"--metric and --against are of a sweep; {directory} is not the directory of one"
        )
    click.echo(write_report(load_run(directory).directory))


def _pilot(scenario: Scenario, pilot: int, metric: str, half_width: str) -> str:
    """Run a pilot, and say how many replications a width needs."""
    from protocol.errors import BadInput
    from sim.experiments.evaluate import evaluate
    from sim.experiments.results import check_metrics
    from sim.explain.forecast import replications_needed
    from sim.scenario.quantities import read_share

    check_metrics([metric])
    try:
        share = float(read_share(half_width))
    except ValueError as wrong:
        raise BadInput(f"--half-width: {wrong}") from None
    if share <= 0:
        raise BadInput(f"--half-width: {half_width}; allowed are shares above 0, such as 5%")
    needed = replications_needed([evaluate(scenario, (), number)[metric] for number in range(pilot)], share)
    if needed is None:
        return (
            f"pilot of {pilot}: {metric} has no value in some replication, or a mean of 0; it cannot be told"
        )
    return f"pilot of {pilot}: about {needed} replications bring {metric} to ± {half_width} of its mean"


def _print_json(data: Mapping[str, Any]) -> None:
    import json

    click.echo(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False))


def _print_summary(summary: Mapping[str, Any]) -> None:
    from rich.console import Console

    from sim.summary import summary_view

    Console().print(summary_view(summary))
