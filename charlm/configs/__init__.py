"""The shipped configurations, as package data: ``FOLDER / "rnn.yaml"``."""

from pathlib import Path

FOLDER = Path(__file__).parent
