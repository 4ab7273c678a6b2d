"""The paper's claims, in our words, each with the rule by which it is judged.

Each claim is judged cell by cell (a classifier under one projection) or series by series (a
classifier over λ), on 95 % intervals over documents and seeds (`measures.statistics.estimate`),
or over seeds (`measures.statistics.trend`). Each one is *for* the claim, *against* it, *unclear*,
or has *too few seeds*: of a single training, no interval says what another would give. The outcome
follows from the counts, the same way on both sides (`verdicts.outcomes.outcome`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from sparseattn.measures.nulls import GRADIENTS
from sparseattn.verdicts import judging
from sparseattn.verdicts.judging import COST
from sparseattn.verdicts.outcomes import Verdict, counted


@dataclass(frozen=True)
class Claim:
    """One claim of the paper.

    Attributes
    ----------
    number
        Its place in the list, from 1.
    statement
        The claim, in our words.
    page
        The notebook that gives the evidence, by the subject in its name.
    items
        The paper's tables and figures that it rests on.
    quantities
        The columns of the measurements that decide it.
    rule
        How it is judged, in words.
    judge
        The rule itself: measurements (one row a run and document) to a verdict.
    evidence
        Which measurements: of the runs, or of the ``adversaries``.
    """

    number: int
    statement: str
    page: str
    items: tuple[str, ...]
    quantities: tuple[str, ...]
    rule: str
    judge: Callable[[pd.DataFrame], Verdict]
    evidence: Literal["runs", "adversaries"] = "runs"


def verdicts(measurements: pd.DataFrame, adversaries: pd.DataFrame | None = None) -> pd.DataFrame:
    """Judge all claims: one row each.

    Its columns are ``number, claim, verdict, counts, sentence, paper, rule, page``, and `CELLS`
    with the number of cells that say each; ``counts`` has the same in words.

    Parameters
    ----------
    measurements
        One row for each run and document.
    adversaries
        One row for each adversary and document (`results.frames.measurements`), where
        there are any.
    """
    frames = {
        "runs": measurements,
        "adversaries": pd.DataFrame() if adversaries is None else adversaries,
    }
    rows = []
    for claim in CLAIMS:
        verdict = claim.judge(frames[claim.evidence])
        rows.append(
            {
                "number": claim.number,
                "claim": claim.statement,
                "verdict": verdict.outcome,
                "counts": counted(verdict.counts),
                "sentence": verdict.sentence,
                "paper": verdict.paper,
                "rule": claim.rule,
                "page": claim.page,
                **verdict.counts,
            }
        )
    return pd.DataFrame(rows)


HALF = (
    "A cell is for the claim when the interval of its effective number of tokens, exp of the "
    "entropy, lies above half of what noise gives on documents of the same lengths, and against it "
    "when below. Noise for a gradient is the length of random Gaussian vectors of "
    f"{GRADIENTS} entries, "
)
TREND = (
    "A series (a task, encoder and alignment, over λ) is for the claim when the interval over "
    "seeds of the quantity's correlation with the rank of λ lies {side} zero, and against it when "
    "on the other side. "
)
SIDES = (
    "Too few seeds: more than half of the {cells} rest on one. Of the others, supported: more than "
    "half are for, none against; contradicted: more than half against, none for; mixed: some for, "
    "some against, together more than half; else unclear."
)
CELLWISE, SERIESWISE = SIDES.format(cells="cells"), SIDES.format(cells="series")
CLAIMS: tuple[Claim, ...] = (
    Claim(
        1,
        "A hidden state is not interchangeable with its input: the influence of the inputs on it "
        "is spread out, for every task, encoder and projection.",
        "hidden-states",
        ("Table 1",),
        ("influence_dispersion",),
        HALF + "which is nearly all tokens. " + CELLWISE,
        judging.influence_is_dispersed,
    ),
    Claim(
        2,
        "Sparse attention does not make the importance of inputs sparse: it stays spread out "
        "whatever the projection.",
        "dispersion",
        ("Figure 2",),
        ("dispersion_inputs_gradient", "dispersion_inputs_loo"),
        HALF + "for leave-one-out single random numbers. Sparse projections only. " + CELLWISE,
        judging.importance_is_dispersed,
    ),
    Claim(
        3,
        "The sparser attention is, the more the importance of inputs is spread out.",
        "dispersion",
        ("Table 2",),
        ("dispersion_inputs_gradient",),
        TREND.format(side="above") + SERIESWISE,
        judging.dispersion_grows,
    ),
    Claim(
        4,
        "Attention agrees more with the importance of hidden states than with that of inputs, in "
        "all models.",
        "agreement",
        ("Table 6", "Figure 1", "Figure 4"),
        ("tau_hidden_gradient", "tau_inputs_gradient", "tau_hidden_loo", "tau_inputs_loo"),
        "A cell is for the claim when the interval of the paired difference of τ-b lies above "
        "zero, and against it when below, for gradient and leave-one-out apart. " + CELLWISE,
        judging.hidden_above_inputs,
    ),
    Claim(
        5,
        "The sparser attention is, the less it agrees with the importance of inputs.",
        "agreement",
        ("Figure 3",),
        ("tau_inputs_gradient", "tau_inputs_loo"),
        TREND.format(side="below") + SERIESWISE,
        judging.agreement_falls,
    ),
    Claim(
        6,
        "Attention can be made to diverge at no cost in accuracy when the model is retrained, but "
        "not when its other parameters are frozen.",
        "adversary",
        ("Table 5",),
        ("jsd", "accuracy_change"),
        "Retrained, a cell is for the claim when the interval of the divergence lies above half of "
        f"its maximum, ln 2, and that of the change of accuracy above −{COST:g}; against it when "
        "either lies wholly below. Frozen, it is for the claim when the divergence is as large and "
        f"the interval of the change below zero, not wholly within {COST:g} of it; against it when "
        f"it diverges and the change lies above −{COST:g}. " + CELLWISE,
        judging.diverges_at_no_cost,
        "adversaries",
    ),
    Claim(
        7,
        "Overall, sparsity makes attention no more, perhaps less, plausible as an explanation.",
        "paper",
        (),
        (),
        "What claims 2 and 5 are, where they are the same; mixed where one is mixed, or supported "
        "and the other contradicted; too few seeds where either has; else unclear.",
        judging.no_more_plausible,
    ),
)
