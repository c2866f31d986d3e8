"""The leaderboard: its models are their authors', its measures charlm's, its contest resumable.

N characters of a text · T time steps · V vocabulary
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from charlm.evaluation.scoring import predictions, summarise
from charlm.model import CharLM
from scripts.leaderboard import measures, results
from scripts.leaderboard.__main__ import CPU_SIZE, GPU_SIZE, TRAINED, main
from scripts.leaderboard.contenders import CharRNN, warm_up_then_cosine
from scripts.leaderboard.recurrent import TorchLSTM
from scripts.leaderboard.training import NUM_LOOKS
from scripts.leaderboard.transformer import Size, Transformer

V = 7
TINY = Size(layers=2, heads=2, width=8, context=6)


def drawn(length: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(V, size=length)


def test_the_transformers_are_as_large_as_their_author_says() -> None:
    assert Transformer(65, CPU_SIZE).num_parameters == pytest.approx(0.80e6, rel=0.01)
    assert Transformer(65, GPU_SIZE).num_parameters == pytest.approx(10.65e6, rel=0.001)


def test_a_transformer_sees_no_later_character() -> None:
    torch.manual_seed(0)
    model = Transformer(V, TINY).eval()
    ids_BT = torch.from_numpy(drawn(12).reshape(2, 6))
    changed_BT = ids_BT.clone()
    changed_BT[:, 4] = (ids_BT[:, 4] + 1) % V
    before, after = model(ids_BT), model(changed_BT)
    torch.testing.assert_close(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4:], after[:, 4:])


@pytest.mark.parametrize("length", [2, 5, 6, 7, 8, 30, 41])
def test_a_transformer_slides_over_the_text_each_character_once(length: int) -> None:
    torch.manual_seed(0)
    model = Transformer(V, TINY).eval()
    ids = drawn(length)
    T, half = TINY.context, TINY.context // 2
    nats = np.log(V)
    for place in range(1, length):
        # The window that counts it ends at the first of T, T + half, ... that reaches it.
        end = T if place <= T else T + half * -(-(place - T) // half)
        end = min(end, length - 1)
        context = torch.from_numpy(ids[max(0, end - T) : place])[None]
        nats += F.cross_entropy(model(context)[0, -1], torch.tensor(ids[place])).item()
    assert measures.carried(model, ids) == pytest.approx(nats / length, rel=1e-5)


def test_an_lstm_is_measured_as_charlm_measures_it() -> None:
    torch.manual_seed(0)
    model, ids = TorchLSTM(V, 5), drawn(700)
    model.open_forget_gates()
    same = CharLM(V, [5], "lstm")
    bias = model.layers.bias_ih_l0 + model.layers.bias_hh_l0
    names = {
        "weight_ih": model.layers.weight_ih_l0,
        "weight_hh": model.layers.weight_hh_l0,
        "bias": bias.detach(),
    }
    layer = {f"layers.0.{name}": weight for name, weight in names.items()}
    output = {f"output.{name}": weight for name, weight in model.output.named_parameters()}
    same.load_state_dict(layer | output)
    for measure, options in ((measures.carried, {}), (measures.windows, {"window": 256})):
        expected = summarise("", ids, predictions(same.eval(), ids, **options)).nats_per_character
        assert measure(model, ids) == pytest.approx(expected, rel=1e-5)


def test_the_windows_of_a_transformer_start_from_zero() -> None:
    torch.manual_seed(0)
    model, ids = Transformer(V, TINY).eval(), drawn(20)
    nats = np.log(V)
    for start in range(0, 19, TINY.context):
        window = torch.from_numpy(ids[start : start + TINY.context + 1])
        nats += F.cross_entropy(model(window[None, :-1])[0], window[1:], reduction="sum").item()
    assert measures.windows(model, ids) == pytest.approx(nats / 20, rel=1e-5)


def test_the_schedules_are_their_authors() -> None:
    rates = [warm_up_then_cosine(share, 1e-3, 1e-4, 0.05) for share in (0.025, 0.05, 0.525, 1)]
    assert rates == pytest.approx([5e-4, 1e-3, 5.5e-4, 1e-4])
    contender = CharRNN(drawn(60), V, lanes=2, steps=10)
    for epoch, expected in ((0, 2e-3), (9, 2e-3), (10, 2e-3 * 0.97), (20, 2e-3 * 0.97**11)):
        contender.epoch = epoch
        contender.step(0.0)
        assert contender.optimizer.param_groups[0]["lr"] == pytest.approx(expected)


# A step of the large transformer takes a minute; it differs from the small one in its size alone.
@pytest.mark.parametrize("name", sorted(set(TRAINED) - {"nanogpt-10m"}))
def test_each_recipe_learns(name: str) -> None:
    torch.manual_seed(0)
    # One symbol has four places of five.
    ids = np.where(np.arange(2800) % 5, 0, drawn(2800))
    contender = TRAINED[name](ids, V, 16)
    for k in range(10):
        contender.step(k / 10)
    assert contender.characters_seen == {"char-rnn": 25_000, "nanogpt-cpu": 7680}.get(name, 10_240)
    assert measures.windows(contender.model, ids[:300]) < np.log(V)


@pytest.mark.usefixtures("novel")
def test_a_contest_is_kept_run_by_run_and_goes_on_where_it_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--seconds", "1", "--config", "debug", "--output", str(tmp_path)]
    options += ["--fit", "data.val_size=500", "--only"]
    assert main([*options, "nanogpt-cpu", "--seeds", "1"]) == 0
    path = tmp_path / "1-seconds.json"
    [first] = json.loads(path.read_text(encoding="utf-8"))
    assert 0 < len(first["curve"]) <= NUM_LOOKS + 1
    assert first["curve"][-1][0] > 0.4
    assert first["curve"][-1][1] == pytest.approx(first["windows"])
    assert main([*options, "nanogpt-cpu", "charlm", "baselines", "--seeds", "1"]) == 0
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert kept[0] == first
    rows = {row["contender"]: row for row in kept}
    assert {"charlm debug", "charlm debug, dynamic", "PPMd", "n-grams, adaptive"} < set(rows)
    ours = rows["charlm debug"]
    assert ours["characters"] % (8 * 35) == 0
    assert ours["curve"][-1][1] == pytest.approx(ours["carried"], abs=0.3)
    assert rows["PPMd"]["carried"] < ours["carried"] < np.log(28)
    printed = capsys.readouterr().out
    assert "| charlm debug |" in printed
    # Under other conditions they wouldn't belong into one table.
    for ours, others in (("data.val_size=500", "data.val_size=400"), ("debug", "novel")):
        changed = [word.replace(ours, others) for word in options]
        assert main([*changed, "charlm"]) == 1
        assert "name another folder with --output" in capsys.readouterr().err
    assert json.loads(path.read_text(encoding="utf-8")) == kept
    assert (tmp_path / "1-seconds.md").read_text(encoding="utf-8") in printed
    assert (tmp_path / "1-seconds.svg").read_text(encoding="utf-8").count("<path") > 5


def test_the_table_has_the_median_of_the_seeds_the_best_first() -> None:
    one = {"seconds": 1, "window": 64, "parameters": 10, "curve": [], "sliding": True}
    one |= {"contender": "a", "characters": 5, "windows": 3.0}
    runs = [one | {"seed": seed, "carried": 2.0 + seed} for seed in range(3)]
    runs.append(one | {"contender": "b", "seed": 0, "carried": 2.5, "windows": None})
    assert [(row["contender"], row["carried"]) for row in results.summary(runs)] == [
        ("b", 2.5),
        ("a", 3.0),
    ]
    assert "| a | 10 | 5 | 3.0000* [2.000, 4.000] | 3.0000 (of 64) |" in results.table(runs, 1)


def test_an_unknown_recipe_is_told() -> None:
    with pytest.raises(SystemExit):
        main(["--only", "gpt-5"])


@pytest.mark.usefixtures("novel")
@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--config", "rnn", "--only", "charlm"], "holds nothing out"),
        (["--only", "charlm", "--fit", "model.nosuch=1"], "nosuch"),
        (["--only", "torch-lstm", "--fit", "data.nosuch=1"], "don't take these options"),
        (["--only", "charlm", "--config", "nosuch"], "nosuch"),
    ],
)
def test_a_mistake_in_the_recipe_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], told: str
) -> None:
    assert main([*options, "--seconds", "1", "--output", str(tmp_path)]) == 1
    err = capsys.readouterr().err
    assert told in err
    assert "Traceback" not in err
    assert not list(tmp_path.glob("*.json"))
