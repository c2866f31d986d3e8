"""Checkpoint files that are whole, or aren't there."""

import io
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch.plugins import CheckpointIO

from charlm.checkpoint import read
from charlm.text.files import atomic_writer

# By this name Lightning hands the weights from the processes of ddp_spawn and ddp_notebook to theirs.
OF_LAUNCHER = ".temp.ckpt"


class WholeFiles(CheckpointIO):
    """Checkpoints that are written whole or not at all, and read only if they are undamaged."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        # In memory first: torch's writer tells a full disk by an assertion of its own.
        content = io.BytesIO()
        torch.save(checkpoint, content)
        with atomic_writer(Path(path)) as file:
            file.write(content.getbuffer())

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        if Path(path).name == OF_LAUNCHER:
            return cast(dict[str, Any], torch.load(path, weights_only=True))
        return read(Path(path))

    def remove_checkpoint(self, path: str | Path) -> None:
        Path(path).unlink(missing_ok=True)
