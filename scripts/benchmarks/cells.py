"""Which cell should one take, on a CPU, at which length? `python -m scripts.benchmarks.cells`

Each cell, in two layers of such a size that the network has about as many parameters as any other,
trains for as many seconds of one thread's time: once on a novel, of whose last tenth it then
predicts each character, and once on the copy task, where it says a word of three letters again
after so many dots. The recipe is AdamW, its rate warmed up and let down over the time. Each cell has
the start and the rate that are best for it on the last tenth of the training text (``--choose``).

    N characters of a text · T time steps · B lanes · V vocabulary
"""

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_

from charlm.cells import CELLS
from charlm.errors import UserError
from charlm.evaluation.scoring import predictions
from charlm.model import CharLM, ModelState, detach
from charlm.text.encoding import encode_corpus
from charlm.text.files import atomic_writer
from charlm.text.vocabulary import Vocabulary
from charlm.training.optimisers import optimiser
from scripts.arguments import amount, count, new_file
from scripts.benchmarks import results
from scripts.benchmarks.timing import say
from scripts.report.copying import LETTERS, WORD, task, word

B, T = 32, 64
LAGS = (10, 30, 100)  # dots
COPIES = Vocabulary([*LETTERS, ".", "?"])
WARM_UP = 0.05
SEED_TO_CHOOSE_BY = 100


class Recipe(NamedTuple):
    """How a cell is trained: how its weights are drawn, and AdamW's highest rate."""

    initialisation: str
    rate: float


CANDIDATES = [
    Recipe(initialisation, rate)
    for initialisation in ("uniform", "orthogonal")
    for rate in (3e-3, 1e-2, 3e-2)
]
# Chosen among these by ``--choose``, for the novel and for the copy task.
RECIPES: dict[str, tuple[Recipe, Recipe]] = {
    "rnn": (Recipe("uniform", 0.003), Recipe("orthogonal", 0.003)),
    "gru": (Recipe("orthogonal", 0.03), Recipe("uniform", 0.01)),
    "lstm": (Recipe("orthogonal", 0.03), Recipe("uniform", 0.01)),
    "min_gru": (Recipe("orthogonal", 0.03), Recipe("uniform", 0.03)),
    "min_lstm": (Recipe("orthogonal", 0.03), Recipe("orthogonal", 0.03)),
    "rg_lru": (Recipe("uniform", 0.01), Recipe("orthogonal", 0.03)),
    "mogrifier_lstm": (Recipe("orthogonal", 0.03), Recipe("uniform", 0.03)),
    "layer_norm_lstm": (Recipe("uniform", 0.03), Recipe("uniform", 0.01)),
    "slstm": (Recipe("orthogonal", 0.03), Recipe("uniform", 0.01)),
}

Network = Callable[[Tensor], tuple[Tensor, ModelState]]


def of_about(parameters: int, cell: str, initialisation: str, vocab_size: int) -> CharLM:
    """Two layers of a cell, as wide as that many parameters allow."""

    def size(model: CharLM) -> int:
        return sum(parameter.numel() for parameter in model.parameters())

    def model(width: int) -> CharLM:
        return CharLM(vocab_size, [width, width], cell, initialisation=initialisation)

    width = 8
    while size(model(width + 8)) <= parameters:
        width += 8
    return model(width)


