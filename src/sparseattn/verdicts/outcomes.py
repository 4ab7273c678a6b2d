"""What became of a claim, from what its cells say of it, the same way on both sides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

Outcome = Literal[
    "supported", "mixed", "contradicted", "unclear", "too few seeds", "not measured here"
]
CELLS = ("supported", "contradicted", "unclear", "too few seeds")
"""What one cell may say of a claim."""


@dataclass(frozen=True)
class Verdict:
    """What became of a claim.

    Attributes
    ----------
    outcome
        See :func:`outcome`.
    sentence
        The numbers behind it, in one or two sentences.
    cells
        What was judged: a row a cell (or series) and quantity, with ``value``, ``low``, ``high``
        and ``verdict``; empty when nothing was.
    paper
        The paper's own numbers, in one sentence; empty where it has none.
    """

    outcome: Outcome
    sentence: str
    cells: pd.DataFrame
    paper: str = ""

    @property
    def counts(self) -> dict[str, int]:
        """How many cells say each of `CELLS`; all 0 where nothing was judged."""
        found = self.cells["verdict"] if len(self.cells) else pd.Series(dtype=str)
        return {word: int((found == word).sum()) for word in CELLS}


def outcome(counts: Mapping[str, int]) -> Outcome:
    """Return what cells say of a claim together.

    Parameters
    ----------
    counts
        How many say each of `CELLS`.

    Returns
    -------
    str
        ``too few seeds`` where more than half of the cells have too few. Of the others,
        ``supported`` where more than half are for the claim and none is against, ``contradicted``
        where more than half are against and none is for; ``mixed`` where some are for, some
        against, together more than half; else ``unclear``. Without any cell, ``not measured here``.
    """
    pro, contra, neither, few = (counts[word] for word in CELLS)
    judged = pro + contra + neither
    if not judged + few:
        return "not measured here"
    if few > judged:
        return "too few seeds"
    if pro + contra <= judged / 2:
        return "unclear"
    if pro and contra:
        return "mixed"
    return "supported" if pro else "contradicted"


def counted(counts: Mapping[str, int], words: Sequence[str] = ("for", "against")) -> str:
    """Return counts in words: ``18 for, 9 against, 9 unclear of 36``; empty without any.

    Parameters
    ----------
    counts
        As for `outcome`.
    words
        For those that support and those that contradict.
    """
    known = {word: counts[word] for word in CELLS}
    if not sum(known.values()):
        return ""
    told = [f"{known['supported']} {words[0]}", f"{known['contradicted']} {words[1]}"]
    told.append(f"{known['unclear']} unclear")
    if known["too few seeds"]:
        told.append(f"{known['too few seeds']} with one seed")
    return f"{', '.join(told)} of {sum(known.values())}"


def judged(sentence: str, cells: pd.DataFrame, theirs: str) -> Verdict:
    """Return the verdict that cells come to, their ``verdict`` known; without any, none."""
    if cells.empty:
        sentence = "Undefined on every document."
    counts = Verdict("unclear", sentence, cells, theirs).counts
    return Verdict(outcome(counts), sentence, cells, theirs)
