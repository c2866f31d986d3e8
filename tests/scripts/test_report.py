"""`make report` as a user runs it: real runs, stopped and gone on with, and the page in a browser."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from helpers.browser import browser as browser  # a fixture
from helpers.browser import open_page, requests
from helpers.planting import BY_NAME, found
from helpers.running import charlm

from charlm.training.metrics_file import read_curves
from scripts.report import __main__ as report
from scripts.report import page, running, scheduling, tasks
from scripts.report.measures import graph, steps
from scripts.report.questions import QUESTIONS
from scripts.report.tasks import ROOT, Run, Scale, Variant

SCALE = Scale("custom", epochs=4, seeds=1)


def command(folder: Path, *options: object) -> list[str]:
    given = ("--epochs", 4, "--seeds", 1, "--logs", folder / "logs", "--folder", folder / "pages")
    return [sys.executable, "-m", "scripts.report", *map(str, (*given, *options))]


def restore(patch: pytest.MonkeyPatch) -> None:
    """What the program changes of its process is put back."""
    patch.chdir(Path.cwd())
    patch.setattr(tasks, "FOLDER", tasks.FOLDER)
    patch.setattr(sys, "argv", ["report"])
    patch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    restore(monkeypatch)


@pytest.fixture(scope="module")
def reported(novel: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which two experiments were run: three training runs and a measurement."""
    folder = tmp_path_factory.mktemp("reported")
    with pytest.MonkeyPatch.context() as patch:
        restore(patch)
        options = ("--jobs", 1, "--only", "batch-size", "random-iter")
        assert report.main(command(folder, *options)[3:]) == 0
    return folder


def results(folder: Path) -> dict[str, Any]:
    """The result files' contents by name."""
    return {
        path.name: json.loads(path.read_text(encoding="utf-8"))
        for path in (folder / "logs" / "results").glob("*.json")
    }


def test_an_experiment_can_be_run_alone(reported: Path) -> None:
    names = sorted(re.sub(r"-[0-9a-f]{8}\.json", "", name) for name in results(reported))
    assert names == [
        "rnn-128-4-epochs-seed-0",
        "rnn-128-lr-1-32-4-epochs-seed-0",
        "rnn-128-random-4-epochs-seed-0",
        "rnn-128-sequential-reset-4-epochs-seed-0",
        "step-lengths",
    ]


def test_its_figures_are_those_of_the_run_s_own_log(reported: Path) -> None:
    for name, content in results(reported).items():
        if name.startswith("step"):
            continue
        result = content["result"]
        assert result["stopped"] is None
        logged_of = read_curves(ROOT / result["log"])
        logged = logged_of["train/perplexity"][1]
        assert len(logged) == result["epochs"] == 4
        assert [y for _, y in result["curve"]] == pytest.approx(logged, rel=1e-3)
        assert [x for x, _ in result["curve"]] == [1, 2, 3, 4]
        assert result["perplexity"] == pytest.approx((logged[1] + logged[2]) / 2)
        bits = logged_of["val/bits_per_character"][1]
        assert [y for _, y in result["held_out"]] == pytest.approx(bits, rel=1e-3)
        norms = logged_of["train/grad_norm"][1]
        assert result["clipped"] == sum(norm > 1 for norm in norms) / len(norms)


def test_a_run_s_yaml_beside_its_log_can_be_run_again(reported: Path, tmp_path: Path) -> None:
    name = "rnn-128-random-4-epochs-seed-0"
    (content,) = [c for n, c in results(reported).items() if n.startswith(name)]
    log = ROOT / content["result"]["log"]
    outcome = charlm(
        *("fit", "--config", log / "config.yaml", "--trainer.default_root_dir", tmp_path),
        *("--trainer.enable_progress_bar", "false"),
    )
    assert outcome.code == 0, outcome.err
    again = running.read_log(tmp_path / "lightning_logs" / "version_0")
    for key in ("curve", "held_out", "norms"):
        for ours, theirs in zip(again[key], content["result"][key], strict=True):
            assert ours == pytest.approx(theirs, rel=1e-3)


