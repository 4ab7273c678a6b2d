"""Single documents to look at: a page that one explores, as inert data and a static table.

``book/_static/explorer.js`` makes the page of the data. Every number on it was measured before
(:mod:`report.specimens`); the script only looks it up.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import urlencode

import pandas as pd

from sparseattn.charts.figure import inert
from sparseattn.charts.tables import framed
from sparseattn.experiments.runs import Run
from sparseattn.measures.statistics import summarise
from sparseattn.report import live
from sparseattn.report.parameters import Parameters
from sparseattn.report.specimens import INFLUENCE_UNIT, MEASURES, SHARE_UNIT, gather
from sparseattn.results.frames import measurements
from sparseattn.wording import verbatim


@dataclass(frozen=True)
class Explorer:
    """Documents to look at, as HTML for a notebook or a book."""

    # For the script: measures by name, share_unit, influence_unit, tasks (`specimens.gather`).
    data: dict[str, Any]
    opening: int = 0  # how many of the tasks come first and are not of the page's own runs

    def __repr__(self) -> str:
        return f"Explorer: {len(self.documents())} documents"

    def numbers(self) -> list[int]:
        """Return the numbers of the documents of the first task that runs are of."""
        task = self.data["tasks"][self.opening]
        return [document["number"] for document in task["documents"]]

    def documents(self) -> pd.DataFrame:
        """Return what is shown: ``task``, ``document`` from 1, ``label``, ``tokens``, ``why``."""
        return pd.DataFrame(
            [
                {
                    "task": task["name"],
                    "document": place,
                    "label": task["classes"][document["label"]],
                    "tokens": len(document["tokens"]),
                    "why": document["why"],
                }
                for task in self.data["tasks"]
                for place, document in enumerate(task["documents"], start=1)
            ]
        )

    def agreements(self) -> pd.DataFrame:
        """Return ``tau`` (None where undefined) and its ``ceiling``, a row a panel shown."""
        return pd.DataFrame(
            [
                {"tau": numbers["tau"], "ceiling": numbers["ceiling"]}
                for task in self.data["tasks"]
                for classifier in task["classifiers"]
                for stop in classifier["stops"]
                for document in stop["documents"]
                for numbers in document["measures"].values()
            ]
        )

    def questions(self) -> str:
        """Return questions to try, as HTML: each with a button that shows where."""
        items = "".join(
            f'<li>{escape(question)} <button type="button" class="explorer-try" '
            f'data-explore="{escape(urlencode(where))}" hidden>Show me</button></li>'
            for question, where in (
                *_on_reviews(self.data["tasks"][: self.opening]),
                *_questions(self.data["tasks"][self.opening :]),
            )
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


def explore(
    runs: Sequence[Run], count: int = 10, opening: Sequence[dict[str, Any]] = ()
) -> Explorer:
    """Show a few documents under every classifier, see `report.specimens.gather`, after `opening`.

    `opening` are tasks as gathered, of classifiers that are not among the runs.
    """
    measures = [
        {"code": code, "name": name, "symbol": symbol, "of": of}
        for code, (name, symbol, of) in MEASURES.items()
    ]
    units = {"share_unit": SHARE_UNIT, "influence_unit": INFLUENCE_UNIT}
    tasks = [*opening, *gather(runs, count)]
    return Explorer({"measures": measures, **units, "tasks": tasks}, len(opening))


def first_shown(given: Parameters) -> list[dict[str, Any]]:
    """Return the reviews that the page opens on, unless it is asked for a task of one's own."""
    return [live.explored()] if given.task == "planted" else []


def in_context(given: Parameters) -> list[Run]:
    """Return runs on the planted task where word order decides, beside a page's own runs.

    There a hidden state must carry more than its own token. None for another task.
    """
    if given.task != "planted" or given.task_options:
        return []
    changed = {
        "task_options": {"context": True},
        "encoders": ["bilstm"],
        "alignments": ["additive"],
        "epochs": None,
        "learning_rate": None,
        "vectors": None,
    }
    return list(given.model_copy(update=changed).runs())


