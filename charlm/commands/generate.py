"""``charlm generate``: continue a prefix with a trained model."""

from pathlib import Path

from charlm import generation
from charlm.checkpoint import load


def generate(
    checkpoint: Path,
    prefix: str = "time traveller",
    num_chars: int = 50,
    temperature: float = 0.0,
    seed: int | None = None,
    device: str = "cpu",
) -> None:
    """Continue a prefix with a trained model; the text is printed on standard output.

    Args:
        checkpoint: a file that ``charlm fit`` wrote.
        prefix: what the text begins with.
        num_chars: how many characters to add.
        temperature: 0 takes the likeliest character each time; higher, more freely drawn.
        seed: of the draws; none: another text each time.
        device: where the model runs, such as cpu or cuda.
    """
    model, vocabulary = load(checkpoint, device)
    print(generation.generate(model, vocabulary, prefix, num_chars, temperature, seed))
