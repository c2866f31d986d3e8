"""Measure the speed of training and generation: `make bench`.

Every contestant does the same work in the same process, in turn, round after round, so that what
else the machine does slows all of them alike; what counts are the ratios of the medians. One iteration
is forward, backward, clipping and the optimiser's step over 32 lanes of 35 steps of the novel.

The floor is what the iteration's own matrix products take, at their own shapes, each in the fastest
way that this machine offers (``scripts.benchmarks.floor``), timed in the same rounds.
"""

import argparse
import json
import multiprocessing
import platform
import subprocess
import sys
import tempfile
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch

from charlm.configs import FOLDER
from charlm.errors import UserError
from charlm.model import CharLM
from charlm.recurrence import BACKENDS, fastest
from charlm.text.files import atomic_writer
from scripts.arguments import amount, count, new_file
from scripts.benchmarks import results
from scripts.benchmarks.contestants import CELLS, CHARACTERS, GATES, B, T, V, contestants
from scripts.benchmarks.floor import floor, parts
from scripts.benchmarks.generation_rows import generation_row, many_texts_row, weights_rows
from scripts.benchmarks.pairs import against_row, pairs
from scripts.benchmarks.timing import Step, interleave, ratio_spread, say
from scripts.benchmarks.whole_fit import fit, trainer_row

SIZES = (256, 512)
CONFIG = FOLDER / "rnn.yaml"


def peak_memory(case: tuple[str, int, str]) -> float | None:
    """MiB that a process grows by over three iterations, at its peak (Linux alone tells).

    What is loaded at a first use doesn't count: an iteration of a tiny network went before.
    """
    name, hidden_size, contestant = case
    status = Path("/proc/self/status")
    if not status.exists():
        return None

    def peak() -> float:
        (line,) = [
            line
            for line in status.read_text(encoding="utf-8").splitlines()
            if line.startswith("VmHWM")
        ]
        return int(line.split()[1]) / 1024

    makers = contestants(name, hidden_size, "cpu")
    if contestant not in makers:
        return None
    contestants(name, 2, "cpu")[contestant]()()
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak from here on
    before = peak()
    step = makers[contestant]()
    for _ in range(3):
        step()
    return peak() - before


def memory() -> dict[tuple[str, int, str], float | None]:
    """The peak memory of every case on the CPU, each in a fork of this process.

    To be called before this process has computed anything: a fork would lack the threads that
    OpenMP believes it has.
    """
    cases = list(product(CELLS, SIZES, ("book", "torch", *BACKENDS)))
    if "fork" not in multiprocessing.get_all_start_methods():
        return dict.fromkeys(cases)  # Windows
    context = multiprocessing.get_context("fork")
    with context.Pool(1, maxtasksperchild=1) as pool:
        return dict(zip(cases, pool.map(peak_memory, cases, chunksize=1), strict=True))


def training_rows(
    device: str, rounds: int, seconds: float, megabytes: dict[tuple[str, int, str], float | None]
) -> list[dict[str, Any]]:
    """Cell by cell and size by size: every way to train it."""
    rows = []
    cases = list(product(CELLS, SIZES))
    for number, (name, hidden_size) in enumerate(cases, start=1):
        say(f"{number} of {len(cases)}: {name} {hidden_size} on {device}")
        steps = {way: make() for way, make in contestants(name, hidden_size, device).items()}
        products = parts(GATES[name], hidden_size, B, T, V, device)
        every: dict[Any, Step] = {**steps, **products}
        timed_all = interleave(every, rounds, seconds, device)
        floor_seconds, floor_ways = floor({key: timed_all[key] for key in products})
        say(f"  the floor: {floor_ways}")
        timed = {way: timed_all[way] for way in steps}
        theirs = timed.get("torch")
        cell = CharLM(V, hidden_sizes=[hidden_size], **CELLS[name][2]).cells[0]
        for contestant, result in timed.items():
            rows.append(
                {
                    "kind": "training",
                    "cell": name,
                    "backend": contestant,
                    "is_auto": contestant == fastest(cell, torch.device(device)),
                    "hidden_size": hidden_size,
                    "device": device,
                    "characters_per_second": CHARACTERS / result.median,
                    "spread": result.spread,
                    "ratio_to_book": timed["book"].median / result.median,
                    "ratio_to_torch": theirs.median / result.median if theirs else None,
                    "ratio_spread": ratio_spread(theirs, result) if theirs else None,
                    "share_of_floor": floor_seconds / result.median,
                    "floor": floor_ways,
                    "peak_memory_mib": (
                        megabytes[name, hidden_size, contestant] if device == "cpu" else None
                    ),
                }
            )
    return rows


