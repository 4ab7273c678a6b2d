"""Published measurements: numbers a document, with their origin, in ``book/results``.

    TASK/task.json      the task: fingerprint, splits, deviations, a hash for each observed document
    TASK/KEY.json       a run's origin, and its scores on the whole splits
    TASK/KEY.parquet    its measurements, one row a number: quantity, document, value
    TASK/adversaries/   the same two files of each adversary, over the whole test split

A run is two files under its own name. So what was measured in several batches or on several
machines joins when the files lie together, and git never has to merge one. There is no text.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sparseattn import paths
from sparseattn.errors import UserError, validate
from sparseattn.experiments.adversaries import Adversary, stored_spec
from sparseattn.experiments.adversaries import measurements as adversary_measurements
from sparseattn.experiments.runs import Run, Spec
from sparseattn.experiments.store import Kept
from sparseattn.results import frames
from sparseattn.results.parquet import (
    ADVERSARIES,
    TASK,
    known_quantities,
    read_json,
    read_records,
    read_values,
)
from sparseattn.wording import label, sparsity_rank

TOLERANCE = 0.01
"""Largest difference between two makings of one run, see `compare`."""
PLACE = ("task", "encoder", "alignment", "projection", "lam", "alpha", "seed")
LEDGER = (
    "key", *PLACE, "classifier", "observed", "accuracy", "auc", "dev_accuracy", "dev_auc",
    "best_epoch", "train", "evaluate", "importance", "influence", "cpu_seconds", "device",
    "processor", "gpu", "commit", "date", "versions", "fingerprint", "state",
)  # fmt: skip


class Published(Run):
    """A run of which measurements and origin are published: no traces, no weights."""

    def _read(self, name: str) -> bytes:
        raise UserError(
            f"Of run {self.key} only the measurements are published, not its {name}. With the data "
            f"at hand 'sparseattn recompute {self.key}' makes it again from its settings."
        )

    @property
    def _measured(self) -> pd.DataFrame:
        return read_values(self.path, self.manifest)


class PublishedAdversary(Adversary):
    """An adversary of which measurements and origin are published: no traces, no curve."""

    def _read(self, name: str) -> bytes:
        raise UserError(
            f"Of adversary {self.key} only the measurements are published, not its {name}. With "
            "the data at hand 'sparseattn adversary' makes it again from its settings."
        )

    @property
    def _measured(self) -> pd.DataFrame:
        return read_values(self.path, self.manifest)


def runs(tasks: Sequence[str] | None = None, folder: Path | None = None) -> list[Published]:
    """Return the published runs, ordered by task, encoder, alignment, sparsity and seed.

    Parameters
    ----------
    tasks
        Their names; all by default.
    folder
        ``book/results`` by default; it need not exist.

    Raises
    ------
    UserError
        For a damaged file, or two runs of the same place (task, …, seed).
    """
    folder = paths.results() if folder is None else folder
    found = []
    places: dict[tuple[object, ...], str] = {}
    for path, record in read_records(folder, tasks):
        run = Published(validate(Spec, record["spec"]), record["key"], path, record)
        other = places.setdefault(place(run.spec), run.key)
        if other != run.key:
            raise UserError(
                f"Runs {other} and {run.key} are both published of {in_words(run)}, perhaps by two "
                "machines with different settings: remove the files of one of them."
            )
        found.append(run)
    return sorted(found, key=lambda run: _order(run.spec))


def measurements(tasks: Sequence[str] | None = None, folder: Path | None = None) -> pd.DataFrame:
    """Return the published measurements, as `results.frames.measurements` would.

    Returns
    -------
    DataFrame
        One row for each run and document; without rows, but with the columns, when nothing is
        published.
    """
    found = runs(tasks, folder)
    if found:
        return frames.measurements(found)
    quantities = known_quantities()
    numbers = dict.fromkeys(("lam", *quantities), "float64")
    columns = [*frames.cell_columns(), "document", *quantities]
    return pd.DataFrame(columns=columns).astype({**numbers, "seed": "int64", "document": "int64"})


def adversary_runs(
    tasks: Sequence[str] | None = None, folder: Path | None = None
) -> list[PublishedAdversary]:
    """Return the published adversaries, in the order of their base runs; see `runs`."""
    folder = paths.results() if folder is None else folder
    found = [
        PublishedAdversary(stored_spec(record["spec"]), record["key"], path, record)
        for path, record in read_records(folder, tasks, ADVERSARIES)
    ]
    return sorted(found, key=lambda one: (*_order(one.spec.base), *adversary_place(one)[-2:]))


def adversaries(tasks: Sequence[str] | None = None, folder: Path | None = None) -> pd.DataFrame:
    """Return the published adversaries' measurements.

    Returns
    -------
    DataFrame
        One row for each adversary and document of the test split, see
        `experiments.adversaries.measurements`; without rows when nothing is published.
    """
    return adversary_measurements(adversary_runs(tasks, folder))


def ledger(tasks: Sequence[str] | None = None, folder: Path | None = None) -> pd.DataFrame:
    """Return what is published, one row a run.

    Returns
    -------
    DataFrame
        The columns of `experiments.runs.Store.ledger`, of which ``accuracy`` and ``auc`` are on the
        whole test split; and ``classifier`` in words, ``dev_accuracy``, ``dev_auc``,
        ``best_epoch``, ``cpu_seconds`` (NaN where unknown), ``processor``, ``gpu``,
        ``commit``, and ``fingerprint`` of the data.
        ``state`` is ``current``, or ``outdated`` when the stages have newer versions now.
    """
    rows = [entry(run) for run in runs(tasks, folder)]
    frame = pd.DataFrame(rows, columns=list(LEDGER))
    return frame.astype(dict.fromkeys(("lam", "accuracy", "auc", "cpu_seconds"), "float64"))


def entry(run: Run) -> dict[str, Any]:
    """Return a run's row in the ledger, see `ledger`; all of its settings are in it, too."""
    manifest = run.manifest
    current = manifest["versions"] == run.spec.versions()
    return {
        **run.spec.model_dump(),
        **frames.cell(run),
        **manifest["seconds"],
        **{name: manifest[name] for name in ("accuracy", "auc", "best_epoch", "device")},
        **{f"dev_{name}": manifest["dev"][name] for name in ("accuracy", "auc")},
        **{name: manifest["hardware"][name] for name in ("processor", "gpu")},
        "cpu_seconds": manifest.get("cpu_seconds"),
        "commit": manifest["code"]["commit"],
        "date": manifest["date"],
        "versions": " ".join(f"{name}={n}" for name, n in manifest["versions"].items()),
        "fingerprint": manifest["task"]["fingerprint"],
        "state": "current" if current else "outdated",
    }


