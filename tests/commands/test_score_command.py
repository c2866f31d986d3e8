"""``charlm score`` and ``charlm export`` as a user runs them."""

import contextlib
import hashlib
import io
import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.running import Outcome, charlm

from charlm.checkpoint import contents, load
from charlm.cli import main
from charlm.commands import score as score_command
from charlm.evaluation.dynamic import DynamicEvaluation, dynamic_predictions, gradient_rms
from charlm.evaluation.scoring import encode, score, summarise
from charlm.evaluation.training_text import read_part

pytestmark = pytest.mark.usefixtures("novel")


@pytest.fixture
def text(tmp_path: Path, novel: str) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(novel[30_000:34_000], encoding="utf-8")
    return path


def run(checkpoint: Path, *arguments: object) -> Outcome:
    return charlm("score", "--checkpoint", checkpoint, *arguments)


def objects(outcome: Outcome) -> list[dict[str, Any]]:
    assert outcome.code == 0, outcome.err
    return [json.loads(line) for line in outcome.out.splitlines()]


def test_one_object_a_text_with_what_the_library_says(
    checkpoint: Path, text: Path, tmp_path: Path
) -> None:
    (tmp_path / "short.txt").write_text("Été!", encoding="utf-8")
    whole, short = objects(run(checkpoint, "--json", text, tmp_path / "short.txt"))
    scored = score(*load(checkpoint), text.read_text(encoding="utf-8"))
    assert whole == {
        "name": str(text),
        "characters": len(scored.text),
        "unknown": 0,
        "nats": scored.nats,
        "nats_per_character": scored.nats_per_character,
        "bits_per_character": scored.bits_per_character,
        "perplexity": scored.perplexity,
        "protocol": "carried",
        "lanes": 1,
        "window": None,
        "method": "RNN 64 (last.ckpt)",
        "dynamic": None,
        "ngram": False,
    }
    assert short["name"].endswith("short.txt")
    assert short["characters"] == 1  # the normalisation is the book's


def test_the_table_says_the_same_and_how_it_was_measured(checkpoint: Path, text: Path) -> None:
    [scored] = objects(run(checkpoint, "--json", text, "--lanes", 3))
    outcome = run(checkpoint, text, "--lanes", 3)
    header, row, remark = outcome.out.splitlines()
    assert re.split("  +", header)[1:] == [
        "characters",
        "unknown",
        "nats",
        "bits per character",
        "perplexity",
    ]
    assert row.split()[-2:] == [
        f"{scored['bits_per_character']:.4f}",
        f"{scored['perplexity']:.4f}",
    ]
    assert remark == "Read in 3 lanes: all but the first began with one character of context."
    windows = run(checkpoint, text, "--protocol", "windows", "--window", 35)
    assert windows.out.splitlines()[-1] == "The state was zeroed every 35 characters."


def test_standard_input_in_a_process_of_its_own_without_lightning(
    checkpoint: Path, text: Path, tmp_path: Path
) -> None:
    program = (
        "import sys; from charlm.cli import main; code = main(sys.argv[1:]);"
        "assert not {'lightning', 'pytorch_lightning'} & set(sys.modules); sys.exit(code)"
    )
    score_command = ["score", "--checkpoint", checkpoint, "--json", "--baselines", "-"]
    with text.open("rb") as file:
        outcome = subprocess.run(
            [sys.executable, "-c", program, *map(str, score_command)],
            stdin=file,
            capture_output=True,
            text=True,
        )
    assert (outcome.returncode, outcome.stderr) == (0, "")
    piped = json.loads(outcome.stdout)
    [named] = objects(run(checkpoint, "--json", "--baselines", text))
    assert piped["name"] == "-"
    assert piped["bits_per_character"] == pytest.approx(named["bits_per_character"], abs=1e-6)
    assert piped["baselines"] == named["baselines"]
    export_command = ["export", "--checkpoint", checkpoint, "--output", tmp_path / "e", "--onnx"]
    outcome = subprocess.run(
        [sys.executable, "-c", program, *map(str, export_command)], capture_output=True, text=True
    )
    assert (outcome.returncode, outcome.stderr) == (0, "")


