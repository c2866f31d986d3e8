"""The report as a page: HTML that needs nothing but itself, and the same in Markdown."""

import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version

from scripts.report import picture
from scripts.report.question import Found, Question, Table
from scripts.report.tasks import CONFIG, Run, Scale

STYLE = """
:root{color-scheme:light dark;--ink:#1d2126;--paper:#fff;--soft:#5b6470;--line:#d8dde3;--tint:#f4f6f8;--link:#1659a8}
@media(prefers-color-scheme:dark){:root{--ink:#dfe3e8;--paper:#14171b;--soft:#98a2ad;--line:#343b44;--tint:#1d2228;--link:#7db4f0}}
body{margin:0 auto;max-width:46rem;padding:1.5rem 1rem 4rem;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,sans-serif}
h1 code,h2 code{font-size:.95em}h1{font-size:1.7rem;line-height:1.2;margin:.5rem 0 1rem}h2{font-size:1.25rem;line-height:1.3;margin:3.2rem 0 .6rem}
a{color:var(--link)}p{margin:.6rem 0}.soft,figcaption,.note{color:var(--soft);font-size:.9rem}
.answer{border-left:4px solid #2b83ba;background:var(--tint);padding:.7rem 1rem;margin:1rem 0}
figure{margin:1rem 0}figure svg{width:100%;height:auto;color:var(--ink)}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.88rem;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.25rem .9rem .25rem 0;border-bottom:1px solid var(--line);vertical-align:top}
th{font-weight:600;border-bottom-width:2px}pre,code{font:.82rem/1.45 ui-monospace,monospace}
pre{background:var(--tint);padding:.6rem .8rem;overflow-x:auto;white-space:pre-wrap;overflow-wrap:anywhere}
details{margin:.6rem 0}summary{cursor:pointer;color:var(--soft);font-size:.9rem}ol{padding-left:1.6rem}
@media print{body{max-width:none;font-size:11pt}section{break-inside:avoid-page}.answer,pre{background:none;border-color:#888}}
"""


@dataclass(frozen=True)
class Entry:
    """A question with what is said of it; ``found`` is None as long as it hasn't been run."""

    question: Question
    found: Found | None
    runs: dict[str, list[Run]]

    @cached_property
    def svg(self) -> str:
        assert self.found is not None
        return picture.svg(self.question.draw(self.found), self.question.name, self.question.title)


def about(scale: Scale, num_other_code: int) -> list[str]:
    """What holds of all entries, a paragraph each."""
    seeds = "one seed" if scale.seeds == 1 else f"{scale.seeds} seeds"
    paragraphs = [
        "Questions that readers of the recurrent chapters of “Dive into Deep Learning” ask, each "
        "answered by an experiment. Every figure and every answer on this page is computed from "
        "the results; ± is the standard deviation over seeds, a band in a picture goes from the "
        "lowest seed to the highest.",
        f"Unless an entry says otherwise, a run is `charlm fit --config {CONFIG}`: an RNN of 128 "
        "units on the first 10,000 characters of “The Time Machine”, 32 lanes of 35 steps, "
        f"{scale.epochs} epochs, learning rate 1, clipped at norm 1; the next 2,000 characters "
        "are held out. Perplexity is of the training text, the median of the last ten epochs; "
        "held-out bits are per character.",
        f"This is the {scale.name} report: {seeds}, {scale.epochs} epochs; two processes of one "
        f"thread each on {platform.machine()}, Python {platform.python_version()}, torch "
        f"{version('torch')}, lightning {version('lightning')}. "
        + (
            "It is for a look in minutes, and training is far from its end: `--full` runs 5 "
            "seeds and 500 epochs, and its answers may be others. "
            if scale.name == "quick"
            else ""
        )
        + "The logs of all runs stand in TensorBoard under `exercises`, each run's `config.yaml` "
        "beside its log.",
    ]
    if num_other_code:
        paragraphs.append(
            f"{num_other_code} of the results were computed by another version of the code."
        )
    return paragraphs


