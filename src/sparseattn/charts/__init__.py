"""Frames become figures and tables. A legend is a filter; the paper's marks are hollow diamonds."""

from sparseattn.charts.encodings import up_to_one
from sparseattn.charts.figure import Figure, show
from sparseattn.charts.forest import forest
from sparseattn.charts.interactive import projections
from sparseattn.charts.lines import learning_curves, over_lambda, over_size
from sparseattn.charts.points import against, amounts, distribution, paper_versus_here, times_faster
from sparseattn.charts.tables import badge, claims_table, departures_table, table

__all__ = [
    "Figure",
    "against",
    "amounts",
    "badge",
    "claims_table",
    "departures_table",
    "distribution",
    "forest",
    "learning_curves",
    "over_lambda",
    "over_size",
    "paper_versus_here",
    "projections",
    "show",
    "table",
    "times_faster",
    "up_to_one",
]
