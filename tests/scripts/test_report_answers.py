"""The report's answers on planted results: an outcome that turns round changes its text."""

import math
import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from helpers.planting import BY_NAME, LENGTHS, SEEDS, found
from hypothesis import given
from hypothesis import strategies as st

from scripts.report import page, picture
from scripts.report.questions.vanishing import DELAYS
from scripts.report.statistics import compare, listed, number, percent, spread

# A world each: the question, its runs and measures, and what its answer says of them.
Runs = dict[str, dict[str, Any]]
LATE, EARLY = {"blow_ups": [80]}, {"blow_ups": [30]}
BOOK = "sequential, none, 512 units"
SEQUENTIAL, RANDOM = "sequential, none", "random, none"
STOPPED = {"stopped": "The loss is nan"}


def flat(nats: float) -> dict[str, Any]:
    same = {"nats": [[nats] * len(LENGTHS)] * SEEDS, "first": [], "places": 350}
    return {"training": same, "held-out": same}


def far(near: float, beyond: float) -> dict[str, Any]:
    """So many nats with prefixes of up to 35 characters, and with longer ones."""
    nats = [near if length <= 35 else beyond for length in LENGTHS]
    both = {"nats": [nats] * SEEDS, "first": [], "places": 350}
    return {"training": both, "held-out": both}


def flow(factor: float) -> dict[str, Any]:
    seeds = {"hidden": [[factor**k for k in range(64)]] * SEEDS}
    return {"before": seeds, "after": seeds}


def recall(dots: int) -> dict[str, Any]:
    return {"right": [[0.9 if delay <= dots else 0.2 for delay in DELAYS]] * SEEDS}


def contest(ratio: float) -> dict[str, Any]:
    cases = [f"{cell} {size}" for cell in ("rnn", "gru", "lstm") for size in (128, 256)]
    return {"ways": {case: {"book": ratio, "torch": 1.0} for case in cases}}


def drawn(**values: dict[str, float]) -> dict[str, Any]:
    """Of argmax, α = 1 and α = 0.5, some figures."""
    keys = {"greedy": "None", "plain": "1.0", "flat": "0.5"}
    base = {"repeated": 0.1, "copied": 0.1, "words": 0.8, "entropy": 1.0}
    return {
        keys[name]: {k: [v] * SEEDS for k, v in (base | own).items()} | {"text": "time traveller"}
        for name, own in values.items()
    }


