"""A few documents, chosen by rule, under every classifier: measured token by token, then rounded.

What the page on which one explores is made of (:mod:`report.explorer`).
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.special import expit

from sparseattn.attribution.influence import influence
from sparseattn.data.owntexts import is_own
from sparseattn.data.preparation import FileOptions, own_words
from sparseattn.data.tasks import Documents, load_task
from sparseattn.data.words import UNKNOWN
from sparseattn.errors import UserError, validate
from sparseattn.experiments.making import reproducible
from sparseattn.experiments.runs import Run
from sparseattn.experiments.specs import Spec
from sparseattn.measures.kendall import tau_ceiling
from sparseattn.measures.nulls import null_dispersion
from sparseattn.measures.per_document import normalise
from sparseattn.results.frames import cell, measurements
from sparseattn.wording import label, projection_name, sparsity_rank, visible

Shares = Float[np.ndarray, " tokens"]

SHARE_UNIT = 1e-5
"""Of attention and importance; what is above zero is at least one unit."""
INFLUENCE_UNIT = 1e-4
"""Of influence; the units of a hidden state sum to one."""

# Name, what is shared out among the tokens, and whose it is (hence its colour).
MEASURES = {
    "attention": ("Attention", "αᵢ", "attention"),
    "inputs_gradient": ("Input gradient", "‖∂f/∂Xᵢ‖", "inputs"),
    "inputs_loo": ("Input leave-one-out", "|ŷ − ŷ₋ᵢ|, without Xᵢ", "inputs"),
    "hidden_gradient": ("Hidden-state gradient", "‖∂f/∂hᵢ‖", "hidden"),
    "hidden_loo": ("Hidden-state leave-one-out", "|ŷ − ŷ₋ᵢ|, without hᵢ", "hidden"),
}
CLASSES = {
    **dict.fromkeys(("planted", "sst", "imdb"), ("negative", "positive")),
    "newsgroups": ("baseball", "hockey"),
}

_LONGEST = 400  # tokens: what can still be read on a page
_INFLUENCES = 300_000  # numbers, about a megabyte


def gather(runs: Sequence[Run], count: int) -> list[dict[str, Any]]:
    """Gather what there is to see of a few documents of each task under every classifier.

    For each task its ``documents`` (tokens, label, evidence, why chosen) and ``classifiers``; of
    each ``stops``, a projection each, from even to sparse, with the shares of every document's
    tokens, their measures, and the influences on its hidden states. Of runs that differ in their
    seed, those of the smallest are taken. A UserError without runs, or when only the measurements
    of a run are here.
    """
    if not runs:
        raise UserError("There is no classifier to look at: the grid of runs is empty.")
    first = min(run.spec.seed for run in runs)
    groups: dict[str, list[Run]] = {}
    for run in runs:
        if run.spec.seed == first:
            groups.setdefault(run.manifest["task"]["fingerprint"], []).append(run)
    room = _INFLUENCES // len(groups)
    return [_task(group, count, room) for group in groups.values()]


def choose(frame: pd.DataFrame, count: int) -> list[tuple[int, str]]:
    """Choose documents that differ, by rule: the number of each, and why it was chosen.

    From the measurements of runs of one task (`results.frames.measurements`): the two on which
    attention agrees most with the input gradient (τ-b, mean over runs), the two on which it agrees
    least, the two most often misclassified, the longest, the shortest; then in the order of the
    hashes, which is that of the numbers, and to which ties go. Documents of 2 to 400 tokens come
    first.
    """
    by_document = frame.groupby("document")
    tau = by_document["tau_inputs_gradient"].mean()
    wrong = by_document["correct"].agg(lambda correct: int((correct == 0).sum()))
    length = by_document["length"].first()
    fits = length.between(2, _LONGEST)
    agrees = "attention agrees {} with the input gradient"
    errors = "misclassified by {} of {} classifiers"
    chosen: dict[int, str] = {}

    def add(rank: pd.Series, most: int, why: str) -> None:
        left = rank[~rank.index.isin(list(chosen))].dropna().sort_values(kind="stable")
        for number in left.index[: min(most, count - len(chosen))]:
            chosen[int(number)] = why.format(wrong[number], frame["key"].nunique())

    add(-tau.where(fits), 2, agrees.format("most"))
    add(tau.where(fits), 2, agrees.format("least"))
    add(-wrong.where(fits & (wrong > 0)), 2, errors)
    add(-length.where(fits), 1, "the longest")
    add(length.where(fits), 1, "the shortest")
    add(1.0 * ~fits, count, "the next by hash")
    return list(chosen.items())


def in_units(shares: Shares, unit: float) -> list[int]:
    """Round shares (n,), ≥ 0, to whole units: zero exactly where a share is, none moves by more."""
    rounded = np.maximum(np.rint(shares / unit), 1).astype(int)
    return list(map(int, np.where(shares > 0, rounded, 0)))


def in_units_of_one(shares: Shares, unit: float) -> list[int]:
    """Round shares (n,), ≥ 0 and of sum 1, to whole units of sum 1 / unit: by largest remainder.

    ``unit`` is 1 over a whole number. No share moves by more.
    """
    exact = shares / unit
    floor = np.floor(exact).astype(int)
    lacking = round(1 / unit) - int(floor.sum())
    floor[np.argsort(floor - exact, kind="stable")[:lacking]] += 1
    return list(map(int, floor))


def _task(runs: list[Run], count: int, room: int) -> dict[str, Any]:
    spec = runs[0].spec
    task = load_task(spec.task, spec.task_options)
    documents = runs[0].documents(task)
    chosen = choose(measurements(runs), count)
    own = is_own(spec.task)
    words = _as_written(spec, documents) if own else [task.words(ids) for ids in documents.ids]
    classes = CLASSES.get(task.name, task.classes)
    found = seen(runs, documents, words, chosen, label(task.name), classes, room)
    for document in found["documents"] if own else ():
        unknown = documents.ids[document["number"]][1:-1] == UNKNOWN
        document["unknown"] = unknown.nonzero().flatten().tolist()
    return found


def _as_written(spec: Spec, documents: Documents) -> list[list[str]]:
    """Return the words of a user's documents, rare ones too."""
    every = own_words(Path(spec.task).expanduser(), validate(FileOptions, spec.task_options))
    # Keys of texts that occur more than once are numbered.
    return [every[key.partition("-")[0]] for key in documents.keys]


