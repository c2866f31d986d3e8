"""The leaderboard: tiny Shakespeare, equal seconds for each recipe, one after the other.

    python -m scripts.leaderboard --seconds 104 --seeds 3 --only charlm nanogpt-cpu

Every run's result is kept as it ends: the same command goes on where it was stopped. A result has
the contender, the seed and the seconds; ``parameters``; ``characters`` seen; ``carried`` and
``windows``, held-out nats per character under both protocols; ``window``, how long the windows are;
``curve``, [seconds, nats] on the way; ``conditions``, of which all results of a table must be.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from charlm.errors import UserError
from charlm.evaluation.baselines import Baselines
from charlm.text.vocabulary import Vocabulary
from scripts.arguments import amount, count, setting
from scripts.benchmarks.results import processor
from scripts.leaderboard import measures, ours, results
from scripts.leaderboard.contenders import AdamWLSTM, CharRNN, Contender, NanoGPT
from scripts.leaderboard.training import train
from scripts.leaderboard.transformer import Size, Transformer

# nanoGPT's README: what it trains on a CPU, and what it trains on a GPU.
CPU_SIZE = Size(layers=4, heads=4, width=128, context=64)
GPU_SIZE = Size(layers=6, heads=6, width=384, context=256, dropout=0.2)

TRAINED: dict[str, Callable[[np.ndarray, int, int], Contender]] = {
    "nanogpt-cpu": lambda ids, V, H: NanoGPT(ids, V, CPU_SIZE, lanes=12, warm_up=100 / 2000),
    "nanogpt-10m": lambda ids, V, H: NanoGPT(ids, V, GPU_SIZE, lanes=64, warm_up=100 / 5000),
    "char-rnn": lambda ids, V, H: CharRNN(ids, V),
    "torch-lstm": AdamWLSTM,
}
OURS, WITHOUT_NETWORK = "charlm", "baselines"
CONTENDERS = (OURS, *TRAINED, WITHOUT_NETWORK)


def run(name: str, seed: int, seconds: float, config: str, more: list[str]) -> list[results.Result]:
    """The results of a contender: one, or of the baselines and of ours several.

    Args:
        config: our recipe, whose text, split and hidden size the others take.
        more: further options of our ``charlm fit``.
    """
    common: dict[str, Any] = {"seed": seed, "seconds": seconds, "curve": []}
    if name == OURS:
        with tempfile.TemporaryDirectory() as folder:
            measured = ours.train(config, seconds, seed, Path(folder), more)
        dynamic = measured.pop("dynamic")
        static = common | {"contender": f"charlm {config}"} | measured
        return [
            static,
            static
            | {"contender": f"charlm {config}, dynamic", "carried": dynamic, "windows": None},
        ]
    hidden_size = ours.hidden_size(config)
    training_ids, held_out, vocabulary = ours.texts(config, more)
    if name == WITHOUT_NETWORK:
        return [common | row for row in without_network(training_ids, held_out, vocabulary)]
    torch.manual_seed(seed)
    # The others know nothing of <unk>: their ids begin with the first character.
    contender = TRAINED[name](training_ids - 1, len(vocabulary) - 1, hidden_size)
    held_out = held_out - 1
    curve = train(contender, seconds, lambda: measures.windows(contender.model, held_out))
    return [
        common
        | {
            "contender": name,
            "parameters": contender.model.num_parameters,
            "characters": contender.characters_seen,
            "carried": measures.carried(contender.model, held_out),
            "windows": measures.windows(contender.model, held_out),
            "window": measures.window_of(contender.model),
            "sliding": isinstance(contender.model, Transformer),
            "curve": curve,
        }
    ]


def without_network(
    training_ids: np.ndarray, held_out: np.ndarray, vocabulary: Vocabulary
) -> list[results.Result]:
    """PPMd, the n-gram model and the best Markov model after the training text."""
    costs = Baselines(vocabulary, training_ids).costs(vocabulary.decode(held_out))
    nats = {key: cost.after * np.log(2) for key, cost in costs.items() if cost.after is not None}
    best_markov = min((key for key in nats if key.startswith("Markov")), key=nats.__getitem__)
    known = [key for key in ("PPMd", "n-grams, adaptive", best_markov) if key in nats]
    empty = {"parameters": None, "characters": len(training_ids), "windows": None, "window": None}
    return [empty | {"contender": key, "carried": float(nats[key])} for key in known]


def main(arguments: list[str] | None = None) -> int:
    """Run what has not been run yet, write the JSON, the table and the picture, print the table."""
    parser = argparse.ArgumentParser(prog="python -m scripts.leaderboard", description=__doc__)
    parser.add_argument("--seconds", type=amount, default=104, help="of training, for each run")
    parser.add_argument("--seeds", type=count, default=3, help="how many runs of each")
    parser.add_argument("--only", nargs="+", default=list(CONTENDERS), choices=CONTENDERS)
    parser.add_argument("--threads", type=count, help="of torch; if left out, its own choice")
    parser.add_argument(
        "--output", type=Path, default=Path("lightning_logs/leaderboard"), help="folder of results"
    )
    parser.add_argument("--config", help="our recipe; if left out, the one for so many seconds")
    parser.add_argument(
        "--fit",
        nargs="*",
        default=[],
        type=setting,
        metavar="OPTION=VALUE",
        help="options of our charlm fit, such as data.max_chars=10000",
    )
    given = parser.parse_args(arguments)
    if given.threads:
        torch.set_num_threads(given.threads)
    config = given.config or ours.recipe(given.seconds)
    more = [word for words in given.fit for word in words]
    path = given.output / f"{given.seconds:g}-seconds.json"
    try:
        conditions = {
            "config": config,
            "fit": more,
            "threads": torch.get_num_threads(),
            "processor": processor(),
        }
        kept = results.load(path, conditions)
        done = {(result["run"], result["seed"]) for result in kept}
        for seed in range(given.seeds):
            for name in given.only:
                # Without a network there is nothing to draw.
                if (name, seed) in done or (name == WITHOUT_NETWORK and seed):
                    continue
                print(f"{name}, seed {seed} ...", file=sys.stderr, flush=True)
                found = run(name, seed, given.seconds, config, more)
                kept += [result | {"run": name, "conditions": conditions} for result in found]
                results.save(path, kept)
    except (UserError, argparse.ArgumentError) as error:
        print(f"leaderboard: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    written = results.table(kept, given.seconds)
    path.with_suffix(".md").write_text(written + "\n", encoding="utf-8")
    results.draw(kept, path.with_suffix(".svg"))
    print(written)
    return 0


if __name__ == "__main__":
    sys.exit(main())
