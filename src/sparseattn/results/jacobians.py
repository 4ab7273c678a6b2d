"""What influence on a state's length leaves out: the same summaries from whole Jacobians.

Influence is ‖uᵀJ‖ with J = ∂h_p/∂X_i and u = h_p/‖h_p‖: it sees one direction of the state only.
The whole of J costs as many backward passes as h_p has units, so it is taken of a sample of
documents. Published, it lies in ``book/results/TASK/jacobian``, two files a run like the runs'
own.
"""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sparseattn import arithmetic
from sparseattn.attribution.influence import influence, jacobian_influence
from sparseattn.data.tasks import Task, load_task
from sparseattn.errors import UserError
from sparseattn.experiments.making import origin, reproducible
from sparseattn.experiments.runs import Run
from sparseattn.experiments.store import Store
from sparseattn.measures.kendall import kendall_tau
from sparseattn.measures.per_document import influence_summary
from sparseattn.models.batches import collate
from sparseattn.models.classifier import Classifier
from sparseattn.results import paper, published
from sparseattn.results.frames import CELL, measurements
from sparseattn.results.published import Compared
from sparseattn.results.publishing import publish, publishable

JACOBIAN_VERSION = 2
"""Raise when the same classifier and documents give other numbers."""
SUMMARIES = ("dispersion", "self_share", "self_rank", "window_share", "top1")
QUANTITIES = (
    "length", "state_size", "norm_variation", "seen_share", "norms_tau", "norms_same_top",
    *(f"{norm}_{name}" for norm in ("influence", "jacobian") for name in SUMMARIES),
)  # fmt: skip


def compare_norms(classifier: Classifier, ids: Sequence[Int[Tensor, " _"]]) -> pd.DataFrame:
    r"""Summarise each document's influences by both norms, and how far they agree.

    The classifier is in evaluation mode, on the CPU; documents are BEGIN, n tokens, END.

    Returns
    -------
    DataFrame
        One row a document, with :data:`QUANTITIES`:

        ``length`` n and ``state_size`` d, the units of h_p;
        ``influence_…`` and ``jacobian_…``, means over positions of
        :func:`measures.per_document.influence_summary` and how often the co-indexed input alone
        comes first (``top1``), from :math:`\|\partial\|h_p\|_2/\partial X_i\|_2` and from
        :math:`\|\partial h_p/\partial X_i\|_F`;
        ``seen_share``, the mean of :math:`\sum_i\|u_p^\top J_{pi}\|^2 / \sum_i\|J_{pi}\|_F^2`:
        1/d for a direction u drawn at random;
        ``norms_tau``, the mean τ-b of the two rankings of the inputs, and ``norms_same_top``, how
        often they agree on the first;
        ``norm_variation``, the standard deviation of ‖h_p‖ over positions, divided by its mean.
        NaN where a quantity is undefined for every position.
    """
    rows = []
    for document in ids:
        (along,), (whole,) = (
            influence(classifier, [document]),
            jacobian_influence(classifier, [document]),
        )
        along, whole = along.astype(np.float64), whole.astype(np.float64)
        lengths = _state_lengths(classifier, document)
        n = len(along)
        both = np.where((along > 0).any(axis=1) & (whole > 0).any(axis=1), 1.0, np.nan)
        rows.append(
            {
                "length": n,
                "state_size": classifier.encoder.size,
                "norm_variation": lengths.std() / lengths.mean() if n else np.nan,
                "seen_share": _mean(both * _ratio_of_squares(along, whole)),
                "norms_tau": _mean(kendall_tau(along, whole, np.full(n, n))),
                "norms_same_top": _mean(both * (_first(along) == _first(whole))),
                **_summaries("influence", along),
                **_summaries("jacobian", whole),
            }
        )
    return pd.DataFrame(rows, columns=list(QUANTITIES)).astype(np.float64)