def seen(
    runs: Sequence[Run],
    documents: Documents,
    words: Sequence[Sequence[str]],
    chosen: Sequence[tuple[int, str]],
    name: str,
    classes: Sequence[str],
    room: int = _INFLUENCES,
) -> dict[str, Any]:
    """Return what there is to see of chosen documents, of all that runs of one task have observed.

    Given all `documents` observed, and the `words` of each as they are shown; the number of each
    document that is `chosen`, and why it is; the `name` of the task, and of its labels 0 and 1
    (`classes`); and how many influences there is `room` for.
    """
    numbers = [number for number, _ in chosen]
    positions = _positions(runs, numbers, room)
    # Classifiers as the grid has them; their projections from even to sparse.
    classifiers: dict[str, dict[str, Any]] = {}
    for run in runs:
        code = f"{run.spec.encoder}-{run.spec.alignment}"
        classifiers.setdefault(
            code, {"name": str(cell(run)["classifier"]), "code": code, "stops": []}
        )
    for run in sorted(runs, key=_sparsity):
        stops = classifiers[f"{run.spec.encoder}-{run.spec.alignment}"]["stops"]
        stops.append(_stop(run, documents.select(numbers), numbers, positions))
    return {
        "name": name,
        "code": re.sub(r"\W+", "-", name.lower()).strip("-"),
        "classes": list(classes),
        "classifiers": list(classifiers.values()),
        "documents": [
            {
                "number": number,
                "why": why,
                "tokens": [visible(word) for word in words[number]],
                "label": int(documents.labels[number]),
                "evidence": None
                if documents.evidence is None
                else documents.evidence[number].nonzero().flatten().tolist(),
                "null": _rounded(null_dispersion(np.array([len(words[number])]))[0]),
                "positions": positions[number],
            }
            for number, why in chosen
        ],
    }


