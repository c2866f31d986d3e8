"""A folder of files that appears whole or not at all."""

import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from charlm.errors import UserError
from charlm.text.files import atomic_writer


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder that doesn't exist yet, or is empty.

    Raises:
        UserError: it is there already, or can't be written.
    """
    refuse_existing(folder)
    # Beside it, to be renamed: on the same disk, and never seen half-written.
    target = Path(os.path.abspath(folder))
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.part")
    try:
        for name, written in files.items():
            with atomic_writer(temporary / name) as file:
                file.write(written)
        if target.is_dir():
            target.rmdir()  # an empty one, onto which Windows renames nothing
        os.rename(temporary, target)
    except OSError as error:
        refuse_existing(folder)  # it may have appeared meanwhile
        raise UserError(f"Can't write {folder}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def refuse_existing(folder: Path) -> None:
    """Raise a UserError for a folder with something in it, or a file of that name."""
    try:
        is_free = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    except OSError as error:
        raise UserError(f"Can't read {folder}: {error.strerror or error}.") from error
    if not is_free:
        raise UserError(f"{folder} is there already: name a folder that isn't, or an empty one.")
