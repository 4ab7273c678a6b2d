import pandas as pd
import pytest

from sparseattn import paths
from sparseattn.measures import per_document
from sparseattn.results import paper

TABLES = {
    paper.table1: ("table1_influence_entropy", ["mean"], 12),
    paper.figure2: ("figure2_importance_entropy_digitised", ["median"], 12),
    paper.table2: ("table2_entropy_vs_lambda", ["correlation"], 6),
    paper.table3: (
        "table3_tasks",
        ["train", "test", "accuracy_transformer_dot", "accuracy_bilstm_additive"],
        12,
    ),
    paper.table4: (
        "table4_hyperparameters",
        ["batch_size", "learning_rate", "weight_decay"],
        6,
    ),
    paper.table5: ("table5_adversarial", ["jsd", "accuracy", "accuracy_change"], 36),
    paper.table6: ("table6_attention_importance_tau", ["mean"], 48),
    paper.figure3: ("figure3_tau_vs_lambda_imdb_digitised", ["tau"], 64),
}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.__name__)
class TestTables:
    def test_every_figure_is_there_once(self, table):
        file, columns, count = TABLES[table]
        raw = pd.read_csv(paths.book() / "paper" / f"{file}.csv")
        frame = table()
        assert len(frame) == count
        assert sorted(frame["value"]) == sorted(raw[columns].to_numpy(float).ravel())
        cell = [*paper.CELL, "quantity", *(["adversary"] if "adversary" in frame else [])]
        assert not frame.duplicated(cell).any()

    def test_shared_vocabulary(self, table):
        frame = table()
        assert list(frame.columns[: len(paper.COLUMNS)]) == paper.COLUMNS
        known = {
            "task": {"imdb", "newsgroups", "sst"},
            "encoder": {"bilstm", "transformer"},
            "alignment": {"additive", "dot"},
            "projection": {"softmax", "sparsemax", "sparsegen"},
        }
        for column, values in known.items():
            assert set(frame[column].dropna()) <= values
        assert (frame["lam"].notna() == frame["projection"].isin(["sparsemax", "sparsegen"])).all()
        assert frame["digitised"].dtype == bool
        assert len(set(frame["item"])) == 1


def test_quantities_are_columns_of_ours():
    ours = {f"{kind}_{name}" for kind in ("tau", "dispersion") for name in per_document.IMPORTANCES}
    ours |= set(per_document.INFLUENCES)
    for table in (paper.table1, paper.figure2, paper.table2, paper.table6, paper.figure3):
        assert set(table()["quantity"]) <= ours


def test_values_land_in_their_cells():
    cell = "task == 'sst' and encoder == 'bilstm' and projection == 'sparsemax'"
    row = paper.table6().query(f"{cell} and quantity == 'tau_inputs_gradient'")
    assert list(row[["value", "sd", "lam"]].iloc[0]) == [0.45, 0.13, 0]
    accuracy = paper.table3().query("quantity == 'accuracy' and task == 'sst'")
    by = accuracy.set_index(["encoder", "alignment"])["value"]
    assert by.to_dict() == {("transformer", "dot"): 0.79, ("bilstm", "additive"): 0.82}


def test_table6_has_the_alignment_of_table3():
    # Its gradient agreement on IMDb is that of Figure 3 at λ = 0, which names its alignment.
    on = ["task", "encoder", "alignment", "projection", "lam", "quantity"]
    both = paper.table6().merge(paper.figure3(), on=on, suffixes=("", "_figure"))
    gradient = both[both["quantity"] == "tau_inputs_gradient"]
    assert len(gradient) == 2
    assert (gradient["value"] - gradient["value_figure"]).abs().max() < 0.015


def test_canonical_names():
    frame = pd.DataFrame(
        {
            "projection": ["softmax", "sparsegen", "sparsegen", "sparsemax", "entmax"],
            "lam": [0.0, 0.0, 0.3, None, None],
        }
    )
    got = paper.canonical(frame)
    assert list(got["projection"]) == ["softmax", "sparsemax", "sparsegen", "sparsemax", "entmax"]
    assert got["lam"].fillna(99).tolist() == [99, 0, 0.3, 0, 99]
    assert frame["projection"][1] == "sparsegen"
    assert paper.canonical(frame[["projection"]].iloc[:1])["lam"].isna().all()


@pytest.fixture
def measurements():
    rows = [
        {
            "task": "sst",
            "encoder": "bilstm",
            "alignment": "additive",
            "projection": projection,
            "lam": lam,
            "seed": seed,
            "document": document,
            "influence_dispersion": 0.92 + 0.001 * (document + seed),
        }
        for projection, lam in [("softmax", None), ("sparsegen", 0.0), ("sparsemax", None)]
        for seed in range(3)
        for document in range(5)
    ]
    return pd.DataFrame(rows)


class TestUnique:
    def test_a_model_under_two_names_is_one_run(self, measurements):
        found = paper.unique(measurements).groupby("projection").size()
        assert found.to_dict() == {"softmax": 15, "sparsemax": 15}

    def test_seed_and_document_may_be_in_the_index(self, measurements):
        indexed, plain = measurements.set_index(["seed", "document"]), paper.unique(measurements)
        found = paper.unique(indexed)[list(plain)]
        pd.testing.assert_frame_equal(found, plain)

    def test_alphas_are_told_apart(self, measurements):
        entmax = [
            measurements.query("projection == 'softmax'").assign(projection="entmax", alpha=alpha)
            for alpha in (1.5, 1.7)
        ]
        assert len(paper.unique(pd.concat(entmax))) == 30


def test_a_missing_file_is_named(monkeypatch, tmp_path):
    (tmp_path / "book").mkdir()
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.setenv(paths.VARIABLE, str(tmp_path))
    with pytest.raises(ValueError, match=r"no .*table1_influence_entropy\.csv"):
        paper.table1()
