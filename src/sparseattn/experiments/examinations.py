"""A run's classifier → what it is asked beyond its traces: truth, faithfulness, flow, people.

The first of the observed documents are examined, by every measure of `attribution.explainers`:

================================  =================================================================
``tau_E``, ``tau_attended_E``,    Kendall's τ-b of importance E with attention, with it among the
``tau_scores_E``                  attended tokens alone, and with the alignment scores
``evidence_{auc,precision}_E``    does E find the tokens that truly decide (where known)?
``sentiment_{auprc,mass}_E``,     does it find the words that people call positive or negative
``people_{auprc,token_f1,mass}``  (SST), that they marked as decisive (SST, IMDb)?
``comprehensiveness_E``, …        see `measures.faithfulness`
``flow_…``, ``effect_…``          see `measures.flow`
``simulated_E``                   does a student that sees the ⌈n/10⌉ first tokens by E decide as
                                  the classifier does; of ``simulated_own_E``, as many as have
                                  attention (of all observed documents)
``swapped_correct``               is a document right whose planted shortcut says the other label?
================================  =================================================================

Of signed measures the size is ranked; for faithfulness, what speaks for the decision. People's
documents are rows of their own, after the observed ones.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from safetensors import numpy as safetensors_numpy

from sparseattn import arithmetic
from sparseattn.attribution.explainers import EXPLAINERS, random_importance
from sparseattn.attribution.importance import logits_without_each
from sparseattn.attribution.kernels import Ids
from sparseattn.attribution.paths import path_effects, replacements
from sparseattn.attribution.removal import KINDS, curves
from sparseattn.data.rationales import marked, sentiments
from sparseattn.data.tasks import Documents, Task, swapped
from sparseattn.experiments.making import origin, reproducible, timed
from sparseattn.experiments.runs import Run
from sparseattn.experiments.specs import ExaminationSpec
from sparseattn.files import DOCUMENTS
from sparseattn.measures import per_document
from sparseattn.measures.faithfulness import faithfulness
from sparseattn.measures.flow import flow
from sparseattn.measures.kendall import kendall_tau
from sparseattn.measures.plausibility import MEASURES, against_people, auprc, ceiling, mass
from sparseattn.measures.simulability import most_important, simulated
from sparseattn.models.classifier import Classifier
from sparseattn.models.training import Progress, predict, resolve_device

OF_ATTENTION = ("attention", "attention_norm", "attention_rollout", "scores")
"""Rankings made of attention itself; the others are compared with it."""
TAUGHT = 600
"""Training documents from which a student learns."""
SHOWN = ("attention", "inputs_gradient", "inputs_product", "inputs_loo", "random")
"""What the student sees is chosen by these, which cost little."""
REVIEWS = 60
"""Of the long reviews that people marked so many are taken, and the cheap measures only."""

Importances = Mapping[str, np.ndarray]
Columns = dict[str, np.ndarray]


def make_examination(
    spec: ExaminationSpec, task: Task, run: Run, progress: Progress | None = None
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Examine a run's classifier, that of ``spec.base``.

    `progress` is called after each part with its number, how many there are, and no more. Returns
    the contents of its files by name, and its manifest (`experiments.runs.Examination`).
    """
    seconds = dict[str, float]()
    start = time.process_time()

    @contextmanager
    def part(name: str) -> Iterator[None]:
        with timed(seconds, name):
            yield
        if progress:
            progress(len(seconds), 5, {})

    with reproducible(spec.base.device):
        classifier = run.classifier().to(resolve_device(spec.base.device))
        columns = examine(classifier, task, run.documents(task), run.traces, spec.documents, part)
    files = {DOCUMENTS: safetensors_numpy.save(columns)}
    manifest = run.manifest
    return files, {
        "key": spec.key(task.fingerprint),
        "spec": spec.model_dump(mode="json"),
        "base": run.key,
        "task": manifest["task"],
        **{name: manifest[name] for name in ("accuracy", "auc", "dev", "best_epoch")},
        "cpu_seconds": round(time.process_time() - start, 3),
        "device": arithmetic.device(classifier.device.type),
        "versions": spec.versions(),
        **origin(seconds),
        "identity": spec.identity(task.fingerprint),
    }