def sample(runs: Iterable[Run], documents: int) -> pd.DataFrame:
    """Return `compare_norms` of the first observed documents (by hash) of runs with weights.

    One row for each run and document: the columns of `results.frames.cell`, ``document`` and
    :data:`QUANTITIES`. Without rows, but with the columns, for no documents.
    """
    known: dict[str, Task] = {}
    found = []
    for run in runs:
        fingerprint = run.manifest["task"]["fingerprint"]
        if fingerprint not in known:
            known[fingerprint] = load_task(run.spec.task, run.spec.task_options)
        found.append(_compared(run, known[fingerprint], documents))
    return in_one(found)


def in_one(comparisons: Iterable[Compared]) -> pd.DataFrame:
    """Return comparisons, such as `results.published.comparisons`, as `sample` does."""
    frame = measurements(one for one in comparisons if len(one.measurements()))
    frame = frame.reindex(columns=[*CELL, "document", *QUANTITIES])
    return frame.astype(dict.fromkeys(QUANTITIES, "float64"))


def comparable(
    store: Store, tasks: Sequence[str] | None = None, keys: Sequence[str] = ()
) -> list[Run]:
    """Return the published runs that a store holds with their weights; a UserError when none.

    Those of some keys, given by their first digits; by default those of the cells of the paper's
    Table 1.
    """
    cell = ["task", "encoder", "alignment", "projection"]
    here = {run.key for run in store.runs()}
    wanted = set(paper.table1()[cell].itertuples(index=False, name=None))
    found = [
        run.key
        for run in published.runs(tasks)
        if run.key in here
        and (
            run.key.startswith(tuple(keys))
            if keys
            else tuple(getattr(run.spec, name) for name in cell) in wanted
        )
    ]
    if not found:
        raise UserError(
            f"None of the published runs wanted is in {store.root} with its weights: compute them "
            "with 'sparseattn sweep' first, and publish them."
        )
    return [run for run in publishable(store, keys=found) if isinstance(run, Run)]


def compare_published(run: Run, documents: int, folder: Path | None = None) -> list[Path]:
    """Publish the comparison of a published run's norms, on its first documents.

    Returns what was written: nothing where as many documents are published, with the same numbers.
    A UserError when the run itself is not published, or was compared before with other numbers.
    """
    known = published.runs([run.manifest["task"]["name"]], folder)
    if run.key not in {one.key for one in known}:
        raise UserError(
            f"Run {run.key} ({published.in_words(run)}) is not published: publish it first, with "
            f"'sparseattn publish {run.key}'."
        )
    task = load_task(run.spec.task, run.spec.task_options)
    return publish([_compared(run, task, documents)], folder)


def _compared(run: Run, task: Task, documents: int) -> Compared:
    """Compare the norms of a run, with the origin of the comparison."""
    start, busy = time.perf_counter(), time.process_time()
    ids = list(run.documents(task).ids)[:documents]
    with reproducible():
        measured = compare_norms(run.classifier(), ids).rename_axis("document")
    made = {
        **run.manifest,
        "versions": {**run.manifest["versions"], "jacobian": JACOBIAN_VERSION},
        "device": arithmetic.device("cpu"),
        **origin({"jacobian": time.perf_counter() - start}),
        "cpu_seconds": round(time.process_time() - busy, 3),
    }
    return Compared(run.spec, run.key, run.path, made, measured)


@torch.no_grad()
def _state_lengths(
    classifier: Classifier, document: Int[Tensor, " _"]
) -> Float[np.ndarray, " states"]:
    batch = collate([document])
    hidden = classifier.encoder(classifier.embedding(batch.ids), batch)[0, 1:-1]
    return torch.linalg.vector_norm(hidden, dim=-1).numpy()


def _summaries(norm: str, matrix: np.ndarray) -> dict[str, float]:
    found = {
        name.replace("influence", norm): values
        for name, values in influence_summary(matrix).items()
    }
    rank = found[f"{norm}_self_rank"]
    found[f"{norm}_top1"] = np.where(np.isnan(rank), np.nan, rank == 1)
    return {name: _mean(values) for name, values in found.items()}


def _ratio_of_squares(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    whole = (other**2).sum(axis=1)
    return (one**2).sum(axis=1) / np.where(whole > 0, whole, np.nan)


def _first(matrix: np.ndarray) -> np.ndarray:
    return matrix.argmax(axis=1) if matrix.size else np.zeros(0)


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else np.nan
