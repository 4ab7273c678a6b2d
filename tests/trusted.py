"""What the slow suite found, kept for the page on reproducibility.

Ordinary runs try a few of each; with ``SPARSEATTN_TRUST=1`` (``make trust``) many, and each test
writes how many it tried, and in how many something was lost, to ``book/trust/NAME.json``.
"""

import json
import os
from collections.abc import Mapping
from typing import TypeVar

from sparseattn import paths

T = TypeVar("T")
THOROUGH = os.environ.get("SPARSEATTN_TRUST") == "1"


def times(few: T, many: T) -> T:
    """What, or how often, to try: `many` in the slow suite."""
    return many if THOROUGH else few


def record(name: str, what: str, tried: int, lost: int, command: str = "make trust") -> None:
    """Keep a row of the page's table: what was done, how often, how often something was lost."""
    keep(name, {"what": what, "tried": tried, "lost": lost, "command": command})


def keep(name: str, values: Mapping[str, str | float]) -> None:
    """Keep what was measured, in the slow suite."""
    if THOROUGH:
        file = paths.book() / "trust" / f"{name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(dict(values), indent=1) + "\n", encoding="utf-8")
