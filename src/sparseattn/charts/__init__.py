"""Frames become figures and tables."""

from sparseattn.charts.figure import Figure, show
from sparseattn.charts.points import (
    against,
    amounts,
    distribution,
    learning_curves,
    over_lambda,
    paper_versus_here,
    projections,
    tokens,
    trade_off,
)

__all__ = [
    "Figure",
    "against",
    "amounts",
    "distribution",
    "learning_curves",
    "over_lambda",
    "paper_versus_here",
    "projections",
    "show",
    "tokens",
    "trade_off",
]
