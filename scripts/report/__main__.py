"""Answer the questions that readers of the chapters ask, by experiments: `make report`.

Writes reports/exercises/quick.html and quick.md, with --full full.html and full.md. A run or
measurement that has its result already isn't done again, so that the same command goes on where
it was stopped; a result that other code has computed is done anew. With --full, results that contradict an
answer are told, and the exit code is 1.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from charlm.errors import UserError
from charlm.text.files import atomic_writer
from scripts.arguments import count
from scripts.report import copying, page, picture, scheduling, tasks
from scripts.report.questions import QUESTIONS
from scripts.report.tasks import ROOT, Scale, Task

SCALES = {"quick": Scale("quick", epochs=100, seeds=2), "full": Scale("full", epochs=500, seeds=5)}
REPORTS = Path("reports/exercises")


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what is left, write the pages; the exit code."""
    options = parser().parse_args(arguments)
    os.chdir(ROOT)
    scale = scale_of(options)
    chosen = [q for q in QUESTIONS if not options.only or q.name in options.only]
    tasks.FOLDER = options.logs
    todo: list[Task] = [task for question in chosen for task in question.tasks(scale)]
    try:
        if options.dry_run:
            for task in scheduling.left(todo, options.keep):
                print(task.command)
            return 0
        if not options.render:
            copying.write(tasks.FOLDER)
            scheduling.do(todo, options.jobs, options.scheduler, options.keep)
    except UserError as mistake:
        print(f"report: {mistake}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "report: stopped; what is done is kept, and the same command goes on.", file=sys.stderr
        )
        return 130
    entries = entries_of(scale, options.keep or options.render)
    for path in write(entries, scale, options.folder):
        print(path)
    # The answers are those of a full report; with fewer epochs and seeds there may be others.
    wrong = [entry for entry in entries if entry.contradicted and scale.name == "full"]
    for entry in wrong:
        print(
            f"report: the results of {entry.question.name} contradict its answer of "
            f"{entry.question.day}: {'; '.join(entry.contradicted)}.",
            file=sys.stderr,
        )
    return 1 if wrong else 0


def parser() -> argparse.ArgumentParser:
    names = [question.name for question in QUESTIONS]
    given = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0], epilog=f"The experiments: {', '.join(names)}."
    )
    given.add_argument("--full", action="store_true", help="5 seeds and 500 epochs; else 2 and 100")
    given.add_argument("--only", nargs="+", choices=names, metavar="NAME", help="these experiments")
    given.add_argument("--epochs", type=count, help="instead of the scale's")
    given.add_argument("--seeds", type=count, help="instead of the scale's")
    given.add_argument("--jobs", type=count, default=2, help="runs at a time (default: 2)")
    given.add_argument("--scheduler", help="of a Dask cluster, whose workers see this folder")
    given.add_argument("--keep", action="store_true", help="let results of other code count")
    given.add_argument("--render", action="store_true", help="write the pages of what there is")
    given.add_argument("--dry-run", action="store_true", help="list what is left to be done")
    given.add_argument("--logs", type=Path, default=tasks.FOLDER, help="where the runs are kept")
    given.add_argument("--folder", type=Path, default=REPORTS, help="where the pages are written")
    return given


def scale_of(options: argparse.Namespace) -> Scale:
    scale = SCALES["full" if options.full else "quick"]
    if options.epochs is None and options.seeds is None:
        return scale
    return Scale("custom", options.epochs or scale.epochs, options.seeds or scale.seeds)


def entries_of(scale: Scale, keep: bool) -> list[page.Entry]:
    return [page.Entry(each, each.found(scale, keep), each.runs(scale)) for each in QUESTIONS]


def write(entries: list[page.Entry], scale: Scale, folder: Path) -> list[Path]:
    """The page of all results of a scale, as HTML and as Markdown with its pictures."""
    done = [entry for entry in entries if entry.found is not None]
    tasks_done = {task.path: task for entry in done for task in entry.question.tasks(scale)}
    num_others = sum(task.is_by_other_code() for task in tasks_done.values())
    files = {
        folder / f"{scale.name}.html": page.html(entries, scale, num_others),
        folder / f"{scale.name}.md": page.markdown(entries, scale, num_others),
    }
    for entry in done:
        path = folder / scale.name / f"{entry.question.name}.svg"
        files[path] = picture.standalone(entry.svg)
    for path, text in files.items():
        with atomic_writer(path) as file:
            file.write(text.encode())
    return list(files)[:2]


if __name__ == "__main__":
    sys.exit(main())
