"""Every figure of the paper has its place beside ours, with an interval that covers."""

import json

import numpy as np
import pandas as pd
import pytest

from sparseattn.models.adversary import PRESSURE
from sparseattn.results import paper
from sparseattn.verdicts import replication
from sparseattn.verdicts.contradictions import contradictions


@pytest.fixture(autouse=True)
def nothing_published(monkeypatch, tmp_path_factory):
    """What the project has published by now must not matter here."""
    monkeypatch.setattr("sparseattn.paths.results", lambda: tmp_path_factory.getbasetemp() / "none")


ITEMS = {
    "Table 1": 12, "Table 2": 6, "Table 3": 12, "Table 5": 36, "Table 6": 48,
    "Figure 2": 12, "Figure 3": 64,
}  # fmt: skip
LAMS = (-50.0, -35.0, -25.0, -15.0, -10.0, 0.3, 0.6)
CELL = [*paper.CELL, "quantity"]


def grid(tasks=("sst", "newsgroups", "imdb")):
    """Yield the cells of the paper's grid."""
    for task in tasks:
        for encoder in ("bilstm", "transformer"):
            for alignment in ("additive", "dot"):
                cell = {"task": task, "encoder": encoder, "alignment": alignment}
                for projection, lam in [
                    ("softmax", np.nan), ("sparsemax", 0.0), *(("sparsegen", lam) for lam in LAMS),
                ]:  # fmt: skip
                    yield {**cell, "projection": projection, "lam": lam}


@pytest.fixture(scope="module")
def theirs():
    """The paper's own figures as if they were measurements: what a perfect replication has."""
    means = pd.concat([paper.table6(), paper.figure3(), paper.table1()]).query("statistic=='mean'")
    known = means.drop_duplicates(CELL).set_index(CELL)["value"]
    rng = np.random.default_rng(0)
    frames = []
    for cell in grid():
        for seed in range(3):
            values = {}
            for quantity in sorted(set(means["quantity"])):
                value = known.get((*cell.values(), quantity), 0.5)
                values[quantity] = value + rng.normal(0, 0.01, 20)
            steep = 0.001 * (0 if np.isnan(cell["lam"]) else -cell["lam"])
            for quantity in ("dispersion_inputs_gradient", "dispersion_inputs_loo"):
                values[quantity] = 0.8 + steep + rng.normal(0, 0.01, 20)
            where = {**cell, "alpha": None, "seed": seed, "document": range(20)}
            frames.append(pd.DataFrame({**where, **values}))
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(scope="module")
def ledger():
    reported = paper.table3().query("quantity == 'accuracy'")
    return pd.DataFrame(
        {
            **cell,
            "seed": seed,
            "observed": 300,
            "accuracy": row["value"] + 0.001 * seed,
        }
        for cell in grid()
        for seed in range(3)
        for row in reported.query(
            "task == @cell['task'] and encoder == @cell['encoder'] "
            "and alignment == @cell['alignment']"
        ).to_dict("records")
    )


@pytest.fixture(scope="module")
def complete(theirs, ledger):
    return replication.replicate(theirs, ledger, adversaries())


def adversaries(seeds=3):
    table = paper.table5().pivot_table(
        "value", ["task", "encoder", "alignment", "adversary"], "quantity"
    )
    rows = [
        table.reset_index().assign(seed=seed, document=document)
        for seed in range(seeds)
        for document in range(20)
    ]
    frame = pd.concat(rows, ignore_index=True).rename(columns={"accuracy": "correct"})
    frame = frame.assign(projection="softmax", pressure=PRESSURE)
    return frame.assign(jsd=frame["jsd"] + 0.001 * frame["seed"] + 0.001 * frame["document"])


def nothing():
    empty = pd.DataFrame()
    return replication.replicate(empty, empty, empty)


