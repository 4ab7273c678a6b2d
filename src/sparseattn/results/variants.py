"""What a departure from the paper changes: the same classifiers, trained with other settings.

The paper's own two classifiers under softmax are trained as this report trains them (`OURS`) and
as each *variant* does, over the same seeds. Of two runs of one task, classifier and seed only one
can be published as a run of the report; so each run here leaves a summary in `FILE`: its origin,
its learning curve, and a few quantities (`QUANTITIES`).
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sparseattn import paths
from sparseattn.errors import validate
from sparseattn.experiments import sweeps
from sparseattn.experiments.runs import Run
from sparseattn.experiments.specs import Spec
from sparseattn.experiments.store import Store
from sparseattn.measures.statistics import mean_interval
from sparseattn.results import paper
from sparseattn.results.published import TOLERANCE
from sparseattn.results.publishing import merge, read_entries

OURS = "as here"
PAPERS_RATES = "the paper's rates"
FILE = "deviations.json"
LONG = 40
"""Epochs allowed at the paper's learning rates, which are lower than ours."""
SCORES = {"accuracy": "test accuracy", "dev_accuracy": "dev accuracy"}
MEANS = {
    "attention_effective": "effective tokens of attention",
    "effective_inputs_gradient": "effective tokens of input gradients",
    "dispersion_inputs_gradient": "dispersion of input gradients",
    "influence_dispersion": "dispersion of influence",
    "tau_inputs_gradient": "τ-b with input gradients",
    "tau_hidden_gradient": "τ-b with hidden gradients",
}
QUANTITIES = SCORES | MEANS
"""What is compared: scores on the whole splits, and means over the observed documents."""
_CELL = ["variant", "task", "encoder", "quantity"]
_SETTINGS = (
    "task", "encoder", "alignment", "seed", "learning_rate", "vectors", "epochs", "patience",
)  # fmt: skip
_ORIGIN = (
    "key", "spec", "versions", "packages", "code", "hardware", "device", "threads", "seconds",
    "date", "best_epoch",
)  # fmt: skip


def variants() -> dict[str, dict[str, dict[str, Any]]]:
    """Return each variant's settings that differ from ours: name → encoder → settings.

    The learning rates are those of the paper's Table 4.
    """
    stated = paper.table4().query("quantity == 'learning_rate'").set_index("encoder")["value"]
    each = tuple(paper.ALIGNMENT)
    return {
        OURS: {encoder: {} for encoder in each},
        "random vectors": {encoder: {"vectors": "random"} for encoder in each},
        "the task's own vectors": {encoder: {"vectors": "task"} for encoder in each},
        **{
            f"{kind} vectors of 50 entries": {
                encoder: {"vectors": kind.lower(), "embedding_size": 50} for encoder in each
            }
            for kind in ("GloVe", "random")
        },
        PAPERS_RATES: {
            encoder: {"learning_rate": float(stated[encoder]), "epochs": LONG} for encoder in each
        },
    }


def specs(task: str = "sst", seeds: Sequence[int] = (0, 1, 2)) -> list[tuple[str, Spec]]:
    """Return the runs to compare, each after its variant's name; those of `OURS` come first."""
    return [
        (name, validate(Spec, {**ours, "encoder": encoder, "seed": seed} | changed))
        for name, changes in variants().items()
        for encoder, changed in changes.items()
        for ours in [{"task": task, "alignment": paper.ALIGNMENT[encoder], "vectors": "imdb"}]
        for seed in seeds
    ]


def compute(
    store: Store, task: str, seeds: Sequence[int], jobs: int | None = None, progress: bool = True
) -> list[tuple[str, Run]]:
    """Return each variant's name and run, as `specs` has them, computing those not in the store.

    All but ours are kept in a folder of the store, ``variants``, as publishing takes one run of a
    classifier and seed.
    """
    made: list[tuple[str, Run]] = []
    wanted = specs(task, seeds)
    for ours in (True, False):
        part = [(name, spec) for name, spec in wanted if (name == OURS) == ours]
        where = store if ours else Store(store.root / "variants")
        found = sweeps.ensure([spec for _, spec in part], where, jobs, progress)
        made += [(name, run) for (name, _), run in zip(part, found, strict=True)]
    return made


def record(made: Iterable[tuple[str, Run]], file: Path | None = None) -> int:
    """Add the summaries of runs, each after its variant's name, to those kept; return how many.

    A summary that is kept already stays as it is; one by other versions of the stages is replaced.
    A UserError, before anything is written, when a run's summary differs from the one kept by more
    than `results.published.TOLERANCE`, or another run holds its place (variant, task, encoder,
    seed).
    """
    entries = [_entry(name, run) for name, run in made]
    return merge(_default(file), "runs", entries, _place, _disagreement)


def summaries(file: Path | None = None) -> pd.DataFrame:
    """Return what is kept, one row a run; no rows when nothing is.

    ``variant``, ``key``, settings, ``trained`` (how many epochs), ``best_epoch``, ``seconds`` in
    all, ``date``, ``processor``, and `QUANTITIES`.
    """
    rows = [
        {
            **{name: entry[name] for name in ("variant", "key", "best_epoch", "date")},
            **{name: entry["spec"][name] for name in _SETTINGS},
            "trained": len(entry["dev_auc"]),
            "seconds": sum(entry["seconds"].values()),
            "processor": entry["hardware"]["processor"],
            **entry["values"],
        }
        for entry in read_entries(_default(file), "runs")
    ]
    columns = ["variant", "key", *_SETTINGS, "trained", "best_epoch", "seconds", "date"]
    frame = pd.DataFrame(rows, columns=[*columns, "processor", *QUANTITIES])
    return _ordered(frame, ["seed"])


