"""Named corpora: find, download, verify.

A corpus's file is looked for in the folder that ``CHARLM_DATA`` names, else in
``~/.cache/charlm``; if neither has it, it is downloaded to the first of the two that can be
written. Whether found or downloaded, it is used only if its checksum is the known one.
"""

import contextlib
import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from charlm.errors import UserError
from charlm.text.download import DownloadError, download
from charlm.text.files import atomic_writer, read_bytes, read_text


class CorpusUnavailable(UserError):
    """A corpus's file is not on this machine and cannot be downloaded now."""


@dataclass(frozen=True)
class Corpus:
    """What is known of a named corpus.

    Args:
        title: what it is, for a reader.
        file: name of its file in the data directory; None for what Python itself brings.
        url: where the file is published.
        sha1: SHA-1 (hexadecimal) of the file; if ``between_marks``, of the passage in UTF-8.
        between_marks: only the passage between Project Gutenberg's START and END marks is the
            corpus. Gutenberg re-issues its files with another header and licence, so the
            checksum is of the passage: all that is used is verified, and no more.
    """

    title: str
    file: str | None = None
    url: str | None = None
    sha1: str | None = None
    between_marks: bool = False


CORPORA = MappingProxyType(
    {
        "time-machine": Corpus(
            title="H. G. Wells, The Time Machine, as d2l.ai distributes it",
            file="timemachine.txt",
            url="http://d2l-data.s3-accelerate.amazonaws.com/timemachine.txt",
            sha1="090b5e7e70c295757f55df93cb0a180b9691891a",
        ),
        "war-of-the-worlds": Corpus(
            title="H. G. Wells, The War of the Worlds (Project Gutenberg #36)",
            file="pg36-the-war-of-the-worlds.txt",
            url="https://www.gutenberg.org/cache/epub/36/pg36.txt",
            sha1="48004e6672285a36842297f979c4694924a1d7d4",
            between_marks=True,
        ),
        "tiny-shakespeare": Corpus(
            title="40,000 lines of Shakespeare, as char-rnn distributes them",
            file="tinyshakespeare.txt",
            url="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
            sha1="04486597058d11dcc2c556b1d0433891eb639d2e",
        ),
        "python-docs": Corpus(
            title="Python's own manual (pydoc_data); its length differs between Python versions",
        ),
    }
)

_MARK = r"^[ \t]*\*\*\* ?%s OF TH(?:E|IS) PROJECT GUTENBERG EBOOK.*"
_PASSAGE = re.compile(f"{_MARK % 'START'}\\n((?s:.*?)){_MARK % 'END'}", re.MULTILINE)


def data_directory() -> Path:
    """The folder of the corpora: ``CHARLM_DATA``, else the cache."""
    return _directories()[0]


def cache_directory() -> Path:
    """The folder in the user's home that charlm may always write to."""
    return Path.home() / ".cache" / "charlm"


def _directories() -> list[Path]:
    named = os.environ.get("CHARLM_DATA")
    return [Path(named).expanduser(), cache_directory()] if named else [cache_directory()]


def writable_directory(directories: Sequence[Path]) -> Path:
    """The first of the directories that can be written, made if need be.

    Raises:
        UserError: none can.
    """
    for directory in directories:
        with contextlib.suppress(OSError):
            directory.mkdir(parents=True, exist_ok=True)
            # The superuser may write everywhere; a folder without any write permission is
            # read-only by intent.
            if os.access(directory, os.W_OK) and directory.stat().st_mode & 0o222:
                return directory
    raise UserError(
        f"Can't write to {' or '.join(map(str, directories))}: name a folder that can be written "
        "in the environment variable CHARLM_DATA."
    )


def describe(name: str) -> Corpus:
    """The description of a corpus.

    Raises:
        UserError: no corpus has this name.
    """
    if name not in CORPORA:
        raise UserError(
            f"Unknown corpus {name!r}: choose one of {', '.join(CORPORA)}, or give a file of your "
            "own with --data.path."
        )
    return CORPORA[name]


def locate(name: str) -> Path:
    """The verified file of a corpus, downloaded if need be.

    Raises:
        CorpusUnavailable: it is not here, and cannot be downloaded.
        UserError: no corpus has this name, it has no file, or its checksum is wrong.
    """
    corpus = describe(name)
    if corpus.file is None:
        raise UserError(f"The corpus {name} is part of Python, not a file: read it by its name.")
    for directory in _directories():
        path = directory / corpus.file
        if path.is_file():
            _verify(name, corpus, read_bytes(path), str(path))
            return path
    assert corpus.url is not None
    try:
        content = download(corpus.url, name)
    except DownloadError as error:
        raise CorpusUnavailable(
            f"The corpus {name} is not on this machine, and can't be downloaded from {corpus.url} "
            f"({error}): put its file {corpus.file} into {data_directory()}, or name the folder "
            "that has it in the environment variable CHARLM_DATA."
        ) from error
    _verify(name, corpus, content, f"what {corpus.url} sent")
    path = writable_directory(_directories()) / corpus.file
    # Whoever reads at the same time sees no file or a whole one; two writers write the same.
    with atomic_writer(path) as file:
        file.write(content)
    return path


def read_corpus(name: str) -> str:
    """The text of a corpus, newlines as "\\n".

    Raises:
        CorpusUnavailable, UserError: as ``locate``.
    """
    corpus = describe(name)
    if corpus.file is None:
        return _python_docs()
    text = read_text(locate(name))
    return _passage(text) if corpus.between_marks else text


def _passage(text: str) -> str:
    found = _PASSAGE.search(text)
    return found[1].strip() + "\n" if found else ""


def _verify(name: str, corpus: Corpus, content: bytes, source: str) -> None:
    """Raise UserError unless the content of a corpus's file has its checksum."""
    if corpus.between_marks:
        text = content.decode("utf-8", "replace").replace("\r\n", "\n")
        content = _passage(text).encode()
    sha1 = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    if sha1 != corpus.sha1:
        raise UserError(
            f"{source} is not the corpus {name}: its SHA-1 is {sha1} instead of {corpus.sha1}; "
            "remove or replace it, or train on it as a file of your own with --data.path."
        )


def _python_docs() -> str:
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise CorpusUnavailable(
            "This Python comes without its manual (the module pydoc_data.topics), which is the "
            "corpus python-docs: choose another one."
        ) from error
    return "\n".join(topics[topic] for topic in sorted(topics))
