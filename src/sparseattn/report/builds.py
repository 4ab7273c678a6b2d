"""What the build at hand executed: page by page, its parameters, its runs, how long it took.

An executed notebook keeps its origin in its metadata (`report.book`). A page that reads the
origins of others sees those before it, which a build has executed by then, and is itself executed
again when one of them was.
"""

import json
import re
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pandas as pd

from sparseattn import paths
from sparseattn.experiments.adversaries import Adversaries, Adversary
from sparseattn.experiments.runs import Run, Store
from sparseattn.report.book import METADATA, executed_notebook, notebooks

_ENTRIES = ("parameters", "runs", "seconds", "date")


def pages(before: str) -> pd.DataFrame:
    """Return what the build executed so far.

    Parameters
    ----------
    before
        The notebook that asks; itself and those after it are left out.

    Returns
    -------
    DataFrame
        One row a page: ``notebook``, ``parameters`` (those that differ from its own), ``runs``
        (keys), ``seconds`` it took to execute, and the ``date`` it was. No rows outside a build.
    """
    found = [(name, _origin(name)) for name in notebooks() if name < before]
    rows = [
        {"notebook": name, **{entry: origin[entry] for entry in _ENTRIES}}
        for name, origin in found
        if set(_ENTRIES) <= set(origin)
    ]
    return pd.DataFrame(rows, columns=["notebook", *_ENTRIES])


def runs(executed: pd.DataFrame) -> dict[str, list[str]]:
    """Return the pages that rest on each run: key → notebooks.

    Parameters
    ----------
    executed
        Of `pages`.
    """
    behind: dict[str, list[str]] = {}
    for page in executed.to_dict("records"):
        for key in dict.fromkeys(page["runs"]):
            behind.setdefault(key, []).append(page["notebook"])
    return behind


def stored(keys: list[str]) -> list[Run | Adversary]:
    """Return those of some runs and adversaries that this machine's store holds, in this order."""
    runs, adversaries = Store(paths.store()), Adversaries(paths.store())
    found = (runs.get(key) or adversaries.get(key) for key in keys)
    return [one for one in found if one is not None]


def requirements() -> pd.DataFrame:
    """Return the packages the project asks for, in ``requirements.txt``, and those at hand.

    Returns
    -------
    DataFrame
        ``package``, ``pinned`` (its one version; None where several would do) and ``here``
        (None where it is not installed).
    """
    rows = []
    for line in (paths.root() / "requirements.txt").read_text(encoding="utf-8").splitlines():
        asked = line.partition("#")[0].strip()
        if asked:
            found = re.match(r"[A-Za-z0-9._-]+", asked)
            name = found.group() if found else asked
            exact = re.fullmatch(r"==([^\s,;]+)", asked.removeprefix(name).strip())
            rows.append(
                {"package": name, "pinned": exact and exact.group(1), "here": _installed(name)}
            )
    return pd.DataFrame(rows, columns=["package", "pinned", "here"])


def _installed(package: str) -> str | None:
    try:
        return version(package).partition("+")[0]  # torch's names the kind of machine, too
    except PackageNotFoundError:
        return None


def _origin(notebook: str) -> dict[str, Any]:
    try:
        text = executed_notebook(notebook).read_text(encoding="utf-8")
        return dict(json.loads(text)["metadata"][METADATA])
    except (OSError, KeyError, ValueError):
        return {}
