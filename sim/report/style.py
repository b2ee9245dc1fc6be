"""The look of every plot: small, printable, the page's own colours in light and dark, the same bytes each time."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
from cycler import cycler
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from sim.summary import number_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INKS: Final = {
    "ink": "#1b1f25",
    "soft": "#66707b",
    "rule": "#d5dbe1",
    "blue": "#1f5fa9",
    "orange": "#c4570d",
    "green": "#1b7d57",
    "violet": "#7b4bb8",
    "red": "#b3123d",
    "sand": "#a8842c",
}
"""Colours as matplotlib draws them; on the page each becomes the variable of its name, so dark can differ."""
SERIES: Final = ("blue", "orange", "green", "violet", "red", "sand")
DASHES: Final = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)), (0, (3, 1)), (0, (8, 2)))
"""A line's dashes tell it apart where colours do not, as on paper."""

MARKS: Final = ("o", "s", "^", "D", "v", "P")

WIDTH: Final = 7.2
LEFT: Final = 0.58
RIGHT: Final = 0.14
"""Width of a figure, and the room beside each of its panels [inches]."""

_LOOK: Final[dict[str, Any]] = {
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.labelsize": 8,
    "axes.prop_cycle": cycler(color=[INKS["ink"]]),
    "axes.edgecolor": INKS["soft"],
    "axes.linewidth": 0.7,
    "axes.labelcolor": INKS["ink"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": INKS["rule"],
    "grid.linewidth": 0.6,
    "text.color": INKS["ink"],
    "xtick.color": INKS["soft"],
    "ytick.color": INKS["soft"],
    "xtick.labelcolor": INKS["ink"],
    "ytick.labelcolor": INKS["ink"],
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "lines.linewidth": 1.4,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "legend.handlelength": 2.2,
    "legend.borderaxespad": 0,
    "legend.columnspacing": 1.4,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "path.simplify": True,
    "path.simplify_threshold": 0.2,
}


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawn plot and everything that belongs to it on the page.

    Args:
        key: its anchor.
        title: what it is of.
        sentence: what it shows, in this run.
        svg: the drawing.
        header, rows: the table beneath, as text.
        basis: what it is from: n and replications.
    """

    key: str
    title: str
    sentence: str
    svg: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    basis: str


@dataclass(frozen=True, slots=True)
class Absent:
    """A plot for which a run or a sweep has nothing: an empty frame would look like a finding.

    Args:
        title: what it would be of.
        reason: why it is left out, as the end of a sentence.
    """

    title: str
    reason: str


@contextmanager
def look() -> Iterator[None]:
    """Draw in the report's look, whatever the reader's own matplotlib settings."""
    with mpl.rc_context():
        mpl.rcdefaults()
        for setting, value in _LOOK.items():
            mpl.rcParams[setting] = value  # type: ignore[index]
        yield


def figure(
    columns: int = 1,
    *,
    height: float = 2.5,
    widths: Sequence[float] | None = None,
    legend_rows: int = 1,
    bottom: float = 0.42,
    beside: float = LEFT,
) -> tuple[Figure, list[Axes]]:
    """A figure as wide as a page's text, its panels side by side.

    Margins are fixed: all panels line up, and laying out by measuring text would take longer than drawing.

    Args:
        columns: panels.
        height: of the whole [inches].
        widths: of the panels, relative to each other; equal when None.
        legend_rows: rows of text above the panels.
        bottom: room beneath the panels for ticks and label [inches].
        beside: room to the left of each panel for the same [inches].
    """
    shares = [1.0] * columns if widths is None else list(widths)
    room = WIDTH - columns * (beside + RIGHT)
    lower, upper = bottom / height, 1 - (0.09 + 0.17 * legend_rows) / height
    drawn, axes, left = Figure(figsize=(WIDTH, height)), [], beside
    for share in shares:
        width = room * share / sum(shares)
        axes.append(drawn.add_axes((left / WIDTH, lower, width / WIDTH, upper - lower)))
        axes[-1].yaxis.set_label_coords(-(beside - 0.1) / width, 0.5)
        left += width + RIGHT + beside
    return drawn, axes


def svg_of(drawn: Figure, key: str) -> str:
    """The figure as inline SVG: no ids that could clash, no addresses, colours as the page's variables.

    For those who cannot see it, it is named by the page's element `t-<key>` and described by `s-<key>`.
    """
    text = _svg(drawn, key)
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text).replace("xlink:href", "href")
    text = _headed(
        text, f'<svg viewBox="\\1" role="img" aria-labelledby="t-{key}" aria-describedby="s-{key}">'
    )
    for name, colour in INKS.items():
        text = text.replace(colour, f"var(--{name})")
    return text


def svg_file(drawn: Figure, key: str, alternative: str = "") -> str:
    """The figure as an SVG of its own, on white.

    Args:
        drawn: the figure.
        key: of its ids.
        alternative: what it shows, in words.
    """
    size = 'width="{:g}pt" height="{:g}pt"'.format(*(drawn.get_size_inches() * 72))
    names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    words = f"\n<title>{escape(alternative)}</title>" if alternative else ""
    paper = '\n<rect width="100%" height="100%" fill="#ffffff"/>'
    head = f'<svg {names} {size} viewBox="\\1" role="img">'
    text = _headed(_svg(drawn, key), head + words.replace("\\", r"\\") + paper)
    return text.replace("<text ", '<text font-family="DejaVu Sans, Verdana, sans-serif" ')


def _svg(drawn: Figure, key: str) -> str:
    with mpl.rc_context({"svg.hashsalt": key}):
        out = io.StringIO()
        FigureCanvasSVG(drawn).print_svg(  # type: ignore[no-untyped-call]
            out, metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
        )
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r"<style[^>]*>.*?</style>", "", text, flags=re.S)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    used = set(re.findall(r"url\(#([^)]+)\)", text)) | set(re.findall(r'href="#([^"]+)"', text))
    text = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", text)
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", text)
    text = re.sub(r"\.(\d{3})\d+", r".\1", text)  # a thousandth of a point is plenty
    text = re.sub(r"<g>\s*</g>", "", text)
    return re.sub(r"\n\s*", "\n", text)


def _headed(text: str, head: str) -> str:
    return re.sub(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', head, text, count=1)


def legend_above(axes: Axes, columns: int = 6, *, marks: bool = False) -> None:
    """The legend as one line above the panel, where it hides nothing; `marks` need less room than lines."""
    room = {"handlelength": 0.6, "handletextpad": 0.4, "columnspacing": 1.0} if marks else {}
    if axes.get_legend_handles_labels()[0]:  # of a run that was interrupted there may be nothing in it
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=columns, **room)


class _ShortLog(LogLocator):
    """Decades; where they are few, also 2 and 5 times them; within one, round numbers."""

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        if not 0 < vmin < vmax:
            return []
        low, high = math.log10(vmin), math.log10(vmax)
        if high - low < 0.7:
            return [float(tick) for tick in MaxNLocator(4).tick_values(vmin, vmax) if tick > 0]
        parts = (1, 2, 5) if high - low < 2 else (1, 3) if high - low < 3 else (1,)
        step = max(1, round((high - low) / 6))
        exponents = range(math.floor(low), math.ceil(high) + 1, step)
        return [part * 10.0**exponent for exponent in exponents for part in parts]


def log_axis(axes: Axes, which: str) -> None:
    """A logarithmic axis whose ticks are plain numbers, several whatever its range."""
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(_ShortLog())
    axis.set_major_formatter(FuncFormatter(lambda value, _: short_number(value)))
    axis.set_minor_locator(NullLocator())


def plain_axis(axes: Axes, which: str) -> None:
    """A linear axis whose ticks are plain, short numbers."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(FuncFormatter(lambda value, _: short_number(value)))


def short_number(value: float) -> str:
    """A number for a tick: 1200 as 1.2k, 3e6 as 3M, 0.00001 as 1e-5."""
    size = abs(value)
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= unit:
            return f"{value / unit:.4g}{letter}"
    if 0 < size < 1e-3:
        mantissa, exponent = f"{value:.0e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    return f"{value:.4g}"


__all__ = [
    "DASHES",
    "INKS",
    "MARKS",
    "SERIES",
    "Absent",
    "Plot",
    "figure",
    "legend_above",
    "log_axis",
    "look",
    "number_text",
    "plain_axis",
    "short_number",
    "svg_file",
    "svg_of",
]