def test_the_network_stands_among_the_baselines_the_best_first(
    checkpoint: Path, text: Path
) -> None:
    [scored] = objects(run(checkpoint, "--json", "--baselines", text))
    lines = run(checkpoint, "--baselines", text).out.splitlines()
    assert lines[3].endswith("alone  after the training text")
    rows = {
        match[1]: match[2]
        for match in re.finditer(r"^(.*?)  .* (\S+)$", "\n".join(lines[4:]), re.M)
    }
    assert rows["RNN 64 (last.ckpt)"] == f"{scored['bits_per_character']:.4f}"
    assert {f"Markov, order {n}" for n in range(6)} | {"gzip", "bzip2", "xz"} < set(rows)
    costs = [float(cost) for cost in rows.values()]
    assert costs == sorted(costs)
    # Trained for seconds it beats the letters' frequencies, and no compressor.
    assert rows["PPMd"] < rows["RNN 64 (last.ckpt)"] < rows["Markov, order 0"]


def trained_on_a_file(folder: Path, novel: str) -> tuple[Path, Path]:
    """A text of one's own, and the checkpoint of a step on it."""
    from helpers.running import CONFIGS

    path = folder / "mine.txt"
    path.write_text(novel[:8000], encoding="utf-8")
    options = ("--data.path", path, "--trainer.max_steps", 1, "--trainer.default_root_dir", folder)
    outcome = charlm("fit", "--config", CONFIGS / "debug.yaml", *options)
    assert outcome.code == 0, outcome.err
    return path, folder / "lightning_logs" / "version_0" / "checkpoints" / "last.ckpt"


def test_a_training_text_that_is_gone_or_changed_is_told_and_left_out(
    novel: str, text: Path, tmp_path: Path
) -> None:
    mine, trained = trained_on_a_file(tmp_path, novel)
    [scored] = objects(run(trained, "--json", "--baselines", text))
    assert scored["baselines"]["Markov, order 2"]["after"] > 0
    for change, told in (
        (
            lambda: mine.write_text(novel[:7999], encoding="utf-8"),
            "has changed since the model was trained",
        ),
        (mine.unlink, "The training text can't be read again"),
    ):
        change()
        outcome = run(trained, "--json", "--baselines", text)
        [without] = objects(outcome)
        assert told in outcome.err
        assert outcome.err.endswith("Only the compressors are compared.\n")
        assert without["baselines"]["xz"]["after"] is None
        assert without["baselines"]["xz"]["alone"] == scored["baselines"]["xz"]["alone"]
        assert "Markov, order 2" not in without["baselines"]


def test_unknown_characters_are_named(tmp_path: Path, text: Path) -> None:
    from charlm.model import CharLM
    from charlm.text.vocabulary import Vocabulary

    vocabulary = Vocabulary.from_text(text.read_text(encoding="utf-8"), "none")
    model = CharLM(len(vocabulary), hidden_sizes=[8])
    weights = {f"model.{name}": weight for name, weight in model.state_dict().items()}
    options = {"hidden_sizes": [8], "vocabulary": vocabulary.config}
    torch.save({"state_dict": weights, "hyper_parameters": options}, tmp_path / "own.ckpt")
    (tmp_path / "greek.txt").write_text(
        "γνῶθι " + "".join(map(chr, range(0x4E00, 0x4E20))), encoding="utf-8"
    )
    outcome = run(tmp_path / "own.ckpt", tmp_path / "greek.txt", "--baselines")
    assert "Unknown to the model, and scored as <unk>: 'γ' 'ν' 'ῶ' 'θ' 'ι' " in outcome.out
    assert " and 27 more.\n" in outcome.out
    assert "doesn't tell what text it was trained on" in outcome.err


def test_the_page_is_written_whole_and_the_terminal_shaded(
    checkpoint: Path, text: Path, tmp_path: Path
) -> None:
    page = tmp_path / "pages" / "out.html"
    outcome = run(checkpoint, text, "--html", page, "--ansi")
    assert outcome.code == 0, outcome.err
    content = page.read_text("utf-8")
    assert content.startswith("<!DOCTYPE html>")
    assert content.endswith("</html>\n")
    assert content.count('<i class="s') == len(
        score(*load(checkpoint), text.read_text(encoding="utf-8")).text
    )
    assert "RNN 64 (last.ckpt)" in content
    assert outcome.out.count("\x1b[") > 1000
    assert [path.name for path in page.parent.iterdir()] == ["out.html"]


