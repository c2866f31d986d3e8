"""The command line: charlm fit / validate / test / generate / score / inspect / serve / export / sweep.

``fit``, ``validate`` and ``test`` are Lightning's, and ``sweep`` has them run; the others take a
checkpoint alone, and don't import Lightning.
"""

import contextlib
import importlib
import inspect
import io
import os
import re
import sys
from argparse import ArgumentError, RawDescriptionHelpFormatter
from collections.abc import Callable

from docstring_parser import parse as parse_docstring
from jsonargparse import ArgumentParser, DefaultHelpFormatter

from charlm import __version__
from charlm.errors import Stopped, UserError, stopped_by_sigterm

# Its number; Windows has no such signal.
SIGPIPE = 13

TRAINER_COMMANDS = ("fit", "validate", "test")

# Each is a function of its own name in a module of its own name; its signature is its options.
CHECKPOINT_COMMANDS = ("generate", "score", "export", "inspect", "serve")

USAGE = """usage: charlm COMMAND [options]; `charlm COMMAND --help` lists them

  fit       train a model:            charlm fit --config rnn
  validate  on the validation text:   charlm validate --ckpt_path last
  test      on the test text:         charlm test --ckpt_path last
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
    for stream in ("stdout", "stderr"):
        if getattr(sys, stream) is None:  # closed by whoever started this
            setattr(sys, stream, io.StringIO())
    if command != "generate" and isinstance(sys.stdout, io.TextIOWrapper):
        # A character that the console can't show is shown by its number. What is generated is kept
        # as it is, or refused.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with stopped_by_sigterm():
            return _dispatch(command, given, arguments)
    except ArgumentError as mistake:
        reason = readable(" ".join(str(mistake).split()))
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
        # Who read the output has read enough, as head does.
        _write_no_more()
        return 128 + SIGPIPE
    except OSError as error:
        where = f" {error.filename}" if error.filename else " standard output"
        print(f"charlm: Can't read or write{where}: {error.strerror or error}.", file=sys.stderr)
        _write_no_more()
        return 1
    except KeyboardInterrupt:
        nothing = " before there was anything to save" if command == "fit" else ""
        print(f"charlm: Stopped by Ctrl-C{nothing}.", file=sys.stderr)
        return 130


def _dispatch(command: str, given: list[str], arguments: list[str] | None) -> int:
    """Do what a command is to do; the exit code."""
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
    return 0


def _write_no_more() -> None:
    """Leave standard output alone: not even what Python would write as it exits can be written."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


# What jsonargparse calls the kinds of values, as a user writes them.
KINDS = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "str": "a string",
    "list": "a list such as [1, 2]",
    "Sequence": "a list such as [1, 2]",
    "dict": 'names with values such as {"momentum": 0.9}',
    "NoneType": "null",
}


def readable(reason: str) -> str:
    """What jsonargparse says of a wrong option, without the names of Python's types.

    What isn't of a known form is left as it is.
    """
    if reason.endswith("expected one argument"):
        return f"{reason} (one that begins with - is given as --option=VALUE)"
    if linked := re.search(r"--> ([\w.]+): ", reason):
        return f"{linked[1]} is set by the text; leave it out"
    found = re.match(r'Parser key "([^"]+)": (.*?)(?:Got value|Given value): ?(.*)', reason)
    if not found:
        return reason
    option, told, value = found.groups()
    if of_class := re.search(r"Problem with given class_path '([^']+)': (.+?)(?: - |$)", told):
        return f"{option}: {of_class[1]}: {of_class[2].strip()}"
    if "dot import path" in told or "Import path does not correspond" in told:
        return f"{option} is {value}, and must be the path of a class that fits"
    expected = re.findall(
        r"Expected a (?:<class '(?:\w+\.)*(\w+)'>|typing\.Literal\[([^]]+)\])", told
    )
    kinds = list(dict.fromkeys(KINDS.get(kind, kind) or choices for kind, choices in expected))
    if not kinds:
        return reason
    return f"{option} is {value or 'empty'}, and must be {' or '.join(kinds)}"


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


class HelpFormatter(DefaultHelpFormatter, RawDescriptionHelpFormatter):
    """jsonargparse's, which leaves the lines of a description, and so its examples, as they are."""


def _call(function: Callable[..., None], program: str, given: list[str]) -> None:
    """Call a function with the options on the command line.

    A bool's option needs no value to mean true; a list's option is given once for each of its items;
    the values of ``*name`` are given without an option.
    """
    documented = parse_docstring(function.__doc__ or "")
    parser = ArgumentParser(
        prog=program,
        exit_on_error=False,
        description=documented.long_description,
        formatter_class=HelpFormatter,
    )
    parameters = inspect.signature(function).parameters
    repeated: set[str | int] = {n for n, p in parameters.items() if p.annotation == list[str]}
    parser.add_function_arguments(function, skip=repeated)
    described = {each.arg_name: each.description for each in documented.params}
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
