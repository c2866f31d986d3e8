"""The results of runs: kept as JSON, summed up over seeds, printed as a table, drawn as curves."""

import itertools
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from charlm.errors import UserError
from charlm.text.files import atomic_writer

Result = dict[str, Any]


def load(path: Path, conditions: Result) -> list[Result]:
    """The results so far; none where there is no such file.

    Args:
        conditions: under which they must have come about, to stand in one table with others.

    Raises:
        UserError: the file holds something else, or results of other conditions.
    """
    if not path.is_file():
        return []
    try:
        results: list[Result] = json.loads(path.read_text(encoding="utf-8"))
        for result in results:
            result["run"], result["seed"], result["contender"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} holds no results of a leaderboard ({error}).") from error
    for result in results:
        if (others := result.get("conditions")) != conditions:
            raise UserError(
                f"{path} holds results of {others or 'unknown conditions'}, not of {conditions}: "
                "name another folder with --output."
            )
    return results


def save(path: Path, results: Sequence[Result]) -> None:
    """Write all of them, or leave the file as it is."""
    with atomic_writer(path) as file:
        file.write(json.dumps(results, indent=1).encode())


def summary(results: Sequence[Result]) -> list[Result]:
    """The median over the seeds of each contender, the best carried figure first."""
    rows = []
    for name in dict.fromkeys(result["contender"] for result in results):
        runs = [result for result in results if result["contender"] == name]
        row = dict(runs[0]) | {"seeds": len(runs)}
        for figure in ("carried", "windows", "characters"):
            values = [run[figure] for run in runs if run[figure] is not None]
            row[figure] = statistics.median(values) if values else None
        carried = [run["carried"] for run in runs]
        row["least"], row["most"] = min(carried), max(carried)
        rows.append(row)
    return sorted(rows, key=lambda row: row["carried"])


def table(results: Sequence[Result], seconds: float) -> str:
    """In Markdown: held-out nats per character under both protocols."""
    lines = [
        f"| {seconds:g} s | parameters | characters seen | carried, whole split | windows of 256 |",
        "|---|---|---|---|---|",
    ]
    for row in summary(results):
        spread = f" [{row['least']:.3f}, {row['most']:.3f}]" if row["seeds"] > 1 else ""
        carried = f"{row['carried']:.4f}{'*' if row.get('sliding') else ''}{spread}"
        windows = "-" if row["windows"] is None else f"{row['windows']:.4f}"
        if row["windows"] is not None and row["window"] != 256:
            windows += f" (of {row['window']})"
        parameters = f"{row['parameters']:,}" if row["parameters"] else "-"
        characters = f"{row['characters']:,.0f}" if row["characters"] else "-"
        lines.append(
            f"| {row['contender']} | {parameters} | {characters} | {carried} | {windows} |"
        )
    notes = [
        "",
        "Nats per character, every character of the split counted once. Carried: the median",
    ]
    notes += ["[least, most] over the seeds, with all that stands before each character; *: a"]
    notes += ["transformer's sliding context, at least half of it before each. Windows: from zero."]
    return "\n".join([*lines, *notes])


def draw(results: Sequence[Result], path: Path) -> None:
    """Held-out loss against seconds, the first seed's; what has no curve of its own as a line across.

    The names stand in the order of the table, the best first.
    """
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 5), layout="constrained")
    across = itertools.cycle(("--", ":", "-.", (0, (6, 6))))
    for row in summary(results):
        first = next(r for r in results if r["contender"] == row["contender"])
        label = f"{row['contender']}: {row['carried']:.3f}"
        # A figure that was measured once, on a run whose curve another row has.
        if first["curve"] and row["windows"] is not None:
            axes.plot(*zip(*first["curve"], strict=True), marker=".", label=label)
        else:
            axes.axhline(row["carried"], linestyle=next(across), color="grey", label=label)
    axes.set(
        xlabel="seconds of training",
        ylabel="held-out nats per character (others' curves: in windows)",
    )
    # A curve that is twice as high as the best figure would press the others together.
    low, high = axes.get_ylim()
    axes.set_ylim(low, min(high, 2 * min(result["carried"] for result in results)))
    figure.legend(loc="outside right upper", title="at the end, state carried")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