WORLDS: list[tuple[str, Runs, Runs, list[str]]] = [
    ("embedding", {}, {}, ["As a function it is", "Nor does a learned embedding make"]),
    (
        "embedding",
        {"embedding of 8": {"perplexity": 3.0}, "embedding of 128": {"perplexity": 1.5}},
        {},
        ["lower: 1.500 ± 0.001 (128 numbers)", "higher: 3.000 ± 0.003 (8", "no different: 2.000"],
    ),
    (
        "embedding",
        {},
        {"one-hot-and-embedding": {"float64": {"identity": 0.0, "gradient": 0.0, "folded": 0.1}}},
        ["No: with the same weights the two differ by 0.10", "more than rounding"],
    ),
    (
        "perplexity",
        {"512 units": {"perplexity": 1.02, "bits": 4.0, "best_bits": 3.0}},
        {},
        ["The lowest is 1.020", "with 512 units", "by heart", "memorising, not learning", "epoch 60"],
    ),
    (
        "perplexity",
        {"learning rate 2.0": {"perplexity": 1.5, "bits": 2.5}},
        {},
        ["it gets down to 1.500", "with learning rate 2.0", "Up to here it is learning"],
    ),
    ("books", {}, {}, ["Hardly: training perplexity ends at 2.000", "as hard to predict in all"]),
    (
        "books",
        {
            "Tiny Shakespeare": {"perplexity": 2.5, "bits": 3.5},
            "The War of the Worlds": {"perplexity": 1.5},
        },
        {},
        ["Shakespeare is harder to", "Worlds is easier to", "hardest in Tiny Shakespeare"],
    ),
    (
        "books",
        {"Tiny Shakespeare": {"perplexity": 2.5}, "The War of the Worlds": {"perplexity": 2.6}},
        {},
        ["The War of the Worlds and Tiny Shakespeare are harder to memorise"],
    ),
    (
        "sampling",
        {},
        {
            "sharpened": drawn(
                greedy={"repeated": 0.95}, plain={"repeated": 0.05}, flat={"words": 0.4, "entropy": 2}
            )
        },
        ["falls from 95 % to 5.0 %", "Argmax ends in a loop", "flattens", "costs words: 40 %"],
    ),
    (
        "sampling",
        {},
        {
            "sharpened": drawn(
                greedy={"repeated": 0.05}, plain={"repeated": 0.3}, flat={"words": 0.9}
            )
        },
        ["rises from 5.0 % to 30 %", "doesn't loop", "even more words are real, 90 %"],
    ),
    ("clipping", {}, {}, ["Nothing bursts", "isn't borne out", "had nothing of the kind"]),
    ("clipping", {SEQUENTIAL: LATE}, {}, ["3 of 6 runs with seq", "late is true", "kept every run"]),
    ("clipping", {BOOK: {**LATE, "perplexity": math.inf}}, {}, ["late is true", "kept every run"]),
    ("clipping", {SEQUENTIAL: LATE, RANDOM: LATE}, {}, ["late is false: both do."]),
    ("clipping", {BOOK: LATE, RANDOM: LATE, SEQUENTIAL: LATE}, {}, ["the sequential one more"]),
    ("clipping", {RANDOM: LATE}, {}, ["the wrong way round"]),
    ("clipping", {SEQUENTIAL: EARLY}, {}, ["3 of 6 runs with seq", "(late: 0)", "isn't borne out"]),
    ("clipping", {SEQUENTIAL: {**STOPPED, "epochs": 90}}, {}, ["late is true"]),
    (
        "clipping",
        {SEQUENTIAL: LATE, "random, by norm, 1": EARLY},
        {},
        ["late is true", "left 3 runs that blew up all the same"],
    ),
    (
        "detaching",
        {},
        {},
        ["“a second time”", "6", "more with each", "leaves perplexity where it is"],
    ),
    (
        "detaching",
        {"k1 = 8, k2 = 64": {"perplexity": 1.5, "speed": 2e4}},
        {"undetached": {"error": None}},
        ["Nothing fails", "lowers perplexity from 2.000", "to 1.500", "5.0 times the time"],
    ),
    (
        "detaching",
        {"k1 = 35, k2 = 140": {"perplexity": 3.0}},
        {"undetached": {"kept": {"milliseconds": [5.0] * 12, "mebibytes": [2.0] * 12}}},
        ["doesn't grow", "raises perplexity from 2.000"],
    ),
    ("relu", {}, {}, ["Not here: none of 3", "no different from tanh"]),
    ("relu", {"ReLU, not clipped": STOPPED}, {}, ["Yes: without clipping 3 of 3", "3 ended"]),
    ("relu", {"ReLU, not clipped": {"perplexity": 4.0}}, {}, ["It helps", "4.000", "instead of"]),
    ("relu", {"ReLU, clipped": {"perplexity": 1.2}}, {}, ["ReLU is better than tanh"]),
    ("relu", {"ReLU, clipped": {"perplexity": 3.2}}, {}, ["ReLU is worse than tanh"]),
    (
        "relu",
        {"ReLU, clipped": STOPPED, "ReLU, not clipped": STOPPED},
        {},
        ["Yes", "no run with ReLU came to an end"],
    ),
    ("warm-up", {}, {}, ["Yes, up to a length", "and 2 characters do as well", "gains and loses nothing"]),
    (
        "warm-up",
        {},
        {"prefixes-sequential": flat(2.0), "prefixes-random": flat(2.0)},
        ["Hardly: on training text hardly"],
    ),
    (
        "warm-up",
        {},
        {"prefixes-sequential": far(2.0, 1.5), "prefixes-random": far(2.0, 2.5)},
        ["sequential batches gains another 0.50 nats", "random batches loses 0.50 nats"],
    ),
    ("random-iter", {}, {}, ["can't be told from it", "Nor does the lost state cost anything"]),
    (
        "random-iter",
        {"sequential, state reset": {"perplexity": 1.4}, "random sampling": {"perplexity": 1.57},
         "sequential, state carried": {"perplexity": 1.03}},
        {},
        ["1.400 ± 0.001, lower than the 1.570", "end lower, at 1.030", "costs"],
    ),
    (
        "random-iter",
        {"sequential, state reset": {"perplexity": 1.8}, "random sampling": {"perplexity": 1.5}},
        {},
        ["higher than the 1.500", "end higher", "gains"],
    ),
    (
        "batch-size",
        {"batch_size=32: learning rate 1/32": {"perplexity": 9.0}},
        {},
        ["mean already", "32 times shorter", "trains far less", "9.000", "takes the same step"],
    ),
    (
        "batch-size",
        {"batch_size=32: learning rate 1/32": {"perplexity": 1.1}},
        {"step-lengths": {"mean, batch_size=32": {"length": 0.1, "ratio": 0.5}}},
        ["2.0 times shorter, not 32 times", "would even train better"],
    ),
    ("depth", {}, {}, ["perplexity stays for the RNN", "A GRU is as fast as an LSTM"]),
    (
        "depth",
        {
            "RNN 64, 64, 64": {"perplexity": 1.5, "speed": 4e4},
            "LSTM 64, 64, 64": {"perplexity": 2.5, "bits": 3.5},
            "GRU 64": {"speed": 2e5},
            "RNN 256, 128": {"perplexity": 3.0},
            "GRU 64, 64, outputs joined": {"perplexity": 1.0},
        },
        {},
        ["perplexity falls for the RNN", "in 2.5, 2.0 and 1.0 times", "rises for the LSTM (2.000",
         "A GRU is faster than an LSTM, 2.0 times", "unequal RNN layers higher than with equal",
         "joined GRU layers lower than with", "an RNN on top of a GRU as with two GRUs"],
    ),
    ("depth", {"LSTM 64": {"speed": 3e5}}, {}, ["slower than an LSTM, which is 3.0 times as fast"]),
    ("speed", {}, {}, ["the guess of three times is right"]),
    ("speed", {}, {"contest": contest(1.5)}, ["torch.nn: 1.5 times for the RNN", "less than the guess"]),
    ("speed", {}, {"contest": contest(9.0)}, ["9.0 times for the GRU", "more than the guess"]),
    ("speed", {}, {"contest": contest(0.9)}, ["from scratch isn't always the slower one"]),
    ("vanishing", {}, {}, ["it vanishes in all of them", "all of them keep a word over 100 dots"]),
    (
        "vanishing",
        {},
        {"flow-ReLU-RNN": flow(1.2), "flow-LSTM": flow(1.0), "recall-RNN": recall(2),
         "recall-GRU": recall(40), "recall-LSTM": recall(100), "recall-ReLU-RNN": recall(0)},
        ["vanishes in the RNN and the GRU and explodes in the ReLU-RNN and holds in the LSTM",
         "the LSTM keeps a word longest, over 100 dots at least, the ReLU-RNN not even over one",
         "least is the ReLU-RNN’s, and it isn’t the one"],
    ),
    (
        "vanishing",
        {},
        {"flow-LSTM": flow(0.95), "recall-RNN": recall(2), "recall-ReLU-RNN": recall(2),
         "recall-GRU": recall(2)},
        ["the LSTM keeps", "least is the LSTM’s, which remembers longest"],
    ),
    (
        "vanishing",
        {},
        {f"recall-{kind}": recall(0) for kind in ("RNN", "ReLU-RNN", "GRU", "LSTM")},
        ["none of them has learned to keep a word"],
    ),
    ("by-hand", {}, {}, ["All agree to rounding", "gives the same gradient", "520 times as long"]),
    (
        "by-hand",
        {},
        {
            "differences": {"rnn": {"float64": {"eager": 0.2}, "float32": {"eager": 0.2}}},
            "rtrl": {"rtrl": [2.0, 2.0, 2.0, 2.0, 2.0, 2.0], "difference": 0.1},
        },
        ["They don't all agree: up to 0.20", "another gradient", "no faster", "even faster"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "runs", "measures", "said"), WORLDS, ids=[f"{w[0]}-{n}" for n, w in enumerate(WORLDS)]
)
def test_an_answer_says_what_its_results_say(
    name: str, runs: Runs, measures: Runs, said: list[str]
) -> None:
    answer = BY_NAME[name].answer(found(name, runs, measures))
    for words in said:
        assert words in answer, answer
    # In whole sentences, with every figure filled in.
    assert re.match(r"[A-Z].*[.]$", answer), answer
    assert not re.search(r"nan|inf\b|None|\{|  ", answer), answer


def test_every_question_has_worlds_with_different_answers() -> None:
    for name, question in BY_NAME.items():
        answers = {
            question.answer(found(name, runs, measures))
            for other, runs, measures, _ in WORLDS
            if other == name
        }
        assert len(answers) > 1, name


@pytest.mark.parametrize("name", BY_NAME)
def test_a_table_has_as_many_cells_as_its_header(name: str) -> None:
    table = BY_NAME[name].table(found(name))
    assert len(table.rows) > 1
    assert {len(row) for row in table.rows} == {len(table.header)}
    assert "nan" not in str(table)


def test_runs_that_burst_have_their_place_in_table_and_picture() -> None:
    burst = found("clipping", {BOOK: {**LATE, "perplexity": math.inf}})
    question = BY_NAME["clipping"]
    (row,) = [row for row in question.table(burst).rows if row[0] == BOOK]
    assert "∞" in row[1]
    element = picture.svg(question.draw(burst), "clipping", "what it shows")
    assert not re.search(r"nan|inf\b", element)


@pytest.mark.parametrize("name", BY_NAME)
def test_a_picture_has_axes_with_names_and_takes_the_page_s_ink(name: str) -> None:
    drawing = BY_NAME[name].draw(found(name))
    for ax in drawing.axes:
        shares_its_x = ax.get_subplotspec().get_gridspec().nrows > 1
        assert ax.get_xlabel() or shares_its_x or len(ax.get_xticklabels()) > 3, "no name for x"
    assert any(ax.get_ylabel() for ax in drawing.axes)
    element = picture.svg(drawing, name, "what it shows")
    root = ET.fromstring(element)
    assert root.attrib["role"] == "img"
    assert root[0].text == "what it shows"
    assert "currentColor" in element
    assert not re.search(r"(fill|stroke): #0{3,6}\b", element), "black on a dark page"
    ids = re.findall(r' id="([^"]+)"', element)
    assert all(each.startswith(f"{name}-") for each in ids)
    known = set(ids)
    assert set(re.findall(r'(?:url\(|href=")#([^")]+)', element)) <= known
    assert len(element) < 80_000
    ET.fromstring(picture.standalone(element).encode())


def test_what_matplotlib_says_of_an_axis_is_left_as_it_is() -> None:
    """Coordinates are shortened, but not the numbers that a reader sees."""
    drawing, ax = picture.figure()
    ax.plot([1.23456, 2.34567], [0, 1])
    ax.set_title("2.34567 nats")
    element = picture.svg(drawing, "numbers", "x")
    assert "2.34567 nats" in element
    assert not re.search(r'[ "]\d+\.\d{4,}[ "]', element)


@given(
    st.lists(st.floats(1, 50), min_size=1, max_size=6),
    st.lists(st.floats(1, 50), min_size=1, max_size=6),
)
def test_the_mirrored_comparison_gives_the_mirrored_verdict(
    ours: list[float], theirs: list[float]
) -> None:
    mirrored = {"lower": "higher", "higher": "lower", "alike": "alike"}
    verdict, other = compare(ours, theirs), compare(theirs, ours)
    # What is small is small in relation to the other: only there the two may disagree.
    assert other == mirrored[verdict] or "alike" in (verdict, other)
    assert compare(ours, ours) == "alike"


def test_a_difference_has_to_stand_out_from_the_seeds() -> None:
    assert compare([1.0, 1.1, 0.9], [1.5, 1.6, 1.4]) == "lower"
    assert compare([1.0, 2.0, 0.5], [1.2, 2.1, 0.9]) == "alike"
    assert compare([1.001, 1.001], [1.0, 1.0]) == "alike"  # too small to be worth a word
    assert compare([1.03], [1.0]) == "alike"  # of one seed, who knows
    assert compare([1.2], [1.0]) == "higher"
    assert compare([1.2, math.inf], [1.0, 1.1]) == "higher"
    assert compare([1.0, 1.1], [1.2, math.inf]) == "lower"
    assert compare([math.inf, 1.0], [1.2, math.inf]) == "alike"


@pytest.mark.parametrize(
    ("values", "written"),
    [
        ([1.0132, 1.0153], "1.014 ± 0.001"),
        ([19.93, 20.03], "19.98 ± 0.07"),
        ([12345.0, 12355.0], "12,350 ± 7"),
        ([2.0], "2.00"),
        ([1.2, 1.3, math.inf], "1.30 [1.20, ∞]"),
        ([2.0, 2.2, 2.1, 1e19], "2.15 [2.00, 1.0e+19]"),
        ([3e-9, 4e-9], "3.5e-09"),
        ([], "–"),
    ],
)
def test_a_mean_goes_to_the_place_where_its_deviation_begins(
    values: list[float], written: str
) -> None:
    assert spread(values) == written


def test_figures_are_written_as_one_writes_them() -> None:
    assert number(123456) == "123,000"
    assert number(0.000012) == "1.2e-05"
    assert number(float("inf")) == "∞"
    assert percent(0.031) == "3.1 %"
    assert percent(0.42) == "42 %"
    assert listed(["a", "b", "c"]) == "a, b and c"


def test_text_is_escaped_and_code_marked_up() -> None:
    assert page.inline("`a < b` & c") == "<code>a &lt; b</code> &amp; c"