def tasks(folder: Path | None = None) -> dict[str, dict[str, Any]]:
    """Return what is known of the published tasks, by name.

    Returns
    -------
    dict
        ``name``, ``fingerprint``, ``splits`` and ``deviations`` as of `data.tasks.Task`;
        ``vocabulary``, how many words and markers have a vector (not in files of old); and
        ``documents``: eight digits that identify each observed document, in the order of the
        measurements, to those who have the data.
    """
    folder = paths.results() if folder is None else folder
    entries = ("fingerprint", "splits", "deviations", "documents")
    return {file.parent.name: read_json(file, entries) for file in sorted(folder.glob(f"*/{TASK}"))}


def compare(given: Iterable[Run], folder: Path | None = None) -> pd.DataFrame:
    """Hold runs against their published selves.

    Returns
    -------
    DataFrame
        One row for each run that is published and each quantity: ``key``, ``quantity``, the means
        over documents ``published`` and ``here``, their ``difference``

            Σ_d |x_d − y_d| / Σ_d max(|x_d|, |y_d|),

        0 when all documents agree and 1 when nothing does (an undefined value counts as 0), and
        whether it ``agrees``: the difference is at most `TOLERANCE`. ``accuracy`` and ``auc`` on
        the whole test split are compared likewise.
    """
    return _compared(given, runs(folder=folder), ("accuracy", "auc"))


def compare_adversaries(given: Iterable[Adversary], folder: Path | None = None) -> pd.DataFrame:
    """Hold adversaries against their published selves, as `compare` does runs."""
    return _compared(given, adversary_runs(folder=folder), ("accuracy", "jsd"))


def _compared(
    given: Iterable[Run] | Iterable[Adversary],
    known: Iterable[Run] | Iterable[Adversary],
    whole: Sequence[str],
) -> pd.DataFrame:
    before = {one.key: one for one in known}
    rows = []
    for one in given:
        if (published := before.get(one.key)) is None:
            continue
        theirs, ours = published.measurements(), one.measurements()
        sides = {name: (theirs[name], ours[name]) for name in ours if name in theirs}
        for name in whole:
            values = published.manifest[name], one.manifest[name]
            sides[name] = (
                pd.Series([values[0]], dtype=float),
                pd.Series([values[1]], dtype=float),
            )
        rows += [
            {
                "key": one.key,
                "quantity": name,
                "published": then.mean(),
                "here": now.mean(),
                "difference": difference(then.to_numpy(), now.to_numpy()),
            }
            for name, (then, now) in sides.items()
        ]
    columns = ["key", "quantity", "published", "here", "difference"]
    frame = pd.DataFrame(rows, columns=columns).astype({"difference": "float64"})
    return frame.assign(agrees=frame["difference"] <= TOLERANCE)


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """Return how far two makings of one quantity are apart, from 0 to 1; see `compare`."""
    if one.shape != other.shape:
        return 1.0
    one, other = np.nan_to_num(one), np.nan_to_num(other)
    whole = np.maximum(abs(one), abs(other)).sum()
    return float(abs(one - other).sum() / whole) if whole else 0.0


def place(spec: Spec) -> tuple[object, ...]:
    """Return what sets a run apart on a page; of two runs at one place only one can be shown."""
    values = spec.model_dump(include=set(PLACE))
    return tuple(values[name] for name in PLACE)


def adversary_place(one: Adversary) -> tuple[object, ...]:
    """Return what sets an adversary apart on a page: its base's place, the variant and λ_adv."""
    return (*place(one.spec.base), one.spec.variant, one.spec.pressure)


def _order(spec: Spec) -> tuple[Any, ...]:
    sparsity = (sparsity_rank(spec.projection, spec.lam), str(spec.alpha))
    return (spec.task, spec.encoder, spec.alignment, *sparsity, spec.seed)


def in_words(run: Kept[Any]) -> str:
    """Return the task, classifier and seed of a run or an adversary as people write them."""
    return f"{label(run.spec.task)}, {run.label}, seed {run.spec.seed}"