@pytest.mark.usefixtures("here")
def test_what_is_done_isn_t_done_again(reported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def left(*names: str) -> list[str]:
        assert report.main([*command(reported, "--dry-run", "--only", *names)[3:]]) == 0
        return capsys.readouterr().out.splitlines()

    before = {path: path.stat().st_mtime_ns for path in (reported / "logs").rglob("*.json")}
    assert left("batch-size", "random-iter") == []
    assert report.main(command(reported, "--only", "batch-size", "random-iter")[3:]) == 0
    assert before == {path: path.stat().st_mtime_ns for path in before}
    capsys.readouterr()
    # One of the four is the run that the two others have needed already.
    todo = left("relu")
    assert len(todo) == 3
    assert all(line.startswith("charlm fit --config charlm/configs/exercise.yaml") for line in todo)


@pytest.mark.posix
@pytest.mark.usefixtures("here", "novel")
def test_a_killed_report_goes_on_with_what_is_left(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is killed when the first result is there; nothing of it outlives it for long."""
    options = ("--only", "batch-size", "--seeds", 2, "--jobs", 1)
    started = subprocess.Popen(
        command(tmp_path, *options), stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not results_folder(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.02)
    started.kill()
    started.wait()
    while group_lives(started.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not group_lives(started.pid)
    first = results_folder(tmp_path)
    assert 1 <= len(first) < 5
    times = {path: path.stat().st_mtime_ns for path in first}

    assert report.main(command(tmp_path, *options)[3:]) == 0
    shown = capfd.readouterr()
    assert f"/{5 - len(first)} " in shown.err, "progress"
    assert shown.out.split() == [
        str(tmp_path / "pages" / f"custom.{kind}") for kind in ("html", "md")
    ]
    assert len(results_folder(tmp_path)) == 5
    assert times == {path: path.stat().st_mtime_ns for path in times}
    page_text = (tmp_path / "pages" / "custom.md").read_text(encoding="utf-8")
    assert "> Because the loss is a mean already" in page_text
    assert "Found on 26 November 2026." in page_text


@pytest.mark.usefixtures("here")
def test_a_stopped_report_says_that_it_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: Any) -> None:
        signal.raise_signal(signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(scheduling, "stage", stopped)
    assert report.main(command(tmp_path, "--only", "batch-size", "--jobs", 1)[3:]) == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) == before
    assert not (tmp_path / "pages").exists()


def results_folder(folder: Path) -> list[Path]:
    return list((folder / "logs" / "results").glob("*.json"))


def group_lives(group: int) -> bool:
    """Whether a process of the group that ``group`` led is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_result_by_other_code_is_stale_unless_it_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "FOLDER", tmp_path)
    task = Run(Variant("here"), 0, 4)
    assert task.result() is None
    task.save({"perplexity": 2.0})
    kept = task.result()
    assert kept is not None
    assert kept["perplexity"] == 2.0
    assert Run(Variant("here", {"model.learning_rate": 2.0}), 0, 4).result() is None
    assert Run(Variant("here"), 1, 4).result() is None
    assert Run(Variant("here"), 0, 5).result() is None
    assert scheduling.left([task, task], keep=False) == []

    monkeypatch.setattr(tasks, "package_code", lambda: "new")
    assert task.result() is None
    assert task.result(keep=True) == kept
    assert task.is_by_other_code()
    assert scheduling.left([task, task], keep=False) == [task]

    task.path.write_text(
        task.path.read_text(encoding="utf-8")[:-9], encoding="utf-8"
    )  # half a file counts as none
    assert task.result(keep=True) is None


def test_the_code_is_that_of_all_of_charlm_and_of_the_measuring_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the package is installed."""
    before = tasks.package_code()
    copy = tmp_path / "elsewhere" / "charlm"
    shutil.copytree(ROOT / "charlm", copy)
    monkeypatch.setattr(tasks.charlm, "__file__", str(copy / "__init__.py"))
    assert tasks.package_code.__wrapped__() == before
    with open(copy / "cells" / "rnn.py", "a", encoding="utf-8") as file:
        file.write("# changed\n")
    assert tasks.package_code.__wrapped__() != before
    assert tasks.module_code(steps.step_lengths) != tasks.module_code(graph.undetached)


@pytest.mark.usefixtures("here", "novel")
def test_a_run_that_was_stopped_goes_on_and_another_s_files_are_removed(tmp_path: Path) -> None:
    run = Run(Variant("here"), 0, 2)
    arguments = [each for each in run.arguments if "max_epochs" not in each and "root" not in each]
    arguments.append(f"--trainer.default_root_dir={tmp_path}")
    half = running.train([*arguments, "--trainer.max_epochs=1"], str(tmp_path), "ours")
    assert half["epochs"] == 1
    whole = running.train([*arguments, "--trainer.max_epochs=2"], str(tmp_path), "ours")
    assert whole["epochs"] == 2
    assert whole["log"] == half["log"]
    other = running.train([*arguments, "--trainer.max_epochs=1"], str(tmp_path), "theirs")
    assert other["epochs"] == 1


@pytest.mark.usefixtures("here", "novel")
def test_a_run_that_ends_as_nan_is_a_result(tmp_path: Path) -> None:
    """What it was stopped by stands in the page; any other mistake stops the report."""
    options = ("--config", ROOT / tasks.CONFIG, "--trainer.default_root_dir", tmp_path)
    more = (
        "--trainer.max_epochs=3",
        "--model.learning_rate=1e38",
        "--trainer.gradient_clip_val=null",
    )
    result = running.train(["fit", *map(str, options), *more], str(tmp_path), "burst")
    assert re.match("The loss is (nan|inf) in epoch 0", result["stopped"])
    assert result["epochs"] == 0
    with pytest.raises(ValueError, match="Unknown cell"):
        running.train(["fit", *map(str, options), "--model.cell=cru"], str(tmp_path), "")


@pytest.mark.usefixtures("here")
def test_a_mistake_stops_the_report_with_its_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker has no novel, and a proxy that doesn't listen."""
    for name in ("CHARLM_DATA", "HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    # urllib keeps the proxies of its first request.
    monkeypatch.setattr("urllib.request._opener", None)
    assert report.main(command(tmp_path, "--only", "batch-size", "--jobs", 1)[3:]) == 1
    errors = capsys.readouterr().err
    assert "report: " in errors
    assert "CHARLM_DATA" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("losses", "epochs"),
    [
        ([3.0, 2.0, 1.0], []),
        ([3.0, 2.0, 2.9], []),
        ([3.0, 2.0, 3.1, 1.0, 2.5], [3, 5]),
        ([3.0, float("nan")], [2]),
        ([], []),
    ],
)
def test_an_epoch_blows_up_by_a_nat_above_the_lowest(
    losses: list[float], epochs: list[int]
) -> None:
    assert running.blow_ups(losses) == epochs


def all_tasks(scale: Scale) -> Sequence[tasks.Task]:
    return [task for question in QUESTIONS for task in question.tasks(scale)]


def test_the_full_report_has_5_seeds_and_500_epochs_and_ten_seeds_without_clipping() -> None:
    full = report.SCALES["full"]
    assert (full.seeds, full.epochs) == (5, 500)
    clipping = BY_NAME["clipping"].runs(full)
    assert all(len(seeds) == 10 for label, seeds in clipping.items() if "none" in label)
    assert {len(seeds) for seeds in BY_NAME["relu"].runs(full).values()} == {5}
    assert len({task.path for task in all_tasks(full)}) < len(all_tasks(full)), "runs are shared"


def test_one_path_one_task() -> None:
    """Two that differ never share a file."""
    by_path: dict[Path, str] = {}
    for task in all_tasks(report.SCALES["full"]):
        assert by_path.setdefault(task.path, task.key) == task.key


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_every_run_is_an_accepted_command(question: Any) -> None:
    """The options as the command line reads them, one variant of each kind of option."""
    seen: set[frozenset[str]] = set()
    for seeds in question.runs(SCALE).values():
        options = frozenset(seeds[0].variant.options)
        if options not in seen:
            seen.add(options)
            outcome = charlm(*seeds[0].arguments, "--print_config")
            assert outcome.code == 0, outcome.err


# The page


@pytest.fixture(scope="module")
def entries() -> list[page.Entry]:
    """All questions, with planted results."""
    return [
        page.Entry(question, found(question.name), question.runs(SCALE)) for question in QUESTIONS
    ]


@pytest.mark.parametrize("dark", [False, True])
def test_the_page_opens_in_a_browser_without_errors_or_requests(
    browser: Any, entries: list[page.Entry], tmp_path: Path, dark: bool
) -> None:
    path = tmp_path / "page.html"
    path.write_text(page.html(entries, SCALE), encoding="utf-8")
    open_page(browser, path, dark)
    assert browser.get_log("browser") == []
    assert requests(browser) == [path.as_uri()]
    assert browser.title == "What readers of the chapters ask"
    figures = browser.execute_script(
        "return [...document.querySelectorAll('figure svg')].map(svg => {"
        "const box = svg.getBoundingClientRect();"
        "const text = svg.querySelector('text');"
        "return [box.width, box.height, getComputedStyle(text).fill]})"
    )
    assert len(figures) == len(QUESTIONS)
    for width, height, ink in figures:
        assert width > 300
        assert height > 100
        channels = [int(value) for value in re.findall(r"\d+", ink)[:3]]
        assert min(channels) > 180 if dark else max(channels) < 90, ink
    # Nothing is wider than the page, and each address in it leads somewhere.
    assert browser.execute_script(
        "return document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    )
    assert browser.execute_script(
        "return [...document.querySelectorAll('ol a')].every("
        "a => document.querySelector(a.getAttribute('href')))"
    )


def test_the_page_is_small_enough_to_be_kept(entries: list[page.Entry]) -> None:
    text = page.html(entries, SCALE)
    assert len(text.encode()) < 500_000
    assert not re.search(r'(src|href)="(?!#|data:,)[^"]*"', text.replace("xlink:href", ""))


def test_markdown_says_the_same(entries: list[page.Entry]) -> None:
    text = page.markdown(entries, SCALE)
    for question in QUESTIONS:
        own = found(question.name)
        assert f"## {question.title}\n" in text
        assert f"> {question.answer}\n" in text
        assert f"](custom/{question.name}.svg)" in text
        assert f"[{question.title}](#{question.name})" in text
        for row in question.table(own).rows:
            assert f"| {' | '.join(row)} |" in text


def test_a_full_report_that_contradicts_an_answer_fails_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    restore(monkeypatch)
    wrong = found("random-iter", {"random sampling": {"perplexity": 1.5}})
    monkeypatch.setattr(BY_NAME["random-iter"], "found", lambda *_: wrong, raising=False)
    given = ["--render", "--full", "--logs", str(tmp_path), "--folder", str(tmp_path)]
    assert report.main(given) == 1
    told = capsys.readouterr().err
    assert "random-iter contradict its answer of 2026-11-26: it ends lower than random" in told
    assert "**Contradicted by these results: it ends lower" in (tmp_path / "full.md").read_text(
        encoding="utf-8"
    )
    assert report.main([*given[:1], *given[2:]]) == 0
    assert "Not so, with fewer epochs" in (tmp_path / "quick.html").read_text(encoding="utf-8")


def test_what_hasn_t_been_run_says_how(reported: Path) -> None:
    text = (reported / "pages" / "custom.md").read_text(encoding="utf-8")
    assert "Not run yet: `python -m scripts.report --only relu --epochs 4 --seeds 1`" in text
    assert (reported / "pages" / "custom" / "batch-size.svg").is_file()
    assert not (reported / "pages" / "custom" / "relu.svg").exists()
