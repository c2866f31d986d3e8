"""``common.css`` and ``common.js``, which stand before a page's own, and JSON inside a script."""

import json
from pathlib import Path

FOLDER = Path(__file__).parent


def with_common(own: Path) -> str:
    """A page's own style or script, after what all pages share of its kind."""
    common = (FOLDER / f"common{own.suffix}").read_text(encoding="utf-8")
    return common + own.read_text(encoding="utf-8")


def json_in_html(value: object) -> str:
    """JSON that can stand in a script element: ``<`` would end it, or begin a comment.

    ASCII alone, so that nothing in a text ends a line.
    """
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")
