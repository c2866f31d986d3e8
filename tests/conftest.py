"""What several test files share."""

import os
import signal
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from charlm.text.corpora import CorpusUnavailable, read_corpus

# A busy machine is no reason to fail.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# A shell starts its background jobs with Ctrl-C ignored, and their children inherit that; the
# tests of Ctrl-C are about what everyone else has.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs a card, or POSIX, where there is none."""
    for marker, is_there in (("gpu", torch.cuda.is_available()), ("posix", os.name == "posix")):
        needing_it = [item for item in items if item.get_closest_marker(marker)]
        if needing_it and not is_there:
            config.hook.pytest_deselected(items=needing_it)
            items[:] = [item for item in items if not item.get_closest_marker(marker)]


@pytest.fixture(scope="session")
def novel() -> str:
    """The Time Machine as the book distributes it: from CHARLM_DATA, the cache or the network."""
    try:
        return read_corpus("time-machine")
    except CorpusUnavailable as unavailable:
        pytest.skip(str(unavailable))


@pytest.fixture(scope="session")
def checkpoint(novel: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``last.ckpt`` of a run of debug.yaml."""
    from helpers.running import CONFIGS, charlm

    folder = tmp_path_factory.mktemp("trained")
    options = ("--config", CONFIGS / "debug.yaml", "--trainer.default_root_dir", folder)
    outcome = charlm("fit", *options)
    assert outcome.code == 0, outcome.err
    return folder / "lightning_logs" / "version_0" / "checkpoints" / "last.ckpt"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home that doesn't exist yet, and no CHARLM_DATA."""
    for name in ("HOME", "USERPROFILE"):  # Windows has the second
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.delenv("CHARLM_DATA", raising=False)
    return tmp_path / "home"


@pytest.fixture
def cache(home: Path) -> Path:
    """Where charlm keeps its files in that home."""
    return home / ".cache" / "charlm"
