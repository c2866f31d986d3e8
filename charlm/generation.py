"""Logits -> next id; continue a prefix."""

import torch
from torch import Tensor

from charlm.errors import UserError
from charlm.model import CharLM
from charlm.vocabulary import Vocabulary


def check_prefix(vocabulary: Vocabulary, prefix: str) -> str:
    """The normalised prefix.

    Raises:
        UserError: nothing is left of it, or it has characters that the vocabulary lacks.
    """
    normalised = vocabulary.normalise(prefix)
    if not normalised:
        raise UserError(
            f"The prefix {prefix!r} is empty once it is normalised ({vocabulary.normalisation}): "
            "give at least one character for the model to start from."
        )
    unknown = vocabulary.unknown_characters(normalised)
    if unknown:
        raise UserError(
            f"The prefix has characters that the model has never seen: "
            f"{' '.join(repr(character) for character in unknown)}; leave them out."
        )
    return normalised


def choose(logits_BV: Tensor, temperature: float, generator: torch.Generator | None) -> Tensor:
    """The next id of each lane, [B]: the likeliest at temperature 0, else drawn."""
    if temperature == 0:
        return logits_BV.argmax(dim=1)
    probabilities_BV = torch.softmax(logits_BV / temperature, dim=1)
    return torch.multinomial(probabilities_BV, 1, generator=generator).squeeze(1)


@torch.inference_mode()
def generate(
    model: CharLM,
    vocabulary: Vocabulary,
    prefix: str,
    num_chars: int,
    temperature: float = 0.0,
    seed: int | None = None,
) -> str:
    """The normalised prefix and ``num_chars`` characters that the model continues it with.

    The state is warmed up on the prefix (d2l.ai, "RNN from scratch", Prediction).

    Args:
        temperature: 0 for the likeliest character each time, else what the logits are divided by.
        seed: of the draws; none: another text each time.

    Raises:
        UserError: see ``check_prefix``; a negative temperature or number of characters.
    """
    if temperature < 0 or num_chars < 0:
        raise UserError("temperature and num_chars can't be negative.")
    device = next(model.parameters()).device
    generator = torch.Generator(device)
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    text = check_prefix(vocabulary, prefix)
    ids = [int(i) for i in vocabulary.encode(text)]
    was_training = model.training
    model.eval()
    logits_TBV, state = model(torch.tensor(ids, device=device).unsqueeze(1))
    for _ in range(num_chars):
        next_B = choose(logits_TBV[-1], temperature, generator)
        ids.append(int(next_B))
        logits_TBV, state = model(next_B.unsqueeze(0), state)
    model.train(was_training)
    return vocabulary.decode(ids)
