"""The report's answer in a few sentences, computed from the measurements of this build."""

import numpy as np
import pandas as pd

from .appearance import label
from .statistics import differences

_NAMES = {
    "attention_effective": "attention",
    "effective_inputs_gradient": "gradient importance of the inputs",
    "effective_inputs_loo": "leave-one-out importance of the inputs",
}


def headline(measurements: pd.DataFrame, verdicts: pd.DataFrame) -> str:
    """Return the answer as Markdown: what sparsemax does to attention, and to what matters.

    Parameters
    ----------
    measurements
        One row for each run and document (:func:`sparseattn.runs.measurements`).
    verdicts
        From :func:`sparseattn.claims.verdicts`.

    Returns
    -------
    str
        With c the paired change of log exp(H) from softmax to sparsemax, averaged over
        classifiers, and intervals of 95 %, the answer is

        - "undecided" when it is not certain that attention itself narrows;
        - "yes, in this respect" when an importance narrows by as much as attention, "less than it
          seems" when one narrows, but by less;
        - "no" when none narrows, and narrowing by half as much as attention is ruled out;
        - else "undecided".
    """
    tasks = ", ".join(label(task) for task in dict.fromkeys(measurements["task"]))
    counts = verdicts["verdict"].value_counts()
    tally = ", ".join(
        f"{counts[name]} {name}"
        for name in ("supported", "contradicted", "undecided", "not measured here")
        if name in counts
    )
    claims = f"Of the paper's {len(verdicts)} claims: {tally}."
    if not {"softmax", "sparsemax"} <= set(measurements["projection"]):
        return (
            f"This build ({tasks}) does not hold both softmax and sparsemax, so it has no "
            f"answer to give. {claims}"
        )
    logs = measurements.assign(every=0, **{name: np.log(measurements[name]) for name in _NAMES})
    keys = ["every", "task", "encoder", "alignment", "seed", "document"]
    # Averaged over classifiers first: what is compared is a document under the two projections.
    logs = logs.groupby([*keys, "projection"], dropna=False)[list(_NAMES)].mean().reset_index()
    logs["document"] = logs["task"] + logs["document"].astype(str)
    logs = logs.groupby(["every", "seed", "document", "projection"])[list(_NAMES)].mean()
    changes = differences(
        logs.reset_index(), "projection", ("sparsemax", "softmax"), ["every"], list(_NAMES)
    ).set_index("quantity")
    factors = np.exp(changes[["mean", "low", "high"]])
    shown = [
        f"{name} {factors.loc[quantity, 'mean']:.0%} "
        f"[{factors.loc[quantity, 'low']:.0%}, {factors.loc[quantity, 'high']:.0%}]"
        for quantity, name in _NAMES.items()
    ]
    return (
        f"**{_answer(changes)}** On {tasks}, with sparsemax in place of softmax the "
        "effective number of tokens (exp of the entropy) becomes, as a share of what it was: for "
        f"{shown[0]}; for the {shown[1]}; for the {shown[2]} (over classifiers; 95 % intervals "
        f"over documents and seeds). {claims}"
    )


def _answer(changes: pd.DataFrame) -> str:
    attention = changes.loc["attention_effective"]
    ours = changes.drop(index="attention_effective")
    narrowing = ours[ours["high"] < 0]
    if attention["high"] >= 0:
        return "Undecided."
    if len(narrowing):
        as_much = narrowing["mean"].min() <= attention["mean"]
        return "Yes, in this respect." if as_much else "Less than it seems."
    return "No." if (ours["low"] > attention["mean"] / 2).all() else "Undecided."
