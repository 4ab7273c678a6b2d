"""A few documents under every classifier, token by token: the data of the page one explores.

`explore` gathers them. What it returns writes itself as inert JSON, from which
``book/_static/explorer.js`` makes the page, and as a static table. Every number shown is measured
here; the script only looks it up.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.special import expit

from .appearance import label
from .cells import cell, measurements, projection_name
from .errors import UserError
from .figures import inert
from .influence import influence
from .measures import normalise, tau_ceiling
from .nulls import null_dispersion
from .observation import reproducible
from .runs import Run
from .tasks import Documents, Task, load_task

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


@dataclass(frozen=True)
class Explorer:
    """Documents to look at, as HTML for a notebook or a book.

    Attributes
    ----------
    data
        ``measures``, ``share_unit``, ``influence_unit``; ``tasks``, each with its ``documents``
        (tokens, label, evidence, why chosen) and ``classifiers``, each of these with one of
        ``stops`` for a projection, from even to sparse, which has for each document the shares of
        its tokens, their measures, and the influences on its hidden states.
    """

    data: dict[str, Any]

    def __repr__(self) -> str:
        return f"Explorer: {len(self.documents())} documents"

    def documents(self) -> pd.DataFrame:
        """Return what is shown: ``task``, ``document``, ``label``, ``tokens`` and ``why``."""
        return pd.DataFrame(
            [
                {
                    "task": task["name"],
                    "document": document["number"],
                    "label": task["classes"][document["label"]],
                    "tokens": len(document["tokens"]),
                    "why": document["why"],
                }
                for task in self.data["tasks"]
                for document in task["documents"]
            ]
        )

    def questions(self) -> str:
        """Return questions to try, as HTML: each with a button that shows where."""
        items = "".join(
            f'<li>{escape(question)} <button type="button" class="explorer-try" '
            f'data-explore="{escape(urlencode(where))}" hidden>Show me</button></li>'
            for question, where in _questions(self.data["tasks"])
        )
        return f'<ul class="explorer-questions">{items}</ul>'

    def _repr_html_(self) -> str:
        return (
            '<section class="explorer" id="explorer" aria-label="Explorer">'
            f"{inert('explorer-data', self.data)}"
            '<div class="explorer-live" hidden></div>'
            '<div class="explorer-static"><p>The controls need a script, which runs in the built '
            "book (<code>make book</code>). Here is one document without them.</p>"
            f"{_table(self.data['tasks'][0])}</div></section>"
        )


def explore(runs: Sequence[Run], count: int = 10) -> Explorer:
    """Gather what there is to see of a few documents under every classifier.

    Parameters
    ----------
    runs
        Of one task or several. Of runs that differ in their seed, those of the smallest are shown.
    count
        Documents of each task.

    Returns
    -------
    Explorer
        The same for the same runs.

    Raises
    ------
    UserError
        Without runs, or when only the measurements of a run are here.
    """
    if not runs:
        raise UserError("There is no classifier to look at: the grid of runs is empty.")
    first = min(run.spec.seed for run in runs)
    groups: dict[str, list[Run]] = {}
    for run in runs:
        if run.spec.seed == first:
            groups.setdefault(run.manifest["task"]["fingerprint"], []).append(run)
    measures = [
        {"code": code, "name": name, "symbol": symbol, "of": of}
        for code, (name, symbol, of) in MEASURES.items()
    ]
    room = _INFLUENCES // len(groups)
    return Explorer(
        {
            "measures": measures,
            "share_unit": SHARE_UNIT,
            "influence_unit": INFLUENCE_UNIT,
            "tasks": [_task(group, count, room) for group in groups.values()],
        }
    )


def choose(frame: pd.DataFrame, count: int) -> list[tuple[int, str]]:
    """Choose documents that differ, by rule.

    Parameters
    ----------
    frame
        Measurements of runs of one task (:func:`sparseattn.cells.measurements`).
    count
        How many, if there are so many.

    Returns
    -------
    list
        Number of each document and why it was chosen: the two on which attention agrees most with
        the input gradient (τ-b, mean over runs), the two on which it agrees least, the two most
        often misclassified, the longest, the shortest; then in the order of the hashes, which is
        that of the numbers, and to which ties go. Documents of 2 to 400 tokens come first.
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
    """Round shares to whole units, so that zero stays apart from what is small.

    Parameters
    ----------
    shares
        (n,) non-negative.
    unit
        No share moves by more.

    Returns
    -------
    list of int
        Zero exactly where the share is.
    """
    rounded = np.maximum(np.rint(shares / unit), 1).astype(int)
    return list(map(int, np.where(shares > 0, rounded, 0)))