def test_texts_in_another_encoding_and_order_of_arguments(
    checkpoint: Path, text: Path, tmp_path: Path
) -> None:
    (tmp_path / "wide.txt").write_text(text.read_text(encoding="utf-8"), "utf-16")
    outcome = charlm(
        *("score", tmp_path / "wide.txt", "--json", "--checkpoint", checkpoint),
        *("--encoding", "utf-16"),
    )
    [wide] = objects(outcome)
    [plain] = objects(run(checkpoint, "--json", text))
    assert wide["nats"] == plain["nats"]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ([], 1, "Name a text's file"),
        (["text.txt", "--held_out", "train.txt"], 1, "Unknown part 'train.txt'"),
        (["text.txt", "--dynamic", "--lanes", "2"], 1, "learn from a text in its order"),
        (["text.txt", "--ngram", "--protocol", "windows", "--window", "9"], 1, "in its order"),
        (["text.txt", "--rate", "0.1"], 1, "add --dynamic"),
        (["text.txt", "--dynamic", "--segment", "0"], 1, "segment is 0"),
        (["text.txt", "--dynamic", "--rate", "1e38"], 1, "text.txt: Dynamic evaluation has div"),
        (["missing.txt"], 1, "Can't read missing.txt"),
        (["missing-*"], 1, "No file matches missing-"),
        (["latin.txt"], 1, "with --encoding."),
        (["latin.txt"], 1, "charlm: latin.txt is not utf-8"),
        (["text.txt", "--encoding", "klingon"], 1, "--encoding takes one that Python knows"),
        (["empty.txt"], 1, "charlm: empty.txt is empty"),
        (["digits.txt"], 1, "digits.txt: Nothing is left of the text"),
        (["text.txt", "--protocol", "x"], 1, "Unknown protocol 'x'"),
        (["text.txt", "--protocol", "windows"], 1, "takes --window"),
        (["text.txt", "--lanes", "0"], 1, "at least 1"),
        (["text.txt", "--lanes", "x"], 2, "lanes"),
        (["text.txt", "--backend", "x"], 1, "Unknown backend 'x'"),
        (["text.txt", "--device", "x"], 1, "The device 'x' can't be used"),
        (["text.txt", "--json", "--ansi"], 1, "Choose one of --json and --ansi"),
        (["-", "-"], 1, "name it once"),
        (["text.txt", "--html", "text.txt/out.html"], 1, "Can't write text.txt/out.html"),
        (["text.txt", "--html", "."], 1, "Can't write .: it is a folder"),
        (["text.txt", "--html", ".."], 1, "Can't write ..: it is a folder"),
        (["text.txt", "--checkpoint", "text.txt"], 1, "can't be read as a checkpoint"),
        (["text.txt", "--checkpoint", "."], 1, "is no export"),
    ],
)
def test_a_mistake_is_told_in_a_sentence_and_leaves_nothing(
    arguments: list[str],
    code: int,
    told: str,
    checkpoint: Path,
    text: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("latin.txt").write_bytes("é".encode("latin-1"))
    Path("empty.txt").touch()
    Path("digits.txt").write_text("1 2 3", encoding="utf-8")
    before = sorted(tmp_path.rglob("*"))
    outcome = run(checkpoint, *arguments)
    assert outcome.code == code
    assert told in outcome.err
    assert outcome.err.count("\n") == 1
    assert outcome.out == ""
    assert sorted(tmp_path.rglob("*")) == before


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_dynamic_evaluation_says_what_the_library_says_and_leaves_the_checkpoint(
    checkpoint: Path, text: Path
) -> None:
    before = digest(checkpoint)
    options = ("--dynamic", "--segment", 10, "--rate", 0.0002)
    [dynamic] = objects(run(checkpoint, "--json", text, *options))
    model, vocabulary = load(checkpoint)
    training = read_part(contents(checkpoint)["datamodule_hyper_parameters"]).ids
    assert len(training) == 8000
    settings = DynamicEvaluation(10, 0.0002)
    rms = gradient_rms(model, training, 10)
    normalised, ids = encode(vocabulary, text.read_text(encoding="utf-8"))
    expected = summarise(normalised, ids, dynamic_predictions(model, ids, settings, rms))
    assert dynamic["nats"] == pytest.approx(expected.nats, rel=1e-6)
    assert dynamic["dynamic"] == [{"segment": 10, "rate": 0.0002, "decay": settings.decay}]
    [static] = objects(run(checkpoint, "--json", text))
    assert dynamic["nats_per_character"] < static["nats_per_character"]
    assert digest(checkpoint) == before


def test_settings_of_dynamic_evaluation_come_with_the_checkpoint(
    checkpoint: Path, text: Path, tmp_path: Path
) -> None:
    content = contents(checkpoint)
    content["hyper_parameters"]["dynamic_evaluation"] = {"segment": 7, "rate": 0.003, "decay": 0.1}
    torch.save(content, tmp_path / "own.ckpt")
    [scored] = objects(run(tmp_path / "own.ckpt", "--json", text, "--dynamic", "--decay", 0.2))
    assert scored["dynamic"] == [{"segment": 7, "rate": 0.003, "decay": 0.2}]
    lines = run(tmp_path / "own.ckpt", text, "--dynamic").out.splitlines()
    assert lines[-1].startswith("Dynamic evaluation: segments of 7, rate 0.003, decay 0.1; ")


def test_two_checkpoints_give_the_mean_of_their_probabilities(
    checkpoint: Path, text: Path, tmp_path: Path
) -> None:
    content = contents(checkpoint)
    for name, weight in content["state_dict"].items():
        content["state_dict"][name] = weight + 0.03 * torch.randn(weight.shape)
    torch.save(content, tmp_path / "other.ckpt")
    both = ("--checkpoint", tmp_path / "other.ckpt")
    [one] = objects(run(checkpoint, "--json", text))
    [two] = objects(run(checkpoint, "--json", text, *both))
    vocabulary = load(checkpoint).vocabulary
    nats = [
        score(load(path).model, vocabulary, text.read_text(encoding="utf-8")).nats_N
        for path in (checkpoint, tmp_path / "other.ckpt")
    ]
    expected = -np.log(np.exp(-np.stack(nats)).mean(axis=0)).sum()
    assert two["nats"] == pytest.approx(expected, rel=1e-6)
    assert two["nats"] != one["nats"]
    assert two["method"] == "RNN 64 (last.ckpt, other.ckpt)"
    by_name = charlm("score", checkpoint, tmp_path / "other.ckpt", text, "--json")
    assert objects(by_name) == [two]
    [mixed] = objects(run(checkpoint, "--json", text, *both, "--ngram"))
    assert mixed["method"] == "RNN 64 (last.ckpt, other.ckpt), mixed with n-grams"
    assert mixed["bits_per_character"] < min(one["bits_per_character"], two["bits_per_character"])
    # Once more the same one changes nothing.
    [same] = objects(run(checkpoint, "--json", text, "--checkpoint", checkpoint))
    assert same["nats"] == pytest.approx(one["nats"])


def test_networks_of_other_symbols_are_not_averaged(checkpoint: Path, tmp_path: Path) -> None:
    content = contents(checkpoint)
    content["hyper_parameters"]["vocabulary"]["normalisation"] = "letters"
    torch.save(content, tmp_path / "other.ckpt")
    outcome = run(checkpoint, "--checkpoint", tmp_path / "other.ckpt", "-")
    assert (outcome.code, outcome.out) == (1, "")
    assert "has another vocabulary or normalisation" in outcome.err
    outcome = charlm("score", "-")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == (
        "charlm: Name a checkpoint with --checkpoint FILE; of several, each so.\n"
    )


def test_all_figures_stand_side_by_side(checkpoint: Path, text: Path) -> None:
    options = ("--dynamic", "--ngram", "--baselines")
    [scored] = objects(run(checkpoint, "--json", text, *options))
    name = "RNN 64 (last.ckpt)"
    bits = {key: cost["after"] for key, cost in scored["baselines"].items()}
    assert {
        name, f"{name}, windows of 256", f"{name}, dynamic", "n-grams, adaptive", "PPMd",
        f"{name}, dynamic, mixed with n-grams",
    } <= set(bits)  # fmt: skip
    assert bits[f"{name}, dynamic, mixed with n-grams"] == scored["bits_per_character"]
    # The mixture of a weak network and a good model of the same text is better than either.
    assert scored["bits_per_character"] < bits["n-grams, adaptive"] < bits["Markov, order 2"]
    assert bits["n-grams, adaptive"] < bits[f"{name}, dynamic"] < bits[name]
    rows = run(checkpoint, text, *options).out.splitlines()
    best = rows[rows.index("") + 2]
    assert best.startswith(f"{name}, dynamic, mixed with n-grams  ")
    assert best.split()[-1] == f"{scored['bits_per_character']:.4f}"


def test_what_was_held_out_is_scored_without_a_file(checkpoint: Path, novel: str) -> None:
    [scored] = objects(run(checkpoint, "--json", "--held_out", "test"))
    assert scored["name"] == "time-machine, test"
    vocabulary = load(checkpoint).vocabulary
    expected = score(load(checkpoint).model, vocabulary, vocabulary.normalise(novel)[9000:10_000])
    assert (scored["characters"], scored["nats"]) == (1000, expected.nats)


@pytest.mark.parametrize("documents", [None, "line", ""])
def test_what_was_held_out_is_scored_as_it_was_encoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, documents: str | None
) -> None:
    """Also characters that the model lacks, and documents that ``max_chars`` has cut."""
    monkeypatch.chdir(tmp_path)
    Path("first.txt").write_text("abc de\n\n" * 60, encoding="utf-8")
    Path("second.txt").write_text("abé de\n\n" * 60, encoding="utf-8")
    names = () if documents is None else ("--data.documents", documents)
    sizes = ("--data.num_lanes", "2", "--data.num_steps", "9", "--data.fallback", "null")
    fit = ("fit", *sizes, "--model.hidden_sizes", "[4]", "--trainer.enable_progress_bar", "false")
    begun = charlm(*fit, "--data.path", "first.txt", *names, "--trainer.max_epochs", "1")
    assert begun.code == 0, begun.err
    split = ("--data.val_size", "0.2", "--data.max_chars", "301")
    went_on = charlm(
        *("fit", "--ckpt_path", "last", "--data.path", "second.txt", *split),
        *("--data.allow_changed_corpus", "true", "--trainer.max_epochs", "2"),
    )
    assert went_on.code == 0, went_on.err
    newest = max(Path().rglob("last.ckpt"), key=lambda path: path.stat().st_mtime)
    read = read_part(contents(newest)["datamodule_hyper_parameters"], "val")
    [scored] = objects(run(newest, "--json", "--held_out", "val"))
    num_unknown = int((read.ids == 0).sum())
    assert scored["unknown"] == num_unknown > 0
    assert scored["characters"] == len(read.ids) - (read.ids[0] == read.vocabulary.mark_id)


