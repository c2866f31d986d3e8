"""The report's answers on planted results: an outcome that turns round contradicts its answer."""

import math
import re
import xml.etree.ElementTree as ET
from datetime import date
from typing import Any

import pytest
from helpers.planting import BY_NAME, LENGTHS, SEEDS, found
from hypothesis import given
from hypothesis import strategies as st

from scripts.report import picture
from scripts.report.questions.vanishing import DELAYS
from scripts.report.statistics import compare, listed, number, percent, spread

LATE, EARLY = {"blow_ups": [80]}, {"blow_ups": [30]}
BOOK = "sequential, none, 512 units"


def flat(nats: float) -> dict[str, Any]:
    return {"nats": [[nats] * len(LENGTHS)] * SEEDS, "places": 350}


def flow(factor: float) -> dict[str, Any]:
    seeds = {"hidden": [[factor**k for k in range(64)]] * SEEDS}
    return {"before": seeds, "after": seeds}


def recall(dots: int) -> dict[str, Any]:
    return {"right": [[0.9 if delay <= dots else 0.2 for delay in DELAYS]] * SEEDS}


def contest(lstm: float) -> dict[str, Any]:
    """So many times as long by the book's LSTM, 1.1 times by the others."""
    cells = {"rnn": 1.1, "gru": 1.1, "lstm": lstm}
    shares = {
        f"{cell} {way}": {"matrix products": 0.5} for cell in cells for way in ("book", "torch")
    }
    return {
        "ways": {
            f"{c} {n}": {"book": r, "torch": 1.0} for c, r in cells.items() for n in (128, 256)
        },
        "shares": shares | {"lstm torch": {"matrix products": 0.76}},
    }


def drawn(**values: dict[str, float]) -> dict[str, Any]:
    """Of argmax, α = 1 and α = 0.5, some figures."""
    keys = {"greedy": "None", "plain": "1.0", "flat": "0.5"}
    base = {"repeated": 0.1, "copied": 0.1, "words": 0.8, "entropy": 1.0}
    return {
        keys[name]: {k: [v] * SEEDS for k, v in (base | own).items()} | {"text": "time traveller"}
        for name, own in values.items()
    }


