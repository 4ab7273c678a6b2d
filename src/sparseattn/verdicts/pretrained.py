"""Does the answer hold for a pretrained encoder? The tests of `verdicts.question`, beside both."""

from collections.abc import Sequence

import pandas as pd

from sparseattn.data.tasks import SHORTENED
from sparseattn.experiments.runs import Result
from sparseattn.results import published, side_by_side
from sparseattn.results.frames import ledger
from sparseattn.verdicts import claims, question
from sparseattn.wording import label, listed

Examinations = Sequence[published.PublishedExamination]
Runs = Sequence[published.Published]
_LEAVES = {
    "better": {"better"}, "no worse": {"better", "alike"}, "no different": {"alike"},
    "no better": {"alike", "worse"}, "worse": {"worse"},
}  # fmt: skip
"""What a verdict leaves possible on average; any other excludes nothing."""


def asked(tasks: Sequence[str]) -> tuple[Examinations, Examinations]:
    """Return the published examinations of pretrained classifiers, and of small ones beside them.

    Of tasks, and of those whose long texts were shortened for the former; the small ones are of
    the same tasks.
    """
    large = published.examinations(_with_shortened(tasks), pretrained=True)
    return large, published.examinations(_same(tasks, large))


def trained(tasks: Sequence[str]) -> tuple[Runs, Runs]:
    """Return the published runs of pretrained classifiers, and small ones of their projections."""
    large = published.runs(_with_shortened(tasks), pretrained=True)
    known = {(one.spec.projection, one.spec.lam) for one in large}
    small = published.runs(_same(tasks, large))
    return large, [one for one in small if (one.spec.projection, one.spec.lam) in known]


def _with_shortened(tasks: Sequence[str]) -> list[str]:
    return [*tasks, *(one for one in SHORTENED if one.partition("+")[0] in tasks)]


def _same(tasks: Sequence[str], results: Sequence[Result]) -> list[str]:
    found = {one.manifest["task"]["name"].partition("+")[0] for one in results}
    return [name for name in tasks if name in found]


def claimed(runs: Runs) -> pd.DataFrame:
    """Return the effects of the paper's claims on runs, see `claims.cells`."""
    return claims.cells(side_by_side.of_results([], runs))


def how_good(results: Sequence[Result]) -> pd.DataFrame:
    """Return how good the classifiers are and what one costs, a row each without its seeds.

    Returns
    -------
    DataFrame
        ``task``, ``classifier``, ``projection``, ``seeds``, the means of ``accuracy`` and ``auc``
        on the test split, and ``minutes`` of processor time that a run took (NaN where unknown).
    """
    rows = ledger(results)
    rows = rows.assign(task=rows["task"].map(label), minutes=rows["cpu_seconds"] / 60)
    rows = rows.drop(columns="projection").rename(columns={"sparsity": "projection"})
    found = rows.groupby(["task", "classifier", "projection"], sort=False).agg(
        seeds=("seed", "nunique"),
        accuracy=("accuracy", "mean"),
        auc=("auc", "mean"),
        minutes=("minutes", "mean"),
    )
    return found.reset_index()


def compared(small: pd.DataFrame, large: pd.DataFrame) -> pd.DataFrame:
    """Put verdicts of small and of pretrained classifiers side by side, a row a test.

    Both are from `question.rows`. Columns ``test``, ``small`` and ``pretrained`` (words), and the
    effects ``small_effect`` and ``pretrained_effect`` (NaN where no cell has several seeds).
    """
    kept = ["test", "verdict", "value"]
    sides = [
        frame.reindex(columns=kept).set_axis(["test", side, f"{side}_effect"], axis=1)
        for side, frame in (("small", small), ("pretrained", large))
    ]
    return sides[0].merge(sides[1], on="test")


def _possible(verdict: str) -> set[str]:
    return _LEAVES.get(verdict.removesuffix(" on average"), {"worse", "alike", "better"})


def holds(found: pd.DataFrame, effects: pd.DataFrame) -> str:
    """Say which `compared` verdicts exclude each other, and where an effect is of one seed.

    `effects` are those of pretrained classifiers, from `question.cells`.
    """
    if found.empty:
        return (
            "Not known yet: pretrained classifiers were trained, but not put to these tests under "
            "softmax and sparsemax both. The page *Reproduce* has the command."
        )
    known = found[["small", "pretrained"]] != "not certain"
    same = known.all(axis=1) & (found["small"] == found["pretrained"])
    others = [
        f"{question.within(one['test'])}, *{one['small']}* for small classifiers, "
        f"*{one['pretrained']}* for pretrained ones"
        for one in found.to_dict("records")
        if not _possible(one["small"]) & _possible(one["pretrained"])
    ]
    told = (
        f"Of {len(found)} tests, the verdicts on small and on pretrained classifiers exclude each "
        f"other in {len(others) or 'none'}" + (f": {'; '.join(others)}" if others else "") + ". "
        f"The same is certain of both in {same.sum() or 'none'}."
    )
    several = effects["seeds"] > 1
    counted, hints = (
        sorted(set(effects.loc[rows, "classifier"] + " on " + effects.loc[rows, "origin"]))
        for rows in (several, ~several)
    )
    if known["pretrained"].any():
        told += f" What is certain of pretrained ones rests on {listed(counted)}."
    if hints:
        below = (effects.loc[~several, "value"] < 0).sum()
        told += (
            f" Of {listed(hints)} one seed was put to the tests, which gives no verdict: {below} "
            f"of {(~several).sum()} effects are for the worse."
        )
    return told
