"""The scenario library: each question with its sweep, its kept results, its notebook and its page.

A question is a folder `scenarios/<name>/` and a notebook `notebooks/<name>.py` (README.md says what is in them). The
notebook's text is the only place where results are turned into answers: it is carried out here on the kept results
for the page and the picture, by Jupyter for the outputs, and by the tests on a sweep of a small size.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import sim
from sim.experiments.answers import Answer
from sim.summary import number_text, span_text

if TYPE_CHECKING:
    from sim.report.charts import Picture

ROOT: Final = Path(__file__).resolve().parent.parent
SWEEP: Final = "TRUSTED_PODS_SWEEP"
"""Environment variable that tells a notebook which sweep's directory to read, instead of the kept results."""
BEGIN: Final = "<!-- results: python -m scenarios -->"
END: Final = "<!-- end -->"


@dataclass(frozen=True, slots=True)
class Question:
    """One scenario of the library.

    Args:
        name: of its folder and its notebook.
    """

    name: str

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return ROOT / "scenarios" / self.name

    @property
    def results(self) -> Path:
        """The kept sweep, as `sim.load_sweep` reads it."""
        return self.folder / "results"

    @property
    def script(self) -> Path:
        """The notebook's text."""
        return ROOT / "notebooks" / f"{self.name}.py"

    @property
    def notebook(self) -> Path:
        """The notebook with its outputs."""
        return self.script.with_suffix(".ipynb")

    @property
    def expected(self) -> dict[str, Any]:
        """What `expected.json` holds."""
        return dict(json.loads((self.folder / "expected.json").read_text(encoding="utf-8")))

    @property
    def made_from(self) -> str:
        """A hash of what the notebook's outputs follow from: its text and the kept results."""
        state = hashlib.sha256(self.script.read_bytes())
        for path in sorted(self.results.glob("*.parquet")):
            state.update(hashlib.sha256(path.read_bytes()).digest())
        return state.hexdigest()


def questions() -> list[Question]:
    """All of the library: the folders whose `expected.json` has checks."""
    found = sorted(path.parent.name for path in (ROOT / "scenarios").glob("*/expected.json"))
    return [one for one in map(Question, found) if "checks" in one.expected]


# ---------------------------------------------------------------- a notebook's text


@dataclass(frozen=True, slots=True)
class Concluded:
    """What carrying out a notebook's text came to.

    Args:
        answers: by name.
        picture: the one plot of the page.
        shows: what it shows, in words.
        said: what each code cell printed, in order.
    """

    answers: Mapping[str, Answer]
    picture: Picture
    shows: str
    said: tuple[str, ...]


def text_cells(script: Path) -> tuple[list[str], list[str]]:
    """Code and prose of a percent script, as its notebook holds them."""
    code, prose = [], []
    body = script.read_text(encoding="utf-8").partition("\n# ---\n")[2]
    for cell in body.split("\n# %%")[1:]:
        head, _, rest = cell.partition("\n")
        if "[markdown]" in head:
            prose.append(
                "\n".join(line.removeprefix("#").removeprefix(" ") for line in rest.strip("\n").split("\n"))
            )
        else:
            code.append(rest.strip("\n"))
    return code, prose


def concluded(question: Question, sweep: Path) -> Concluded:
    """Carry out a notebook's text on a sweep, in this process.

    Args:
        question: whose.
        sweep: the sweep's directory.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    said = []
    with _environment(SWEEP, str(sweep.resolve())):
        for number, code in enumerate(text_cells(question.script)[0]):
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(code, f"{question.script.name}[{number}]", "exec"), names)  # noqa: S102
            said.append(out.getvalue())
    return Concluded(names["answers"], names["picture"], names["shows"], tuple(said))


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


# ---------------------------------------------------------------- making it


def run_sweep(question: Question, **how: Any) -> None:
    """Run the whole sweep and keep its tables in the question's folder, without the metrics that nobody there reads.

    Args:
        question: which.
        how: `workers`, `scheduler`, `progress`, `notice`: see `sim.sweep`.
    """
    with tempfile.TemporaryDirectory() as folder:
        results = sim.sweep(question.folder / "scenario.yaml", out=Path(folder) / "sweep", **how)
        if results.failures or results.interrupted:
            raise SystemExit(
                f"{question.name}: not whole; what was evaluated is kept: {results.failures[:3]}"
            )
        _keep(question, results.directory)


def _keep(question: Question, made: Path) -> None:
    """Only what the notebook names: it says `sweep.metric("x")`, `rows["x"]` or `rows.x`."""
    import pyarrow.parquet as pq

    from sim.experiments.tables import RESULTS, SUMMARY
    from sim.metrics import METRICS

    words = _words(question.script)
    unused = {metric.name for metric in METRICS} - words
    parts = {f"{name}.{part}" for name in unused for part in ("above", "below")} - words
    if question.results.exists():
        shutil.rmtree(question.results)
    shutil.copytree(made, question.results, ignore=shutil.ignore_patterns("*.html"))
    table = pq.read_table(made / RESULTS)
    pq.write_table(table.drop_columns([c for c in table.column_names if c in unused | parts]),
                   question.results / RESULTS, compression="zstd")  # fmt: skip
    table = pq.read_table(made / SUMMARY)
    kept = [name not in unused for name in table["metric"].to_pylist()]
    pq.write_table(table.filter(kept), question.results / SUMMARY, compression="zstd")


def _words(script: Path) -> set[str]:
    """Every name and text of a script's code, and the text's words."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= {node.value, node.value.partition(".")[0]}
    return found


