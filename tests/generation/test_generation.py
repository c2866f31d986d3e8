"""Generation against the model itself, each text alone against the same among others."""

import doctest
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import charlm
from charlm.errors import UserError
from charlm.generation import context as contexts
from charlm.generation import row_products
from charlm.generation.generate import generate, generate_many
from charlm.generation.row_products import Product, StackedProducts
from charlm.generation.sampling import RandomNumbers, SamplingOptions
from charlm.generation.step import Stepper, StepperState, choose_lanes
from charlm.model import CharLM
from charlm.text.vocabulary import Vocabulary

LETTERS = Vocabulary(" abcdefghijklmnopqrstuvwxyz")
V = len(LETTERS)
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "tanh": {},
    "relu": {"cell_options": {"nonlinearity": "relu"}},
    "gru": {"cell": "gru"},
    "book's gru": {"cell": "gru", "cell_options": {"reset_after": False}},
    "lstm": {"cell": "lstm"},
    "deep, read whole": {"hidden_sizes": [17, 40], "cell": ["gru", "lstm"], "readout": "concat"},
    "embedded": {"encoding": "embedding", "embedding_size": 5, "hidden_sizes": [9, 33]},
    "min_gru": {"cell": "min_gru", "hidden_sizes": [17, 40]},
    "min_lstm": {"cell": "min_lstm", "hidden_sizes": [17, 40]},
    "slstm": {"cell": "slstm", "hidden_sizes": [17, 40]},
    "slstm, exponential": {"cell": "slstm", "cell_options": {"exponential_forget": True}},
    # Cells without a step of their own here.
    "others": {"cell": ["layer_norm_lstm", "mogrifier_lstm", "rg_lru"], "hidden_sizes": [9, 8, 9]},
}


def drawn(seed: int = 0, **architecture: Any) -> CharLM:
    """A model whose predictions are neither flat nor certain."""
    torch.manual_seed(seed)
    model = CharLM(V, **{"hidden_sizes": [37], "initialisation": "uniform"} | architecture)
    with torch.no_grad():
        model.output.weight *= 8
    return model.eval()


@torch.no_grad()
def by_the_model(model: CharLM, prefix: str, num_chars: int) -> str:
    """The book's prediction loop over the model's own forward pass."""
    ids = [int(id_) for id_ in LETTERS.encode(prefix)]
    logits_TBV, state = model(torch.tensor(ids)[:, None])
    for _ in range(num_chars):
        ids.append(int(logits_TBV[-1, 0, 1:].argmax()) + 1)
        logits_TBV, state = model(torch.tensor([ids[-1:]]), state)
    return LETTERS.decode(ids)


