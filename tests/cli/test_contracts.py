from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from eth_account import Account

import contracts
from cli.contracts import _amount, _for_people
from cli.main import main
from live.keys import read_key
from protocol.errors import BadInput

KEY = "11" * 32


def command(*args: object) -> Result:
    result = CliRunner().invoke(main, ["contracts", *map(str, args)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("key").write_text(KEY)


def test_gas_is_what_was_measured() -> None:
    assert json.loads(command("gas", "--json").output) == contracts.gas()
    lines = command("gas").output.splitlines()
    create = contracts.gas()["payment"]["createChannel"]
    (row,) = [line.split() for line in lines if line.startswith("payment.createChannel ")]
    assert row == ["payment.createChannel", f"{create['first']:,}", f"{create['again']:,}"]
    assert any(line.startswith("payment.withdrawMany, 100 entries") for line in lines)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--key", "none"], "none: No such file"),
        (["--token", "0x12"], "is no address"),
        (["--out", "key"], "key exists"),
        (["--out", "nowhere/chain.yaml"], "nowhere is no folder"),
        (["--rpc", "ftp://x"], "is no endpoint"),
    ],
)
def test_deploying_with_wrong_input_ends_before_the_chain_is_asked(args: list[str], words: str) -> None:
    result = command("deploy", "--rpc", "http://127.0.0.1:9", "--key", "key", *args)
    assert result.exit_code == 2 and words in result.stderr
    assert not Path("chain.yaml").exists()


def test_a_chain_that_is_out_of_reach_is_unavailable() -> None:
    result = command("deploy", "--rpc", "http://127.0.0.1:9", "--key", "key")
    assert result.exit_code == 5 and "http://127.0.0.1:9 cannot be reached" in result.stderr


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    true_import = builtins.__import__

    def import_(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "live.wiring":
            raise ModuleNotFoundError("No module named 'trio'", name="trio")
        return true_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", import_)
    result = command("show", "chain.yaml")
    assert result.exit_code == 2 and "pip install 'trusted-pods[live]'" in result.stderr
    assert command("gas").exit_code == 0


# ---------------------------------------------------------------- keys


def never() -> str:
    raise AssertionError("no password is needed")


def test_a_key_in_hex(tmp_path: Path) -> None:
    for text in (KEY, f"0x{KEY}\n"):
        Path("key").write_text(text)
        assert read_key(Path("key"), never).address == Account.from_key(KEY).address


def test_an_encrypted_key_file() -> None:
    stored = Account.encrypt(bytes.fromhex(KEY), "secret", kdf="pbkdf2", iterations=2)
    Path("key").write_text(json.dumps(stored))
    assert read_key(Path("key"), lambda: "secret").address == Account.from_key(KEY).address
    with pytest.raises(BadInput, match="key: the password is wrong"):
        read_key(Path("key"), lambda: "other")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "11",
        KEY + "11",
        "zz" * 32,
        "{}",
        "{",
        '{"crypto": {}}',
        '{"crypto": {}, "version": 1}',
        "\xff\xff",
    ],
)
def test_what_is_no_key_is_told_without_showing_it(text: str) -> None:
    Path("key").write_bytes(text.encode("latin-1"))
    with pytest.raises(BadInput) as raised:
        read_key(Path("key"), lambda: "secret")
    assert str(raised.value).startswith("key: ") and not (
        text and text in str(raised.value).partition(": ")[2]
    )


# ---------------------------------------------------------------- words


def test_strangers_words_cannot_move_the_cursor() -> None:
    assert _for_people("a\x1b[2Jb\nc") == "a?[2Jb?c"
    assert len(_for_people("x" * 500)) == 61


@pytest.mark.parametrize(
    ("base_units", "shown"), [(0, "0"), (10**18, "1"), (1234 * 10**18 + 5 * 10**16, "1,234.05"), (1, "0." + "0" * 17 + "1")]
)  # fmt: skip
def test_amounts_are_exact(base_units: int, shown: str) -> None:
    class Settings:
        token_decimals = 18

    assert _amount(base_units, Settings()) == shown  # type: ignore[arg-type]