def examine(
    classifier: Classifier,
    task: Task,
    observed: Documents,
    traces: Mapping[str, np.ndarray],
    count: int,
    part: Callable[[str], AbstractContextManager[None]] = lambda name: nullcontext(),
) -> Columns:
    """Return what a classifier answers, a value each row; see the module.

    `observed` documents of the task's test split, of which the first `count` are examined, have
    `traces` (`experiments.making.observe`); `part` is entered for each part of the work, with its
    name.
    """
    documents = observed.select(range(min(count, len(observed))))
    with part("explain"):
        signed = explanations(classifier, documents.ids, traces)
        sizes = {name: _size(name, values) for name, values in signed.items()}
        columns = agreement(sizes, documents) | truth(sizes, documents)
    with part("faithfulness"):
        columns |= _faithfulness(classifier, documents, observed, signed)
    with part("flow"):
        (replaced,) = replacements(observed.ids)
        parts = path_effects(classifier, documents.ids, replaced[: len(documents)])
        columns |= flow(parts, sizes["attention"], documents.lengths)
    with part("simulate"):
        columns |= simulability(classifier, task, observed, traces)
        if task.shortcut:
            other = swapped(task, observed)
            right = (predict(classifier, other).numpy() > 0) == (other.labels.numpy() > 0.5)
            columns["swapped_correct"] = right
    with part("people"):
        columns |= sentiment(task, documents, sizes)
        people = marked_words(classifier, task)
    return _in_rows(columns | {"length": observed.lengths}, people)


def explanations(
    classifier: Classifier, ids: Ids, traces: Mapping[str, np.ndarray] | None = None
) -> Importances:
    """Return (N, n) importances by every measure, signed where they are; NaN where undefined.

    Those that `traces` hold, of these documents and perhaps more, are taken from there.
    """
    known, width = traces or {}, max((len(one) - 2 for one in ids), default=0)
    return {
        name: known[name][: len(ids), :width]
        if name in known
        else explainer.function(classifier, ids)
        for name, explainer in EXPLAINERS.items()
    }


def _size(name: str, values: np.ndarray) -> np.ndarray:
    """Return what is ranked: a signed measure's size; of alignment scores themselves the order."""
    signed = EXPLAINERS[name].signed and name != "scores"
    return np.asarray(abs(values) if signed else values).astype(np.float64)


def agreement(sizes: Importances, documents: Documents) -> Columns:
    """Return the agreement of importances with attention, with attended weights, with scores."""
    lengths, attention, scores = documents.lengths, sizes["attention"], sizes["scores"]
    found: Columns = {}
    for name, size in sizes.items():
        if name not in OF_ATTENTION:
            found[f"tau_{name}"] = kendall_tau(attention, size, lengths)
            found[f"tau_attended_{name}"] = per_document.tau_attended(attention, size, lengths)
            found[f"tau_scores_{name}"] = kendall_tau(scores, size, lengths)
    return found


def truth(sizes: Importances, documents: Documents) -> Columns:
    """Return how well each measure finds the tokens that truly decide; nothing if unknown."""
    if documents.evidence is None:
        return {}
    lengths = documents.lengths
    decisive = _padded([one.numpy() for one in documents.evidence])
    found = {"evidence_share": per_document.attended_share(decisive, lengths)}
    for name, size in sizes.items():
        found[f"evidence_auc_{name}"] = per_document.attended_auc(decisive, size, lengths)
        found[f"evidence_precision_{name}"] = per_document.precision_at_k(decisive, size, lengths)
        if name != "scores":  # which have no shares
            found[f"evidence_mass_{name}"] = per_document.mass_on(decisive > 0, size, lengths)
    return found


def _faithfulness(
    classifier: Classifier, documents: Documents, observed: Documents, signed: Importances
) -> Columns:
    """Return the faithfulness of every measure, under each kind of removal."""
    ids = documents.ids
    logit, without = logits_without_each(classifier, ids)
    for_decision = np.where(logit > 0, 1.0, -1.0)[:, None]
    directed = {
        name: values * for_decision if EXPLAINERS[name].signed and name != "scores" else values
        for name, values in signed.items()
        if name != "random"  # which `curves` adds, in many orders
    }
    directed["inputs_loo"] = (logit[:, None] - without) * for_decision
    words = torch.cat([one[1:-1] for one in observed.ids]).numpy()
    found: Columns = {}
    for kind in KINDS:
        pool = words if kind == "other" else None
        # The least and the most are as costly as all measures together: of deletion only.
        every = curves(classifier, ids, directed, kind, pool, limited=kind == "deletion")
        found |= faithfulness(every, kind)
    return found