def start_up_row(rounds: int) -> dict[str, Any]:
    """`charlm generate` of one character, a process from start to end, against `import torch`."""
    with tempfile.TemporaryDirectory() as folder:
        fit(folder, 1)
        (checkpoint,) = Path(folder).rglob("last.ckpt")
        options = ["--checkpoint", str(checkpoint), "--num_chars", "1"]
        commands = {
            "charlm": [sys.executable, "-m", "charlm", "generate", *options],
            "torch": [sys.executable, "-c", "import torch"],
        }
        steps: dict[str, Step] = {
            name: partial(subprocess.run, command, check=True, stdout=subprocess.DEVNULL)
            for name, command in commands.items()
        }
        timed = interleave(steps, rounds, 0.0, "cpu")
    return {
        "kind": "start_up",
        "device": "cpu",
        "seconds": timed["charlm"].median,
        "spread": timed["charlm"].spread,
        "ratio": timed["charlm"].median / timed["torch"].median,
    }


def print_table(rows: list[dict[str, Any]]) -> None:
    """The training rows as a table, the others as a line each."""
    heads = ("cell", "hidden", "way", "characters/s", "x book", "x torch.nn", "of floor", "MiB")
    form = "{:<11}{:>6}  {:<9}{:>22}{:>8}{:>15}{:>10}{:>7}"
    print(form.format(*heads))
    for row in rows:
        speed = f"{row.get('characters_per_second', 0):,.0f}"
        if row["kind"] == "training":
            against = row["ratio_to_torch"]
            print(
                form.format(
                    row["cell"],
                    row["hidden_size"],
                    row["backend"] + "*" * row["is_auto"],
                    f"{speed} ± {row['spread']:4.1%}",
                    f"{row['ratio_to_book']:.2f}",
                    f"{against:.2f} ± {row['ratio_spread']:4.1%}" if against else "-",
                    f"{row['share_of_floor']:.2f}",
                    f"{row['peak_memory_mib']:.0f}" if row["peak_memory_mib"] else "-",
                )
            )
        elif row["kind"] == "trainer":
            print(
                f"The Trainer, everything on, rnn.yaml on {row['device']}: {speed} characters/s, "
                f"{row['ratio']:.2f} x its bare loop (± {row['spread']:.1%}), "
                f"{row['ratio_to_book']:.2f} x the book's loop; "
                f"Lightning with nothing on: {row['ratio_of_nothing_on']:.2f} x the bare loop"
            )
        elif row["kind"] == "against":
            print(
                f"{row['cell']}: {speed} characters/s, {row['ratio']:.2f} x (± {row['spread']:.1%})"
            )
        elif row["kind"] == "generate":
            print(
                f"Generation, 1 thread: {speed} characters/s, {row['ratio']:.2f} x the book's loop; "
                f"{row['share_of_floor']:.2f} of the floor, to read the weights once a character by "
                f"{row['floor']}"
            )
        elif row["kind"] == "generate_short":
            print(
                f"LSTM 1024, weights in {row['backend']}, 1 thread: {speed} characters/s, "
                f"{row['ratio']:.2f} x float32 (± {row['spread']:.1%}); {row['share_of_floor']:.2f} "
                f"of the floor of float32, by {row['floor']}"
            )
        elif row["kind"] == "generate_many":
            print(
                f"{row['num_texts']} texts of the {row['cell']} at once, 1 thread: {speed} "
                f"characters/s, {row['ratio']:.2f} x those of one text"
            )
        else:
            print(
                f"charlm generate of one character: {row['seconds']:.2f} s, {row['ratio']:.2f} x "
                "what import torch takes"
            )
    print("* what `backend: auto` takes; ± half the interquartile range")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure charlm's speed.")
    parser.add_argument("--json", type=new_file, metavar="FILE", help="write the rows there, too")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="another machine's results")
    parser.add_argument("--rounds", type=count, default=9, help="times that each way is timed")
    parser.add_argument("--seconds", type=amount, default=0.15, help="about how long each time")
    options = parser.parse_args()
    if options.rounds < 2:
        parser.error(f"--rounds {options.rounds}: a spread needs two rounds at least")
    try:
        other = results.read(options.compare) if options.compare else None
    except UserError as mistake:
        parser.error(str(mistake))

    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    devices = ["cpu"] + ["cuda"] * torch.cuda.is_available()
    names = [torch.cuda.get_device_name() if device == "cuda" else "" for device in devices]
    print(
        f"float32 without TF32; torch {torch.__version__}, Python {platform.python_version()}, "
        f"{torch.get_num_threads()} threads {' '.join(names)}"
    )
    megabytes = memory()
    rows: list[dict[str, Any]] = []
    for device in devices:
        training = training_rows(device, options.rounds, options.seconds, megabytes)
        rows += [*training, trainer_row(device, max(3, options.rounds * 2 // 3))]
    say("generation")
    rows.append(generation_row(options.rounds, options.seconds))
    rows += [many_texts_row(cell, options.rounds, options.seconds) for cell in ("rnn", "lstm")]
    rows += weights_rows(options.rounds, options.seconds)
    rows.append(start_up_row(options.rounds))
    rows += [against_row(*pair, options.rounds, options.seconds) for pair in pairs()]
    print_table(rows)
    print(f"written to {results.write(rows)}")
    if other is not None:
        print("\n".join(results.comparison(rows, other)))
    if options.json is not None:
        with atomic_writer(options.json) as file:
            file.write(json.dumps(rows, indent=1).encode())


if __name__ == "__main__":
    main()
