"""The front page: the report's answer in a few sentences, from the measurements of this build."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from sparseattn.data.owntexts import is_own
from sparseattn.experiments.runs import Run
from sparseattn.measures.statistics import differences, summarise
from sparseattn.results import paper, published, side_by_side
from sparseattn.results.frames import measurements
from sparseattn.verdicts import claims
from sparseattn.wording import label, listed, span, verbatim

_NAMES = {
    "attention_effective": "attention",
    "effective_inputs_gradient": "importance of inputs (gradient)",
    "effective_inputs_loo": "importance of inputs (leave-one-out)",
}


def headline(measurements: Mapping[str, pd.DataFrame], verdicts: Mapping[str, pd.DataFrame]) -> str:
    """Return the answer as Markdown: what sparsemax does to attention, and to what matters.

    Parameters
    ----------
    measurements
        Of each task, by its name: a row for each run and document
        (:func:`experiments.runs.measurements`).
    verdicts
        Of the same tasks, from :func:`verdicts.claims.verdicts`.

    Returns
    -------
    str
        With c the paired change of log exp(H) from softmax to sparsemax, averaged over
        classifiers, and intervals of 95 %, the answer of a task is

        - "unclear" when it is not certain that attention itself narrows;
        - "yes, in this respect" when an importance narrows by as much as attention, "less than it
          seems" when one narrows, but by less;
        - "no" when none narrows, and narrowing by half as much as attention is ruled out;
        - else "unclear".
    """
    found = {verbatim(task): _changes(frame) for task, frame in measurements.items()}
    known = {task: changes for task, changes in found.items() if changes is not None}
    tally = _tally(list(verdicts.values()))
    if not known:
        return (
            "This build does not hold both softmax and sparsemax, so it has no answer to give. "
            f"{tally}"
        )
    answers: dict[str, list[str]] = {}
    for task, changes in known.items():
        answers.setdefault(_answer(changes), []).append(task)
    told = "; ".join(
        answer if len(answers) == 1 else f"{answer} on {listed(tasks)}"
        for answer, tasks in answers.items()
    )
    attention, gradient, loo = (
        span(np.exp([changes.loc[name, "mean"] for changes in known.values()]), ".0%")
        for name in _NAMES
    )
    even = [
        task for task, changes in known.items() if changes.loc["effective_inputs_loo", "high"] >= 0
    ]
    certain = f"; by leave-one-out the difference is not certain on {listed(even)}" if even else ""
    return (
        f"**{told[0].upper()}{told[1:]}.** On {listed(list(known))}, attention under "
        f"sparsemax spreads over {attention} as many tokens as under softmax; the importance of "
        f"the inputs over {gradient} (gradient) and {loo} (leave-one-out) as many{certain}. "
        f"{tally}"
    )


def published_beside(task: str) -> list[str]:
    """Return the published tasks that stand beside a live one; none beside own texts."""
    if is_own(task):
        return []
    return [name for name in paper.TASKS if name in published.tasks()]


def by_source(runs: Sequence[Run], tasks: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Return the measurements of published tasks and, last, of live runs, by names to show."""
    frames = {label(task): measurements(published.runs([task])) for task in tasks}
    rows = measurements(runs)
    return frames | {f"{label(rows['task'].iloc[0])} {side_by_side.LIVE}": rows}


