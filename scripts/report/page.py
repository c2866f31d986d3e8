"""The report as a page: Markdown with its pictures beside it, and HTML that needs nothing but itself."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt

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


def html(entries: Sequence[Entry], scale: Scale, num_other_code: int = 0) -> str:
    """The page as one HTML file, with its pictures in it."""
    text = rendered(entries, scale, num_other_code, is_html=True)
    # No figure is parted from its deviation.
    body = MarkdownIt().enable("table").render(text).replace(" ± ", "\u00a0±\u00a0")
    return templates().get_template("page.html.j2").render(body=body)


def markdown(entries: Sequence[Entry], scale: Scale, num_other_code: int = 0) -> str:
    """The same in Markdown; the pictures are SVG files in a folder of the scale's name."""
    return rendered(entries, scale, num_other_code, is_html=False)


def rendered(entries: Sequence[Entry], scale: Scale, num_other_code: int, is_html: bool) -> str:
    custom = f" --epochs {scale.epochs} --seeds {scale.seeds}"
    return (
        templates()
        .get_template("page.md.j2")
        .render(
            entries=entries,
            scale=scale,
            num_other_code=num_other_code,
            is_html=is_html,
            config=CONFIG,
            options={"quick": "", "full": " --full"}.get(scale.name, custom),
            machine=f"{platform.machine()}, Python {platform.python_version()}",
            version=version,
        )
    )


def templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["day"] = day
    return environment


def day(written: str) -> str:
    """21 November 2026."""
    of = date.fromisoformat(written)
    return f"{of.day} {of:%B} {of.year}"
