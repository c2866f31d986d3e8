"""``charlm inspect``: what each unit of a trained model does while it reads a text."""

from pathlib import Path

from charlm.checkpoint import load
from charlm.errors import UserError
from charlm.evaluation.scoring import encode, predictions, summarise
from charlm.inspection.features import features_of, rank
from charlm.inspection.page import MAX_CHARACTERS, page
from charlm.inspection.reach import reach
from charlm.inspection.recording import record
from charlm.text.files import atomic_writer, read_text

NUM_ALTERNATIVES = 5


def inspect(
    *texts: Path,
    checkpoint: Path,
    html: Path,
    characters: int = 10_000,
    gradients: int = 2_000,
    steps_back: int = 64,
    encoding: str = "utf-8",
    device: str = "cpu",
) -> None:
    """Write a page on which a text is coloured by what any unit of a model does.

    One file that needs no network: hidden state, memory and gates of every layer, the units that
    follow quotes, spaces or line lengths best, surprisal, the likeliest alternatives at each
    character, and how far back the gradient of its loss reaches.

    Args:
        texts: the file to read, normalised as the training text was.
        checkpoint: a file that charlm fit wrote, or a folder that charlm export wrote.
        html: the page to write.
        characters: how many to show, from the start of the text; 20,000 at most.
        gradients: for how many of them to show how far back their loss reaches.
        steps_back: how many characters back that is followed.
        encoding: of the text.
        device: where the model runs, such as cpu or cuda.
    """
    if len(texts) != 1:
        raise UserError(f"{len(texts)} texts were named: a page shows one; name one file.")
    (text,) = texts
    if not 1 <= characters <= MAX_CHARACTERS:
        raise UserError(
            f"characters is {characters}: a page shows 1 to {MAX_CHARACTERS:,} of them."
        )
    if gradients < 0 or steps_back < 1:
        raise UserError(
            f"gradients is {gradients} and steps_back {steps_back}: gradients can't be negative, "
            "and steps_back must be at least 1."
        )
    model, vocabulary = load(checkpoint, device)
    whole, ids = encode(vocabulary, read_text(str(text), encoding, option="--encoding"))
    mark_id = vocabulary.mark_id
    # Of documents, the mark before the first isn't shown.
    num_hidden = int(mark_id is not None)
    read, ids = whole[: characters + num_hidden], ids[: characters + num_hidden]
    predicted = predictions(model, ids, mark_id=mark_id)
    shown = summarise(read, ids, predicted, NUM_ALTERNATIVES, mark_id)
    ids = ids[num_hidden:]
    recording = record(model, ids, mark_id)
    rankings = {
        name: rank(recording.parts, values_N) for name, values_N in features_of(shown.text).items()
    }
    shares = reach(model, ids, recording, gradients, steps_back, mark_id)
    cells = " + ".join(f"{type(cell).__name__} {cell.hidden_size}" for cell in model.cells)
    content = page(
        text.name,
        f"{cells} ({checkpoint.name})",
        vocabulary,
        shown,
        recording.parts,
        rankings,
        shares,
        len(whole) - num_hidden,
    )
    with atomic_writer(html) as file:
        file.write(content.encode())
    print(f"{html}: {len(content.encode()) / 1e6:.1f} MB")