def test_documents_of_several_files_are_scored_as_those_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    poems = ("ab cd\nab", "cd ab\n", "ab ab\ncd")
    Path("poems").mkdir()
    for number, poem in enumerate(poems):
        Path(f"poems/{number}.txt").write_text(poem, encoding="utf-8")
    sizes = ("--data.num_lanes", "2", "--data.num_steps", "5", "--model.hidden_sizes", "[4]")
    fit = ("fit", "--data.path", "poems", "--data.documents", "file", *sizes)
    begun = charlm(*fit, "--trainer.max_epochs", "3", "--trainer.enable_progress_bar", "false")
    assert begun.code == 0, begun.err
    (checkpoint,) = Path().rglob("last.ckpt")
    [together] = objects(run(checkpoint, "--json", "poems"))
    apart = objects(run(checkpoint, "--json", *(f"poems/{number}.txt" for number in range(3))))
    assert together["characters"] == sum(each["characters"] for each in apart)
    assert together["nats"] == pytest.approx(sum(each["nats"] for each in apart))


def test_what_learns_needs_the_training_text(novel: str, text: Path, tmp_path: Path) -> None:
    mine, trained = trained_on_a_file(tmp_path, novel)
    mine.unlink()
    for option in ("--dynamic", "--ngram"):
        outcome = run(trained, text, option)
        assert (outcome.code, outcome.out) == (1, "")
        assert "can't be read again" in outcome.err
        assert "can't do without it" in outcome.err


