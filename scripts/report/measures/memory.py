"""How far back a loss is felt, and how long a letter is remembered.

T time steps · B lanes
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from charlm.cells.options import modernised
from charlm.checkpoint import load, read
from charlm.evaluation.gradient_flow import gradient_flow
from charlm.model import CharLM
from scripts.report import copying
from scripts.report.measures.trained import models, texts

STEPS, LANES = 64, 32
# Norms below this part of the first are lost in float32.
LOST = 1e-30


def flow(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """‖∂L_t/∂h_(t-k)‖ by k, relative to k = 0, before and after training.

    Returns:
        ``before`` and ``after``: by part of the state (``hidden``, ``memory``), for each run the
        geometric mean over lanes of the held-out text, [T].
    """
    ids = texts()["held-out"]
    starts = torch.arange(LANES) * ((len(ids) - STEPS - 1) // LANES)
    rows_TB = ids[starts + torch.arange(STEPS + 1)[:, None]]
    result: dict[str, dict[str, list[list[float]]]] = {"before": {}, "after": {}}
    for run in runs:
        if run["stopped"] is not None:
            continue
        trained = load(run["checkpoint"])
        parameters = modernised(read(Path(run["checkpoint"]))["hyper_parameters"])
        options = ("cell", "hidden_sizes", "cell_options", "initialisation")
        torch.manual_seed(len(result["before"].get("hidden", [])))
        fresh = CharLM(
            len(trained.vocabulary), **{k: parameters[k] for k in options if k in parameters}
        )
        for moment, model in (("before", fresh), ("after", trained.model)):
            norms = gradient_flow(model.double(), rows_TB[:-1], rows_TB[-1])
            for name, norms_TB in norms.items():
                relative = (norms_TB / norms_TB[0]).clamp(min=LOST).log().mean(dim=1).exp()
                result[moment].setdefault(name.partition(".")[2], []).append(relative.tolist())
    return dict(result)


@torch.inference_mode()
def recall(runs: list[dict[str, Any]], delays: list[int], num_tasks: int) -> dict[str, Any]:
    """The share of letters rightly repeated after so many dots, each given those before it.

    Returns:
        ``right``: for each run and delay. Before each task the model has read others.
    """
    right = []
    for model, vocabulary in models(runs):
        random = np.random.default_rng(1)
        known = torch.from_numpy(vocabulary.encode(copying.LETTERS).astype("int64"))
        shares = []
        for delay in delays:
            lanes = []
            for _ in range(num_tasks):
                # Cut to one length, from the left: a lane may begin within a task.
                before = copying.text(int(random.integers(2**31)), 10)[-60:].rjust(60, ".")
                lane = before + copying.task(copying.word(random), delay)
                lanes.append(torch.from_numpy(vocabulary.encode(lane).astype("int64")))
            ids_TB = torch.stack(lanes, dim=1)
            logits_TBV, _ = model(ids_TB[:-1])
            guessed = known[logits_TBV[-copying.WORD :, :, known].argmax(dim=2)]
            shares.append(float((guessed == ids_TB[-copying.WORD :]).double().mean()))
        right.append(shares)
    return {"right": right}
