"""Configurations that several questions share: each is run once."""

from scripts.report.tasks import Variant

BASE = Variant("rnn-128")
RANDOM = Variant("rnn-128-random", {"data.sampling": "random"})

# Deep and gated networks: they leave the book's initial plateau late, and Adam takes them off it.
ADAM = {
    "model.optimizer": "torch.optim.Adam",
    "model.learning_rate": 0.005,
    "model.initialisation": "uniform",
}
ADAM_SHARE = 0.4


def small(cell: str, layers: int = 1, **options: object) -> Variant:
    """Layers of 64 units, trained by Adam for two fifths of the epochs."""
    return Variant(
        "-".join([cell, *["64"] * layers, *(str(value) for value in options.values())]),
        {
            **ADAM,
            "model.cell": cell,
            "model.hidden_sizes": [64] * layers,
            **{f"model.{name}": value for name, value in options.items()},
        },
        ADAM_SHARE,
    )
