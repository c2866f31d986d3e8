"""The shipped configurations, as package data: ``charlm fit --config rnn`` takes them by name."""

from pathlib import Path

from charlm.errors import UserError

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Of all shipped configurations."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def find(name: str) -> Path:
    """The file that ``--config`` names: one of the user's own, or a shipped one by its name.

    Raises:
        UserError: it is neither.
    """
    if Path(name).is_file():
        return Path(name)
    if name in names():
        return FOLDER / f"{name}.yaml"
    raise UserError(
        f"There is no configuration {name}: name a YAML file, or one of those that come with charlm: "
        f"{', '.join(names())}."
    )


def with_paths(arguments: list[str]) -> list[str]:
    """The arguments of a command line, where each ``--config`` has the path of its file.

    Raises:
        UserError: see ``find``.
    """
    found = list(arguments)
    for place, argument in enumerate(arguments):
        option, equals, value = argument.partition("=")
        if option not in ("-c", "--config"):
            continue
        if equals:
            found[place] = f"{option}={find(value)}"
        elif place + 1 < len(arguments):
            found[place + 1] = str(find(arguments[place + 1]))
    return found
