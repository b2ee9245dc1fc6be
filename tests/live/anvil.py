"""anvil as a process of its own on a free loopback port, and a relay before it that can fail in every way."""

from __future__ import annotations

import http.server
import json
import re
import shutil
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from eth_account.signers.local import LocalAccount

from live.chain.rpc import Endpoint
from live.settings import ChainSettings
from tests.live.chains import DEPLOYER, ETHER, PROVIDER, PUBLISHER, TOKENS, deploy, mint_data, owner

FOLDER: Final = Path(__file__).parents[1] / "e2e" / "anvil"
LISTENING: Final = re.compile(r"Listening on 127\.0\.0\.1:(\d+)")


def binary() -> Path:
    """anvil itself, installed by `npm ci` from the lock when it is not there yet."""
    lock, stamp = FOLDER / "package-lock.json", FOLDER / "node_modules" / ".package-lock.json"
    if not stamp.is_file() or stamp.stat().st_mtime < lock.stat().st_mtime:
        assert shutil.which("npm"), "npm is needed to install anvil"
        done = subprocess.run(
            ["npm", "ci", "--silent", "--ignore-scripts"],
            cwd=FOLDER, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        stamp.touch()
    found = [path for path in FOLDER.glob("node_modules/@foundry-rs/anvil-*/bin/anvil*") if path.is_file()]
    assert len(found) == 1, f"anvil is not in {FOLDER}: {found}"
    return found[0]


class Anvil:
    """A node. Blocks are made when the test says so, or every `block_s`.

    Args:
        state: a file that the chain is kept in while nobody runs it.
        block_s: time between blocks [s]; None: `mine` makes them.
        port: 0: any that is free.
    """

    def __init__(self, *, state: Path | None = None, block_s: int | None = None, port: int = 0) -> None:
        command = [str(binary()), "--port", str(port), "--accounts", "0", "--chain-id", "31337"]
        command += ["--no-mining"] if block_s is None else ["--block-time", str(block_s)]
        if state is not None:
            command += ["--state", str(state), "--state-interval", "1", "--preserve-historical-states"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        said: list[str] = []
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said.append(line)
            if (listening := LISTENING.search(line)) is not None:
                self.port = int(listening[1])
                break
        else:
            raise AssertionError(f"anvil did not start:\n{''.join(said)}")
        # A pipe that nobody reads fills up and stops the node.
        threading.Thread(target=self._process.stdout.read, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.port}"

    def rpc(self, method: str, *params: Any) -> Any:
        answer = post(self.url, {"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        assert "error" not in answer, (method, answer)
        return answer["result"]

    def mine(self, blocks: int = 1) -> None:
        for _ in range(blocks):
            self.rpc("evm_mine")

    def give_gas(self, account: LocalAccount, wei: int = 100 * ETHER) -> None:
        self.rpc("anvil_setBalance", account.address, hex(wei))

    def deploy(self) -> ChainSettings:
        """The contracts, gas for everybody, tokens for the publisher; blocks are made meanwhile."""
        for account in (DEPLOYER, PUBLISHER, PROVIDER):
            self.give_gas(account)
        with Mining(self, 0.05):
            settings = deploy(Endpoint.http(self.url, timeout_s=10), self.url)
        self.mint(settings)
        return settings

    def mint(self, settings: ChainSettings) -> None:
        self.rpc("anvil_impersonateAccount", DEPLOYER.address)
        data = mint_data(owner(PUBLISHER), TOKENS)
        call = {"from": DEPLOYER.address, "to": settings.token, "data": f"0x{data.hex()}"}
        self.rpc("eth_sendTransaction", call)
        self.rpc("anvil_stopImpersonatingAccount", DEPLOYER.address)
        self.mine()

    def crash(self) -> None:
        """End it as a power cut does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it as its owner does."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self._process.poll() is None:
            self._process.send_signal(how)
        self._process.wait(timeout=20)
        if self._process.stdout is not None:
            self._process.stdout.close()


class Mining:
    """Makes a block now and then, while inside.

    Attributes:
        base_wei: base fee of every block from now on [wei]; None: the protocol's own rule.
    """

    def __init__(self, node: Anvil, every_s: float) -> None:
        self.base_wei: int | None = None
        self._node = node
        self._every_s = every_s
        self._reorganisation: tuple[int, int] | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def replace(self, blocks: int) -> None:
        """After so many more blocks they are replaced by as many empty ones."""
        self._reorganisation = (blocks, blocks)

    def _work(self) -> None:
        while not self._stop.wait(self._every_s):
            try:
                self._mine()
            except OSError:
                continue  # the node is down for now

    def _mine(self) -> None:
        if self.base_wei is not None:
            self._node.rpc("anvil_setNextBlockBaseFeePerGas", hex(self.base_wei))
        self._node.mine()
        if self._reorganisation is not None:
            left, blocks = self._reorganisation
            self._reorganisation = (left - 1, blocks) if left > 1 else None
            if left == 1:
                self._node.rpc("anvil_reorg", blocks, [])

    def __enter__(self) -> Mining:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def post(url: str, body: Any) -> Any:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


Twist = Callable[[str, Any, Any], Any]


class Relay:
    """Passes JSON-RPC on, and fails as it is told to.

    Attributes:
        twist: makes another answer of (method, parameters, answer); None drops the connection after the call was
            passed on.
        page: what is answered instead, as HTML; None: JSON-RPC.
        stuck: nothing is answered while this is set.
    """

    def __init__(self, upstream: str | None) -> None:
        self.upstream = upstream
        self.twist: Twist = lambda method, params, answer: answer
        self.page: str | None = None
        self.stuck = threading.Event()
        self.methods: list[str] = []
        self.port = 0
        self._server: http.server.ThreadingHTTPServer | None = None
        self.up()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def up(self) -> None:
        relay = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                relay._answer(self)

            def log_message(self, *_: object) -> None:
                return

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, *_: object) -> None:
                return  # who asked has gone

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def down(self) -> None:
        """Nobody listens from now on."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def down_for(self, seconds: float) -> None:
        self.down()
        timer = threading.Timer(seconds, self.up)
        timer.daemon = True
        timer.start()

    def _answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        self.methods.append(body["method"])
        while self.stuck.is_set():
            time.sleep(0.01)
        if self.page is not None:
            self._reply(handler, "text/html", self.page.encode())
            return
        assert self.upstream is not None
        answer = self.twist(body["method"], body["params"], post(self.upstream, body))
        if answer is None:
            handler.connection.close()
            return
        self._reply(handler, "application/json", json.dumps(answer).encode())

    def _reply(self, handler: http.server.BaseHTTPRequestHandler, kind: str, body: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
