"""A machine's results as a file in ``reports/bench/``, to be compared with another's."""

import datetime
import json
import platform
import re
from pathlib import Path
from typing import Any

import torch

from charlm.errors import UserError
from charlm.text.files import atomic_writer

FOLDER = Path("reports/bench")
# What makes two rows the same case.
CASE = ("kind", "cell", "hidden_size", "backend", "device", "num_texts")


def processor() -> str:
    """The processor's name, as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def with_machine(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The rows, with when and where they were measured."""
    return {
        "date": datetime.date.today().isoformat(),
        "processor": processor(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "rows": rows,
    }


def write(rows: list[dict[str, Any]], folder: Path = FOLDER) -> Path:
    """One file a machine and number of threads; it takes the place of an older one."""
    results = with_machine(rows)
    # Clouds call processors of several generations by one name.
    name = f"{results['processor']} {results['capability']} {results['threads']} threads"
    path = folder / f"{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}.json"
    with atomic_writer(path) as file:
        file.write((json.dumps(results, indent=1) + "\n").encode())
    return path


def read(path: Path) -> dict[str, Any]:
    """What ``write`` wrote.

    Raises:
        UserError: the file can't be read, or is another.
    """
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        results["rows"][0]["kind"]
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise UserError(f"{path} can't be read as a benchmark's results ({error}).") from error
    return dict(results)


def comparison(mine: list[dict[str, Any]], theirs: dict[str, Any]) -> list[str]:
    """Line by line, my speed as a multiple of theirs, where both have measured the case."""
    before = {case(row): row for row in theirs["rows"] if "characters_per_second" in row}
    lines = [
        f"Against {theirs['processor']}, {theirs['threads']} threads, torch {theirs['torch']}, "
        f"{theirs['date']}:"
    ]
    for row in mine:
        other = before.get(case(row))
        if "characters_per_second" not in row or other is None:
            continue
        ratio = row["characters_per_second"] / other["characters_per_second"]
        spread = row.get("spread", 0.0) + other.get("spread", 0.0)
        name = " ".join(str(row[key]) for key in CASE[1:] if row.get(key) is not None)
        lines.append(f"  {row['kind']} {name}: {ratio:.2f} x (± {spread:.1%})")
    return lines


def case(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row.get(key) for key in CASE)