def in_units_of_one(shares: Shares, unit: float) -> list[int]:
    """Round shares that sum to one to whole units that sum to one: by largest remainder.

    Parameters
    ----------
    shares
        (n,) non-negative, of sum 1.
    unit
        1 over a whole number. No share moves by more.

    Returns
    -------
    list of int
        Of sum 1 / unit.
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
    numbers = [number for number, _ in chosen]
    positions = _positions(runs, numbers, room)
    # Classifiers as the grid has them; their projections from even to sparse.
    classifiers: dict[str, dict[str, Any]] = {}
    for run in runs:
        code = f"{run.spec.encoder}-{run.spec.alignment}"
        name = str(cell(run)["classifier"])
        classifiers.setdefault(code, {"name": name, "code": code, "stops": []})
    for run in sorted(runs, key=_sparsity):
        stops = classifiers[f"{run.spec.encoder}-{run.spec.alignment}"]["stops"]
        stops.append(_stop(run, documents.select(numbers), numbers, positions))
    name = _name(task, spec.task_options)
    return {
        "name": name,
        "code": re.sub(r"\W+", "-", name.lower()).strip("-"),
        "classes": list(CLASSES.get(task.name, ("class 0", "class 1"))),
        "classifiers": list(classifiers.values()),
        "documents": [
            {
                "number": number,
                "why": why,
                "tokens": (tokens := task.words(documents.ids[number])),
                "label": int(documents.labels[number]),
                "evidence": None
                if documents.evidence is None
                else documents.evidence[number].nonzero().flatten().tolist(),
                "null": _rounded(null_dispersion(np.array([len(tokens)]))[0]),
                "positions": positions[number],
            }
            for number, why in chosen
        ],
    }


def _positions(runs: list[Run], numbers: list[int], room: int) -> dict[int, list[int]]:
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


def _sparsity(run: Run) -> tuple[int, float, str]:
    rank = {"softmax": 0, "entmax": 2}.get(run.spec.projection, 1)
    return rank, run.spec.lam or 0.0, str(run.spec.alpha)


def _name(task: Task, options: dict[str, Any]) -> str:
    return label(task.name) + (", in context" if options.get("context") else "")


def _rounded(value: float | np.floating[Any]) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)


def _questions(tasks: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Return what to try with these documents and classifiers, and the choice that shows it."""
    task = tasks[0]
    classifier, documents = task["classifiers"][0], task["documents"]
    even, sparse = classifier["stops"][0], classifier["stops"][-1]
    most, least = (
        next((d["number"] for d in documents if word in d["why"]), documents[0]["number"])
        for word in ("agrees most", "agrees least")
    )
    found = [
        (
            "Drag the projection to the right and watch attention leave token after token. When "
            "τ-b falls, did the order change, or did only its ceiling come down?",
            _where(task, classifier, even, most),
        ),
        (
            "Here attention and the input gradient agree least. Do they at least share their "
            "first few tokens? The bars tell.",
            _where(task, classifier, even, least),
        ),
        (
            "Attention is sparse. Is the importance of the inputs? Compare the effective numbers "
            "of tokens.",
            _where(task, classifier, sparse, most),
        ),
        (
            "Are the two importances of the inputs closer to each other than to attention?",
            _where(task, classifier, sparse, least)
            | {"show": "attention.inputs_gradient.inputs_loo"},
        ),
    ]
    for other in task["classifiers"]:
        if other["code"].startswith("none-"):
            found.append(
                (
                    "Without an encoder a hidden state is its input, and owes nothing to others. "
                    "Change the classifier: how far does an encoder spread it?",
                    _where(task, other, other["stops"][-1], most),
                )
            )
    for other in tasks[1:]:
        found.append(
            (
                f"{other['name']}: a cue counts only with the word before it. Does the attended "
                "state owe to both?",
                _where(other, other["classifiers"][0], other["classifiers"][0]["stops"][-1]),
            )
        )
    for other in task["classifiers"]:
        for stop in other["stops"]:
            for place, document in enumerate(stop["documents"]):
                if not document["correct"]:
                    question = "This classifier is wrong here. Does attention show why?"
                    where = _where(task, other, stop, documents[place]["number"])
                    return [*found, (question, where)]
    return found


def _where(
    task: dict[str, Any],
    classifier: dict[str, Any],
    stop: dict[str, Any],
    document: int | None = None,
) -> dict[str, Any]:
    """Return a choice as the page's address spells it."""
    number = task["documents"][0]["number"] if document is None else document
    codes = {"task": task["code"], "classifier": classifier["code"], "projection": stop["code"]}
    return {**codes, "document": number}


def _table(task: dict[str, Any]) -> str:
    """Return the first document under the first classifier as a table."""
    document, classifier = task["documents"][0], task["classifiers"][0]
    stop = classifier["stops"][len(classifier["stops"]) // 2]
    measures = stop["documents"][0]["measures"]
    evidence = set(document["evidence"] or ())
    head = "".join(
        f'<th scope="col" class="number">{name}</th>' for name, _, _ in MEASURES.values()
    )
    body = "".join(
        f'<tr><th scope="row">{"● " if i in evidence else ""}<bdi>{escape(token)}</bdi></th>'
        + "".join(
            f'<td class="number">{measures[name]["shares"][i] * SHARE_UNIT:.1%}</td>'
            for name in MEASURES
        )
        + "</tr>"
        for i, token in enumerate(document["tokens"])
    )
    caption = f"{task['name']}: {classifier['name']}, {stop['name']}" + (
        "; ● truly decides" if evidence else ""
    )
    return (
        f'<div class="table-scroll" tabindex="0" role="region" aria-label="{escape(caption)}">'
        f'<table class="dataframe"><caption>{escape(caption)}</caption><thead><tr>'
        f'<th scope="col">token</th>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )
