"""The layering of the package: a file imports only from below, read from the source with ``ast``."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "charlm"

# One tuple a floor, lowest first; within a floor a module may import those listed before it.
FLOORS: tuple[tuple[str, ...], ...] = (
    (
        "errors",
        "normalisation",
        "vocabulary",
        "files",
        "download",
        "corpora",
        "encoded",
        "trained_on",
        "baselines",
        "reference.cells",
        "reference.through_time",
        "reference.language_model",
        "reference",
    ),
    ("cells", "exchange", "batching"),
    (
        "recurrence.precision",
        "recurrence.eager",
        "recurrence.activations",
        "recurrence.products",
        "recurrence.buffers",
        "recurrence.bptt_rnn",
        "recurrence.bptt_gru",
        "recurrence.bptt_lstm",
        "recurrence.bptt",
        "recurrence.library",
        "recurrence",
    ),
    (
        "model",
        "truncation",
        "checkpoint",
        "row_products",
        "stepping",
        "choosing",
        "contexts",
        "lanes",
        "beams",
        "generation",
        "scoring",
        "page",
        "heatmap",
        "onnx_step",
        "export",
    ),
    (
        "data",
        "callbacks",
        "gradient_flow",
        "changes",
        "positions",
        "resuming",
        "stopping",
        "saving",
        "module",
    ),
    (
        "commands",
        "commands.generate",
        "commands.score",
        "commands.export",
        "runs",
        "options",
        "failures",
        "training",
        "cli",
        "__main__",
    ),
)
ORDER = [module for floor in FLOORS for module in floor]
# What a floor may not load: torch is slow to import, and Lightning slower.
FORBIDDEN = {
    0: {"torch", "lightning", "torchmetrics"},
    1: {"lightning"},
    2: {"lightning"},
    3: {"lightning"},
}


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def in_reference(module: str) -> bool:
    return module.split(".")[0] == "reference"


def imported(path: Path) -> set[str]:
    """Every module that a file imports, at its top level or inside a function."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: import by full name"
            assert node.module is not None
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                is_module = full.startswith("charlm.") and full.removeprefix("charlm.") in ORDER
                names.add(full if is_module else node.module)
    return names


FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_a_file_imports_only_from_below(path: Path) -> None:
    name = module_name(path)
    assert name in ORDER, f"{name} has no floor: give it one here"
    floor = next(number for number, modules in enumerate(FLOORS) if name in modules)
    for other in imported(path):
        root = other.split(".")[0]
        assert root != "scripts", f"{name} imports {other}"
        assert root not in FORBIDDEN.get(floor, set()), f"{name} imports {other}"
        if root == "charlm" and other != "charlm":
            below = other.removeprefix("charlm.")
            assert ORDER.index(below) < ORDER.index(name), f"{name} imports {other}, above it"
            assert in_reference(below) == in_reference(name), (
                f"{name} imports {other}: the reference shares no code with what it judges"
            )


def test_every_listed_module_that_exists_is_checked() -> None:
    assert {module_name(path) for path in FILES} <= set(ORDER)