def write_page(question: Question) -> None:
    """From the kept results: the plot, and the part of `about.md` that holds figures."""
    done = concluded(question, question.results)
    done.picture.write(question.folder / "plot.svg", done.shows)
    path = question.folder / "about.md"
    path.write_text(with_results(path.read_text(encoding="utf-8"), question, done), encoding="utf-8")


def with_results(page: str, question: Question, done: Concluded) -> str:
    """A page with its figures put in between the two marks."""
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{question.folder / 'about.md'}: needs the lines {BEGIN} and {END}")
    return f"{head}{BEGIN}\n{results_text(question, done)}\n{END}{tail}"


def results_text(question: Question, done: Concluded) -> str:
    """The figures of a page as Markdown: a table of answers, the plot, and where they are from."""
    said = sim.load_sweep(question.results).provenance
    lines = ["| | simulated (95 %) | expected |", "| --- | ---: | ---: |"]
    lines += [f"| {name} | {answer_text(one)} | {_known(one)} |" for name, one in done.answers.items()]
    counts, times = said["evaluations"], said["replications"]
    times = [times] if isinstance(times, int) else sorted(set(times))  # one number in older sweeps
    each = " to ".join(str(number) for number in dict.fromkeys((times[0], times[-1])))
    made = (
        f"{done.shows} From {said['points']} points, {each} replications each, seed {said['seed']}; made on "
        f"{str(said['started'])[:10]} by `python -m scenarios {question.name}` in {span_text(said['wall_s'])} on "
        f"{said['where']} ({counts['kept from before']:,} of {counts['asked']:,} evaluations were there before)."
    )
    lines += ["", f"![{done.shows}](plot.svg)", "", made]
    return "\n".join(lines)


def answer_text(answer: Answer) -> str:
    """An answer with its interval, as pages tell it."""
    mean = answer.estimate.mean
    if mean is None:
        return "nothing"
    scale, unit = (100.0, " %") if answer.unit == "%" else (1.0, f" {answer.unit}" if answer.unit else "")
    half = "" if answer.half is None else f" ± {number_text(answer.half * scale)}"
    return f"{number_text(mean * scale)}{half}{unit}"


def _known(answer: Answer) -> str:
    if answer.known is None:
        return ""
    scale, unit = (100.0, " %") if answer.unit == "%" else (1.0, f" {answer.unit}" if answer.unit else "")
    return f"{number_text(answer.known * scale)}{unit}"


def write_notebook(question: Question) -> None:
    """Carry out the notebook in Jupyter on the kept results, and write it with its outputs."""
    import jupytext
    import nbformat
    from nbclient import NotebookClient

    book = jupytext.read(question.script)
    for number, cell in enumerate(book.cells):
        cell["id"] = f"cell-{number}"
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    with _environment(SWEEP, ""), _environment("PYTHONPATH", paths):
        NotebookClient(
            book, timeout=600, record_timing=False, resources={"metadata": {"path": str(ROOT)}}
        ).execute()
    book.metadata = {
        "kernelspec": book.metadata["kernelspec"],
        "jupytext": {"formats": "ipynb,py:percent"},
        "trusted_pods": {"made_from": question.made_from},
    }
    for cell in book.cells:
        cell["metadata"] = {}
    text: str = nbformat.writes(book)  # type: ignore[no-untyped-call]
    question.notebook.write_text(text + "\n", encoding="utf-8")


# ---------------------------------------------------------------- judging it


def misses(answers: Mapping[str, Answer], checks: Mapping[str, Mapping[str, float]]) -> list[str]:
    """What of `expected.json`'s checks does not hold, in words.

    A check says one of: `known`, so many half-widths of the interval from what theory says, with `bias`, what theory
    may be off by as a share of it, and `sees`, the widest half-width as a share of it with which the check still says
    something; `above` or `below`, a number on one side of which the whole interval lies; `equals`.
    """
    found = [f"{name}: no such answer" for name in checks if name not in answers]
    found += [f"{name}: no check" for name in answers if name not in checks]
    for name, check in checks.items():
        if name in answers:
            found += [f"{name}: {text}" for text in _miss(answers[name], check)]
    return found


def _miss(answer: Answer, check: Mapping[str, float]) -> Iterator[str]:
    one, said = answer.estimate, answer_text(answer)
    low, high = one.low if one.low is not None else one.mean, one.high if one.high is not None else one.mean
    if one.mean is None or low is None or high is None:
        yield "nothing came out"
        return
    if "known" in check:
        assert answer.known is not None and answer.half is not None, "theory and an interval are needed"
        size = abs(answer.known)
        room = check["known"] * answer.half + check.get("bias", 0.0) * size
        if not abs(one.mean - answer.known) <= room:
            yield f"{said} is not within {number_text(room)} of {number_text(answer.known)}"
        if not answer.half <= check["sees"] * size:
            yield f"{said} is too blunt to see {check['sees']:.0%}"
    if "above" in check and not low > check["above"]:
        yield f"{said} is not above {check['above']}"
    if "below" in check and not high < check["below"]:
        yield f"{said} is not below {check['below']}"
    if "equals" in check and one.mean != check["equals"]:
        yield f"{said} is not {check['equals']}"
    if not check.keys() & {"known", "above", "below", "equals"}:
        yield f"{dict(check)} checks nothing"
