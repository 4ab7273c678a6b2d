"""Twins: classifiers that learned from texts with words left out, too (`data.tasks.THINNED`).

On a text without some of its words a classifier may err only because it never saw the like; what
its decision loses then says little of these words. To a twin their removal is no surprise.

References
----------
Hooker et al. (2019), A Benchmark for Interpretability Methods in Deep Neural Networks, NeurIPS.
Hase, Xie and Bansal (2021), The Out-of-Distribution Problem in Explainability and Search Methods
for Feature Importance Explanations, NeurIPS.
"""

from collections.abc import Sequence

import pandas as pd

from sparseattn.data.tasks import THINNED
from sparseattn.results import published
from sparseattn.verdicts import claims, question
from sparseattn.verdicts.judging import judge
from sparseattn.wording import sentence, span

LOST = {"lost_without": "Without random words", "lost_only": "Random words alone"}
"""What a decision's probability loses: see `beside`."""
_SURPRISE = {
    "holds": "yes, surely", "holds on average": "yes, on average",
    "reversed": "no, they lose more", "reversed on average": "no, they lose more on average",
    "does not hold": "no, not less", "not reversed": "not more, at least",
    "negligible": "no, as much", "mixed": "some do, others lose more",
}  # fmt: skip
_WHO = ["task", "encoder", "alignment", "projection", "seed"]


def recorded(tasks: Sequence[str]) -> list[published.PublishedExamination]:
    """Return the published examinations of the twins of tasks' classifiers."""
    return published.examinations([one for one in THINNED if one.partition("+")[0] in tasks])


def cells(frame: pd.DataFrame, twin: bool = True) -> pd.DataFrame:
    """Return `question.cells` of the tests that remove words, of twins or those they belong to.

    `frame` is from `beside`.
    """
    if frame.empty:
        return pd.DataFrame(columns=[*claims.EFFECT, "test"])
    found = question.cells(frame[frame["twin"] == twin])
    removing = [test.name for test in question.TESTS if test.anchor == "truth-faithful"]
    return found[found["test"].isin(removing)]


def beside(twins: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """Put twins below the classifiers they belong to; both frames are from `question.together`.

    With ``twin``; ``lost_without``, the probability that the decision loses without a tenth to
    half of the words, at random; and ``lost_only``, with these alone.
    """
    if twins.empty or others.empty:
        return pd.DataFrame()
    twins = twins.assign(task=twins["task"].str.partition("+")[0])  # that of those they belong to
    own = others.merge(twins[_WHO].drop_duplicates(), on=_WHO)
    if own.empty:
        return own
    frame = pd.concat([own.assign(twin=False), twins.assign(twin=True)], ignore_index=True)
    share, least, most = _of_random(frame, "comprehensiveness")
    frame["lost_without"] = least + share * (most - least)
    share, least, most = _of_random(frame, "sufficiency")  # of which the least loss is the best
    frame["lost_only"] = most - share * (most - least)
    return frame


def _of_random(frame: pd.DataFrame, name: str) -> list[pd.Series]:
    """Return where random words come between the least and the most, and these two."""
    return [frame[f"{name}_{end}"] for end in ("random", "least", "most")]


def surprise(frame: pd.DataFrame) -> pd.DataFrame:
    """Judge how much less twins lose, a row each of `LOST`: ``verdict``, ``counts``, ``value``, ….

    In points of probability, a cell a classifier, paired by projection, document and seed; see
    `verdicts.judging.judge`. `frame` is from `beside`.
    """
    keys = [*claims.KEYS, "projection"]
    frame = frame.assign(origin=frame["task"])  # twins are of a task of another name
    sides = frame.pivot_table([*LOST], keys, "twin", sort=False)
    rows = []
    for name in LOST:
        less = 100 * (sides[name][False] - sides[name][True])
        less = less.dropna().groupby(claims.KEYS, sort=False).mean()
        found = claims.by_cell(less, question.SMALLEST, "points")
        rows.append({"lost": name, **judge(found, question.SMALLEST)})
    return pd.DataFrame(rows)


def told(frame: pd.DataFrame) -> str:
    """Say in Markdown whether removal surprises, and what the tests that remove words say of twins.

    `frame` is from `beside`.
    """
    if frame.empty:
        return "No twins of these tasks' classifiers are examined."
    means = frame.groupby(["twin", *_WHO[:3]])[[*LOST]].mean()
    lost = [{name: span(means.loc[twin, name], ".2f") for name in LOST} for twin in (False, True)]
    judged = "; ".join(
        f"{LOST[row['lost']].lower()}: *{_SURPRISE.get(row['verdict'], 'not certain')}* "
        f"({row['counts']})"
        for row in surprise(frame).to_dict("records")
    )
    said = [question.said(question.verdicts(cells(frame, twin))) for twin in (False, True)]
    return (
        f"Without a tenth to half of its words, at random, a decision loses "
        f"{lost[0]['lost_without']} of its probability, a twin's {lost[1]['lost_without']}; with "
        f"these words alone {lost[0]['lost_only']} and {lost[1]['lost_only']}. Do twins lose less? "
        f"{sentence(judged)}.\n\nThe tests that remove words, put to twins: {said[1]}; to the "
        f"classifiers they belong to: {said[0]}."
    )