def learning_curves(file: Path | None = None) -> pd.DataFrame:
    """Return the learning curves, one row a run and epoch, with the ROC-AUC on dev."""
    rows = [
        {
            "variant": entry["variant"],
            **{name: entry["spec"][name] for name in ("task", "encoder", "seed")},
            "epoch": epoch,
            "dev_auc": auc,
        }
        for entry in read_entries(_default(file), "runs")
        for epoch, auc in enumerate(entry["dev_auc"], start=1)
    ]
    columns = ["variant", "task", "encoder", "seed", "epoch", "dev_auc"]
    return _ordered(pd.DataFrame(rows, columns=columns), ["seed", "epoch"])


def effects(summaries: pd.DataFrame) -> pd.DataFrame:
    """Return what each variant changes of the `summaries`, seed by seed.

    One row a variant, task, encoder and quantity: the means over seeds ``ours`` and
    ``variant_value``, the mean of their ``difference`` (variant − ours) with its 95 % interval
    ``low``, ``high``, and how many ``seeds`` both have. A seed gives both the same order of the
    documents, and where the embedding has as many entries the same first weights apart from its,
    so the difference is taken within it; the interval is Student's over seeds.
    """
    long = summaries.melt([*_CELL[:3], "seed"], list(QUANTITIES), var_name="quantity")
    ours = long[long["variant"] == OURS].drop(columns="variant")
    keys = ["task", "encoder", "quantity", "seed"]
    pairs = long[long["variant"] != OURS].merge(ours, on=keys, suffixes=("", "_ours"))
    pairs["difference"] = pairs["value"].astype("float64") - pairs["value_ours"]
    columns = ["ours", "variant_value", "difference", "low", "high", "seeds"]
    found = _intervals(pairs, "difference", ours="value_ours", variant_value="value")
    found = found.reindex(columns=[*_CELL, *columns])
    return found.assign(shown=found["quantity"].map(QUANTITIES))


def levels(summaries: pd.DataFrame) -> pd.DataFrame:
    """Return the quantities of `summaries` under each variant, `OURS` included.

    One row a variant, task, encoder and quantity: the ``mean`` over seeds with its 95 % interval
    ``low``, ``high``, Student's, and how many ``seeds``.
    """
    long = summaries.melt(_CELL[:3], list(QUANTITIES), var_name="quantity")
    found = _intervals(long.rename(columns={"value": "mean"}), "mean")
    return found.reindex(columns=[*_CELL, "mean", "low", "high", "seeds"])


def _intervals(long: pd.DataFrame, value: str, **means: str) -> pd.DataFrame:
    """Return the mean of a value over seeds, its interval, and means of others, by `_CELL`."""
    rows = []
    for names, part in long.groupby(_CELL, sort=False):
        found = mean_interval(part[value].to_numpy(dtype=np.float64))
        ends = {value: found.value, "low": found.low, "high": found.high, "seeds": found.points}
        others = {name: part[of].astype("float64").mean() for name, of in means.items()}
        rows.append(dict(zip(_CELL, names, strict=True)) | ends | others)
    return pd.DataFrame(rows)


def _default(file: Path | None) -> Path:
    return paths.results() / FILE if file is None else file


def _ordered(frame: pd.DataFrame, last: list[str]) -> pd.DataFrame:
    order = {name: place for place, name in enumerate(variants())}
    return frame.sort_values(
        ["task", "variant", "encoder", *last],
        key=lambda column: column.map(order) if column.name == "variant" else column,
        ignore_index=True,
    )


def _place(entry: Mapping[str, Any]) -> tuple[str, str, str, int]:
    spec = entry["spec"]
    return entry["variant"], spec["task"], spec["encoder"], spec["seed"]


def _entry(name: str, run: Run) -> dict[str, Any]:
    manifest = run.manifest
    means = run.measurements()[list(MEANS)].mean()
    scores = {"accuracy": manifest["accuracy"], "dev_accuracy": manifest["dev"]["accuracy"]}
    values = {**scores, **means}
    return {
        "variant": name,
        **{entry: manifest[entry] for entry in _ORIGIN},
        "fingerprint": manifest["task"]["fingerprint"],
        "dev_auc": [round(float(auc), 5) for auc in run.curve["dev_auc"]],
        "values": {quantity: round(float(values[quantity]), 6) for quantity in QUANTITIES},
    }


def _disagreement(kept: Mapping[str, Any], made: Mapping[str, Any]) -> str | None:
    """Say in what two entries of one place differ; None when they agree."""
    found = [f"other settings or data, as run {kept['key']}"]
    if kept["key"] == made["key"]:
        both = [(name, kept["values"][name], value) for name, value in made["values"].items()]
        found = [
            f"another {name}: {other:.4g}, now {value:.4g}"
            for name, other, value in both
            if abs(value - other) > TOLERANCE * max(abs(value), abs(other))
        ]
    named = f"Run {made['key']} ('{made['variant']}', seed {made['spec']['seed']})"
    return f"{named}: {found[0]}. It" if found else None