def few_and_all(runs: Sequence[Run], shown: Explorer) -> pd.DataFrame:
    """Return how far the documents shown lead astray, by agreement with the input gradient.

    One row a ``classifier`` and ``sparsity``: τ-b, the mean over the documents of the first task
    shown (``few``) and over all observed (``every``), and their ``difference``.
    """
    frame = measurements(runs)
    cell, tau = ["classifier", "sparsity"], "tau_inputs_gradient"
    few = summarise(frame[frame["document"].isin(shown.numbers())], cell, [tau])
    every = summarise(frame, cell, [tau])
    both = few.merge(every, on=cell, suffixes=("_few", "_every"))
    return both.assign(
        few=both["mean_few"],
        every=both["mean_every"],
        difference=both["mean_few"] - both["mean_every"],
    )


def verdict(runs: Sequence[Run], shown: Explorer) -> str:
    """Say by how much the documents shown miss the means of all (`few_and_all`)."""
    astray = few_and_all(runs, shown)["difference"].abs()
    if astray.isna().all():
        return (
            "This page is for looking: τ-b is undefined on every document shown, or on "
            "every one observed: one word has no order, nor have shares that are all equal."
        )
    task = shown.data["tasks"][shown.opening]["name"]
    return (
        f"This page is for looking. On the task {verbatim(task)}, the {len(shown.numbers())} "
        f"documents shown miss the mean agreement of all observed by {astray.mean():.2f} on "
        f"average and by {astray.max():.2f} at worst. Claims are judged on the other pages, from "
        "all documents."
    )


def notes(runs: Sequence[Run]) -> str:
    """Return in what the data of runs depart from the paper's, each said once: Markdown."""
    said = dict.fromkeys(note for run in runs for note in run.manifest["task"]["deviations"])
    if not said:
        return "No departure from the paper's data is known."
    return "On the data:\n\n" + "\n".join(f"- {verbatim(note)}" for note in said)


def _questions(tasks: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what to try with these documents and classifiers, and the choice that shows it."""
    task = tasks[0]
    classifier, documents = task["classifiers"][0], task["documents"]
    even, sparse = classifier["stops"][0], classifier["stops"][-1]
    most, least = (
        next((d["number"] for d in documents if word in d["why"]), documents[0]["number"])
        for word in ("agrees most", "agrees least")
    )
    yield (
        "Drag the projection to the right and watch attention leave token after token. When τ-b "
        "falls, did the order change, or did only its ceiling come down?",
        _where(task, classifier, even, most),
    )
    yield (
        "Here attention and the input gradient agree least. Do they at least share their first few "
        "tokens? The bars tell.",
        _where(task, classifier, even, least),
    )
    yield (
        "Attention is sparse. Is the importance of the inputs? Compare the effective numbers of "
        "tokens.",
        _where(task, classifier, sparse, most),
    )
    yield (
        "Are the two importances of the inputs closer to each other than to attention?",
        _where(task, classifier, sparse, least) | {"show": "attention.inputs_gradient.inputs_loo"},
    )
    for other in task["classifiers"]:
        if other["code"].startswith("none-"):
            yield (
                "Without an encoder a hidden state is its input, and owes nothing to others. "
                "Change the classifier: how far does an encoder spread it?",
                _where(task, other, other["stops"][-1], most),
            )
    for other in tasks[1:]:
        yield (
            f"{other['name']}: a cue counts only with the word before it. Does the attended state "
            "owe to both?",
            _where(other, other["classifiers"][0], other["classifiers"][0]["stops"][-1]),
        )
    for other in task["classifiers"]:
        for stop in other["stops"]:
            for seen, document in zip(stop["documents"], documents, strict=True):
                if not seen["correct"]:
                    question = "This classifier is wrong here. Does attention show why?"
                    yield question, _where(task, other, stop, document["number"])
                    return


def _on_reviews(tasks: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what to try with the reviews (`report.live`), and the choice that shows it."""
    asked = {
        "negated": "Two words decide together: a negation, and what it negates. Does attention "
        "rest on both?",
        "contrasted": "The half of a sentence after “but” decides. Does attention pass the first "
        "half by, and does the decision?",
        "ironic": "No single word says it. What does the classifier hold on to?",
    }
    for task in tasks:
        classifier = task["classifiers"][0]
        for kind, question in asked.items():
            of_kind = (one for one in task["documents"] if one["why"].startswith(kind))
            if first := next(of_kind, None):
                where = _where(task, classifier, classifier["stops"][-1], first["number"])
                yield question, where


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
        f"; ● marks those that {task.get('truth', 'truly decide')}" if evidence else ""
    )
    return framed(caption, "dataframe", f'<th scope="col">token</th>{head}', body)
