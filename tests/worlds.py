"""Simulated examinations, in which what attention is worth is put in."""

from functools import cache

import numpy as np
import pandas as pd

from sparseattn.verdicts import question

ENCODERS = ("bilstm", "transformer")


def world(gain=0.0, above=0.2, tasks=("sst", "imdb"), seeds=3, accuracy=1.0):
    """Return examinations in which attention is `above` chance, and sparsemax `gain` better."""
    return _world(gain, above, tasks, seeds, accuracy).copy()


@cache
def _world(gain, above, tasks, seeds, accuracy, documents=40, noise=0.02):
    rng = np.random.default_rng(0)
    rows = []
    for task in tasks:
        for encoder in ENCODERS:
            for seed in range(seeds):
                common = rng.normal(0, noise, documents)
                for projection in ("softmax", "sparsemax"):
                    more = gain if projection == "sparsemax" else 0.0
                    for document in range(documents):
                        level = 0.4 + above + more + common[document] + rng.normal(0, noise)
                        rows.append(
                            {
                                "key": f"{task}{encoder}{projection}{seed}",
                                "task": task,
                                "origin": task,
                                "encoder": encoder,
                                "alignment": "additive",
                                "projection": projection,
                                "sparsity": projection,
                                "lam": 0.0 if projection == "sparsemax" else np.nan,
                                "alpha": None,
                                "seed": seed,
                                "document": document,
                                "comprehensiveness_attention": level,
                                "comprehensiveness_random": 0.4,
                                "comprehensiveness_least": 0.1,
                                "comprehensiveness_most": 0.9,
                                "simulated_attention": level,
                                "simulated_random": 0.4,
                                "effect_beyond_tenth": 0.8,
                                "beyond_tenth_share": 0.9,
                                "effect_unattended": 0.5,
                                "unattended_share": 0.75,
                                "accuracy": accuracy,
                                "flow_itself": 0.25,
                                "flow_context": 0.5,
                                "flow_attention": 0.25,
                                "evidence_auc_attention": level,
                                "evidence_auc_inputs_loo": 0.95 + rng.normal(0, 0.01),
                                "evidence_auc_random": 0.5 + rng.normal(0, 0.05),
                            }
                        )
    return question.derived(pd.DataFrame(rows))