def live(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the live runs' measurements of `by_source`, with their ``origin``."""
    source = list(frames)[-1]
    return frames[source].assign(origin=source)


def verdicts_of(
    frames: Mapping[str, pd.DataFrame], adversaries: pd.DataFrame
) -> dict[str, pd.DataFrame]:
    """Judge all claims on each frame of `by_source`; `adversaries` are those of the live runs."""
    *published_ones, source = frames
    against = {
        name: measurements(published.adversaries([frames[name]["task"].iloc[0]]))
        for name in published_ones
    }
    against[source] = adversaries
    return {name: claims.verdicts(frame, against[name]) for name, frame in frames.items()}


def front(frames: Mapping[str, pd.DataFrame], verdicts: Mapping[str, pd.DataFrame]) -> str:
    """Return `headline` of the published tasks, or where there are none of the live one."""
    *published_ones, source = frames
    names = published_ones or [source]
    return headline(
        {name: frames[name] for name in names}, {name: verdicts[name] for name in names}
    )


def all_shares(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return `shares` of each frame, with its ``source``."""
    return pd.concat([shares(frame).assign(source=source) for source, frame in frames.items()])


def spread_over_lambda(frames: Mapping[str, pd.DataFrame]) -> tuple[str, pd.DataFrame]:
    """Summarise effective shares of the tokens over λ, of the first source with more than one λ."""
    swept = [source for source, frame in frames.items() if len(set(frame["lam"].dropna())) > 1]
    source = (swept or list(frames))[0]
    frame = frames[source]
    frame = frame.assign(**{f"share_{name}": frame[name] / frame["length"] for name in _NAMES})
    by = [*paper.CELL, "classifier"]
    rows = summarise(frame[frame["lam"].notna()], by, [f"share_{name}" for name in _NAMES])
    named = rows["quantity"].astype("str").str.removeprefix("share_")
    return source, rows.assign(shown=named.map(_NAMES))


def shares(measurements: pd.DataFrame) -> pd.DataFrame:
    """Return the effective numbers of tokens under sparsemax as shares of those under softmax.

    Parameters
    ----------
    measurements
        As for `headline`.

    Returns
    -------
    DataFrame
        One row each for attention and two importances: ``of``, ``mean``, and the ends ``low`` and
        ``high`` of its interval; no row without both projections.

    Notes
    -----
    Geometric means over documents and classifiers, paired by document; 95 % intervals over
    documents and seeds.
    """
    changes = _changes(measurements)
    if changes is None:
        return pd.DataFrame(columns=["of", "mean", "low", "high"])
    factors = np.exp(changes.loc[list(_NAMES), ["mean", "low", "high"]].astype(float))
    return factors.assign(of=list(_NAMES.values())).reset_index(drop=True)


def _changes(measurements: pd.DataFrame) -> pd.DataFrame | None:
    """Return the mean change of each log exp(H), by quantity; None without both projections."""
    classifier = ["task", "encoder", "alignment", "seed"]
    logs = measurements[measurements["projection"].isin(["softmax", "sparsemax"])]
    # Only classifiers trained under both: the level of another would pass for an effect.
    trained = logs.groupby(classifier, dropna=False)["projection"].transform("nunique")
    logs = logs[trained == 2]
    if logs.empty:
        return None
    logs = logs.assign(every=0, **{name: np.log(logs[name]) for name in _NAMES})
    keys = ["every", *classifier, "document"]
    # Averaged over classifiers first: what is compared is a document under the two projections.
    logs = logs.groupby([*keys, "projection"], dropna=False)[list(_NAMES)].mean().reset_index()
    logs["document"] = logs["task"] + logs["document"].astype(str)
    logs = logs.groupby(["every", "seed", "document", "projection"])[list(_NAMES)].mean()
    return differences(
        logs.reset_index(), "projection", ("sparsemax", "softmax"), ["every"], list(_NAMES)
    ).set_index("quantity")


def _answer(changes: pd.DataFrame) -> str:
    attention = changes.loc["attention_effective"]
    ours = changes.drop(index="attention_effective")
    narrowing = ours[ours["high"] < 0]
    if attention["high"] >= 0:
        return "unclear"
    if len(narrowing):
        as_much = narrowing["mean"].min() <= attention["mean"]
        return "yes, in this respect" if as_much else "less than it seems"
    return "no" if (ours["low"] > attention["mean"] / 2).all() else "unclear"


def _tally(verdicts: Sequence[pd.DataFrame]) -> str:
    """Say of how many claims the tasks speak with one voice."""
    by_task = pd.DataFrame([one["verdict"].to_list() for one in verdicts])
    agreed = {
        outcome: int((by_task == outcome).all().sum()) for outcome in ("supported", "contradicted")
    }
    known = ", ".join(
        f"{count} {'is' if count == 1 else 'are'} {outcome} throughout"
        for outcome, count in agreed.items()
    )
    words = by_task.melt()["value"].value_counts()
    claims, tasks = by_task.shape[1], by_task.shape[0]
    counted = ", ".join(f"{count} {word}" for word, count in words.items())
    return (
        f"Of the paper's {claims} claims, {known}; the other {claims - sum(agreed.values())} "
        f"depend on the task, or are not clear. Of {claims} claims on {tasks} tasks: {counted}."
    )
