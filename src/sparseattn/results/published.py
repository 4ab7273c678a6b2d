"""Published measurements: numbers a document, with their origin, in ``book/results``.

    TASK/task.json      the task: fingerprint, splits, deviations, a hash for each observed document
    TASK/KEY.json       a run's origin, and its scores on the whole splits
    TASK/KEY.parquet    its measurements, one row a number: quantity, document, value
    TASK/adversaries/   the same two files of each adversary, over the whole test split
    TASK/examinations/  the same two files of each run that was examined
    TASK/jacobian/      the same two files of each run whose whole Jacobians were taken

A run is two files under its own name. So what was measured in several batches or on several
machines joins when the files lie together, and git never has to merge one. There is no text.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd

from sparseattn import paths
from sparseattn.errors import UserError
from sparseattn.experiments.runs import Adversary, Examination, Result, Run
from sparseattn.experiments.specs import AdversarySpec, AnySpec, ExaminationSpec, Spec, stored_spec
from sparseattn.models.pretrained import PRETRAINED
from sparseattn.results import frames, parquet
from sparseattn.results.frames import AGAINST, PLACE, cell
from sparseattn.wording import label, sparsity_rank

TOLERANCE = 0.01
"""Largest difference between two makings of one run, see `against_published`."""


class _Measured:
    """Of a result only measurements and origin are published: no traces, no weights."""

    key: str
    path: Path
    manifest: dict[str, Any]
    _again = "recompute {}"  # the command that makes it again, of its key

    def _read(self, name: str, parse: Callable[[bytes], Any]) -> NoReturn:
        raise UserError(
            f"Of {self.key} only the measurements are published, not its {name}. With the data at "
            f"hand 'sparseattn {self._again.format(self.key)}' makes it again from its settings."
        )

    @property
    def _measured(self) -> pd.DataFrame:
        return parquet.read_values(self.path, self.manifest)


class Published(_Measured, Run):
    """A published run."""


class PublishedAdversary(_Measured, Adversary):
    """A published adversary."""

    _again = "adversary"


class PublishedExamination(_Measured, Examination):
    """A published examination."""

    _again = "examine"


@dataclass(eq=False)
class Compared(Published):
    """A run of which the norms of whole Jacobians were measured (`results.jacobians`)."""

    given: pd.DataFrame | None = None

    @property
    def _measured(self) -> pd.DataFrame:
        return super()._measured if self.given is None else self.given


_MADE: dict[parquet.Kind, tuple[Any, str]] = {
    parquet.RUNS: (Published, Spec.KIND),
    parquet.ADVERSARIES: (PublishedAdversary, AdversarySpec.KIND),
    parquet.JACOBIANS: (Compared, Spec.KIND),
    parquet.EXAMINATIONS: (PublishedExamination, ExaminationSpec.KIND),
}


def kind_of(result: Result) -> parquet.Kind:
    """Return which kind of files a result is published in."""
    if isinstance(result, Adversary):
        return parquet.ADVERSARIES
    if isinstance(result, Examination):
        return parquet.EXAMINATIONS
    return parquet.JACOBIANS if isinstance(result, Compared) else parquet.RUNS


def runs(
    tasks: Sequence[str] | None = None, folder: Path | None = None, pretrained: bool | None = False
) -> list[Published]:
    """Return the published runs of some tasks, or all, by task, encoder, alignment, sparsity, seed.

    Those of `pretrained` encoders, which have a page of their own, are left out; True returns them
    alone, None all. A UserError for a damaged file, or two runs of the same place (task, …, seed).
    """
    return of_kind(parquet.RUNS, tasks, folder, pretrained)


def comparisons(tasks: Sequence[str] | None = None, folder: Path | None = None) -> list[Compared]:
    """Return the published comparisons of norms, of runs that are published themselves."""
    return of_kind(parquet.JACOBIANS, tasks, folder)


def adversaries(
    tasks: Sequence[str] | None = None, folder: Path | None = None
) -> list[PublishedAdversary]:
    """Return the published adversaries; see `of_kind`."""
    return of_kind(parquet.ADVERSARIES, tasks, folder)


def examinations(
    tasks: Sequence[str] | None = None, folder: Path | None = None, pretrained: bool | None = False
) -> list[PublishedExamination]:
    """Return the published examinations; see `runs`."""
    return of_kind(parquet.EXAMINATIONS, tasks, folder, pretrained)


def ledger(tasks: Sequence[str] | None = None, folder: Path | None = None) -> pd.DataFrame:
    """Return which runs are published, one row each; see `results.frames.ledger`."""
    return frames.ledger(runs(tasks, folder))


def tasks(folder: Path | None = None, examined: bool = False) -> dict[str, dict[str, Any]]:
    """Return what is known of the tasks of published runs, by name.

    ``name``, ``fingerprint``, ``splits`` and ``deviations`` as of `data.tasks.Task`;
    ``vocabulary``, how many words and markers have a vector (not in files of old); and
    ``documents``: eight digits that identify each observed document, in the order of the
    measurements, to those who have the data. With `examined`, of those, too, of which only
    examinations are published.
    """
    entries = ("fingerprint", "splits", "deviations", "documents")
    files = [
        file
        for file in sorted(_folder(folder).glob(f"*/{parquet.TASK}"))
        if examined or any(file.parent.glob("*.parquet"))
    ]
    return {file.parent.name: parquet.read_json(file, entries) for file in files}


def against_published(given: Iterable[Result], folder: Path | None = None) -> pd.DataFrame:
    """Hold results of one kind against their published selves.

    One row for each result that is published by the same versions, and each quantity: ``key``,
    ``quantity``, the means over documents ``published`` and ``here``, their ``difference``

        Σ_d |x_d − y_d| / Σ_d max(|x_d|, |y_d|)

    over the documents of both, 0 when all agree and 1 when nothing does (an undefined value counts
    as 0), and whether it ``agrees``: the difference is at most `TOLERANCE`. The scores on the whole
    test split are compared likewise.
    """
    given = list(given)
    before = {one.key: one for one in of_kind(kind_of(given[0]), folder=folder)} if given else {}
    rows = []
    for one in given:
        known = before.get(one.key)
        if known is None or known.manifest["versions"] != one.manifest["versions"]:
            continue
        theirs, ours = known.measurements(), one.measurements()
        sides = {name: (theirs[name], ours[name]) for name in ours if name in theirs}
        for name in kind_of(one).scores:
            values = known.manifest[name], one.manifest[name]
            sides[name] = pd.Series(values[:1], dtype=float), pd.Series(values[1:], dtype=float)
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


def of_kind(
    kind: parquet.Kind, tasks: Sequence[str] | None = None, folder: Path | None = None,
    pretrained: bool | None = None,
) -> list[Any]:  # fmt: skip
    """Return the published results of a kind, in the order of their base runs; see `runs`."""
    found = _all(kind, tasks, folder)
    if kind is parquet.JACOBIANS:
        known = {run.key for run in runs(tasks, folder)}
        found = [one for one in found if one.key in known]
    found = sorted(_standing(found), key=_order)
    if pretrained is None:
        return found
    return [one for one in found if (one.spec.base.encoder in PRETRAINED) == pretrained]


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """Return how far two makings of a quantity are apart, 0 to 1; see `against_published`."""
    both = min(len(one), len(other))
    one, other = np.nan_to_num(one[:both]), np.nan_to_num(other[:both])
    whole = np.maximum(abs(one), abs(other)).sum()
    return float(abs(one - other).sum() / whole) if whole else 0.0


def place(result: Result) -> tuple[object, ...]:
    """Return what sets a result apart on a page; of two at one place only one can be shown."""
    named = cell(result)
    return tuple(named.get(name) for name in (*PLACE, *AGAINST))


def in_words(result: Result) -> str:
    """Return the task, classifier and seed of a run or an adversary as people write them."""
    task = label(result.manifest["task"]["name"])
    return f"{task}, {result.label}, seed {result.spec.seed}"


def outdone(kind: parquet.Kind, folder: Path | None = None) -> list[Result]:
    """Return what is passed over, as the same settings were published of newer stages, too.

    Publishing takes such files away; a kill may leave them.
    """
    found = _all(kind, None, folder)
    standing = {one.key for one in _standing(found)}
    return [one for one in found if one.key not in standing]


def settings(spec: AnySpec) -> dict[str, object]:
    """Return what numbers may depend on, under names of their own."""
    if isinstance(spec, Spec):
        return spec.model_dump(exclude={"device"})
    own = spec.model_dump(exclude={"base"}).items()
    what = "adversary" if isinstance(spec, AdversarySpec) else "examination"
    return {**settings(spec.base), **{f"{what}'s {name}": value for name, value in own}}


def _all(kind: parquet.Kind, tasks: Sequence[str] | None, folder: Path | None) -> list[Any]:
    """Return whatever is published of a kind."""
    found: list[Result] = []
    for path, record in parquet.read_records(_folder(folder), tasks, kind):
        try:
            key, (made, of) = record["key"], _MADE[kind]
            found.append(made(stored_spec(of, record["spec"]), key, path, record))
        except (TypeError, KeyError) as error:
            raise parquet.damaged(path / f"{key}.json", f"its settings are none: {error}") from None
    return found


def _standing(found: list[Any]) -> list[Any]:
    """Return results, of two at one place that differ in versions alone the newer one."""
    held: dict[tuple[object, ...], Result] = {}
    for one in sorted(found, key=_age):
        other = held.get(place(one))
        if other is not None and (
            settings(other.spec) != settings(one.spec)
            or other.manifest["task"]["fingerprint"] != one.manifest["task"]["fingerprint"]
            or other.manifest["versions"] == one.manifest["versions"]
        ):
            raise UserError(
                f"Runs {other.key} and {one.key} are both published of {in_words(one)}, perhaps by "
                "two machines with different settings: remove the files of one of them."
            )
        held[place(one)] = one
    return list(held.values())


def _age(one: Result) -> tuple[Any, ...]:
    versions = one.manifest["versions"]
    return [versions[name] for name in sorted(versions)], one.manifest["date"], one.key


def _order(one: Result) -> tuple[Any, ...]:
    spec = one.spec.base
    sparsity = (sparsity_rank(spec.projection, spec.lam), str(spec.alpha))
    own = (one.spec.variant, one.spec.pressure) if isinstance(one, Adversary) else ()
    return (spec.task, spec.encoder, spec.alignment, *sparsity, spec.seed, *own)


def _folder(given: Path | None) -> Path:
    return paths.results() if given is None else given
