"""The report as a page: HTML that needs nothing but itself, and the same in Markdown."""

import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from scripts.report import picture
from scripts.report.question import Found, Question, Table
from scripts.report.tasks import CONFIG, Run, Scale


@dataclass(frozen=True)
class Entry:
    """A question with its results; ``found`` is None as long as it hasn't been run."""

    question: Question
    found: Found | None
    runs: dict[str, list[Run]]

    @cached_property
    def svg(self) -> str:
        assert self.found is not None
        return picture.svg(self.question.draw(self.found), self.question.name, self.question.title)

    @cached_property
    def table(self) -> Table:
        assert self.found is not None
        return self.question.table(self.found)

    @cached_property
    def contradicted(self) -> list[str]:
        """The claims of the answer that these results don't bear out."""
        return [] if self.found is None else self.question.contradicted(self.found)


def about(scale: Scale, num_other_code: int) -> list[str]:
    """What holds of all entries, a paragraph each."""
    seeds = "one seed" if scale.seeds == 1 else f"{scale.seeds} seeds"
    paragraphs = [
        "Questions that readers of the recurrent chapters of “Dive into Deep Learning” ask, each "
        "answered by an experiment. The figures are computed from the results; an answer was written "
        "once, on the day that it names, from a full report, and what it claims is checked against "
        "the results. ± is the standard deviation over seeds, a band in a picture goes from the "
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
    return rendered("page.html.j2", entries, scale, num_other_code)


def markdown(entries: Sequence[Entry], scale: Scale, pictures: str, num_other_code: int = 0) -> str:
    """The same in Markdown; the pictures lie as SVG files in the folder ``pictures`` beside."""
    return rendered("page.md.j2", entries, scale, num_other_code, pictures)


def rendered(
    template: str, entries: Sequence[Entry], scale: Scale, num_other_code: int, pictures: str = ""
) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape="html" in template,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"inline": inline, "anchor": anchor, "day": day, "svg": Markup}
    return environment.get_template(template).render(
        entries=entries,
        about=about(scale, num_other_code),
        commands={entry.question.name: commands(entry, scale) for entry in entries},
        is_full=scale.name == "full",
        pictures=pictures,
    )


def inline(text: str) -> Markup:
    """Escaped, with `code` marked up, and no figure parted from its deviation."""
    text = text.replace(" ± ", "\u00a0±\u00a0")
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def day(written: str) -> str:
    """21 November 2026."""
    of = date.fromisoformat(written)
    return f"{of.day} {of:%B} {of.year}"


def anchor(title: str) -> str:
    """The address that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