def commands(entry: Entry, scale: Scale) -> list[str]:
    """The whole entry again, and the first seed of each of its variants."""
    flag = {"quick": "", "full": " --full"}.get(
        scale.name, f" --epochs {scale.epochs} --seeds {scale.seeds}"
    )
    report = f"python -m scripts.report --only {entry.question.name}{flag}"
    return [report, *(seeds[0].command for seeds in entry.runs.values())]


def html(entries: Sequence[Entry], scale: Scale, num_other_code: int = 0) -> str:
    """The page as one HTML file."""
    contents = "".join(
        f'<li><a href="#{entry.question.name}">{inline(entry.question.title)}</a></li>'
        for entry in entries
    )
    sections = "".join(html_section(entry, scale) for entry in entries)
    introduction = "".join(f"<p>{inline(text)}</p>" for text in about(scale, num_other_code))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        # Nothing is to be fetched, not even an icon.
        '<link rel="icon" href="data:,"><title>What readers of the chapters ask</title>'
        f"<style>{STYLE}</style></head><body><main><h1>What readers of the chapters ask</h1>"
        f"{introduction}<nav><ol>{contents}</ol></nav>{sections}</main></body></html>\n"
    )


def html_section(entry: Entry, scale: Scale) -> str:
    question, found = entry.question, entry.found
    head = f'<section id="{question.name}"><h2>{inline(question.title)}</h2>'
    first, *others = commands(entry, scale)
    if found is None:
        return f"{head}<p>Not run yet: <code>{picture.escape(first)}</code></p></section>"
    body = f'<p class="answer">{inline(question.answer(found))}</p><p>{inline(question.done)}</p>'
    body += f"<figure>{entry.svg}</figure>{html_table(question.table(found))}"
    body += f"<pre>{picture.escape(first)}</pre>"
    if others:
        lines = "\n".join(map(picture.escape, others))
        body += f"<details><summary>its runs, seed 0 of each</summary><pre>{lines}</pre></details>"
    return f"{head}{body}</section>"


def html_table(table: Table) -> str:
    header = "".join(f"<th>{inline(cell)}</th>" for cell in table.header)
    rows = "".join(
        "<tr>" + "".join(f"<td>{inline(cell)}</td>" for cell in row) + "</tr>" for row in table.rows
    )
    note = f'<p class="note">{inline(table.note)}</p>' if table.note else ""
    return (
        f'<div class="wide"><table><thead><tr>{header}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{note}"
    )


def inline(text: str) -> str:
    """Escaped, with `code` marked up, and no figure parted from its deviation."""
    text = text.replace(" ± ", "\u00a0±\u00a0")
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", picture.escape(text))


def markdown(entries: Sequence[Entry], scale: Scale, pictures: str, num_other_code: int = 0) -> str:
    """The same in Markdown; the pictures lie as SVG files in the folder ``pictures`` beside."""
    parts = ["# What readers of the chapters ask", *about(scale, num_other_code)]
    parts.append(
        "\n".join(
            f"{number}. [{entry.question.title}](#{anchor(entry.question.title)})"
            for number, entry in enumerate(entries, start=1)
        )
    )
    for entry in entries:
        question, found = entry.question, entry.found
        parts.append(f"## {question.title}")
        first, *others = commands(entry, scale)
        if found is None:
            parts.append(f"Not run yet: `{first}`")
            continue
        table = question.table(found)
        rows = [table.header, ["---"] * len(table.header), *table.rows]
        lines = "\n".join(others)
        parts += [
            f"> {question.answer(found)}",
            question.done,
            f"![{question.title}]({pictures}/{question.name}.svg)",
            "\n".join(
                f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |" for row in rows
            ),
            table.note,
            f"```\n{first}\n```",
            lines
            and f"<details><summary>its runs, seed 0 of each</summary>\n\n```\n{lines}\n```\n\n</details>",
        ]
    return "\n\n".join(part for part in parts if part) + "\n"


def anchor(title: str) -> str:
    """The address that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
