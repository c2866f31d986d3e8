"""Our recipe: ``charlm fit`` for so many seconds, and ``charlm score``'s figures of what it leaves."""

import contextlib
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from charlm.checkpoint import contents
from charlm.configs import find
from charlm.errors import UserError
from charlm.evaluation.networks import WINDOW, Members, Networks, averaged
from charlm.evaluation.scoring import summarise
from charlm.evaluation.training_text import read_part
from charlm.text.vocabulary import Vocabulary
from scripts.leaderboard.training import Point

# The recipe for a few minutes, and from how many seconds on that for more.
SHORT, LONG, LONG_SECONDS = "shakespeare-fast", "shakespeare", 300


def recipe(seconds: float) -> str:
    """The configuration's name."""
    return SHORT if seconds < LONG_SECONDS else LONG


def options(name: str) -> dict[str, Any]:
    """What a configuration says, one of the user's or a shipped one."""
    read: dict[str, Any] = yaml.safe_load(find(name).read_text(encoding="utf-8"))
    return read


def train(name: str, seconds: float, seed: int, folder: Path, more: list[str]) -> dict[str, Any]:
    """Train the configuration ``name``, and measure its last checkpoint.

    The clock is the Trainer's ``max_time``, on which its own validations count.

    Args:
        folder: for the run's files.
        more: further options of ``charlm fit``.

    Returns:
        The figures: see ``scripts.leaderboard.__main__``.
    """
    from charlm.training.command_line import run

    # What the recipe holds out for the test is looked at on the way here, for the curve.
    held_out_size = held_out_of(name)
    whole = max(1, round(seconds))
    limit = f"{whole // 86_400:02}:{time.strftime('%H:%M:%S', time.gmtime(whole))}"
    arguments = [
        *("fit", "--config", str(find(name)), "--seed_everything", str(seed)),
        *("--trainer.max_time", limit, "--trainer.max_epochs", "-1"),
        *("--trainer.max_steps", "-1", "--trainer.default_root_dir", str(folder)),
        *("--trainer.enable_progress_bar", "false"),
        *("--data.val_size", str(held_out_size), "--data.test_size", "0", *more),
    ]
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stderr(nowhere):
        run(arguments)
    log = max((folder / "lightning_logs").iterdir(), key=lambda path: path.stat().st_mtime)
    checkpoint = log / "checkpoints" / "last.ckpt"
    content = contents(checkpoint)
    data = content["datamodule_hyper_parameters"]
    networks = Networks([checkpoint], "auto", "cpu")
    held_out = networks.vocabulary.encode(read_part(data, "val").text)

    def nats(members: Members) -> float:
        return summarise("", held_out, averaged(members)(held_out)).nats_per_character

    settings = networks.settings()
    learning = networks.dynamic(settings, networks.vocabulary.encode(read_part(data).text))
    parameters = sum(p.numel() for p in networks.trained[0].model.parameters())
    return {
        "parameters": parameters,
        "characters": content["global_step"] * data["num_lanes"] * data["num_steps"],
        "carried": nats(networks.static()),
        "windows": nats(networks.static(window=WINDOW)),
        "dynamic": nats(learning),
        "window": WINDOW,
        "curve": curve(log),
    }


def curve(log: Path) -> list[Point]:
    """The held-out losses that the run logged, by seconds since its first entry."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(log), size_guidance={"scalars": 0})
    events.Reload()
    began = events.FirstEventTimestamp()
    known = events.Tags()["scalars"]
    losses = events.Scalars("val/loss") if "val/loss" in known else []
    return [Point(round(each.wall_time - began, 2), each.value) for each in losses]


def hidden_size(name: str) -> int:
    """That of a configuration's first layer, which the others take.

    Raises:
        UserError: it doesn't say.
    """
    sizes: list[int] = options(name).get("model", {}).get("hidden_sizes", [])
    if not sizes:
        raise UserError(
            f"The configuration {name} has no model.hidden_sizes, which the others take."
        )
    return sizes[0]


def held_out_of(name: str) -> float:
    """How much of its text a configuration holds out: for the test, else for validation.

    Raises:
        UserError: it holds nothing out.
    """
    data = options(name).get("data", {})
    size: float = data.get("test_size") or data.get("val_size") or 0
    if not size:
        raise UserError(
            f"The configuration {name} holds nothing out: take one that does, such as novel."
        )
    return size


def texts(name: str, more: list[str]) -> tuple[np.ndarray, np.ndarray, Vocabulary]:
    """The training and the held-out ids of a configuration's text, with its vocabulary.

    Args:
        more: options of ``charlm fit``, of which those of the data count.
    """
    from charlm.data.datamodule import CharDataModule

    pairs = zip(more[::2], more[1::2], strict=True)
    own = {key.removeprefix("--data."): value for key, value in pairs if key.startswith("--data.")}
    given = {key: yaml.safe_load(value) for key, value in own.items()}
    held_out = {"val_size": held_out_of(name), "test_size": 0}
    try:
        module = CharDataModule(**options(name)["data"] | held_out | given)
    except TypeError as error:
        raise UserError(f"The data don't take these options: {error}.") from error
    train, val = module.split.train, module.split.val
    ids = module.text.ids
    return ids[train.start : train.stop], ids[val.start : val.stop], module.text.vocabulary
