"""What the contracts' bytecode costs beside their rules, in time; and what claiming together saves, in gas.

Section `chain` of the benchmarks, the two backends by turns:

1. azure-marketplace, whole;
2. 1,000 channels claimed every 100 s (`claims.yaml`), the first hours of its day;
3. the backends alone: a `withdrawMany` of 100 claims, and a deposit.

By itself (python -m benchmarks.chain [--docs]): gas of one `withdrawMany` and of single claims instead, which is the
same on every machine; `--docs` writes the table and the plot into docs/.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Final

import sim
from benchmarks.entries import Entry, Peer, Size, rounded
from benchmarks.table import put
from protocol.keccak import keccak256
from protocol.payment import Claim, CreateChannel, Deposit, WithdrawMany, WithdrawUpTo
from protocol.ports import Approve, Block, ChainTerms
from protocol.units import Address, PodId
from sim.chain.contracts import Contracts, ModelContracts
from sim.chain.evm import installed as evm
from sim.chain.transactions import AnyCommand

ROOT: Final = Path(__file__).parents[1]
AZURE: Final = ROOT / "scenarios" / "azure-marketplace" / "scenario.yaml"
CLAIMS: Final = ROOT / "benchmarks" / "claims.yaml"
PAGE: Final = ROOT / "docs" / "gas.md"
PLOT: Final = ROOT / "docs" / "withdraw-many.svg"
BEGIN: Final = "<!-- measured: benchmarks/chain.py -->\n"
ENTRIES: Final = (1, 2, 5, 10, 20, 50, 100)
UNIT: Final = 10**18


def address(name: str) -> Address:
    """An address without zero bytes to speak of."""
    return Address(keccak256(name.encode())[-20:])


def pod(number: int) -> PodId:
    return PodId(keccak256(b"pod %d" % number))


ANN, PIA = address("ann"), address("pia")
TERMS: Final = ChainTerms(1, address("payment"), address("registry"), address("token"), 3, 8)


# ------------------------------------------------------------ time


def whole(id: str, name: str, scenario: Path, overrides: list[str], rounds: int) -> Entry:  # noqa: A002
    """Processor time of a scenario on both backends, by turns."""
    spent: dict[str, list[float]] = {"model": [], "evm": []}
    for _ in range(rounds):
        for backend, times in spent.items():
            with tempfile.TemporaryDirectory() as folder:
                began = time.process_time()
                sim.run(scenario, [*overrides, f"chain.backend={backend}"], out=Path(folder) / "run")
                times.append(time.process_time() - began)
            print(f"    {name}, {backend}: {times[-1]:.1f} s", flush=True)
    return entry(id, name, spent, "s", "processor time")


def entry(id: str, name: str, spent: dict[str, list[float]], unit: str, of: str) -> Entry:  # noqa: A002
    """The bytecode beside the rules: medians, and the ratios of the turns."""
    model, evm = (rounded(median(times)) for times in spent.values())
    every = [e / m for m, e in zip(spent["model"], spent["evm"], strict=True)]
    note = f"{of}, median of {len(every)} turns; evm ÷ model {min(every):.2f} to {max(every):.2f}"
    return Entry(id, f"`chain: evm`: {name}", evm, unit, (Peer("`chain: model`", model),), note=note)


class Chain:
    """Contracts with 100 channels from Ann to Pia, and a block for each command."""

    def __init__(self, contracts: Contracts) -> None:
        self.contracts = contracts
        self.number = 0
        self.send(ANN, Approve(TERMS.payment, 10**9 * UNIT))
        for n in range(max(ENTRIES)):
            self.send(ANN, CreateChannel(PIA, pod(n), 3600, 10**6 * UNIT))

    def send(self, sender: Address, command: AnyCommand) -> int:
        """Gas of a command, which has to succeed."""
        self.number += 1
        block = Block(self.number, bytes(32), 1_700_000_000 + 2 * self.number)
        done = self.contracts.execute(command, sender, block)
        assert done.error is None, done
        return done.gas_used


def chains() -> dict[str, Chain]:
    from sim.chain.evm.contracts import EvmContracts  # needs pyrevm

    tokens = {ANN: 10**12 * UNIT, PIA: UNIT}
    return {
        "model": Chain(ModelContracts(tokens, TERMS.payment)),
        "evm": Chain(EvmContracts(tokens, TERMS)),
    }


def alone(
    id: str,  # noqa: A002
    name: str,
    per: int,
    doing: Callable[[Chain, int], object],
    rounds: int = 7,
    times: int = 30,
) -> Entry:
    """Time of one command on both backends, by turns [µs an entry]."""
    both = chains()
    spent: dict[str, list[float]] = {backend: [] for backend in both}
    for turn in range(rounds):
        for backend, chain in both.items():
            began = time.process_time()
            for n in range(times):
                doing(chain, turn * times + n + 1)
            spent[backend].append((time.process_time() - began) / times / per * 1e6)
    return entry(id, name, spent, "µs", "the backend alone, processor time")


def claim_all(entries: int, total: int) -> WithdrawMany:
    return WithdrawMany(tuple(Claim(ANN, pod(n), 1, total * UNIT) for n in range(entries)))


def measure(size: Size) -> Iterator[Entry]:
    """Whole scenarios, then the backends alone."""
    if not evm.installed():
        yield Entry(
            "evm", "`chain: evm` beside `chain: model`", None, "s", left_out=f"the backend evm {evm.MISSING}"
        )
        return
    short = ["duration=2m", "output.sampling=1m", "faults=[]", "chain.outages=[]"]
    with tempfile.TemporaryDirectory() as folder:  # imports, and compiles or loads the kernels
        sim.run(AZURE, short, out=Path(folder) / "run")
    quick = size is Size.QUICK
    azure, minutes, rounds = (short, 5, 1) if quick else ([], 60, 2)
    yield whole("evm-azure", "azure-marketplace" + ", 2 min of it" * quick, AZURE, azure, rounds)
    claims = f"1,000 channels claimed every 100 s for {minutes} min"
    yield whole("evm-claims", claims, CLAIMS, [f"duration={minutes}m", "output.sampling=5m"], rounds)
    many = "a claim in a withdrawMany of 100"
    yield alone("evm-claim", many, 100, lambda chain, n: chain.send(PIA, claim_all(100, n)))
    yield alone(
        "evm-deposit", "a deposit", 1, lambda chain, n: chain.send(ANN, Deposit(PIA, pod(n % 100), UNIT))
    )


# ------------------------------------------------------------ gas


def gas() -> list[tuple[int, int, int]]:
    """(claims, gas of one withdrawMany, gas of single claims), of channels that were claimed from before."""
    found = []
    for entries in ENTRIES:
        chain = chains()["evm"]
        chain.send(PIA, claim_all(entries, 1))
        together = chain.send(PIA, claim_all(entries, 2))
        singly = sum(chain.send(PIA, WithdrawUpTo(ANN, pod(n), 3 * UNIT)) for n in range(entries))
        found.append((entries, together, singly))
    return found


def table(rows: list[tuple[int, int, int]]) -> str:
    """The rows as Markdown."""
    lines = [
        "| claims | one `withdrawMany` | a claim | single `withdrawUpTo` | a claim | together / singly |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {n} | {many:,} | {many // n:,} | {single:,} | {single // n:,} | {many / single:.2f} |"
        for n, many, single in rows
    ]
    return "\n".join(lines) + "\n"


def plot(rows: list[tuple[int, int, int]]) -> None:
    """The rows as a picture."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = "trusted-pods"
    figure, axes = plt.subplots(figsize=(6, 3.4), layout="constrained")
    counts = [n for n, _, _ in rows]
    axes.plot(
        counts,
        [single / n for n, _, single in rows],
        "s--",
        color="#888888",
        label="withdrawUpTo, one by one",
    )
    axes.plot(counts, [many / n for n, many, _ in rows], "o-", color="#1f6f8b", label="withdrawMany")
    axes.set(xscale="log", xlabel="claims in a transaction", ylabel="gas a claim", ylim=(0, None))
    axes.set_xticks(counts, [str(n) for n in counts])
    axes.minorticks_off()
    axes.grid(axis="y", alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(PLOT, metadata={"Date": None})


def main() -> None:
    """Measures gas and prints it."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        prog="python -m benchmarks.chain",
    )
    parser.add_argument("--docs", action="store_true", help="write the table and the plot")
    options = parser.parse_args()
    if not evm.installed():
        print(f"left out: the backend evm {evm.MISSING}")
        return
    rows = gas()
    print(table(rows))
    if options.docs:
        put(PAGE, table(rows), BEGIN)
        plot(rows)


if __name__ == "__main__":
    main()
