"""The reproducibility checklist of ACL 2021: what it asks, in our words, and a page's answers.

References
----------
https://2021.aclweb.org/calls/reproducibility-checklist; for its history, Dodge et al. (2019),
Show Your Work: Improved Reporting of Experimental Results (EMNLP).
"""

from collections.abc import Mapping
from html import escape

from sparseattn.charts.tables import Table
from sparseattn.errors import UserError, nearest

SOURCE = "https://2021.aclweb.org/calls/reproducibility-checklist"
ASKED: Mapping[str, Mapping[str, str]] = {
    "All experimental results": {
        "model": "The mathematical setting, the algorithm or the model, described clearly",
        "code": "Source code to download, with all dependencies",
        "infrastructure": "The computing infrastructure used",
        "runtime": "Average run time of each model, or its energy",
        "parameters": "Number of parameters of each model",
        "validation": "Validation performance for each test result",
        "metrics": "Each evaluation measure or statistic, defined clearly",
    },
    "Several experiments, such as a search of hyperparameters": {
        "trials": "Exact number of training and evaluation runs",
        "bounds": "Bounds of each hyperparameter",
        "best": "Hyperparameters of the best models",
        "choice": "How hyperparameters were chosen, and by which criterion",
        "summary": "Summary statistics of the results (mean, variance, error bars)",
    },
    "All data sets": {
        "statistics": "Number of examples, distribution of labels",
        "splits": "Training, validation and test splits",
        "preprocessing": "Data left out, and every step of preprocessing",
        "language": "Languages of the texts",
        "data": "A link to the data",
        "collection": "How new data were collected",
    },
}
"""Section → item's name → what is asked."""


def answered(answers: Mapping[str, str]) -> Table:
    """Return the checklist with a page's answers.

    Parameters
    ----------
    answers
        Item's name → HTML of the answer.

    Raises
    ------
    UserError
        When an item has no answer, or an answer no item.
    """
    names = [name for items in ASKED.values() for name in items]
    unknown = [f"{name}.{nearest(name, names)}" for name in answers if name not in names]
    open_items = [name for name in names if not answers.get(name, "").strip()]
    if unknown or open_items:
        raise UserError(
            f"The checklist has no item {' '.join(unknown)}"
            if unknown
            else f"The checklist's items {', '.join(open_items)} have no answer."
        )
    sections = "".join(
        f"<h3>{escape(section)}</h3><dl class='checklist'>"
        + "".join(
            f"<dt id='checklist-{name}'>{escape(asked)}</dt><dd>{answers[name]}</dd>"
            for name, asked in items.items()
        )
        + "</dl>"
        for section, items in ASKED.items()
    )
    return Table(sections, "The reproducibility checklist of ACL 2021, answered.")
