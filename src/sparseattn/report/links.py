"""Addresses of runs in the ledger: of one of them, or of a choice.

``11-ledger.html#KEY`` leads to a run, ``11-ledger.html#task=sst&lam=-10`` to those chosen. Both
work from a file, without a server; without a script the second shows the whole table.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

PAGE = "11-ledger"
CHOICES = ("task", "encoder", "alignment", "projection", "lam", "seed", "kind", "page")
"""By what results can be chosen: ``kind`` as in `results.frames.KINDS`, ``page`` rests on them."""
ANY = "any"
"""In place of a λ: all runs that have one."""


def to_run(key: str) -> str:
    """Return the address of a run."""
    return f"{PAGE}.html#{key}"


def to_runs(**choice: object) -> str:
    """Return the address of the runs with some values of `CHOICES`.

    A missing value (None, NaN) is no choice; without any, the address is that of all runs.
    """
    unknown = sorted(set(choice) - set(CHOICES))
    if unknown:
        raise ValueError(f"Runs are not chosen by {', '.join(unknown)}.")
    # None and NaN are the values that differ from themselves, or are None.
    chosen = {name: one for name, one in choice.items() if one is not None and one == one}
    fragment = "&".join(f"{name}={quote(written(value))}" for name, value in chosen.items())
    return f"{PAGE}.html#{fragment}" if fragment else f"{PAGE}.html"


def behind_figure(row: Mapping[str, Any]) -> str | None:
    """Return the address of the runs behind our value of one of the paper's figures.

    From a row of `verdicts.replication.replicate`; None where no run is behind it: sizes of a data
    set, figures not measured.
    """
    if not row["runs"]:
        return None
    cell = {name: row[name] for name in ("task", "encoder", "alignment", "projection", "lam")}
    if row["item"] == "Table 2":  # a correlation with λ
        cell["lam"] = ANY
    elif row["item"] in ("Table 3", "Table 5"):  # accuracies, here under softmax
        cell["projection"] = "softmax"
    kind = row["adversary"] if isinstance(row["adversary"], str) else "run"
    return to_runs(**cell, kind=kind)


def written(value: object) -> str:
    """Return a value as addresses and the ledger's filters write it: ``-10`` for −10.0."""
    return f"{value:g}" if isinstance(value, int | float) else str(value)
