"""Pictures: one style, as SVG that takes its ink's colour from the page, light or dark."""

import io
import re
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from scripts.report.tasks import Result

matplotlib.use("Agg")

# Told apart by the colour-blind, legible on white and on black.
COLOURS = ("#2b83ba", "#e66101", "#1a9850", "#c9559b", "#a6761d", "#7570b3", "#888888", "#d7191c")
DASHES = ("-", "--", "-.", ":")
# Stands in the SVG for the page's own ink.
INK = "#010203"
STYLE: Any = Path(__file__).with_name("picture.mplstyle")
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


def figure(columns: int = 1, rows: int = 1, **options: Any) -> tuple[Figure, Any]:
    """A figure as wide as the page, and its axes: one, or an array [rows, columns]."""
    with matplotlib.rc_context(fname=STYLE):
        size = (7.4 if columns > 1 else 6.4, 0.5 + 2.9 * rows)
        drawn = Figure(figsize=size, layout="constrained")
        drawn.patch.set_alpha(0)
        axes = drawn.subplots(rows, columns, squeeze=False, **options)
        for ax in axes.flat:
            ax.patch.set_alpha(0)
        return drawn, axes[0, 0] if axes.size == 1 else axes


def label(ax: Axes, x: str, y: str, title: str = "", legend: Any = None) -> None:
    """Name the axes, with their units, and draw the legend, with its options, if there is one."""
    with matplotlib.rc_context(fname=STYLE):
        ax.set_xlabel(x)
        ax.set_ylabel(y)
        if title:
            ax.set_title(title, fontsize=9)
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
    ax.set_yticks(ticks, [f"{t:g}" for t in ticks])
    ax.minorticks_off()


def curves(ax: Axes, runs: Mapping[str, Sequence[Result]], key: str = "curve") -> None:
    """Of each variant's seeds the mean, and the band from the lowest to the highest."""
    for (name, seeds), colour in zip(runs.items(), cycle(COLOURS)):
        grid = max((run[key] for run in seeds), key=len)
        if not grid:
            continue
        xs = [x for x, _ in grid]
        by_place = [[run[key][i][1] for run in seeds if i < len(run[key])] for i in range(len(xs))]
        places = np.unique(np.linspace(0, len(xs) - 1, min(POINTS, len(xs))).round().astype(int))
        x = [xs[i] for i in places]
        if len(seeds) > 1:
            low, high = ([bound(by_place[i]) for i in places] for bound in (min, max))
            ax.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
        ax.plot(x, [np.mean(by_place[i]) for i in places], color=colour, label=name)


def training(ax: Axes, runs: Mapping[str, Sequence[Result]]) -> None:
    """The training perplexity of each variant over the epochs."""
    curves(ax, runs)
    perplexity_axis(ax)
    label(ax, "epoch", "training perplexity")


def band(
    ax: Axes, xs: Sequence[float], values: Sequence[Sequence[float]], colour: str, name: str
) -> None:
    """At each x the mean over the seeds, and the band from the lowest to the highest."""
    low, high = ([bound(each) for each in values] for bound in (min, max))
    ax.fill_between(xs, low, high, color=colour, alpha=0.18, linewidth=0)
    ax.plot(xs, [float(np.mean(each)) for each in values], ".-", color=colour, label=name)


def svg(drawn: Figure, name: str, description: str) -> str:
    """The SVG element: ink in ``currentColor``, as short as it can be had."""
    stream = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}, STYLE):
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
    title = f"<title>{escape(description)}</title>"
    return re.sub(r"<svg ([^>]*)>", rf'<svg role="img" {FONT} \1>{title}', text, count=1)


def rounded(attribute: re.Match[str]) -> str:
    """Coordinates to a tenth of a point."""
    return re.sub(r"-?\d+\.\d{2,}", lambda found: f"{float(found[0]):.1f}", attribute[0])


def escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def standalone(element: str) -> str:
    """The same as a file: with a ground of its own, since the page around it is unknown."""
    style = (
        "<style>svg{color:#222;background:#fff}"
        "@media(prefers-color-scheme:dark){svg{color:#ddd;background:#16181c}}</style>"
    )
    start = element.index("</title>") + len("</title>")
    return '<?xml version="1.0" encoding="utf-8"?>\n' + element[:start] + style + element[start:]
