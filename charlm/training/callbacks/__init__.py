"""What happens beside training, a file each; and which callbacks a run has, in one list."""

from collections.abc import Sequence

from lightning.pytorch.callbacks import Callback

from charlm.training.callbacks.averaged_weights import AveragedWeights
from charlm.training.callbacks.carried_state import CarriedState
from charlm.training.callbacks.early_stopping import StopEarly
from charlm.training.callbacks.gradient_flow import GradientFlow
from charlm.training.callbacks.hyper_parameters import HyperParameters
from charlm.training.callbacks.progress_bar import RunProgressBar
from charlm.training.callbacks.text_samples import TextSamples
from charlm.training.callbacks.throughput import Throughput
from charlm.training.callbacks.unit_histograms import UnitHistograms
from charlm.training.resume.best_checkpoint import BestCheckpoint
from charlm.training.resume.exact import ExactResume
from charlm.training.resume.last_checkpoint import LastCheckpoint

__all__ = [
    "AveragedWeights",
    "CarriedState",
    "ExactResume",
    "Throughput",
    "HyperParameters",
    "RunProgressBar",
    "TextSamples",
    "StopEarly",
    "LastCheckpoint",
    "BestCheckpoint",
    "GradientFlow",
    "UnitHistograms",
    "CONFIGURED",
    "module_callbacks",
    "run_callbacks",
]

# Those with options of their own, by the name of their section.
CONFIGURED: dict[str, type[Callback]] = {
    "best": BestCheckpoint,
    "checkpoint": LastCheckpoint,
    "early_stopping": StopEarly,
    "samples": TextSamples,
}
# Those that write checkpoint files.
OF_FILES = (BestCheckpoint, LastCheckpoint)


def module_callbacks(ema_decay: float = 0.0) -> list[Callback]:
    """Those without which no run is exact: the module brings them to any Trainer.

    Args:
        ema_decay: see ``AveragedWeights``; 0 for none.
    """
    averaged = [AveragedWeights(ema_decay)] if ema_decay else []
    return [CarriedState(), *averaged, ExactResume()]


def run_callbacks(
    given: Sequence[Callback] = (), progress_bar: bool = True, checkpoints: bool = True
) -> list[Callback]:
    """All that a run has: those given, and of each other kind one with its defaults."""
    kinds: list[type[Callback]] = [Throughput, HyperParameters, TextSamples]
    if progress_bar:
        kinds.append(RunProgressBar)
    if checkpoints:
        kinds.extend(OF_FILES)
    else:
        given = [callback for callback in given if not isinstance(callback, OF_FILES)]
    added = [kind() for kind in kinds if not any(isinstance(one, kind) for one in given)]
    # The best is that of the first: `trainer.test(ckpt_path="best")`.
    return sorted([*added, *given], key=lambda callback: isinstance(callback, LastCheckpoint))
