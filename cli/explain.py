"""`trustedpods explain`: what became of a pod, where the money is, or what a scenario assumes, in words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from cli.ending import telling
from cli.group import SET

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sim.explain.money import Decomposition
    from sim.explain.scenario import Account
    from sim.explain.story import Story

WIDEST_WHO: Final = 24
MOST_ROWS: Final = 40


@click.command()
@click.argument("path", metavar="RUN|FILE", type=click.Path(path_type=Path))
@click.option("--pod", metavar="NAME", help="Of a run: everything that became of this pod, such as shop-0.")
@click.option(
    "--channel", metavar="POD@PROVIDER", help="Of a run: what became of this payment channel; /2 behind it: of its second life."
)  # fmt: skip
@click.option(
    "--tx", metavar="SENDER/N", help="Of a run: what led to the N-th transaction that a party sent, and what followed."
)  # fmt: skip
@click.option(
    "--metric", metavar="NAME", help="Of a run: what a sum of money is made of, by cause, provider and pod; such as unpaid."
)  # fmt: skip
@click.option(
    "--replication", type=click.IntRange(min=0), default=0, show_default=True, metavar="N", help="Of a run: which one."
)  # fmt: skip
@click.option("--all", "everything", is_flag=True, help="Every line: routine claims one by one, all providers and pods.")  # fmt: skip
@SET
@click.option("--json", "as_json", is_flag=True, help="As JSON: exact, with everything.")
@telling
def explain(
    path: Path, pod: str | None, channel: str | None, tx: str | None, metric: str | None, replication: int,
    everything: bool, overrides: tuple[str, ...], as_json: bool,
) -> None:  # fmt: skip
    """Explain a finished run (a directory) or a scenario (a file), in words.

    Of a run, one of --pod, --channel, --tx and --metric. Of a scenario: what it is about, every assumption that is in
    force, and every feature that is off.
    """
    asked = {"--pod": pod, "--channel": channel, "--tx": tx, "--metric": metric}
    given = {name: value for name, value in asked.items() if value is not None}
    if path.is_file():
        if given:
            raise click.UsageError(
                f"{', '.join(given)}: asks about a run; {path} is a file. Name a run's directory"
            )
        from sim.explain.scenario import account_of
        from sim.scenario import load

        account = account_of(load(path, overrides))
        _print_json(account.to_data()) if as_json else _print_account(account)
        return
    if overrides:
        raise click.UsageError("--set changes a scenario; a finished run cannot be changed")
    if len(given) != 1:
        raise click.UsageError(f"one of {', '.join(asked)} says what to explain of a run; given: {', '.join(given) or 'none'}")  # fmt: skip
    from sim.explain.source import Source
    from sim.results import load as load_run

    source = Source(load_run(path), replication)
    if metric is not None:
        from sim.explain.money import decompose

        parts = decompose(source, metric)
        _print_json(parts.to_data()) if as_json else _print_parts(parts, everything=everything)
        return
    from sim.explain import story

    if pod is not None:
        told = story.story_of_pod(source, pod)
    elif channel is not None:
        told = story.story_of_channel(source, channel)
    else:
        told = story.story_of_transaction(source, tx or "")
    _print_json(told.to_data()) if as_json else _print_story(told, replication, everything=everything)


def _print_json(data: Mapping[str, Any]) -> None:
    import json

    click.echo(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False))


def _print_story(story: Story, replication: int, *, everything: bool) -> None:
    from sim.explain.phrases import clock_text, span_text

    click.echo(f"The story of {story.title}, replication {replication}")
    click.echo(
        "Times are hours:minutes:seconds since the start of the run. [n] is the event's number, [n < m] says that\n"
        "event m led to it, [n << m] that it answers a message sent after m, or goes on after a crash. What (the world)\n"
        "says is so, and no party knows it yet.\n"
    )
    lines = list(story.told(everything=everything))
    width = min(WIDEST_WHO, max((len(line.who) for line in lines), default=0))
    for line in lines:
        number = "" if line.number is None else f"{line.number}"
        cause = "" if line.cause is None else f" {'<<' if line.answers else '<'} {line.cause}"
        mark = f" [{(number + cause).strip()}]" if number or cause else ""
        skew_ns = 0 if line.observed_ns is None else line.observed_ns - line.time_ns
        skew = (
            f" (by its own clock {span_text(abs(skew_ns))} {'later' if skew_ns > 0 else 'earlier'})"
            if skew_ns
            else ""
        )
        click.echo(
            f"{clock_text(line.time_ns - story.start_ns):>13}  {line.who:<{width}}  {line.text}{skew}{mark}"
        )
    if not lines:
        click.echo("nothing happened")
    chain = story.chain()
    if len(chain) > 1:
        click.echo("\nHow one thing led to the next: " + " > ".join(f"{x.event} [{x.number}]" for x in chain))
    if story.ends:
        click.echo("\n" + "\n".join(story.ends))


def _print_parts(parts: Decomposition, *, everything: bool) -> None:
    click.echo(f"{parts.metric}: {parts.about}; replication {parts.replication}")
    click.echo(f"in all {parts.text(parts.total)} = {parts.total:,} base units")
    if not parts.parts:
        click.echo("there is none of it")
        return
    for title, sums in (
        ("cause", parts.by_cause()),
        ("provider", parts.by_provider()),
        ("pod", parts.by_pod()),
    ):
        if list(sums) == [""]:
            continue
        click.echo(f"\nby {title}")
        _print_sums(parts, sums.items(), everything=everything)
    click.echo(f"\nEach list sums to {parts.total:,} base units, exactly.")
    for note in parts.notes:
        click.echo(note)


def _print_sums(parts: Decomposition, sums: Iterable[tuple[str, int]], *, everything: bool) -> None:
    rows = sorted(sums, key=lambda item: (-abs(item[1]), item[0]))
    shown = rows if everything or len(rows) <= MOST_ROWS else rows[: MOST_ROWS - 1]
    if len(shown) < len(rows):
        rest = rows[len(shown) :]
        shown = [*shown, (f"{len(rest)} more (--all shows them)", sum(amount for _, amount in rest))]
    width = max(len(name or "(nobody's)") for name, _ in shown)
    for name, amount in shown:
        share = f"{amount / parts.total:8.2%}" if parts.total else ""
        click.echo(f"  {name or '(nobody)':<{width}}  {parts.text(amount):>20}  {share}  {amount:>26,}")


def _print_account(account: Account) -> None:
    click.echo("\n\n".join(account.words))
    for title, entries in (
        ("Assumed, because the file does not say it", account.assumed),
        ("Always so in this simulator", account.always),
        ("Off", account.off),
    ):
        click.echo(f"\n{title}")
        for entry in entries:
            click.echo(f"  {entry}")
