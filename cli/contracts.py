"""`trustedpods contracts`: deploy the contracts, show a deployment, print what they cost in gas."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from cli.ending import UNAVAILABLE, Told, telling
from cli.group import CONTEXT, Commands

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from live.chain.deploying import Creation, State
    from live.settings import ChainSettings

PASSWORD: Final = "TRUSTED_PODS_PASSWORD"
GWEI: Final = 10**9
LABELS: Final = {"TestToken": "token", "Payment": "payment", "Registry": "registry"}
PARTS: Final = ("token", "payment", "registry")
JSON = click.option("--json", "as_json", is_flag=True, help="As JSON.")


@click.group(cls=Commands, context_settings=CONTEXT)
def contracts() -> None:
    """Deploy the contracts to a chain, and look at them. Not audited: no real money."""


@contracts.command()
@click.option("--rpc", required=True, metavar="URL", help="A node of the chain: http://… or https://…")
@click.option(
    "--key", required=True, type=click.Path(path_type=Path), metavar="FILE",
    help=f"Who pays: an encrypted key file (its password is asked for, or in {PASSWORD}), or 64 hex digits.",
)  # fmt: skip
@click.option(
    "--token", metavar="ADDRESS", help="The payment token.  [default: a test token that anybody can mint]"
)
@click.option(
    "--test-token-decimals", type=click.IntRange(0, 36), default=18, show_default=True, metavar="N",
    help="Decimals of the test token.",
)  # fmt: skip
@click.option(
    "--confirmations", type=click.IntRange(min=0), default=12, show_default=True, metavar="N",
    help="Blocks on top of a block before it counts; 1 does on a development chain.",
)  # fmt: skip
@click.option(
    "--max-gas-price", type=click.IntRange(min=1), default=100, show_default=True, metavar="GWEI",
    help="The most that is paid for a unit of gas.",
)  # fmt: skip
@click.option(
    "--deadline", type=click.IntRange(min=1), default=600, show_default=True, metavar="SECONDS",
    help="How long each transaction is waited for.",
)  # fmt: skip
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("chain.yaml"), show_default=True, metavar="FILE",
    help="The settings to write; must not exist.",
)  # fmt: skip
@JSON
@telling
def deploy(
    rpc: str, key: Path, token: str | None, test_token_decimals: int, confirmations: int, max_gas_price: int,
    deadline: int, out: Path, as_json: bool,
) -> None:  # fmt: skip
    """Deploy Registry and Payment to a chain; prints their addresses and writes the settings that pin them."""
    _needs_live()
    from live.chain.deploying import Plan
    from live.chain.sending import Pace
    from live.keys import read_key
    from live.settings import dump
    from live.wiring import deploy as deploy_to
    from protocol.identity import parse_address

    plan = Plan(
        token=None if token is None else parse_address(token),
        test_token_decimals=test_token_decimals,
        confirmations=confirmations,
        cap_wei=max_gas_price * GWEI,
        deadline_s=deadline,
        pace=Pace(),
    )
    with _claimed(out) as file:
        account = read_key(key, _password)

        def heard(creation: Creation) -> None:
            _note(file, creation, shown=not as_json)

        settings = deploy_to(rpc, account, plan, heard)
        text = f"# A deployment of Trusted Pods, written by `trustedpods contracts deploy`.\n{dump(settings)}"
        try:
            file.seek(0)
            file.truncate()
            file.write(text)
            file.flush()
        except OSError as error:
            raise Told(
                UNAVAILABLE, f"everything is deployed, and {out} cannot be written: {error.strerror}\n{text}"
            ) from error
    if as_json:
        click.echo(settings.model_dump_json(indent=2))
        return
    click.echo(f"chain    {settings.chain_id}\ndecimals {settings.token_decimals}\nwrote {out}")


@contracts.command()
@click.argument("settings", type=click.Path(path_type=Path))
@JSON
@telling
def show(settings: Path, as_json: bool) -> None:
    """Show a deployment's state: its money, channels, providers and prices, at one block that counts."""
    _needs_live()
    from live.settings import load
    from live.wiring import deployment

    read = load(settings)
    state = deployment(read)
    if as_json:
        click.echo(json.dumps(_plain(read, state), indent=2))
    else:
        click.echo("\n".join(_told(read, state)))


@contracts.command()
@JSON
@telling
def gas(as_json: bool) -> None:
    """Print what each function costs in gas, as measured on the compiled contracts."""
    from contracts import gas as measured

    table = measured()
    if as_json:
        click.echo(json.dumps(table, indent=2))
        return
    rows = [("function", "first time", "again")]
    for part in PARTS:
        for function, costs in table[part].items():
            if function == "refused":
                rows += [(f"{part}.{name}, refused", f"{cost:,}", "") for name, cost in costs.items()]
            else:
                rows.append(
                    (
                        f"{part}.{function}",
                        f"{costs['first']:,}",
                        f"{costs['again']:,}" if "again" in costs else "",
                    )
                )
    many = table["withdrawMany"]
    for entries, first in many["first"].items():
        name = f"payment.withdrawMany, {entries} {'entry' if entries == '1' else 'entries'}"
        rows.append((name, f"{first:,}", f"{many['again'][entries]:,}"))
    click.echo("\n".join(_columns(rows)))
    click.echo(f"\nsolc {table['compiler']}; first time: storage that was empty. Bytes of code:")
    sizes = [(name, f"{size['runtime']:,}") for name, size in table["bytes"].items()]
    click.echo("\n".join(_columns(sizes)))


