"""The paper's figures, ready to sit beside ours.

Every table and figure is read from ``book/paper/*.csv`` into the same tidy form and with the names
of our own measurements, so that the two join:

    task, encoder, alignment, projection, lam    the cell
    quantity        our column (``tau_inputs_gradient``, ``influence_dispersion``, …)
    statistic       what the value is: ``mean``, ``median``, ``value``, ``correlation with lam``
    value, sd       the figure; its spread over documents where given
    item            ``Table 1``, …
    digitised       read off a plot, to about ±0.01

A column that does not apply is missing (NaN). Sparsegen at λ = 0 is called by its own name,
``sparsemax``. Where the paper names no alignment it is that of its Table 3 (additive for the
BiLSTM, dot for the Transformer): its Table 6 then agrees with its Figure 3 at λ = 0.
"""

import numpy as np
import pandas as pd

from sparseattn import paths
from sparseattn.errors import UserError
from sparseattn.wording import is_sparsemax

TASKS = ("sst", "newsgroups", "imdb")
"""Its tasks, in the order of the book's charts and tables: from short texts to long ones."""
CELL = ["task", "encoder", "alignment", "projection", "lam"]
COLUMNS = [*CELL, "quantity", "statistic", "value", "sd", "item", "digitised"]
ALIGNMENT = {"bilstm": "additive", "transformer": "dot"}


def table1() -> pd.DataFrame:
    """Dispersion of the inputs' influence on a hidden state, mean over states and documents."""
    frame = _read("table1_influence_entropy").rename(columns={"mean": "value"})
    return _tidy(frame, "Table 1", quantity="influence_dispersion")


def figure2() -> pd.DataFrame:
    """Dispersion of the importance of inputs, over all projections; medians."""
    frame = _read("figure2_importance_entropy_digitised").rename(columns={"median": "value"})
    frame["quantity"] = "dispersion_inputs_" + frame["measure"]
    return _tidy(frame, "Figure 2", statistic="median", digitised=True)


def table2() -> pd.DataFrame:
    """Correlation of λ with the dispersion of the inputs' gradient importance."""
    frame = _read("table2_entropy_vs_lambda").rename(columns={"correlation": "value"})
    frame["quantity"], frame["statistic"] = "dispersion_inputs_gradient", "correlation with lam"
    return _tidy(frame, "Table 2")


def table3() -> pd.DataFrame:
    """Sizes of the tasks (``train_documents``, ``test_documents``) and test ``accuracy``."""
    long = _read("table3_tasks").melt("task", var_name="source")
    accuracy = long["source"].str.extract(r"^accuracy_(?P<encoder>[^_]+)_(?P<alignment>.+)$")
    long["quantity"] = (long["source"] + "_documents").where(accuracy["encoder"].isna(), "accuracy")
    frame = long.join(accuracy)
    return _tidy(frame, "Table 3", infer_alignment=False, statistic="value")


def table4() -> pd.DataFrame:
    """Training settings: ``batch_size``, ``learning_rate``, ``weight_decay``."""
    frame = _read("table4_hyperparameters").melt("encoder", var_name="quantity")
    return _tidy(frame, "Table 4", infer_alignment=False, statistic="value")


def table5() -> pd.DataFrame:
    """Adversarial attention: ``jsd``, ``accuracy``, ``accuracy_change``; column ``adversary``."""
    frame = _read("table5_adversarial").melt(["task", "encoder", "adversary"], var_name="quantity")
    return _tidy(frame, "Table 5", "adversary", statistic="value")


def table6() -> pd.DataFrame:
    """τ-b of attention with the importance of inputs and of hidden states."""
    frame = _read("table6_attention_importance_tau").rename(columns={"mean": "value"})
    frame["quantity"] = "tau_" + frame["importance_of"] + "_" + frame["measure"]
    return _tidy(frame, "Table 6")


def figure3() -> pd.DataFrame:
    """τ-b of attention with the importance of inputs as λ grows, IMDb."""
    frame = _read("figure3_tau_vs_lambda_imdb_digitised").rename(columns={"tau": "value"})
    frame["quantity"] = "tau_inputs_" + frame["measure"]
    return _tidy(frame, "Figure 3", task="imdb", projection="sparsegen", digitised=True)


def canonical(frame: pd.DataFrame) -> pd.DataFrame:
    """Name projections alike: sparsegen at λ = 0 is ``sparsemax``; only those two have a λ."""
    lam = frame["lam"].astype("float64") if "lam" in frame else pd.Series(np.nan, frame.index)
    sparsegen = frame["projection"] == "sparsegen"
    sparsemax = is_sparsemax(frame["projection"], lam)
    return frame.assign(
        projection=frame["projection"].mask(sparsemax, "sparsemax"),
        lam=lam.where(sparsegen | frame["projection"].isna()).mask(sparsemax, 0.0),
    )


def unique(measurements: pd.DataFrame) -> pd.DataFrame:
    """Return measurements with canonical names, a run that occurs under two names kept once."""
    named = [name for name in measurements.index.names if name is not None]
    frame = measurements.reset_index(level=named) if named else measurements
    more = [name for name in ("alpha", "adversary", "pressure") if name in frame]
    return canonical(frame).drop_duplicates([*CELL, *more, "seed", "document"])


def _read(name: str) -> pd.DataFrame:
    file = paths.book() / "paper" / f"{name}.csv"
    if not file.is_file():
        raise UserError(
            f"The paper's figures are missing: no {file}. It is part of the project; restore it "
            "with 'git checkout book/paper'."
        )
    return pd.read_csv(file)


def _tidy(
    frame: pd.DataFrame,
    item: str,
    *more: str,
    infer_alignment: bool = True,
    digitised: bool = False,
    **constant: str,
) -> pd.DataFrame:
    frame = frame.assign(item=item, digitised=digitised, **constant)
    if infer_alignment and "alignment" not in frame:
        frame["alignment"] = frame["encoder"].map(ALIGNMENT)
    if "statistic" not in frame:
        frame["statistic"] = "mean"
    for name in ("lam", "value", "sd"):
        frame[name] = frame[name].astype("float64") if name in frame else float("nan")
    frame = frame.reindex(columns=[*COLUMNS, *more])
    for name in (*CELL[:4], "quantity"):
        frame[name] = frame[name].astype("str")
    return canonical(frame)