# What the answers were written from, and for each question a world in which its answer is wrong.
Runs = dict[str, dict[str, Any]]
GREEDY, PLAIN = {"repeated": 0.76, "words": 0.59}, {"repeated": 0.036, "words": 0.43}
COPIES = {"RNN": recall(1), "ReLU-RNN": recall(1), "GRU": recall(100), "LSTM": recall(100)}
FLOWS = {"RNN": flow(0.953), "ReLU-RNN": flow(0.912), "GRU": flow(0.965), "LSTM": flow(0.966)}
BOOKS: Runs = {
    "The Time Machine": {"perplexity": 1.92, "bits": 4.68, "best_bits": 3.03},
    "The War of the Worlds": {"perplexity": 2.06, "bits": 4.96, "best_bits": 3.16},
    "Tiny Shakespeare": {"perplexity": 1.98, "bits": 5.33, "best_bits": 3.29},
}
EMBEDDINGS: Runs = {
    "one-hot": {"perplexity": 1.92, "bits": 4.68, "best_bits": 3.03},
    "embedding of 8": {"perplexity": 2.22, "bits": 4.85, "best_bits": 2.84},
    "embedding of 28": {"perplexity": 1.76, "bits": 5.19, "best_bits": 2.74},
    "embedding of 128": {"perplexity": 1.60, "bits": 5.39, "best_bits": 2.72},
}
SIZES: Runs = {
    "32 units": {"perplexity": 5.27},
    "256 units": {"perplexity": 1.25},
    "512 units": {"perplexity": 1.037, "bits": 6.30, "best_bits": 3.07},
}
DEPTHS: Runs = {
    **{f"{cell} 64": {"perplexity": 2.5, "bits": 3.0} for cell in ("RNN", "GRU", "LSTM")},
    **{f"{cell} 64, 64, 64": {"perplexity": 1.2, "bits": 2.8} for cell in ("RNN", "GRU")},
    "LSTM 64, 64, 64": {"perplexity": 1.2, "bits": 3.2},
    "GRU 64": {"perplexity": 2.5, "speed": 8e4},
    "RNN 256, 128": {"perplexity": 2.3},
    "GRU 64, RNN 64 on top": {"perplexity": 2.3},
}
TRUE: dict[str, tuple[Runs, Runs]] = {
    "embedding": (EMBEDDINGS, {}),
    "perplexity": (SIZES, {}),
    "books": (BOOKS, {}),
    "sampling": (
        {},
        {"sharpened": drawn(greedy=GREEDY, plain=PLAIN, flat={"words": 0.22, "entropy": 1.9})},
    ),
    "clipping": ({BOOK: {**LATE, "perplexity": math.inf}}, {}),
    "detaching": ({"k1 = 8, k2 = 64": {"perplexity": 2.2}}, {}),
    "relu": (
        {"ReLU, clipped": {"perplexity": 2.1}, "ReLU, not clipped": {"perplexity": 2.24}},
        {},
    ),
    "warm-up": ({}, {f"prefixes-{k}": {"held-out": flat(3.30)} for k in ("sequential", "random")}),
    "random-iter": (
        {
            "sequential, state reset": {"perplexity": 2.36},
            "random sampling": {"perplexity": 2.44},
            "sequential, state carried": {"perplexity": 1.92},
        },
        {},
    ),
    "batch-size": ({"batch_size=32: learning rate 1/32": {"perplexity": 12.2}}, {}),
    "depth": (DEPTHS, {}),
    "speed": ({}, {"contest": contest(2.2)}),
    "vanishing": (
        {},
        {f"flow-{kind}": each for kind, each in FLOWS.items()}
        | {f"recall-{kind}": each for kind, each in COPIES.items()},
    ),
    "by-hand": ({}, {}),
}
# Those whose figures were measured once, and lie beside them.
STORED = ("generalising", "cells")
FALSE: list[tuple[str, Runs, Runs, str]] = [
    ("embedding", {"embedding of 8": {"perplexity": 1.5}}, {}, "8 numbers end higher"),
    ("embedding", {"one-hot": {"bits": 3.03}}, {}, "at its best before"),
    ("embedding", {}, {"one-hot-and-embedding": {"float64": {"folded": 0.1}}}, "same function"),
    ("perplexity", {"512 units": {"perplexity": 1.3}}, {}, "below 1.1; more units"),
    ("perplexity", {"512 units": {"bits": 3.0, "best_bits": 3.0}}, {}, "at its best before"),
    ("books", {"The War of the Worlds": {"perplexity": 1.5}}, {}, "harder to memorise"),
    ("books", {"Tiny Shakespeare": {"best_bits": 2.0}}, {}, "hardest in Tiny Shakespeare"),
    ("sampling", {}, {"sharpened": drawn(greedy={"repeated": 0.01})}, "repeats more"),
    ("clipping", {BOOK: EARLY}, {}, "explode late"),
    ("clipping", {"random, none": LATE}, {}, "random batches don't explode"),
    ("clipping", {"sequential, by norm, 1": EARLY}, {}, "clipped by norm none"),
    ("detaching", {}, {"undetached": {"error": None}}, "backward fails"),
    ("detaching", {"k1 = 35, k2 = 140": {"perplexity": 1.5}}, {}, "lowers no perplexity"),
    ("relu", {"ReLU, not clipped": {"stopped": "The loss is nan"}}, {}, "no run with ReLU blows up"),
    ("relu", {"ReLU, clipped": {"perplexity": 1.2}}, {}, "worse than tanh"),
    ("warm-up", {}, {"prefixes-sequential": {"training": flat(3)}}, "longer prefix helps"),
    ("random-iter", {"random sampling": {"perplexity": 2.0}}, {}, "lower than random"),
    ("batch-size", {"batch_size=32: learning rate 1/32": {"perplexity": 1.5}}, {}, "trains less"),
    ("batch-size", {}, {"step-lengths": {"mean, batch_size=32": {"ratio": 0.5}}}, "32 times"),
    ("depth", {"LSTM 64, 64, 64": {"perplexity": 1.2, "bits": 2.8}}, {}, "rise for the LSTM"),
    ("speed", {}, {"contest": contest(1.5)}, "two to four times slower"),
    ("vanishing", {}, {"flow-RNN": flow(1.01)}, "in all of them; it vanishes more slowly"),
    ("vanishing", {}, {"recall-LSTM": recall(50)}, "over 100 dots"),
    ("by-hand", {}, {"rtrl": {"difference": 0.1}}, "same gradient"),
]  # fmt: skip


@pytest.mark.parametrize("name", TRUE)
def test_an_answer_stands_where_the_results_bear_it_out(name: str) -> None:
    question = BY_NAME[name]
    assert question.contradicted(found(name, *TRUE[name])) == []
    assert date.fromisoformat(question.day)


@pytest.mark.parametrize(
    ("name", "runs", "measures", "said"), FALSE, ids=[f"{w[0]}-{n}" for n, w in enumerate(FALSE)]
)
def test_results_that_contradict_an_answer_are_told(
    name: str, runs: Runs, measures: Runs, said: str
) -> None:
    true_runs, true_measures = TRUE[name]
    whole = {key: {**true_measures.get(key, {}), **each} for key, each in measures.items()}
    wrong = BY_NAME[name].contradicted(found(name, true_runs | runs, true_measures | whole))
    assert said in "; ".join(wrong)


@pytest.mark.parametrize("name", STORED)
def test_stored_figures_bear_their_answer_out(name: str) -> None:
    question = BY_NAME[name]
    assert question.claims(found(name))
    assert question.contradicted(found(name)) == []


def test_every_answer_can_be_contradicted() -> None:
    """Those of stored figures aside, which are changed by hand."""
    assert {case[0] for case in FALSE} == set(TRUE) == set(BY_NAME) - set(STORED)


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