@contextmanager
def _claimed(out: Path) -> Iterator[TextIO]:
    """A new file, before anything is sent; it is gone again when there was nothing to write into it.

    What was sent is noted in it, so that it tells what may stand when the deployment ends early.
    """
    from protocol.errors import BadInput, PortError

    try:
        file = out.open("x", encoding="utf-8")
    except FileExistsError as error:
        raise BadInput(f"{out} exists: it may be all there is of an older deployment") from error
    except OSError as error:
        reason = error.strerror if out.parent.is_dir() else f"{out.parent} is no folder"
        raise BadInput(f"{out} cannot be written: {reason}") from error
    with file:
        try:
            yield file
        except BaseException as error:
            if file.tell() == 0 or (isinstance(error, PortError) and not error.sent):
                out.unlink(missing_ok=True)
            else:
                click.echo(f"{out} says what was sent; it holds no settings", err=True)
            raise


def _note(file: TextIO, creation: Creation, *, shown: bool) -> None:
    """Write down what is sent and what stands; a full disk or a reader that left do not end a deployment."""
    from protocol.identity import format_address

    where = format_address(creation.address)
    how = "stands" if creation.stands else "is sent, to stand"
    with suppress(OSError):
        file.write(
            f"# {creation.contract} {how} at {where}: transaction 0x{creation.transaction.hex()},"
            f" nonce {creation.nonce}\n"
        )
        file.flush()
    if creation.stands and shown:
        with suppress(OSError):
            click.echo(f"{LABELS[creation.contract]:8} {where}")


def _needs_live() -> None:
    """Tell which extra is missing, before anything else goes wrong."""
    from protocol.errors import BadInput

    try:
        import live.wiring  # noqa: F401
    except ModuleNotFoundError as error:
        raise BadInput(
            f"{error.name} is not installed; a real chain needs the extra: pip install 'trusted-pods[live]'"
        ) from error


def _password() -> str:
    given = os.environ.get(PASSWORD)
    if given is not None:
        return given
    asked: str = click.prompt("Password of the key file", hide_input=True, err=True)
    return asked


def _told(settings: ChainSettings, state: State) -> Iterable[str]:
    from protocol.identity import format_address

    released = {True: "the code of this release", False: "other code than this release's"}
    unit = state.symbol or "tokens"
    yield f"chain {settings.chain_id}, block {state.block.number} ({settings.confirmations} deep)"
    yield f"payment  {settings.payment}  {released[state.ours['Payment']]}"
    yield f"registry {settings.registry}  {released[state.ours['Registry']]}"
    yield f"token    {settings.token}  {unit}, {settings.token_decimals} decimals"
    yield f"holds {_amount(state.held, settings)} {unit}; its channels say {_amount(state.owed, settings)}"
    yield f"\n{len(state.channels)} channels"
    rows = [("publisher", "provider", "pod", "life", "invested", "withdrawn", "unlocks at")]
    for key, channel in state.channels.items():
        numbers = (
            _amount(channel.invested_by_publisher, settings),
            _amount(channel.withdrawn_by_provider, settings),
        )
        unlocks = str(channel.unlocked_at_s) if channel.unlocked_at_s else "-"
        rows.append(
            (format_address(key.publisher), format_address(key.provider), f"{key.pod_id.hex()[:8]}…", str(channel.life), *numbers, unlocks)
        )  # fmt: skip
    yield from _columns(rows) if len(rows) > 1 else ()
    yield f"\n{len(state.market.listings)} providers"
    for listing in state.market.listings:
        tables = ", ".join(map(str, listing.tables)) or "none"
        yield f"{format_address(listing.provider)}  {_for_people(listing.record)}  tables {tables}"
    yield f"\n{len(state.market.tables)} pricing tables with subscribers"
    prices_of: list[tuple[str, ...]] = [
        ("id", "cpu", "ram", "storage", "egress", "ingress", "processor", "enclosure")
    ]
    for table_id, table in state.market.tables.items():
        prices = (table.cpu, table.ram, table.storage, table.egress, table.ingress)
        names = (_for_people(table.cpu_model), _for_people(table.tee_type))
        prices_of.append((str(table_id), *map(str, prices), *names))
    yield from _columns(prices_of) if len(prices_of) > 1 else ()


def _plain(settings: ChainSettings, state: State) -> dict[str, Any]:
    from protocol.identity import format_address

    return {
        "chain_id": settings.chain_id,
        "block": state.block.number,
        "payment": settings.payment,
        "registry": settings.registry,
        "token": settings.token,
        "token_symbol": state.symbol,
        "token_decimals": settings.token_decimals,
        "code_of_this_release": state.ours,
        "held": str(state.held),
        "owed": str(state.owed),
        "channels": [
            {
                "publisher": format_address(key.publisher),
                "provider": format_address(key.provider),
                "pod_id": f"0x{key.pod_id.hex()}",
                **{name: str(value) for name, value in asdict(channel).items()},
            }
            for key, channel in state.channels.items()
        ],
        "providers": [
            {"provider": format_address(one.provider), "record": one.record, "tables": list(one.tables)}
            for one in state.market.listings
        ],
        "tables": {
            table_id: {
                "token": format_address(table.token),
                "prices": [
                    str(price) for price in (table.cpu, table.ram, table.storage, table.egress, table.ingress)
                ],
                "cpu_model": table.cpu_model,
                "tee_type": table.tee_type,
            }
            for table_id, table in state.market.tables.items()
        },
    }


def _amount(base_units: int, settings: ChainSettings) -> str:
    whole, rest = divmod(base_units, 10**settings.token_decimals)
    fraction = f"{rest:0{settings.token_decimals}d}".rstrip("0") if rest else ""
    return f"{whole:,}.{fraction}" if fraction else f"{whole:,}"


def _for_people(text: str) -> str:
    """Strangers' words on one line of a terminal: nothing that moves a cursor, and not all of a long one."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in text[:60])
    return shown + "…" if len(text) > 60 else shown


def _columns(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