def train(model: CharLM, rate: float, windows: Iterator[Tensor], seconds: float) -> int:
    """How many characters were learned from in so many seconds of this process's time."""
    optimizer = optimiser("adamw", model, rate, {})
    state: ModelState | None = None
    start, characters = time.process_time(), 0
    while (share := (time.process_time() - start) / seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = rate * min(share / WARM_UP, 0.5 * (1 + math.cos(math.pi * share)))
        ids_TB = next(windows)
        logits_TBV, state = model(ids_TB[:-1], state)
        state = detach(state)
        optimizer.zero_grad()
        F.cross_entropy(logits_TBV.flatten(0, 1), ids_TB[1:].flatten()).backward()
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        characters += ids_TB[1:].numel()
    model.eval()
    return characters


def lanes(ids_N: np.ndarray) -> Iterator[Tensor]:
    """A text's windows, [T + 1, B], each where the one before ended; from the beginning again."""
    lanes_BN = torch.from_numpy(ids_N[: len(ids_N) // B * B].astype("int64")).view(B, -1)
    while True:
        for start in range(0, lanes_BN.shape[1] - T, T):
            yield lanes_BN[:, start : start + T + 1].T.contiguous()


def held_out_bits(model: CharLM, ids_N: np.ndarray) -> float:
    """Bits per character of a text that the model hasn't seen."""
    nats = 0.0
    for places_M, log_p_MV in predictions(model, ids_N, lanes=8):
        targets_M = torch.from_numpy(ids_N[places_M].astype("int64"))
        nats -= log_p_MV.gather(1, targets_M.unsqueeze(1)).sum().item()
    return nats / len(ids_N) / math.log(2)


def copy_text(random: np.random.Generator, num_tasks: int) -> str:
    """Tasks of 1 to 100 dots, short stretches as often as long."""
    num_dots = np.exp(random.uniform(0, np.log(LAGS[-1] + 1), num_tasks)).astype(int)
    return "".join(task(word(random), dots) for dots in num_dots)


@torch.inference_mode()
def copied(model: Network, lag: int, random: np.random.Generator, num_words: int = 200) -> float:
    """The share of letters that the model finds likeliest where they are right, after ``lag`` dots."""
    # Each after another task, as in the text.
    texts = [task(word(random), lag) + task(word(random), lag) for _ in range(num_words)]
    ids_TB = torch.from_numpy(np.stack([COPIES.encode(text) for text in texts]).astype("int64")).T
    guesses_TB = model(ids_TB[:-1])[0].argmax(2)
    return (guesses_TB[-WORD:] == ids_TB[-WORD:]).double().mean().item()


def on_novel(
    cell: str, recipe: Recipe, seed: int, parameters: int, seconds: float, choosing: bool = False
) -> dict[str, Any]:
    """Train on the novel, and predict its last tenth; to choose a recipe, the tenth before that."""
    torch.manual_seed(seed)
    novel = encode_corpus("time-machine", None, "book", None)
    tenth = len(novel.ids) // 10
    ids_N = novel.ids[:-tenth] if choosing else novel.ids
    model = of_about(parameters, cell, recipe.initialisation, len(novel.vocabulary))
    characters = train(model, recipe.rate, lanes(ids_N[:-tenth]), seconds)
    return {
        "hidden_size": model.cells[0].hidden_size,
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": seconds,
        "characters_per_second": characters / seconds,
        "bits_per_character": held_out_bits(model, ids_N[-tenth:]),
    }


def on_copies(
    cell: str, recipe: Recipe, seed: int, parameters: int, seconds: float
) -> dict[str, Any]:
    """Train on the copy task, and copy other words."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    model = of_about(parameters, cell, recipe.initialisation, len(COPIES))
    text = lanes(COPIES.encode(copy_text(random, 10_000)))
    characters = train(model, recipe.rate, text, seconds)
    shares = {f"copied_{lag}": copied(model, lag, random) for lag in LAGS}
    return {"copy_seconds": seconds, "copy_characters_per_second": characters / seconds, **shares}


def choose(cell: str, parameters: int, seconds: float, copy_seconds: float) -> tuple[Recipe, ...]:
    """The best recipe for the novel, and for the copy task, by a seed that isn't reported."""

    def bits(recipe: Recipe) -> float:
        row = on_novel(cell, recipe, SEED_TO_CHOOSE_BY, parameters, seconds, choosing=True)
        say(f"  {recipe}: {row['bits_per_character']:.3f} bits")
        return float(row["bits_per_character"])

    def shares(recipe: Recipe) -> float:
        row = on_copies(cell, recipe, SEED_TO_CHOOSE_BY, parameters, copy_seconds)
        say(f"  {recipe}: " + ", ".join(f"{row[f'copied_{lag}']:.0%}" for lag in LAGS))
        return sum(float(row[f"copied_{lag}"]) for lag in LAGS)

    return min(CANDIDATES, key=bits), max(CANDIDATES, key=shares)


def table(rows: list[dict[str, Any]]) -> str:
    """A line a cell, best on the novel first: each figure's mean over the seeds, and its range."""
    form = "| {:<15} | {:>5} | {:>12} | {:>20} | {:>18} | {:>18} | {:>18} |"
    heads = ["cell, two layers", "units", "characters/s", "bits per character"]
    lines = [form.format(*heads, *(f"copied, {lag} dots" for lag in LAGS))]
    lines.append("|---" * 7 + "|")
    of_cell = {cell: [row for row in rows if row["cell"] == cell] for cell in CELLS}

    def bits(cell: str) -> float:
        return statistics.fmean(row["bits_per_character"] for row in of_cell[cell])

    def written(cell: str, key: str, number: str) -> str:
        values = [row[key] for row in of_cell[cell]]
        mean, least, most = (format(f(values), number) for f in (statistics.fmean, min, max))
        return f"{mean} [{least}, {most}]"

    for cell in sorted((cell for cell in CELLS if of_cell[cell]), key=bits):
        speed = statistics.fmean(row["characters_per_second"] for row in of_cell[cell])
        lines.append(
            form.format(
                cell,
                of_cell[cell][0]["hidden_size"],
                f"{speed:,.0f}",
                written(cell, "bits_per_character", ".3f"),
                *(written(cell, f"copied_{lag}", ".0%") for lag in LAGS),
            )
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description="Compare the cells at equal seconds and parameters."
    )
    parser.add_argument("--json", type=new_file, metavar="FILE", help="write the rows there, too")
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=list(CELLS))
    parser.add_argument("--seeds", type=count, default=2)
    parser.add_argument("--parameters", type=count, default=100_000, help="at most, of a network")
    parser.add_argument("--seconds", type=amount, default=16, help="to train on the novel")
    parser.add_argument("--copy_seconds", type=amount, default=16, help="to train on the copy task")
    parser.add_argument("--choose", action="store_true", help="try recipes, and say the best")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    novel, copies = (
        (options.parameters, options.seconds),
        (options.parameters, options.copy_seconds),
    )
    if options.choose:
        for cell in options.cells:
            say(cell)
            print(f"    {cell!r}: {choose(cell, *novel, options.copy_seconds)},", flush=True)
        return
    rows = []
    for seed in range(options.seeds):  # a slow hour slows all cells
        for cell in options.cells:
            say(f"{cell}, seed {seed}")
            for_novel, for_copies = RECIPES[cell]
            rows.append(
                {
                    "cell": cell,
                    "seed": seed,
                    **on_novel(cell, for_novel, seed, *novel),
                    **on_copies(cell, for_copies, seed, *copies),
                }
            )
            if options.json is not None:
                write(rows, options.json)
    print(table(rows))


def write(rows: list[dict[str, Any]], path: Path) -> None:
    with atomic_writer(path) as file:
        file.write(json.dumps(results.with_machine(rows), indent=1).encode() + b"\n")


if __name__ == "__main__":
    try:
        main()
    except UserError as mistake:
        sys.exit(str(mistake))
