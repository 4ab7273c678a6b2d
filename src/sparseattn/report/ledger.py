"""Which run made this number: every run behind the book, one row each, and what they cost."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import pandas as pd

from sparseattn.experiments.adversaries import Adversary
from sparseattn.experiments.runs import Run
from sparseattn.report import builds
from sparseattn.report.links import NO_ADVERSARY, PAGE
from sparseattn.results import published

Result: TypeAlias = Run | Adversary
STAGES = {
    "train": "training",
    "evaluate": "scoring",
    "importance": "importance",
    "influence": "influence",
}
"""The stages of a run, as its times are kept."""
_SETTINGS = (
    "vectors", "learning_rate", "epochs", "patience", "batch_size", "weight_decay",
    "embedding_size", "hidden_size",
)  # fmt: skip


def everything(before: str = PAGE) -> pd.DataFrame:
    """Return every run behind the pages before one: published, or computed by this build.

    Returns
    -------
    DataFrame
        See `entries`; published ones first.
    """
    behind = builds.runs(builds.pages(before))
    recorded: list[Result] = [*published.runs(), *published.adversary_runs()]
    known = {one.key for one in recorded}
    live = builds.stored([key for key in behind if key not in known])
    return entries([*recorded, *live], behind)


def entries(results: Sequence[Result], behind: Mapping[str, list[str]]) -> pd.DataFrame:
    """Return what the ledger says of some runs, and of adversaries trained against some.

    Parameters
    ----------
    results
        Published ones, or of this machine's store.
    behind
        The pages that rest on each: key → notebooks.

    Returns
    -------
    DataFrame
        One row each: what `results.published.entry` gives of a run; ``seconds`` of all stages;
        ``cores`` of the machine, ``python`` and ``packages``; ``adversary``, its kind, of a run
        `NO_ADVERSARY`, with its ``pressure``; ``rests_on``, the run whose weights were taken
        over, or that an adversary is held against; ``origin``, published or this build; ``pages``,
        separated by spaces. The settings, scores and times of an adversary are its own.
    """
    names = [*published.LEDGER, "sparsity", "seconds", "cores", *_SETTINGS, "python", "packages"]
    rows = []
    for one in results:
        own = _of_adversary(one) if isinstance(one, Adversary) else _of_run(one)
        versions = dict(one.manifest["packages"])
        rows.append(
            {
                **own,
                "seconds": sum(one.manifest["seconds"].values()),
                "cores": one.manifest["hardware"]["cores"],
                "python": versions.pop("python"),
                "packages": _listed(versions),
                "versions": _listed(one.manifest["versions"]),
                "origin": "this build" if one.stored else "published",
                "pages": " ".join(behind.get(one.key, [])),
            }
        )
    last = ["adversary", "pressure", "rests_on", "origin", "pages"]
    frame = pd.DataFrame(rows, columns=[*names, *last])
    numbers = ("lam", "accuracy", "auc", "dev_auc", *STAGES, "seconds", "cpu_seconds", "pressure")
    return frame.astype(dict.fromkeys(numbers, "float64"))


def _of_run(run: Run) -> dict[str, Any]:
    taken = run.manifest["trained_in"]
    rests_on = None if taken == run.key else taken
    return {
        **published.entry(run),
        "adversary": NO_ADVERSARY,
        "pressure": None,
        "rests_on": rests_on,
    }


def _of_adversary(one: Adversary) -> dict[str, Any]:
    spec, manifest = one.spec, one.manifest
    # As if it were a run of its base's settings, with what is its own in their place.
    scores = {"auc": None, "dev": {"accuracy": manifest["dev"]["accuracy"], "auc": None}}
    as_run = Run(spec.base, one.key, one.path, {**manifest, **scores})
    stages = {"train": manifest["seconds"]["train"], "evaluate": manifest["seconds"]["observe"]}
    own = {name: getattr(spec, name) for name in ("epochs", "patience", "learning_rate")}
    return {
        **published.entry(as_run),
        **own,
        **stages,
        "importance": 0.0,
        "influence": 0.0,
        "state": "current" if manifest["versions"] == spec.versions() else "outdated",
        "adversary": spec.variant,
        "pressure": spec.pressure,
        "rests_on": manifest["base"],
    }


def _listed(versions: Mapping[str, object]) -> str:
    # In one order: published files have them sorted, fresh runs have not.
    return " ".join(f"{name}={versions[name]}" for name in sorted(versions))


def times(frame: pd.DataFrame, by: str = "task") -> pd.DataFrame:
    """Return the computing time behind some runs, in hours, one row a group and stage.

    Returns
    -------
    DataFrame
        `by`, ``stage`` (in words), ``hours``, ``runs``.
    """
    long = frame.melt([by, "key"], list(STAGES), var_name="stage", value_name="spent")
    summed = long.groupby([by, "stage"], sort=False).agg(
        hours=("spent", lambda seconds: seconds.sum() / 3600), runs=("key", "size")
    )
    return summed.reset_index().assign(stage=lambda rows: rows["stage"].map(STAGES))
