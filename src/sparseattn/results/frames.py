"""Names of cells, and the measurements of many runs in one frame.

A *cell* is what the report compares: a task, an encoder, an alignment and a projection with its
sparsity. Runs of one cell differ in their seed alone.
"""

from collections.abc import Iterable

import pandas as pd

from sparseattn.experiments.runs import Run
from sparseattn.wording import label, projection_name


def cell(run: Run) -> dict[str, object]:
    """Return the columns that name a run: its cell, seed and key."""
    spec = run.spec
    named = {
        "key": run.key,
        "task": run.manifest["task"]["name"],
        "encoder": spec.encoder,
        "alignment": spec.alignment,
        "projection": spec.projection,
        "lam": spec.lam,
        "alpha": spec.alpha,
        "seed": spec.seed,
        "sparsity": projection_name(spec),
    }
    return {**named, "classifier": f"{label(spec.encoder)}, {label(spec.alignment)}"}


def measurements(runs: Iterable[Run]) -> pd.DataFrame:
    """Return the measurements of several runs: one row a run and document.

    Parameters
    ----------
    runs
        Any number of runs.

    Returns
    -------
    DataFrame
        The columns of `cell`; ``document``, which counts the observed documents from 0 and means
        the same document in every run of a task; and those of `measures.per_document.measure`.
    """
    parts = [run.measurements().reset_index().assign(**cell(run)) for run in runs]
    if not parts:
        return pd.DataFrame(columns=["key", "task", "classifier", "seed", "document"])
    frame = pd.concat(parts, ignore_index=True)
    # A λ or α no run has would be a column of objects.
    frame["lam"] = frame["lam"].astype("float64")
    first = [name for name in (*cell_columns(), "document") if name in frame]
    return frame[[*first, *(name for name in frame if name not in first)]]


def cell_columns() -> list[str]:
    """Return the names of the columns of `cell`, in order."""
    return [
        *("key", "task", "encoder", "alignment", "projection", "lam", "alpha", "seed"),
        *("sparsity", "classifier"),
    ]