@pytest.mark.parametrize("num_lanes", [1, 3, 64])
@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_step_is_the_model_s(name: str, num_lanes: int, dtype: torch.dtype) -> None:
    model = drawn(**ARCHITECTURES[name]).to(dtype)
    ids_TB = torch.randint(V, (6, num_lanes))
    with torch.no_grad():
        logits_TBV, state = model(ids_TB)
    stepper = Stepper(model)
    stepped = stepper.initial_state(num_lanes)
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    logits_TBV[:, :, 0] = -torch.inf  # <unk> is never to be chosen
    for ids_B, logits_BV in zip(ids_TB.numpy(), logits_TBV, strict=True):
        stepped = stepper.step(ids_B, stepped)
        np.testing.assert_allclose(
            stepper.logits(stepped), logits_BV, rtol=tolerance, atol=tolerance
        )
    for cell_state, stepped_cell_state in zip(state, stepped, strict=True):
        for part, stepped_part in zip(cell_state, stepped_cell_state, strict=True):
            np.testing.assert_allclose(stepped_part, part, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_greedy_text_is_that_of_the_book_s_loop(name: str) -> None:
    model = drawn(**ARCHITECTURES[name])
    assert generate(model, LETTERS, "time traveller", 60) == by_the_model(
        model, "time traveller", 60
    )


def test_a_trained_model_s_greedy_text_is_that_of_the_book_s_loop(checkpoint: Path) -> None:
    model, vocabulary = charlm.load(checkpoint)
    assert vocabulary.config["normalisation"] == "book"
    ids = [int(id_) for id_ in vocabulary.encode("time traveller")]
    with torch.no_grad():
        logits_TBV, state = model(torch.tensor(ids)[:, None])
        for _ in range(300):
            ids.append(int(logits_TBV[-1, 0].argmax()))
            logits_TBV, state = model(torch.tensor([ids[-1:]]), state)
    assert charlm.generate(model, vocabulary, "time traveller", 300) == vocabulary.decode(ids)


# Each of several texts is the one alone


@settings(max_examples=25)
@given(
    name=st.sampled_from(sorted(ARCHITECTURES)),
    prefixes=st.lists(st.text("abc de", min_size=1, max_size=9), min_size=1, max_size=5),
    num_samples=st.integers(1, 5),
    seed=st.integers(0, 2**63),
    options=st.sampled_from(
        [
            {"temperature": 1.0},
            {"temperature": 0.3, "top_k": 5},
            {"power": 2.0, "top_p": 0.8},
            {"temperature": 2.0, "min_p": 0.1},
            {"temperature": 1.5, "top_k": 9, "top_p": 0.95, "min_p": 0.02},
        ]
    ),
    stop=st.sampled_from([None, "a", "e "]),
)
def test_each_of_many_is_the_text_alone(
    name: str,
    prefixes: list[str],
    num_samples: int,
    seed: int,
    options: dict[str, Any],
    stop: str | None,
) -> None:
    model = drawn(**ARCHITECTURES[name])
    texts = list(generate_many(model, LETTERS, prefixes, 40, num_samples, seed, stop, **options))
    assert texts == [
        generate(model, LETTERS, prefix, 40, seed=seed + i, stop=stop, **options)
        for i, prefix in enumerate(p for p in prefixes for _ in range(num_samples))
    ]


def test_more_texts_than_lanes_and_greedy_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    model, prefixes = drawn(), [f"a{'bcd'[: i % 4]}{'xyz'[i % 3]}" for i in range(11)]
    alone = [generate(model, LETTERS, prefix, 30) for prefix in prefixes]
    for max_lanes in (1, 2, 4, 11):
        monkeypatch.setattr("charlm.generation.generate.MAX_LANES", max_lanes)
        assert list(generate_many(model, LETTERS, prefixes, 30)) == alone


@pytest.mark.parametrize("name", [*ARCHITECTURES, "large rnn", "large lstm"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_lane_among_others_has_the_bits_that_it_has_alone(name: str, dtype: torch.dtype) -> None:
    large = {"cell": name.removeprefix("large "), "hidden_sizes": [256]}
    stepper = Stepper(drawn(**ARCHITECTURES.get(name, large)).to(dtype))
    random = np.random.default_rng(0)
    together, alone = stepper.initial_state(64), [stepper.initial_state(1) for _ in range(64)]
    for num_lanes in (64, 64, 63, 40, 33, 32, 17, 16, 8, 3, 2, 1):
        together = choose_lanes(together, range(num_lanes))
        ids_B = random.integers(1, V, num_lanes)
        together = stepper.step(ids_B, together)
        alone = [
            stepper.step(ids_B[row : row + 1], state) for row, state in enumerate(alone[:num_lanes])
        ]
        for part, part_alone in zip(flat(together), flat(stepper.stack(alone)), strict=True):
            np.testing.assert_array_equal(part, part_alone)
        np.testing.assert_array_equal(
            stepper.logits(together), np.concatenate([stepper.logits(state) for state in alone])
        )


def flat(state: StepperState) -> list[np.ndarray]:
    return [part for cell_state in state for part in cell_state]


def test_where_the_kernels_round_otherwise_each_text_is_still_the_one_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    multiply, noise = row_products._of_many, torch.Generator().manual_seed(0)

    def off(rows: torch.Tensor, packed: torch.Tensor) -> torch.Tensor:
        exact = multiply(rows, packed)
        return exact * (1 + 1e-2 * torch.rand(exact.shape, generator=noise))

    monkeypatch.setattr(row_products, "_of_many", off)
    model = drawn(hidden_sizes=[16])

    def both() -> tuple[list[str], list[str]]:
        return [generate(model, LETTERS, "ab", 80, 1.0, i) for i in range(24)], list(
            generate_many(model, LETTERS, ["ab"], 80, 24, 0, temperature=1.0)
        )

    # Tried out on this machine, as it is now.
    monkeypatch.setattr(row_products, "agree", row_products.agree.__wrapped__)
    alone, together = both()
    assert alone == together
    if row_products.HAS_ONEDNN:
        monkeypatch.setattr(row_products, "agree", lambda *shape: True)
        alone, together = both()
        assert alone != together


# By how much a logit may differ from that of weights in float32.
SHORT = {"float16": 5e-3, "bfloat16": 5e-2, "int8": 1e-1}


@pytest.mark.parametrize("weights", SHORT)
@pytest.mark.parametrize(
    "name", ["rnn", "gru", "gru before", "lstm", "min_gru", "min_lstm", "slstm"]
)
def test_with_short_weights_a_lane_has_the_bits_that_it_has_alone(name: str, weights: str) -> None:
    options = {"cell": name.split()[0], "hidden_sizes": [24, 40]}
    if name == "gru before":
        options["cell_options"] = {"reset_after": False}
    model = drawn(**options)
    short, single = Stepper(model, weights), Stepper(model)
    ids_TB = np.random.default_rng(0).integers(1, V, (10, 33))
    together, exact = short.initial_state(33), single.initial_state(33)
    for ids_B in ids_TB:
        together, exact = short.step(ids_B, together), single.step(ids_B, exact)
    for lane in (0, 16, 32):
        alone = short.read(ids_TB[:, lane].tolist(), short.initial_state(1))
        np.testing.assert_array_equal(short.logits(alone)[0], short.logits(together)[lane])
    difference = short.logits(together)[:, 1:] - single.logits(exact)[:, 1:]
    assert 0 < np.abs(difference).max() < SHORT[weights]


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (CharLM(V, cell="rg_lru"), "is for RNN, GRU, LSTM, MinGRU, MinLSTM, SLSTM, not RGLRU"),
        (CharLM(V).double(), "is for a model in float32"),
    ],
)
@pytest.mark.parametrize("weights", SHORT)
def test_short_weights_are_refused_where_they_do_not_help(
    model: CharLM, told: str, weights: str
) -> None:
    with pytest.raises(UserError, match=f"weights {weights} {told}"):
        generate(model, LETTERS, "a", weights=weights)


TOLERANCE = {"float32": 1e-4, "float16": 0.1, "bfloat16": 0.5, "int8": 0.5}


@given(
    sizes=st.tuples(st.integers(1, 70), st.integers(1, 40), st.integers(0, 40)),
    num_rows=st.integers(1, 64),
    kept=st.sampled_from(["float64", *row_products.WEIGHTS]),
    by_kernels=st.booleans(),
    width=st.sampled_from([16, 48, row_products.WIDTH]),
)
def test_products_of_rows(
    sizes: tuple[int, int, int], num_rows: int, kept: str, by_kernels: bool, width: int
) -> None:
    dtype, kept = (torch.float64, "float32") if kept == "float64" else (torch.float32, kept)
    num_inputs, above, below = sizes
    weights = [torch.randn(size, num_inputs, dtype=dtype) for size in (above, below)]
    rows = torch.randn(num_rows, num_inputs, dtype=dtype).numpy()
    agree = row_products.agree if by_kernels else lambda *shape: False
    parted = row_products.LEAST_PARTED if width == row_products.WIDTH else 1
    with mock.patch.multiple(row_products, agree=agree, WIDTH=width, LEAST_PARTED=parted):
        product = Product(*weights, kept=kept)
        stacked = StackedProducts(*weights, kept=kept)
    found = product(rows)
    assert found.dtype == rows.dtype
    exact = rows @ torch.cat(weights).numpy().T
    np.testing.assert_allclose(found, exact, atol=TOLERANCE[kept])
    for _ in range(2):
        np.testing.assert_array_equal(stacked.recurrent(rows), found[:, :above])
        np.testing.assert_array_equal(stacked.output(rows), found[:, above:])
    for row in range(num_rows):
        np.testing.assert_array_equal(product(rows[row : row + 1])[0], found[row])


# Sampling


def test_power_is_the_temperature_s_inverse_and_p_to_the_power() -> None:
    logits_BV = np.random.default_rng(0).normal(size=(5, V)) * 3
    logits_BV[:, 0] = -np.inf
    p_BV = np.exp(logits_BV)
    p_BV /= p_BV.sum(axis=1, keepdims=True)
    for power in (0.25, 0.7, 1.0, 3.0):
        expected_BV = p_BV**power * (p_BV > 0)
        for options in (SamplingOptions(power=power), SamplingOptions(1 / power)):
            found_BV = options.probabilities(logits_BV)
            np.testing.assert_allclose(
                found_BV / found_BV.sum(axis=1, keepdims=True),
                expected_BV / expected_BV.sum(axis=1, keepdims=True),
                rtol=1e-12,
            )
    model = drawn()
    for power in (0.5, 2.0, 4.0):
        with_power = generate(model, LETTERS, "ab", 200, seed=1, power=power)
        assert with_power == generate(model, LETTERS, "ab", 200, 1 / power, seed=1)


def filtered(logits: list[float], **options: Any) -> list[float]:
    p = SamplingOptions(**{"temperature": 1.0} | options).probabilities(
        np.array([[-np.inf, *logits]])
    )
    return [round(float(x), 6) for x in (p / p.sum())[0, 1:]]


def test_the_filters_keep_what_they_say_in_their_order() -> None:
    logits = np.log([0.4, 0.3, 0.2, 0.1]).tolist()
    assert filtered(logits) == [0.4, 0.3, 0.2, 0.1]
    assert filtered(logits, top_k=2) == [round(4 / 7, 6), round(3 / 7, 6), 0, 0]
    assert filtered(logits, top_k=9) == filtered(logits)
    assert filtered(logits, top_p=0.5) == [round(4 / 7, 6), round(3 / 7, 6), 0, 0]
    assert filtered(logits, top_p=1e-9) == [1, 0, 0, 0]
    assert filtered(logits, min_p=0.6) == [round(4 / 7, 6), round(3 / 7, 6), 0, 0]
    assert filtered(logits, min_p=1.0) == [1, 0, 0, 0]
    # The temperature comes before top_p: 0.16 : 0.09 : 0.04 : 0.01 at temperature 1/2.
    assert filtered(logits, temperature=0.5, top_p=0.5) == [1, 0, 0, 0]
    # top_k comes before top_p, which sees 4/7 and 3/7.
    assert filtered(logits, top_k=2, top_p=0.55) == [1, 0, 0, 0]
    assert filtered([0.0, 0.0, 0.0], top_k=1) == [1, 0, 0]


def test_draws_follow_the_probabilities() -> None:
    logits_BV = np.tile([-np.inf, *np.log([1.0, 2.0, 3.0, 4.0])], (20_000, 1))
    options, numbers = SamplingOptions(1.0), RandomNumbers(3)
    counts = np.bincount(options.choose(logits_BV, [numbers] * 20_000), minlength=5)
    expected = 20_000 * np.array([0, 0.1, 0.2, 0.3, 0.4])
    assert counts[0] == 0
    # Chi-square of 3 degrees of freedom; 0.001 of it lies above 16.3.
    assert ((counts - expected)[1:] ** 2 / expected[1:]).sum() < 16.3


def test_the_stream_of_a_seed_is_this_one_everywhere() -> None:
    numbers = RandomNumbers(1)
    first = [next(numbers) for _ in range(600)]
    assert all(0 <= x < 1 for x in first)
    assert first == [next(other) for other in [RandomNumbers(1)] for _ in range(600)]
    raw = np.random.Philox(key=1).random_raw(600)
    assert first == [int(x) // 2**11 / 2**53 for x in raw.tolist()]
    assert next(RandomNumbers(2)) != first[0]


@given(drawn_=st.sampled_from([0.0, 0.5, 1 - 2**-53]), tail=st.integers(0, 30))
def test_what_has_no_probability_is_never_chosen(drawn_: float, tail: int) -> None:
    logits_BV = np.array([[-np.inf, *[1.0] * 5, *[-2000.0] * tail]])
    assert 1 <= SamplingOptions(1.0).choose(logits_BV, [iter([drawn_])])[0] <= 5


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"temperature": 1.0, "power": 2.0}, "power 2.0 is the temperature 0.5"),
        ({"power": 0.0}, "power is 0.0"),
        ({"top_k": 3}, "Without a temperature"),
        ({"top_p": 0.5}, "Without a temperature"),
        ({"temperature": 1.0, "top_k": 0}, "top_k is 0"),
        ({"temperature": 1.0, "top_p": 1.5}, "top_p is 1.5"),
        ({"temperature": 1.0, "min_p": 0.0}, "min_p is 0.0"),
        ({"num_chars": -1}, "num_chars is -1"),
        ({"seed": -1}, "seed is -1"),
        ({"stop": ""}, "stop string is empty"),
        ({"stop": "B"}, "'B'"),
        ({"num_beams": 0}, "num_beams is 0"),
        ({"num_beams": 2, "temperature": 1.0}, "Beam search"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        generate(drawn(), LETTERS, "ab", **options)


def test_samples_that_would_be_the_same_are_refused() -> None:
    with pytest.raises(UserError, match="All 2 samples would be the same text"):
        generate_many(drawn(), LETTERS, ["ab"], num_samples=2)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_diverged_model_is_told(temperature: float, value: float) -> None:
    model = drawn()
    with torch.no_grad():
        model.output.bias[5] = value
    with pytest.raises(UserError, match="diverged"):
        generate(model, LETTERS, "ab", 1, temperature)


# Contexts


def test_a_context_is_branched_continued_saved_and_restored(tmp_path: Path) -> None:
    model = drawn(cell="lstm")
    context = charlm.read(model, LETTERS, "time ")
    whole = generate(model, LETTERS, "time ", 40, 1.0, seed=3)
    stream = context.stream(seed=3, temperature=1.0)
    assert "time " + "".join(stream.until(25)) == whole[:30]
    stream.context.save(tmp_path / "context")
    assert "time " + context.generate(40, seed=3, temperature=1.0) == whole  # it hasn't changed
    restored = charlm.restore(tmp_path / "context", model, LETTERS)
    assert restored.generate(20) == stream.context.generate(20)
    assert restored.generate(20) == generate(model, LETTERS, whole[:30], 20)[30:]
    assert context.read("t").generate(9) == generate(model, LETTERS, "time t", 9)[6:]


def test_a_context_of_another_model_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "context"
    charlm.read(drawn(), LETTERS, "ab").save(path)
    with pytest.raises(UserError, match="of another model"):
        charlm.restore(path, drawn(seed=1), LETTERS)
    content = path.read_bytes()
    for damaged in (b"", content[:50], content[:-3], b"\xff" + content[1:]):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="damaged"):
            charlm.restore(path, drawn(), LETTERS)
    with pytest.raises(UserError, match="No such file"):
        charlm.restore(tmp_path / "nowhere", drawn(), LETTERS)


