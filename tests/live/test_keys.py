"""Key files, and keys and chance under the suite of their ports."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from eth_account import Account

from live.keys import KeySigner, SystemEntropy, read_key, write_key
from live.tasks import Process
from protocol.errors import BadInput, Killed
from protocol.keccak import keccak256
from protocol.ports import Entropy
from protocol.signing import SECP256K1, address_of
from tests.live.benches import LiveBench
from tests.suites.signer_suite import DIGEST, SignerBench, SignerSuite

ONE, OTHER = keccak256(b"one"), keccak256(b"other")


class KeyBench(LiveBench):
    scheme = SECP256K1

    def __init__(self) -> None:
        super().__init__()
        self.signer, self.other = (KeySigner(self.process, Account.from_key(key)) for key in (ONE, OTHER))
        self.entropy, self.other_entropy = SystemEntropy(self.process), SystemEntropy(Process("other"))

    def again(self) -> Entropy:
        return SystemEntropy(Process("party"))


class TestKeys(SignerSuite):
    @pytest.fixture
    def bench(self) -> SignerBench:
        return KeyBench()


def test_the_dead_sign_and_draw_nothing() -> None:
    bench = KeyBench()
    bench.kill()
    with pytest.raises(Killed):
        bench.signer.sign(DIGEST)
    with pytest.raises(Killed):
        bench.entropy.draw(1)


def test_a_signer_shows_its_address_and_never_its_key() -> None:
    signer = KeyBench().signer
    assert signer.address == address_of(ONE)
    assert address_of(ONE).hex() in repr(signer) and ONE.hex() not in repr(signer)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "wallet.json"
    assert write_key(path, "a password", ONE).address == Account.from_key(ONE).address
    return path


def test_a_key_file_is_what_wallets_read_and_nobody_else_may(written: Path) -> None:
    stored = json.loads(written.read_text())
    assert (stored["version"], stored["crypto"]["kdf"]) == (3, "scrypt")
    assert bytes(Account.decrypt(stored, "a password")) == ONE
    assert bytes(read_key(written, lambda: "a password").key) == ONE
    assert ONE.hex() not in written.read_text()
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert [p.name for p in written.parent.iterdir()] == ["wallet.json"]


def test_a_wrong_password_is_said(written: Path) -> None:
    with pytest.raises(BadInput, match=rf"{written}: the password is wrong"):
        read_key(written, lambda: "another")


def test_a_key_is_never_written_over(written: Path, tmp_path: Path) -> None:
    before = written.read_bytes()
    with pytest.raises(BadInput, match="exists already"):
        write_key(written, "a password")
    assert written.read_bytes() == before
    with pytest.raises(BadInput, match="password is empty"):
        write_key(tmp_path / "new", "")
    with pytest.raises(BadInput, match="No such file or directory"):
        write_key(tmp_path / "absent" / "new", "a password")
    assert list(tmp_path.iterdir()) == []


def test_two_new_keys_differ(tmp_path: Path) -> None:
    assert write_key(tmp_path / "a", "a password").key != write_key(tmp_path / "b", "a password").key
