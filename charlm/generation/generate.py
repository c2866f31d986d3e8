"""Continue prefixes, one or many."""

from collections.abc import Iterator, Sequence
from typing import Any

from charlm.errors import UserError
from charlm.generation.beam_search import beam_search
from charlm.generation.context import check_num_chars, check_prefix, encode_stop, read
from charlm.generation.lanes import MAX_LANES, continue_all
from charlm.generation.sampling import SamplingOptions, check_seed
from charlm.model import CharLM
from charlm.text.vocabulary import Vocabulary


def generate(
    model: CharLM,
    vocabulary: Vocabulary,
    prefix: str,
    num_chars: int = 50,
    temperature: float = 0.0,
    seed: int | None = None,
    stop: str | None = None,
    num_beams: int | None = None,
    weights: str = "float32",
    **options: Any,
) -> str:
    """The normalised prefix and ``num_chars`` characters that the model continues it with.

    The state is warmed up on the prefix (d2l.ai, "RNN from scratch", Prediction).

    Args:
        temperature: 0 for the likeliest character each time, else what the logits are divided by.
        seed: of the draws; none: another text each time.
        stop: the text ends where the continuation comes to this string, too.
        num_beams: look for the likeliest text by beam search.
        weights: float16, bfloat16 and int8 are faster where the weights are large
            (``charlm.generation.step.Stepper``).
        **options: power, top_k, top_p and min_p, see ``charlm.generation.sampling.SamplingOptions``.

    Raises:
        UserError: see ``check_prefix``; options outside their ranges or contradicting one another.
    """
    options = {"temperature": temperature, **options}
    return next(
        generate_many(
            model, vocabulary, [prefix], num_chars, 1, seed, stop, num_beams, weights, **options
        )
    )


def generate_many(
    model: CharLM,
    vocabulary: Vocabulary,
    prefixes: Sequence[str],
    num_chars: int = 50,
    num_samples: int = 1,
    seed: int | None = None,
    stop: str | None = None,
    num_beams: int | None = None,
    weights: str = "float32",
    **options: Any,
) -> Iterator[str]:
    """``num_samples`` texts of each prefix, all samples of the first prefix first.

    Text i is what ``generate`` gives for its prefix with the seed ``seed`` + i.

    Args: see ``generate``.

    Raises:
        UserError: see ``generate``; several samples of one and the same text; at once.
    """
    sampling = check_options(num_samples, num_beams, **options)
    check_num_chars(num_chars)
    stop_ids = encode_stop(vocabulary, stop)
    texts = [check_prefix(vocabulary, prefix) for prefix in prefixes]
    first_seed = check_seed(seed)
    check_seed(first_seed + len(texts) * num_samples - 1)
    if not texts:
        raise UserError("There is no prefix: give at least one.")
    untouched = read(model, vocabulary, texts[0], weights) if num_beams is None else None

    def continued() -> Iterator[str]:
        if num_beams is not None:
            for text in texts:
                context = read(model, vocabulary, text, weights)
                yield text + beam_search(context, num_chars, num_beams, stop)[0]
            return
        assert untouched is not None
        contexts = {texts[0]: untouched}
        lanes = [text for text in texts for _ in range(num_samples)]
        for start in range(0, len(lanes), MAX_LANES):
            group = lanes[start : start + MAX_LANES]
            # A prefix is read once for all of its samples.
            contexts = {
                text: contexts[text] if text in contexts else untouched.anew(text)
                for text in dict.fromkeys(group)
            }
            ids = continue_all(
                [contexts[text] for text in group],
                num_chars,
                sampling,
                range(first_seed + start, first_seed + start + len(group)),
                stop_ids,
                vocabulary.mark_id,
            )
            for text, continuation in zip(group, ids, strict=True):
                yield text + vocabulary.decode(continuation)

    return continued()


def check_options(
    num_samples: int = 1, num_beams: int | None = None, **options: Any
) -> SamplingOptions:
    """How characters are chosen.

    Raises:
        UserError: an option outside its range, or options that contradict one another.
    """
    if num_samples < 1:
        raise UserError(f"num_samples is {num_samples}: it must be at least 1.")
    sampling = SamplingOptions(**options)
    if num_beams is not None and (not sampling.is_greedy or num_samples > 1):
        raise UserError(
            "Beam search looks for the one likeliest text and draws nothing: leave out either "
            "num_beams, or num_samples, temperature and power."
        )
    if num_beams is not None and num_beams < 1:
        raise UserError(f"num_beams is {num_beams}: it must be at least 1.")
    if num_samples > 1 and sampling.is_greedy:
        raise UserError(
            f"All {num_samples} samples would be the same text, as without a temperature the "
            "likeliest character is taken: give a temperature as well, such as 1."
        )
    return sampling