def simulability(
    classifier: Classifier, task: Task, observed: Documents, traces: Mapping[str, np.ndarray]
) -> Columns:
    """Return whether a student that sees a few tokens of each document decides as its teacher."""
    taught = task.train.sample(TAUGHT)
    teacher = predict(classifier, taught).numpy() > 0
    decisions = traces["logit"] > 0
    words = [[one[1:-1].numpy() for one in some.ids] for some in (taught, observed)]
    ties = [random_importance(some.ids) for some in (taught, observed)]
    ranked = {
        name: (EXPLAINERS[name].function(classifier, taught.ids), traces[name])
        for name in SHOWN
        if name != "random"
    }
    ranked["random"] = (ties[0], ties[1])
    lengths = taught.lengths, observed.lengths
    attention = [one.astype(np.float64) for one in ranked["attention"]]
    own = [one.astype(np.int64) for one in map(per_document.support_size, attention, lengths)]
    numbers = {"": [-(-some // 10) for some in lengths], "own_": own}
    found: Columns = {}
    for prefix, k in numbers.items():
        for name, both in ranked.items():
            chosen = [
                most_important(values.astype(np.float64), *more)
                for values, *more in zip(both, lengths, k, ties, strict=True)
            ]
            said = simulated(words[0], chosen[0], teacher, words[1], chosen[1])
            found[f"simulated_{prefix}{name}"] = said == decisions
    return found


def sentiment(task: Task, documents: Documents, sizes: Importances) -> Columns:
    """Return how well each measure finds the words that people call positive or negative."""
    if (people := sentiments(task, documents)) is None:
        return {}
    strong, lengths = _padded([abs(one - 2) / 2 for one in people]), documents.lengths
    found: Columns = {}
    for name, size in [*sizes.items(), ("chance", np.ones(strong.shape))]:
        found[f"sentiment_auprc_{name}"] = auprc(strong, size, lengths)
        if name != "scores":  # which have no shares
            found[f"sentiment_mass_{name}"] = mass(strong, size, lengths)
    return found


def marked_words(classifier: Classifier, task: Task) -> Columns:
    """Return how well each measure finds the words that people marked, in documents of theirs."""
    if (people := marked(task, REVIEWS)) is None:
        return {}
    ids, lengths = people.documents.ids, people.documents.lengths
    every = {
        name: against_people(
            people.people, _without_negatives(_size(name, one.function(classifier, ids))), lengths
        )
        for name, one in EXPLAINERS.items()
        if not one.costly
    }
    found: Columns = {"length": lengths}
    for quantity in MEASURES:
        for name, answer in every.items():
            if (quantity, name) != ("mass", "scores"):
                found[f"people_{quantity}_{name}"] = answer[quantity].to_numpy()
        found[f"people_{quantity}_chance"] = every["random"][f"{quantity}_chance"].to_numpy()
    among = ceiling(people.people, lengths)
    return found | {f"people_{name}_ceiling": among[name].to_numpy() for name in MEASURES}


def _without_negatives(size: np.ndarray) -> np.ndarray:
    """Return importances in their order, but none negative, as alignment scores are."""
    return size - size.min(initial=0)


def _padded(rows: list[np.ndarray]) -> np.ndarray:
    table = np.zeros((len(rows), max(map(len, rows), default=0)))
    for row, values in zip(table, rows, strict=True):
        row[: len(values)] = values
    return table


def _in_rows(observed: Columns, people: Columns) -> dict[str, np.ndarray]:
    """Put the rows of people's documents below those observed; NaN where nothing was asked.

    A column that is shorter than others is of the first documents.
    """
    rows = [max(map(len, part.values()), default=0) for part in (observed, people)]
    table = {name: np.full(sum(rows), np.nan, dtype=np.float32) for name in observed | people}
    for part, start in ((observed, 0), (people, rows[0])):
        for name, values in part.items():
            table[name][start : start + len(values)] = values
    return table
