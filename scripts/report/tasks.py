"""What the report's experiments consist of: ordinary training runs, and measurements beside them.

Each task has a result, a JSON file that says what it was computed from: the task's own settings
and the code. A task whose file is there and still true isn't done again.
"""

import hashlib
import inspect
import json
import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import charlm
from charlm.text.files import atomic_writer
from scripts.report import running

ROOT = Path(__file__).parent.parent.parent
CONFIG = "charlm/configs/exercise.yaml"
# Seen from the root; TensorBoard finds the runs there, as it does all others.
FOLDER = Path("lightning_logs/exercises")

Result = dict[str, Any]


@dataclass(frozen=True)
class Scale:
    """How much is done: the epochs of a run, and the seeds of each."""

    name: str
    epochs: int
    seeds: int


@dataclass(frozen=True, eq=False)
class Variant:
    """A configuration, as its difference from ``charlm/configs/exercise.yaml``.

    Args:
        name: also of the folder of its logs.
        options: by their names on the command line.
        share: of the scale's epochs.
        seeds: at the full scale, where it isn't the scale's number.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    share: float = 1.0
    seeds: int | None = None

    def runs(self, scale: Scale) -> "list[Run]":
        num_seeds = self.seeds if self.seeds and scale.name == "full" else scale.seeds
        epochs = max(2, round(scale.epochs * self.share))
        return [Run(self, seed, epochs) for seed in range(num_seeds)]


class Task(ABC):
    """Something to be done once, with a result in plain types."""

    name: str
    settings: dict[str, Any]
    # What does it. On its module, and on all of charlm, the result depends.
    function: Callable[..., Result]

    # As it is told to a reader.
    command: str

    @abstractmethod
    def call(self, keep: bool) -> tuple[Any, ...]:
        """The function, and its arguments by place."""

    @property
    def code(self) -> str:
        return digest(package_code(), module_code(self.function))

    @cached_property
    def key(self) -> str:
        """The task's settings as a digest, without the code."""
        return digest(json.dumps(self.settings, sort_keys=True))

    @property
    def path(self) -> Path:
        return FOLDER / "results" / f"{self.name}-{self.key[:8]}.json"

    def result(self, keep: bool = False) -> Result | None:
        """What was computed before; none if that was by other code, unless it is to be kept."""
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        is_ours = content.get("settings") == self.settings
        if not is_ours or (content.get("code") != self.code and not keep):
            return None
        result: Result = content["result"]
        return result

    def is_by_other_code(self) -> bool:
        """Whether there is a result, and it was computed by other code."""
        return self.result(keep=True) is not None and self.result() is None

    def save(self, result: Result) -> None:
        content = {"settings": self.settings, "code": self.code, "result": result}
        with atomic_writer(self.path) as file:
            file.write(json.dumps(content).encode())


class Run(Task):
    """``charlm fit`` with a variant's options, one seed."""

    def __init__(self, variant: Variant, seed: int, epochs: int) -> None:
        self.variant, self.seed, self.epochs = variant, seed, epochs
        self.function = running.train
        self.name = f"{variant.name}-{epochs}-epochs-seed-{seed}"
        options = {key: variant.options[key] for key in sorted(variant.options)}
        self.settings = {"options": options, "seed": seed, "epochs": epochs}
        self.command = shlex.join(["charlm", *self.arguments])

    def call(self, keep: bool) -> tuple[Any, ...]:
        return self.function, self.arguments, str(self.folder), digest(self.key, self.code)

    @property
    def folder(self) -> Path:
        return FOLDER / self.name

    @property
    def arguments(self) -> list[str]:
        """What stands after ``charlm``, for a run from the repository's root."""
        options = {
            **self.variant.options,
            "trainer.max_epochs": self.epochs,
            "trainer.check_val_every_n_epoch": max(1, self.epochs // 25),
            "trainer.default_root_dir": str(self.folder),
            "seed_everything": self.seed,
        }
        texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in options.items()}
        return ["fit", "--config", CONFIG, *(f"--{name}={text}" for name, text in texts.items())]


class Measure(Task):
    """A function of some runs' results and its own arguments.

    Args:
        function: at the top level of a module of ``scripts.report``; it gets the results of ``runs``
            as a list, then the arguments by name, and returns plain types.
        runs: that must be done before.
        alone: with nothing else running: it measures time.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Result],
        runs: Sequence[Run] = (),
        alone: bool = False,
        **arguments: Any,
    ) -> None:
        self.name, self.function, self.alone = name, function, alone
        self.runs, self.arguments = runs, arguments
        self.command = f"(measure {name})"
        self.settings = {
            "function": f"{function.__module__}.{function.__qualname__}",
            "runs": [run.key for run in self.runs],
            "arguments": json.loads(json.dumps(arguments)),
        }

    @property
    def code(self) -> str:
        return digest(super().code, *(run.code for run in self.runs))

    def call(self, keep: bool) -> tuple[Any, ...]:
        results = [run.result(keep) or {} for run in self.runs]
        return partial(self.function, **self.arguments), results


def digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@cache
def package_code() -> str:
    """A digest of charlm's files, wherever it is installed."""
    package = Path(charlm.__file__).parent
    files = sorted(each for kind in ("*.py", "*.yaml") for each in package.rglob(kind))
    names = [file.relative_to(package).as_posix() for file in files]
    return digest(*names, *(file.read_text(encoding="utf-8") for file in files))


@cache
def module_code(function: Callable[..., Any]) -> str:
    """A digest of the file that a function stands in."""
    return digest(Path(inspect.getfile(function)).read_text(encoding="utf-8"))
