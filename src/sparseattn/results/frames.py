"""Many runs or adversaries in one frame: what names each, its measurements, its row in the ledger.

A *cell* is what the report compares: a task, an encoder, an alignment and a projection with its
sparsity. Runs of one cell differ in their seed alone.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from sparseattn.experiments.runs import QUANTITIES, Adversary, Examination, Result, Run
from sparseattn.experiments.specs import CONTROLS, STAGES, TRAINED
from sparseattn.experiments.store import Store
from sparseattn.results.parquet import known_quantities
from sparseattn.wording import label, projection_name

PLACE = ("task", "encoder", "alignment", "projection", "lam", "alpha", "seed")
CELL = ("key", *PLACE, "sparsity", "classifier")
AGAINST = ("adversary", "pressure")
"""Of an adversary only: its variant, and λ_adv."""
SETTINGS = (
    "vectors", "learning_rate", "epochs", "patience", "batch_size", "weight_decay",
    "embedding_size", "hidden_size",
)  # fmt: skip
KINDS = ("run", "examined", *TRAINED, *CONTROLS)
"""What a result is: a run, its examination, or an adversary by its variant."""
SPENT = {**STAGES, "examine": "examination"}
"""What takes time, and in words."""
LEDGER = (
    "key", *PLACE, "kind", "classifier", "observed", "accuracy", "auc", "dev_accuracy", "dev_auc",
    "best_epoch", *SPENT, "cpu_seconds", "device", "processor", "gpu", "commit", "date",
    "versions", "fingerprint", "state", "sparsity", "seconds", "cores", *SETTINGS, "python",
    "packages", *AGAINST, "rests_on", "origin",
)  # fmt: skip
STORED = (
    "key", *PLACE, "observed", "accuracy", "auc", *STAGES, "cpu_seconds", "megabytes", "device",
    "date", "versions", "state",
)  # fmt: skip


def cell(result: Result) -> dict[str, object]:
    """Return what names a result, `CELL`, its base's where it has one; of adversaries `AGAINST`."""
    spec = result.spec.base
    named: dict[str, object] = {
        "key": result.key,
        **{name: getattr(spec, name) for name in PLACE},
        "task": result.manifest["task"]["name"],
        "sparsity": projection_name(spec),
        "classifier": f"{label(spec.encoder)}, {label(spec.alignment)}",
    }
    if isinstance(result, Adversary):
        named |= {"adversary": result.spec.variant, "pressure": result.spec.pressure}
    return named


def measurements(results: Iterable[Result]) -> pd.DataFrame:
    """Return the measurements of several runs, or adversaries: one row a result and document.

    The columns of `cell`; ``document``, which counts the observed documents from 0 and means the
    same document in every result of a task; and those of `measures.per_document.measure`, or of
    `experiments.runs.Adversary` with ``base_correct`` and ``accuracy_change``, what
    the adversary gets right beyond its base. Of nothing, no rows, but all of these columns.
    """
    parts = [one.measurements().reset_index().assign(**cell(one)) for one in results]
    if not parts:
        numbers = [*known_quantities(), *QUANTITIES, "base_correct", "accuracy_change"]
        kinds = dict.fromkeys(("lam", "pressure", *numbers), "float64")
        columns = dict.fromkeys([*CELL, *AGAINST, "document", *numbers])
        return pd.DataFrame(columns=list(columns)).astype(
            {**kinds, "seed": "int64", "document": "int64"}
        )
    frame = pd.concat(parts, ignore_index=True)
    frame["lam"] = frame["lam"].astype("float64")  # if no result has one, they are objects
    if "base_logit" in frame:
        right = ((frame["base_logit"] > 0) == (frame["label"] > 0.5)).astype(np.float64)
        frame = frame.assign(base_correct=right, accuracy_change=frame["correct"] - right)
    first = [name for name in (*CELL, *AGAINST, "document") if name in frame]
    return frame[[*first, *(name for name in frame if name not in first)]]


def ledger(results: Iterable[Result]) -> pd.DataFrame:
    """Return which runs, adversaries and examinations made the numbers, and how: one row each.

    :data:`LEDGER`: ``kind``, one of `KINDS`; ``accuracy`` and ``auc`` on the whole test split, the
    same on dev; the seconds of what is in `SPENT`, and ``seconds`` of all; ``cpu_seconds`` (NaN
    where unknown); ``commit``, ``fingerprint`` of the data; ``state``, ``current`` or ``outdated``
    when the stages have newer versions now; ``rests_on``, the run whose weights were taken over,
    that an adversary is held against, or that was examined; ``origin``, published or this build.
    Settings, scores and times of an adversary are its own; `AGAINST` is its alone.
    """
    frame = pd.DataFrame([_entry(one) for one in results], columns=list(LEDGER))
    numbers = ("lam", "accuracy", "auc", "dev_auc", *SPENT, "seconds", "cpu_seconds", "pressure")
    return frame.astype(dict.fromkeys(numbers, "float64"))


def stored_ledger(store: Store) -> pd.DataFrame:
    """Return what a store holds, one row a run, oldest first.

    :data:`STORED`, as in `ledger`, with ``megabytes`` on the disk; ``state`` may also be
    ``damaged``, then little else is known.
    """
    rows: list[dict[str, Any]] = [{"key": key, "state": "damaged"} for key in store.damaged()]
    rows += [_entry(run) for run in store.runs()]
    return pd.DataFrame(rows, columns=list(STORED))


def _entry(one: Result) -> dict[str, Any]:
    manifest, packages = one.manifest, dict(one.manifest["packages"])
    python = packages.pop("python")
    row = {
        **one.spec.base.model_dump(),
        **cell(one),
        **manifest["seconds"],
        "seconds": one.seconds,
        "cpu_seconds": manifest.get("cpu_seconds"),
        "megabytes": sum(manifest.get("files", {}).values()) / 1e6,
        **{name: manifest.get(name) for name in ("accuracy", "auc", "best_epoch", "device")},
        **{f"dev_{name}": manifest["dev"].get(name) for name in ("accuracy", "auc")},
        **{name: manifest["hardware"][name] for name in ("processor", "gpu", "cores")},
        "commit": manifest["code"]["commit"],
        "date": manifest["date"],
        "versions": " ".join(f"{name}={n}" for name, n in sorted(manifest["versions"].items())),
        "python": python,
        "packages": " ".join(f"{name}={packages[name]}" for name in sorted(packages)),
        "fingerprint": manifest["task"]["fingerprint"],
        "state": one.state,
        "origin": "this build" if one.stored else "published",
    }
    if isinstance(one, Run):
        taken = manifest["trained_in"]
        rests = None if taken == one.key else taken
        return {**row, "kind": "run", "examine": 0.0, "rests_on": rests}
    row |= dict.fromkeys(SPENT, 0.0) | {"rests_on": manifest["base"]}
    if isinstance(one, Examination):
        return {**row, "kind": "examined", "observed": one.spec.documents, "examine": one.seconds}
    own = {name: getattr(one.spec, name) for name in ("epochs", "patience", "learning_rate")}
    stages = {"train": manifest["seconds"]["train"], "evaluate": manifest["seconds"]["observe"]}
    return {**row, **own, **stages, "kind": one.spec.variant}