class TestReplicate:
    def test_every_figure_once(self, complete):
        assert complete["item"].value_counts().to_dict() == ITEMS
        assert not complete.duplicated(["item", *replication.CELL, "quantity"]).any()
        assert complete["paper"].notna().all()

    def test_a_perfect_replication_has_all_and_is_the_same(self, complete):
        measured = complete[~complete["quantity"].str.endswith("_documents")]
        assert not replication.missing(measured).size
        same = measured[measured["item"].isin(["Table 1", "Table 5", "Table 6"])]
        # Of intervals with two degrees of freedom, some are wide by chance.
        assert (same["verdict"] == "same").mean() > 0.95
        np.testing.assert_allclose(same["here"], same["paper"], atol=0.02)
        assert set(same["runs"]) == {3}
        figure3 = measured.query("item == 'Figure 3'")
        assert (figure3["verdict"] == "same").mean() > 0.95
        assert "different" not in {*same["verdict"], *figure3["verdict"]}
        assert (measured["low"] <= measured["here"]).all()
        assert (measured["here"] <= measured["high"]).all()

    def test_correlation_and_median_are_over_the_whole_family(self, complete):
        correlation = complete.query("item == 'Table 2'")
        assert (correlation["here"] < -0.5).all()
        assert set(correlation["runs"]) == {24}
        median = complete.query("item == 'Figure 2'")
        assert set(median["runs"]) == {27}
        assert median["here"].between(0.8, 0.82).all()

    def test_entmax_is_none_of_the_papers(self, theirs, ledger):
        entmax = theirs[theirs["projection"] == "softmax"]
        entmax = pd.concat(
            entmax.assign(projection="entmax", alpha=alpha, dispersion_inputs_gradient=0.0)
            for alpha in (1.5, 1.7)
        )
        with_it = replication.replicate(pd.concat([theirs, entmax]), ledger, adversaries())
        pd.testing.assert_frame_equal(with_it, replication.replicate(theirs, ledger, adversaries()))

    def test_table_5_is_of_softmax_of_trained_adversaries_at_the_stated_pressure(
        self, theirs, ledger
    ):
        frame = adversaries()
        others = [
            frame.assign(projection="sparsemax", jsd=0.0), frame.assign(pressure=0.1, jsd=0.0),
            frame.assign(adversary="uniform", jsd=0.0),
        ]  # fmt: skip
        found = replication.replicate(theirs, ledger, pd.concat([frame, *others]))
        pd.testing.assert_frame_equal(found, replication.replicate(theirs, ledger, frame))

    def test_nothing_measured(self):
        empty = nothing()
        assert set(empty["verdict"]) == {replication.MISSING}
        assert len(replication.missing(empty)) == len(empty) == sum(ITEMS.values())
        assert (replication.progress(empty)["measured"] == 0).all()

    def test_in_part(self, theirs):
        part = theirs.query("task == 'sst' and encoder == 'bilstm' and projection == 'softmax'")
        found = replication.replicate(part, pd.DataFrame()).query("here.notna()")
        assert set(found["item"]) == {"Table 1", "Table 6", "Figure 2"}
        assert set(found["task"]) == {"sst"}
        progress = replication.progress(replication.replicate(part, pd.DataFrame()))
        by = progress.set_index("item")["measured"]
        assert by["Table 6"] == 4
        assert by["Figure 2"] == 2  # the median is over fewer projections, and `runs` says so

    def test_a_trend_of_one_seed_has_a_value_and_no_interval(self, theirs):
        lams = theirs["lam"].isin([0.0, 0.3]) & (theirs["seed"] == 0)
        found = replication.replicate(theirs[lams], pd.DataFrame())
        table2 = found.query("item == 'Table 2'")
        assert table2["here"].notna().all()
        assert table2[["low", "high"]].isna().all(axis=None)
        assert set(table2["verdict"]) == {"undecided"}
        assert not set(table2.index) & set(replication.missing(found).index)
        told = replication.as_text(found)
        assert told.count("no interval") == len(table2)
        assert "nan" not in told


class TestOutput:
    def test_text_names_what_is_missing(self, complete):
        text = replication.as_text(complete.query("item != 'Table 3'"))
        assert "SST, BiLSTM, additive, softmax: tau inputs gradient" in text
        assert "nan" not in text
        assert "Missing" not in text
        empty = replication.as_text(nothing())
        assert "0 of 190 figures have a value here." in empty
        assert "Missing of Table 2, 6 figures: IMDb, BiLSTM, additive; 20News" in empty

    def test_json_holds_the_same(self, complete):
        for frame in (complete, nothing()):
            rows = json.loads(replication.as_json(frame))
            assert len(rows) == len(frame)
            assert set(rows[0]) == set(replication.COLUMNS)
            here = pd.Series([row["here"] for row in rows], dtype=float)
            np.testing.assert_allclose(here, frame["here"], atol=1e-9)


