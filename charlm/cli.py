"""The command line: charlm fit / validate / test / generate / score / export.

``fit``, ``validate`` and ``test`` are Lightning's; the others take a checkpoint alone, and don't
import Lightning.
"""

import contextlib
import importlib
import inspect
import io
import os
import sys
from argparse import ArgumentError
from collections.abc import Callable

from docstring_parser import parse as parse_docstring
from jsonargparse import ArgumentParser

from charlm import __version__
from charlm.errors import Stopped, UserError

# Its number; Windows has no such signal.
SIGPIPE = 13

TRAINER_COMMANDS = ("fit", "validate", "test")

# Each is a function of its own name in a module of its own name; its signature is its options.
CHECKPOINT_COMMANDS = ("generate", "score", "export", "inspect", "serve")

USAGE = """usage: charlm COMMAND [options]; `charlm COMMAND --help` lists them

  fit       train a model:            charlm fit --config rnn
  validate  measure one on the validation text
  test      measure one on the test text
  sweep     search its options:       charlm sweep --config lstm --model.learning_rate 'log(1e-3, 1)'
  generate  continue a prefix:        charlm generate --checkpoint last.ckpt --prefix "time t"
  score     measure one on texts:     charlm score --checkpoint last.ckpt TEXT...
  export    weights without a pickle: charlm export --checkpoint last.ckpt --output FOLDER
  inspect   see what units do:        charlm inspect --checkpoint last.ckpt TEXT --html page.html
  serve     watch one write, live:    charlm serve --checkpoint last.ckpt
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Returns:
        The exit code: 0, 1 for a mistake of the user's, told in a sentence on standard error.
        A mistake in the options themselves exits with 2, Ctrl-C with 130, SIGTERM with 143,
        output that nobody reads any more with 141.
    """
    given = sys.argv[1:] if arguments is None else arguments
    command = given[0] if given else ""
    if command != "generate" and isinstance(sys.stdout, io.TextIOWrapper):
        # A character that the console can't show is shown by its number. What is generated is kept
        # as it is, or refused.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        if command in CHECKPOINT_COMMANDS:
            function = getattr(importlib.import_module(f"charlm.commands.{command}"), command)
            _call(function, f"charlm {command}", given[1:])
            sys.stdout.flush()
        elif command in TRAINER_COMMANDS:
            from charlm.training.command_line import run

            run(arguments)
        elif command == "sweep":
            from charlm.sweep.command import sweep

            _call(sweep, "charlm sweep", _with_named(given[1:]))
        elif command == "--version":
            print(f"charlm {__version__}")
        else:
            wanted_help = command in ("-h", "--help")
            print(USAGE, file=sys.stdout if wanted_help else sys.stderr)
            return 0 if wanted_help else 2
    except ArgumentError as mistake:
        reason = " ".join(str(mistake).split())
        print(
            f"charlm {command}: {reason} (`charlm {command} --help` lists the options).",
            file=sys.stderr,
        )
        return 2
    except UserError as mistake:
        print(f"charlm: {mistake}", file=sys.stderr)
        return 1
    except Stopped as stop:
        # Of processes that train together, all have stopped, and the first says so.
        if os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")) == "0":
            print(f"charlm: {stop}", file=sys.stderr)
        return stop.exit_code
    except BrokenPipeError:
        # Who read the output has read enough, as head does; nothing more can be written, not even
        # what Python would as it exits.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + SIGPIPE
    except KeyboardInterrupt:
        print("charlm: Stopped by Ctrl-C before there was anything to save.", file=sys.stderr)
        return 130
    return 0


def _with_named(given: list[str]) -> list[str]:
    """The words of a sweep, where ``--section.option VALUE``, of its runs, is named ``section.option=VALUE``."""
    of_runs, own = [], []
    words = iter(given)
    for word in words:
        name, equals, value = word.partition("=")
        if name.startswith("--") and "." in name:
            of_runs.append(f"{name[2:]}={value if equals else next(words, '')}")
        else:
            own.append(word)
    return [*of_runs, *own]


def _call(function: Callable[..., None], program: str, given: list[str]) -> None:
    """Call a function with the options on the command line.

    Of a bool, the option alone means true; a list's option is given once for each of its items;
    what ``*name`` takes is named without an option.
    """
    parser = ArgumentParser(prog=program, exit_on_error=False)
    parameters = inspect.signature(function).parameters
    repeated: set[str | int] = {n for n, p in parameters.items() if p.annotation == list[str]}
    parser.add_function_arguments(function, skip=repeated)
    documented = parse_docstring(function.__doc__ or "").params
    described = {each.arg_name: each.description for each in documented}
    for option in repeated:
        told = described[str(option)]
        parser.add_argument(f"--{option}", action="append", type=str, default=[], help=told)
    positional = None
    flags = set()
    for name, parameter in parameters.items():
        if parameter.kind is parameter.VAR_POSITIONAL:
            positional = name
            metavar = name.removesuffix("s").upper()
            parser.add_argument(
                name,
                nargs="*",
                type=parameter.annotation,
                metavar=metavar,
                default=[],
                help=described[name],
            )
        elif parameter.annotation is bool:
            flags.add(f"--{name}")
    spelled_out = [f"{word}=true" if word in flags else word for word in given]
    options = parser.parse_args(spelled_out).as_dict()
    function(*(options.pop(positional) if positional else ()), **options)
