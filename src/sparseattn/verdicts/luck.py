"""Luck: how often would so many tests come out so, if the two projections were alike?

Then it would not matter which of two runs, of one classifier and seed, is called the sparse one.
So such pairs are exchanged at random, in all tests at once, and judged by the same rule.

References
----------
Phipson & Smyth (2010), Statistical Applications in Genetics and Molecular Biology 9(1):39: what was
measured counts as one of the exchanges.
"""

from collections.abc import Mapping
from itertools import product

import numpy as np
import pandas as pd

from sparseattn.measures.statistics import estimate
from sparseattn.verdicts.claims import CELL
from sparseattn.verdicts.judging import Word, judge, stance

EXCHANGES = 200
"""So many, or all there are where they are fewer; the first exchanges nothing."""


def exchanged(effects: Mapping[str, pd.Series], smallest: float) -> pd.DataFrame:
    """Return how many tests come out ``better``, and ``worse``, a row an exchange.

    `effects` are those of each test, as `claims.by_cell` takes them; `smallest` is the least that
    matters. The first row is of the effects as they are.
    """
    tables = [_tables(one) for one in effects.values()]
    pairs = pd.MultiIndex.from_tuples(
        sorted({pair for some in tables for table in some for pair in table.index}),
        names=[*CELL, "seed"],
    )
    signs = pd.DataFrame(_signs(len(pairs)), pairs)
    words = np.array([_words(some, signs, smallest) for some in tables])
    sides = {"better": "holds", "worse": "reversed"}
    return pd.DataFrame(
        {
            side: np.isin(words, [word, f"{word} on average"]).sum(axis=0)
            for side, word in sides.items()
        }
    )


def _tables(effects: pd.Series) -> list[pd.DataFrame]:
    """Return the effects of each cell of several seeds, seeds × documents."""
    keys = [*CELL, "seed"]
    rows = effects.rename("effect").reset_index().pivot_table("effect", keys, "document")
    cells = rows.groupby(CELL, sort=False)
    return [table.dropna(axis=1, how="all") for _, table in cells if len(table) > 1]


def _signs(pairs: int) -> np.ndarray:
    """Return (pairs, exchanges) signs; −1 exchanges a pair."""
    if 2**pairs <= EXCHANGES:
        return np.array(list(product([1, -1], repeat=pairs))).reshape(2**pairs, pairs).T
    signs = np.random.default_rng(0).choice([1, -1], size=(pairs, EXCHANGES))
    signs[:, 0] = 1
    return signs


def _words(tables: list[pd.DataFrame], signs: pd.DataFrame, smallest: float) -> list[Word]:
    """Judge one test, given its tables, after each exchange."""
    found = [
        estimate(table.to_numpy()[..., None] * signs.loc[table.index].to_numpy()[:, None])
        for table in tables
    ]
    columns = {"value": "mean", "low": "low", "high": "high", "se": "se"}
    words = []
    for place in signs:
        cells = {name: [one[of][place] for one in found] for name, of in columns.items()}
        ends = zip(cells["value"], cells["low"], cells["high"], strict=True)
        said = [stance(value, low, high, smallest) for value, low, high in ends]
        words.append(judge({**cells, "stance": said}, smallest)["verdict"])
    return words