class TestIntervals:
    def test_median_covers(self):
        """Documents, seeds and projections drawn anew: the interval holds the true median."""
        rng = np.random.default_rng(0)
        held = 0
        for _ in range(300):
            documents = rng.normal(size=(1, 60, 1))
            seeds = 0.3 * rng.normal(size=(4, 1, 1))
            values = np.exp(documents + seeds + 0.5 * rng.normal(size=(4, 60, 5)))
            _, low, high, _ = replication.median_interval(values)
            held += low <= 1 <= high
        assert 0.9 <= held / 300 <= 1

    def test_median_of_one_seed_is_woodruffs(self):
        values = np.arange(1.0, 102)
        found = replication.median_interval(values[None, :, None])
        assert found.value == 51
        # Binomial: the 41st and 61st of 101 give 95 %.
        assert found.low == pytest.approx(41, abs=1.5)
        assert found.high == pytest.approx(61, abs=1.5)

    def test_median_without_values(self):
        assert np.isnan(replication.median_interval(np.full((2, 3, 2), np.nan)).value)
        one = replication.median_interval(np.array([[[0.3]]]))
        assert one.value == 0.3
        assert np.isnan(one.low)

    def test_accuracy_covers(self):
        rng = np.random.default_rng(1)
        held = 0
        for _ in range(1000):
            easy = rng.beta(8, 2, 300)  # the same documents for each seed
            accuracy = (rng.random((3, 300)) < easy).mean(axis=1)
            _, low, high, _ = replication.accuracy_interval(accuracy, 300)
            held += low <= 0.8 <= high
        assert 0.93 <= held / 1000 <= 0.999

    def test_accuracy_of_one_seed_is_binomial(self):
        found = replication.accuracy_interval(np.array([0.8]), 400)
        assert found.high - found.low == pytest.approx(2 * 1.966 * 0.02, rel=1e-3)
        assert replication.accuracy_interval(np.array([1.0, 1.0]), 10).low == 1

    def test_table_2_is_not_spearmans_over_eight_points(self):
        possible = 1 - np.arange(0, 169, 2) / 84  # 1 − 6 Σd² / (8 · 63), Σd² even
        reported = paper.table2()["value"].to_numpy()
        distance = abs(reported[:, None] - possible).min(axis=1)
        assert (distance > 0.001).sum() >= 3


@pytest.mark.parametrize(
    ("quantity", "theirs", "off", "expected"),
    [
        ("tau_inputs_loo", 0.5, 0.04, "same"),  # .05 does not matter
        ("tau_inputs_loo", 0.5, 0.06, "different"),
        ("jsd", 0.5, 0.04, "same"),
        ("accuracy", 0.5, 0.02, "same"),  # .025
        ("accuracy", 0.5, 0.03, "different"),
        ("accuracy_change", 0.5, 0.02, "same"),
        ("accuracy_change", 0.5, 0.03, "different"),
        ("test_documents", 1000.0, 49.0, "same"),  # a twentieth of theirs
        ("test_documents", 1000.0, 51.0, "different"),
    ],
)
def test_what_would_not_matter_depends_on_the_quantity(quantity, theirs, off, expected):
    row = {"quantity": quantity, "paper": theirs, "runs": 3}
    for value in (theirs + off, theirs - off):
        ends = {"here": value, "low": value - 1e-9, "high": value + 1e-9}
        assert replication._verdict({**row, **ends}) == expected
        unsure = {**row, **ends, "low": np.nan, "high": np.nan}
        assert replication._verdict(unsure) == "undecided"
    both = {"here": theirs, "low": theirs - off, "high": theirs + off}
    assert replication._verdict({**row, **both}) == ("same" if expected == "same" else "undecided")
    assert replication._verdict({**row, "here": np.nan}) == "not measured here"


class TestContradictions:
    def test_the_papers_counts(self):
        table = contradictions(nothing()).set_index("number")["paper"]
        assert list(table.index) == list(range(1, 7))
        assert "all 6 are below zero (−0.94 to −0.41)" in table[1]
        assert "5 of 6 cells" in table[2]
        assert "5 of 6 pairs" in table[3]
        assert "3 of 8 curves" in table[4]
        assert "BiLSTM scaled dot, leave-one-out (0.23 to 0.35)" in table[4]
        assert "5 of 12 pairs" in table[5]
        assert "SST, BiLSTM, gradient: 0.25 to 0.45" in table[5]
        assert "−0.18 to −0.03 with frozen" in table[6]

    def test_ours_are_counted_alike(self, complete):
        table = contradictions(complete)
        assert not table["here"].str.contains("Not measured").any()
        # The perfect replication's curves are the paper's.
        row = table.set_index("number").loc[4]
        assert row["here"].partition(" curves")[0] == row["paper"].partition(" curves")[0]

    def test_nothing_measured_is_said(self):
        assert set(contradictions(nothing())["here"]) == {"Not measured here."}
