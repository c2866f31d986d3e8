"""A visible sign for every character."""

import unicodedata

_SIGNS = {" ": "␣", "\n": "↵", "\t": "⇥", "\x7f": "␡"}


def visible(symbol: str) -> str:
    """Something to see in place of a character that is seen badly or does something."""
    if symbol in _SIGNS:
        return _SIGNS[symbol]
    if ord(symbol[0]) < 32:
        return chr(0x2400 + ord(symbol))
    invisible = len(symbol) == 1 and unicodedata.category(symbol) in {
        "Cc", "Cf", "Cs", "Zl", "Zp",
    }  # fmt: skip
    return "▯" if invisible else symbol


def in_running_text(character: str) -> str:
    """The same within a text, where a space is a space and a newline ends a line."""
    if character == "\n":
        return "↵\n"
    return character if character == " " else visible(character)


def visible_name(name: str) -> str:
    """A file's or a model's name, in which nothing turns the words around it about."""
    return "".join(map(in_running_text, name))