def _positions(runs: Sequence[Run], numbers: list[int], room: int) -> dict[int, list[int]]:
    """Choose the hidden states shown: all, or as many of the most attended as there is room."""
    lengths = {number: int(runs[0].traces["lengths"][number]) for number in numbers}
    most = max(lengths.values(), default=1)
    while most > 1 and len(runs) * sum(n * min(n, most) for n in lengths.values()) > room:
        most -= 1
    attention = np.sum([run.traces["attention"] for run in runs], axis=0)
    return {
        number: sorted(np.argsort(-attention[number, :n], kind="stable")[:most].tolist())
        for number, n in lengths.items()
    }


def _stop(
    run: Run, documents: Documents, numbers: list[int], positions: dict[int, list[int]]
) -> dict[str, Any]:
    """Return what one classifier does on each document, under one projection."""
    spec, lengths = run.spec, run.traces["lengths"][numbers]
    traces = {name: run.traces[name][numbers] for name in MEASURES}
    shares = {name: normalise(values, lengths) for name, values in traces.items()}
    ceilings = {
        name: tau_ceiling(traces["attention"], lengths, values) for name, values in traces.items()
    }
    with reproducible():
        influences = influence(run.classifier(), documents.ids)
    found = []
    for row, number in enumerate(numbers):
        measured, n = run.measurements().loc[number], lengths[row]
        found.append(
            {
                "probability": _rounded(expit(measured["logit"])),
                "predicted": int(measured["logit"] > 0),
                "correct": bool(measured["correct"]),
                "support": int(measured["support"]),
                "measures": {
                    name: {
                        "shares": in_units(shares[name][row, :n], SHARE_UNIT),
                        "ceiling": _rounded(ceilings[name][row]),
                        **_numbers(measured, name),
                    }
                    for name in MEASURES
                },
                "influence": _influence(run, number, influences[row], positions[number]),
            }
        )
    sparsity = {"sparsegen": ("λ", spec.lam), "entmax": ("α", spec.alpha)}.get(spec.projection)
    return {
        "name": projection_name(spec),
        "short": f"{sparsity[0]} {sparsity[1]:g}".replace("-", "−")
        if sparsity
        else label(spec.projection),
        "code": f"{spec.projection}{sparsity[1]:g}" if sparsity else spec.projection,
        "documents": found,
    }


def _numbers(measured: pd.Series, name: str) -> dict[str, float | None]:
    """Return what was measured of one kind of shares, under the names the script knows."""
    attention = name == "attention"
    columns = {
        "tau": f"tau_{name}",
        "dispersion": f"{name}_dispersion" if attention else f"dispersion_{name}",
        "effective": f"{name}_effective" if attention else f"effective_{name}",
        "evidence": f"{name}_evidence_mass" if attention else f"evidence_mass_{name}",
    }
    return {kind: _rounded(measured.get(column, np.nan)) for kind, column in columns.items()}


def _influence(
    run: Run, number: int, matrix: np.ndarray, positions: list[int]
) -> dict[str, list[Any]]:
    """Return the rows of chosen hidden states: shares of the inputs, dispersion, own share."""
    n = len(matrix)
    shares = normalise(matrix, np.full(n, n))
    return {
        # A state that is exactly zero owes nothing to anyone.
        "shares": [
            None if np.isnan(shares[p]).any() else in_units_of_one(shares[p], INFLUENCE_UNIT)
            for p in positions
        ],
        **{
            kind: [_rounded(run.traces[f"influence_{kind}"][number, p]) for p in positions]
            for kind in ("dispersion", "self_share")
        },
    }


def _sparsity(run: Run) -> tuple[float, str]:
    return sparsity_rank(run.spec.projection, run.spec.lam), str(run.spec.alpha)


def _rounded(value: float | np.floating[Any]) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)
