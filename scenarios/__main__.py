"""`python -m scenarios [NAME ...]`: run the library's sweeps, and make pages, plots and notebooks of their results."""

from __future__ import annotations

import sys

import click

from scenarios.library import Question, questions, run_sweep, write_notebook, write_page


@click.command()
@click.argument("names", nargs=-1)
@click.option(
    "--workers", type=click.IntRange(min=1), help="Processes; one a processor unless said otherwise."
)
@click.option("--scheduler", help="Address of a Dask cluster that exists.")
@click.option("--drawn", is_flag=True, help="Keep the results and make only pages, plots and notebooks anew.")
def main(names: tuple[str, ...], workers: int | None, scheduler: str | None, drawn: bool) -> None:
    """Make the results of the scenario library anew; of all scenarios when none is named."""
    known = {one.name: one for one in questions()}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise click.BadParameter(f"{', '.join(unknown)}: not in the library; there are {', '.join(known)}")
    for name in names or known:
        question: Question = known[name]
        if not drawn:
            run_sweep(question, workers=workers, scheduler=scheduler, progress=_told(name), notice=click.echo)
            click.echo()
        write_page(question)
        write_notebook(question)
        click.echo(f"{name}: made")


def _told(name: str):  # type: ignore[no-untyped-def]
    def told(done: int, asked: int, kept: int) -> None:
        sys.stderr.write(f"\r{name}: {done:,} of {asked:,} evaluations ({kept:,} kept from before)")
        sys.stderr.flush()

    return told


if __name__ == "__main__":
    main()
