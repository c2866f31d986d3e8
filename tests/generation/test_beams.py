"""Beam search against exhaustive search."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import charlm
from charlm.errors import UserError
from charlm.generation.beam_search import beam_search
from charlm.model import CharLM
from charlm.text.vocabulary import Vocabulary

ABC = Vocabulary("abc")


def drawn(seed: int) -> CharLM:
    torch.manual_seed(seed)
    model = CharLM(len(ABC), hidden_sizes=[6], initialisation="uniform").double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 3
    return model


@torch.no_grad()
def score(model: CharLM, prefix: str, text: str) -> float:
    """Nats per character by the model's own forward pass; <unk> doesn't count."""
    ids = torch.from_numpy(ABC.encode(prefix + text).astype(np.int64))
    logits_TV = model(ids[:-1, None])[0][:, 0, 1:]
    log_p_TV = torch.log_softmax(logits_TV, dim=1)
    log_p_T = log_p_TV.gather(1, ids[1:, None] - 1)[len(prefix) - 1 :]
    return float(log_p_T.sum()) / max(1, len(text))


def texts(num_chars: int, stop: str | None) -> set[str]:
    """Every continuation of so many characters, cut behind the first ``stop``."""
    whole = ("".join(t) for t in itertools.product("abc", repeat=num_chars))
    if stop is None:
        return set(whole)
    return {t[: t.index(stop) + len(stop)] if stop in t else t for t in whole}


@settings(max_examples=20)
@given(
    seed=st.integers(0, 1000),
    num_chars=st.integers(1, 5),
    stop=st.sampled_from([None, "a", "ab", "cc"]),
)
def test_a_beam_as_wide_as_there_are_texts_is_exhaustive_search(
    seed: int, num_chars: int, stop: str | None
) -> None:
    model = drawn(seed)
    found, found_score = beam_search(charlm.read(model, ABC, "ab"), num_chars, 3**5, stop)
    best = max(texts(num_chars, stop), key=lambda text: score(model, "ab", text))
    assert found == best
    assert found_score == pytest.approx(score(model, "ab", best), rel=1e-9)


@given(seed=st.integers(0, 1000), num_beams=st.integers(1, 6))
@settings(max_examples=20)
def test_a_beam_is_deterministic_and_its_score_is_the_text_s(seed: int, num_beams: int) -> None:
    model = drawn(seed)
    context = charlm.read(model, ABC, "c")
    found, found_score = beam_search(context, 12, num_beams)
    assert (found, found_score) == beam_search(context, 12, num_beams)
    assert found_score == pytest.approx(score(model, "c", found), rel=1e-9)
    assert charlm.generate(model, ABC, "c", 12, num_beams=num_beams) == "c" + found
    if num_beams == 1:
        assert found == context.generate(12)


def test_a_wider_beam_finds_what_greed_misses() -> None:
    missed = [
        seed
        for seed in range(40)
        for context in [charlm.read(drawn(seed), ABC, "a")]
        if beam_search(context, 4, 81)[1] > beam_search(context, 4, 1)[1]
    ]
    assert missed


def test_equally_likely_texts_are_taken_in_the_order_of_ids() -> None:
    model = drawn(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert beam_search(charlm.read(model, ABC, "c"), 3, 2) == ("aaa", pytest.approx(-np.log(3)))


@pytest.mark.parametrize(("num_chars", "num_beams"), [(-1, 1), (1, 0)])
def test_numbers_below_their_least_are_refused(num_chars: int, num_beams: int) -> None:
    with pytest.raises(UserError):
        beam_search(charlm.read(drawn(0), ABC, "a"), num_chars, num_beams)