def test_no_page_is_written_when_one_of_the_texts_is_wrong(
    checkpoint: Path, text: Path, tmp_path: Path
) -> None:
    outcome = run(checkpoint, text, tmp_path / "missing.txt", "--html", tmp_path / "out.html")
    assert outcome.code == 1
    assert outcome.out == ""
    assert not (tmp_path / "out.html").exists()


def test_sigterm_leaves_nothing_half_written(
    checkpoint: Path, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def strike(*arguments: object) -> None:
        signal.raise_signal(signal.SIGTERM)

    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # of an earlier test's run
    monkeypatch.setattr(score_command, "page", strike)
    (tmp_path / "pages").mkdir()
    page = tmp_path / "pages" / "page.html"
    outcome = charlm("score", "--checkpoint", checkpoint, text, "--html", page)
    assert (outcome.code, outcome.err) == (143, "charlm: Stopped by SIGTERM.\n")
    assert not list(page.parent.iterdir())


class Full(io.StringIO):
    """Standard output on a disk without space."""

    def flush(self) -> None:
        raise OSError(28, "No space left on device")


def test_output_that_can_not_be_written_is_told(
    checkpoint: Path, text: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with contextlib.redirect_stdout(Full()):
        assert main(["score", "--checkpoint", str(checkpoint), str(text)]) == 1
    told = "charlm: Can't read or write standard output: No space left on device.\n"
    assert capsys.readouterr().err == told


def test_a_closed_output_is_no_mistake(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(sys, stream, None)
    assert main(["generate", "--checkpoint", str(checkpoint), "--num_chars", "2"]) == 0
