"""`trustedpods optimise`: look for the best values of some keys of a scenario."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.ending import DIFFERENT, INTERRUPTED, Told, telling
from cli.group import FILE, QUIET, SET

if TYPE_CHECKING:
    from sim.experiments.optimise import Optimum


@click.command()
@FILE
@SET
@click.option("--study", required=True, metavar="NAME", help="The study, kept in studies/<scenario>/NAME; one that is there goes on.")  # fmt: skip
@click.option("--trials", type=click.IntRange(min=1), metavar="N", help="Points to try in all, instead of the file's.")  # fmt: skip
@click.option("--workers", type=click.IntRange(min=1), metavar="N",
              help="Processes on this machine.  [default: as many as there are processors]")  # fmt: skip
@click.option("--scheduler", metavar="ADDRESS",
              help="Scheduler of a Dask cluster that exists, such as tcp://host:8786, instead.")  # fmt: skip
@click.option(
    "--json", "as_json", is_flag=True, help="Print what was found as JSON on stdout, and nothing else."
)
@QUIET
@telling
def optimise(
    file: Path, overrides: tuple[str, ...], study: str, trials: int | None, workers: int | None, scheduler: str | None,
    as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Look for the best values of the keys that `optimise` in FILE names, within its constraints.

    Leaves studies/<scenario>/NAME with trials.parquet, best.json and the study itself; the same command goes on where
    it was stopped, and with a larger --trials it goes on further. One worker and the same seed give the same trials.

    Exit status: 0; 1 when no trial keeps every constraint (the closest is told); 2 wrong input; 130 interrupted.
    """
    from cli.progress import sweep_bar
    from sim.experiments.optimise import closest_text
    from sim.experiments.optimise import optimise as look

    silent = quiet or as_json
    with sweep_bar(quiet=silent) as progress:
        result = look(
            file,
            study,
            overrides,
            trials=trials,
            workers=workers,
            scheduler=scheduler,
            progress=progress,
            notice=None if silent else partial(click.echo, err=True),
        )
    if as_json:
        import json

        click.echo(json.dumps(result.to_data(), indent=2, ensure_ascii=False, allow_nan=False))
    elif not quiet:
        _print(result)
    if result.interrupted:
        raise Told(
            INTERRUPTED,
            f"interrupted: {len(result.trials)} of {result.asked} trials are over and kept; the same command goes on",
        )
    if result.best is None:
        raise Told(DIFFERENT, closest_text(result))


def _print(result: Optimum) -> None:
    from sim.experiments.optimise import TRIALS
    from sim.summary import unit_text, value_text

    over, feasible = len(result.trials), sum(tried.feasible for tried in result.trials)
    limits = f", {feasible} of them within {' and '.join(result.limits)}" if result.limits else ""
    before = f" ({result.before} from before)" if result.before else ""
    click.echo(f"{over} of {result.asked} trials are over{before}{limits}")
    if result.best is not None:
        found = result.best.objective
        entry = {
            "name": result.metric,
            "mean": found.mean,
            "low": found.low,
            "high": found.high,
            "unit": result.unit,
        }
        which = "least" if result.minimised else "most"
        interval = "" if found.low is not None else " (one replication: no interval)"
        click.echo(
            f"{which} {result.metric}: {value_text(entry)} {unit_text(entry)}{interval}, trial {result.best.number}"
        )
        for name, value in result.best.parameters.items():
            click.echo(f"  {name} = {value}")
        click.echo(f"run it: {result.command}")
    click.echo(f"trials: {result.directory / TRIALS}")
