"""Pictures: one style, as SVG that takes its ink's colour from the page, light or dark."""

import io
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from scripts.report.tasks import Result

matplotlib.use("Agg")
style.use(Path(__file__).with_name("picture.mplstyle"))

# Stands in the SVG for the page's own ink.
INK = "#010203"
POINTS = 60
FONT = """style="font-family:'DejaVu Sans',Verdana,sans-serif\""""
# What matplotlib writes at length, and its page needn't have.
SHORTER = (
    (r'<g id="[^"]*"/>', ""),
    (r'<g id="[^"]*">', "<g>"),
    (r"font-family: 'DejaVu Sans'; ", ""),
    (r' transform="rotate\(-0 [^"]*"', ""),
    (r"stroke-linecap: square|stroke-linejoin: (round|miter)", ""),
    (r"; (?=[;\"])", ""),
    (r"\s*\n\s*", ""),
    (r"([MLCQz]) (?=[-\d])", r"\1"),
)
# Of an axis of perplexity: a run that bursts may reach infinity.
HIGHEST = 1000
TICKS = (1, 1.1, 1.2, 1.5, 2, 3, 5, 8, 12, 20, 30, 100, 300, HIGHEST)


def figure(columns: int = 1, rows: int = 1, **options: Any) -> list[Any]:
    """A figure as wide as the page, and after it its axes, row by row."""
    drawn = Figure(figsize=(7.4 if columns > 1 else 6.4, 0.5 + 2.9 * rows))
    return [drawn, *drawn.subplots(rows, columns, squeeze=False, **options).flat]


def label(ax: Axes, x: str, y: str, title: str = "", legend: Any = None) -> None:
    """Name the axes, with their units, and draw the legend, with its options, if there is one."""
    ax.set(xlabel=x, ylabel=y, title=title)
    if ax.get_legend_handles_labels()[1]:
        ax.legend(**(legend or {}))


def perplexity_axis(ax: Axes) -> None:
    """Logarithmic, with plain numbers, up to ``HIGHEST``."""
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    high = min(high, HIGHEST)
    ax.set_ylim(low, high)
    # Not so many that their numbers would touch.
    ticks: list[float] = []
    for t in TICKS:
        apart = (t / (ticks[-1] if ticks else 1e-9)) >= (high / low) ** 0.06
        if low <= t <= high and apart:
            ticks.append(t)
    if len(ticks) < 3:
        ticks = [float(t) for t in MaxNLocator(5).tick_values(low, high) if low <= t <= high]
    plain_ticks(ax.yaxis, ticks)


def plain_ticks(axis: Any, ticks: Sequence[float]) -> None:
    """These and no others, as plain numbers."""
    axis.set_ticks(ticks, labels=[f"{t:g}" for t in ticks])
    axis.set_ticks([], minor=True)


def band(
    ax: Axes, xs: Sequence[float], values: Sequence[Sequence[float]], name: str, **options: Any
) -> None:
    """At each x the mean over the seeds, and the band from the lowest to the highest."""
    (line,) = ax.plot(xs, [float(np.mean(each)) for each in values], label=name, **options)
    low, high = ([bound(each) for each in values] for bound in (min, max))
    ax.fill_between(xs, low, high, color=line.get_color(), alpha=0.18, linewidth=0)


def curves(ax: Axes, runs: Mapping[str, Sequence[Result]], key: str = "curve") -> None:
    """A band for each variant's runs, of a result that is a curve."""
    for name, seeds in runs.items():
        xs = [x for x, _ in max((run[key] for run in seeds), key=len)]
        if xs:
            at = np.unique(np.linspace(0, len(xs) - 1, min(POINTS, len(xs))).round().astype(int))
            values = [[run[key][i][1] for run in seeds if i < len(run[key])] for i in at]
            band(ax, [xs[i] for i in at], values, name)


def training(ax: Axes, runs: Mapping[str, Sequence[Result]]) -> None:
    """The training perplexity of each variant over the epochs."""
    curves(ax, runs)
    perplexity_axis(ax)
    label(ax, "epoch", "training perplexity")


def bars(ax: Axes, names: Sequence[str], series: Mapping[str, Sequence[float]]) -> None:
    """At each name on the x axis a bar of each series."""
    width = 0.8 / len(series)
    for place, (name, heights) in enumerate(series.items()):
        first = width * (place - (len(series) - 1) / 2)
        ax.bar([x + first for x in range(len(names))], heights, 0.94 * width, label=name)
    ax.set_xticks(range(len(names)), names)
    ax.grid(visible=False, axis="x")


def svg(drawn: Figure, name: str, description: str) -> str:
    """The SVG element: ink in ``currentColor``, as short as it can be had."""
    stream = io.StringIO()
    drawn.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = text.replace(INK, "currentColor")
    for pattern, shorter in SHORTER:
        text = re.sub(pattern, shorter, text)
    text = re.sub(r'="[^"]*\.\d{2}[^"]*"', rounded, text)
    # Of elements of the same name on one page the first would serve all.
    text = re.sub(r'( id="|url\(#|href="#)', rf"\1{name}-", text)
    title = f"<title>{escape(description, quote=False)}</title>"
    return re.sub(r"<svg ([^>]*)>", rf'<svg role="img" {FONT} \1>{title}', text, count=1)


def rounded(attribute: re.Match[str]) -> str:
    """Coordinates to a tenth of a point."""
    return re.sub(r"-?\d+\.\d{2,}", lambda found: f"{float(found[0]):.1f}", attribute[0])


def standalone(element: str) -> str:
    """The same as a file: with a ground of its own, since the page around it is unknown."""
    ground = (
        "<style>svg{color:#222;background:#fff}"
        "@media(prefers-color-scheme:dark){svg{color:#ddd;background:#16181c}}</style>"
    )
    start = element.index("</title>") + len("</title>")
    return '<?xml version="1.0" encoding="utf-8"?>\n' + element[:start] + ground + element[start:]