def test_a_stream_ends_behind_the_stop_string_or_after_so_many() -> None:
    context = charlm.read(drawn(), LETTERS, "ab")
    text = context.generate(300, seed=1, temperature=1.0)
    stop = text[40:43]
    ended = context.generate(300, seed=1, temperature=1.0, stop=stop)
    assert ended == text[: text.index(stop) + 3]
    assert context.generate(0) == ""


def growth(num_chars: int) -> int:
    """Bytes by which memory grows while so many characters are streamed."""
    stream = charlm.read(drawn(hidden_sizes=[4]), LETTERS, "ab").stream(seed=1, temperature=1.0)
    for _ in stream.until(600):
        pass
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in stream.until(num_chars):
            pass
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def test_a_long_stream_takes_no_memory() -> None:
    assert growth(5_000) < 20_000


@pytest.mark.timeout(1200)
@pytest.mark.slow
def test_a_stream_of_a_million_characters_takes_no_memory() -> None:
    assert growth(1_000_000) < 20_000


def test_the_examples_in_the_documentation_run() -> None:
    outcome = doctest.testmod(contexts)
    assert outcome.attempted >= 8
    assert outcome.failed == 0


@pytest.mark.gpu
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_on_a_gpu(name: str) -> None:
    model = drawn(**ARCHITECTURES[name]).double()
    on_cpu = [generate(model, LETTERS, "time", 40, 1.0, i) for i in range(5)]
    model = model.cuda()
    assert on_cpu == list(generate_many(model, LETTERS, ["time"], 40, 5, 0, temperature=1.0))


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import charlm; charlm.UserError", ("torch", "numpy")),
        ("from charlm.cli import main; main(['generate', '--help'])", ("lightning",)),
    ],
)
def test_what_is_not_needed_is_not_imported(code: str, absent: tuple[str, ...]) -> None:
    code += f"\nassert not {set(absent)} & set(sys.modules)"
    code = (
        f"import sys\ntry:\n {code.splitlines()[0]}\nexcept SystemExit: pass\n"
        + (code.splitlines()[1])
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
