"""What a user installs: the wheel works without a checkout, and the source distribution's tests run."""

import email.policy
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from email.parser import BytesParser
from pathlib import Path

import pytest
from helpers.documents import ROOT, links

import charlm

# Beside the repository's own files: what tools leave in a checkout.
LEFT_OVER = shutil.ignore_patterns(
    ".git",
    ".venv",
    ".*_cache",
    ".hypothesis",
    "__pycache__",
    "*.egg-info",
    "build",
    "dist",
    "version_*",
)
SCRIPTS = "Scripts" if os.name == "nt" else "bin"


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_file_of_the_package_goes_into_the_wheel() -> None:
    """Configurations, templates, styles: what isn't Python is named in package-data."""
    patterns = project()["tool"]["setuptools"]["package-data"]["charlm"]
    named = {path for pattern in patterns for path in (ROOT / "charlm").glob(pattern)}
    files = [path for path in (ROOT / "charlm").rglob("*") if path.is_file()]
    others = {path for path in files if path.suffix not in (".py", ".pyc", ".md")}
    assert len(others) > 10
    assert others == named
    folders = {path.parent for path in files if path.suffix == ".py"}
    assert all((folder / "__init__.py").exists() for folder in folders)


def test_the_page_on_a_package_index_points_to_nothing_relative() -> None:
    page = project()["project"]["readme"]
    assert links(page)
    assert all(link.startswith("https://") for link in links(page))


def test_the_core_can_do_without_pictures() -> None:
    core = " ".join(project()["project"]["dependencies"])
    assert "matplotlib" not in core
    # But for the one picture that is drawn where it is there.
    sources = set((ROOT / "charlm").rglob("*.py")) - {ROOT / "charlm" / "sweep" / "outcome.py"}
    assert not any("matplotlib" in path.read_text(encoding="utf-8") for path in sources)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("built")
    checkout = shutil.copytree(ROOT, folder / "checkout", ignore=LEFT_OVER)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder)]
    run = subprocess.run([*command, str(checkout)], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    return folder


@pytest.fixture(scope="module")
def environment(built: Path) -> Path:
    """The programs' folder of a new environment: the wheel, over this one's dependencies."""
    folder = built / "environment"
    venv.create(folder, with_pip=True)
    programs = folder / SCRIPTS
    python = str(programs / "python")
    # Without what this environment's own .pth files add: an editable charlm.
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = subprocess.run([python, "-c", where], capture_output=True, text=True, check=True)
    (Path(site.stdout.strip()) / "dependencies.pth").write_text(
        sysconfig.get_path("purelib"), encoding="utf-8"
    )
    (wheel,) = built.glob("*.whl")
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, env=alone())
    return programs


def alone() -> dict[str, str]:
    """The environment variables of someone who has no checkout."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


@pytest.mark.slow
def test_the_metadata_is_what_an_index_shows(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (name,) = [name for name in names if name.endswith("METADATA")]
        metadata = BytesParser(policy=email.policy.compat32).parsebytes(archive.read(name))
    assert {"charlm/py.typed", "charlm/configs/rnn.yaml"} <= set(names)
    assert {name.split("/")[0] for name in names} == {
        "charlm",
        f"charlm-{charlm.__version__}.dist-info",
    }
    assert metadata["Version"] == charlm.__version__
    assert metadata["License-Expression"] == "MIT"
    assert "Programming Language :: Python :: 3.14" in metadata.get_all("Classifier", [])
    assert metadata["Project-URL"].split(", ")[1].startswith("https://")
    assert metadata["Keywords"]
    assert metadata["Description-Content-Type"] == "text/markdown"


@pytest.mark.slow
@pytest.mark.usefixtures("novel")
def test_a_user_of_the_wheel_trains_generates_and_scores(environment: Path, tmp_path: Path) -> None:
    def run(*command: str) -> str:
        command = (str(environment / command[0]), *command[1:])
        done = subprocess.run(command, cwd=tmp_path, env=alone(), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = run("python", "-c", "import charlm; print(charlm.__file__)")
    assert Path(where.strip()).is_relative_to(environment.parent)
    assert run("charlm", "--version") == f"charlm {charlm.__version__}\n"
    run("charlm", "fit", "--config", "debug", "--trainer.max_epochs", "2")
    text = run("charlm", "generate", "--prefix", "time traveller", "--num_chars", "20")
    assert len(text) == len("time traveller") + 20 + 1
    (tmp_path / "text.txt").write_text(
        "for so it will be convenient to speak of him\n", encoding="utf-8"
    )
    checkpoint = ("--checkpoint", "lightning_logs/version_0/checkpoints/last.ckpt")
    run("charlm", "score", "text.txt", *checkpoint, "--html", "page.html")
    assert "<style" in (tmp_path / "page.html").read_text(encoding="utf-8")
    run("charlm", "export", *checkpoint, "--output", "exported")
    run("python", "-m", "charlm", "generate", "--checkpoint", "exported", "--num_chars", "1")


@pytest.fixture
def unpacked(built: Path, tmp_path: Path) -> Path:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as content:
        # Before Python 3.11.4 there is no filter, and from 3.12 to 3.13 a warning without one.
        content.extractall(
            tmp_path, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {})
        )
    (folder,) = tmp_path.iterdir()
    return folder


@pytest.mark.slow
@pytest.mark.usefixtures("novel")
def test_the_tests_of_the_source_distribution_run(unpacked: Path) -> None:
    """All of them are found, with their helpers and the programs they look into; some are run."""
    for options in (
        ["--collect-only", "tests"],
        ["tests/test_model.py", "tests/test_habits.py", "tests/test_makefile.py"],
        ["tests/test_readme.py", "-k", "map or decision or points"],
    ):
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options]
        run = subprocess.run(command, cwd=unpacked, env=alone(), capture_output=True, text=True)
        assert run.returncode == 0, run.stdout[-3000:] + run.stderr
