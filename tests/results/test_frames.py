import pytest
import tiny

from sparseattn.experiments import specs
from sparseattn.experiments.specs import Spec, adversaries_of
from sparseattn.experiments.store import Store
from sparseattn.experiments.sweeps import ensure
from sparseattn.report.parameters import validated
from sparseattn.report.provenance import Provenance
from sparseattn.results.frames import (
    CELL,
    STORED,
    ledger,
    measurements,
    stored_ledger,
)
from sparseattn.wording import classifier_names, projection_name


def test_one_row_a_run_and_document_with_the_cell_named(tmp_path):
    store = Store(tmp_path)
    runs = [store.compute(tiny.spec(seed=seed)) for seed in (0, 1)]
    frame = measurements(runs)
    assert tuple(frame.columns[: len(CELL)]) == CELL
    assert set(frame["key"]) == {run.key for run in runs}
    sizes = frame.groupby("seed")["document"]
    assert (sizes.size() == runs[0].spec.observed).all()
    assert sizes.apply(lambda d: sorted(d) == list(range(len(d)))).all()
    assert frame["classifier"].equals(classifier_names(frame))

    parameters = validated("01-scores-to-attention", {})
    shown, metadata = Provenance(parameters, runs)._repr_mimebundle_()
    assert all(run.key in shown["text/html"] for run in runs)
    assert "2: 2 of this machine's run store, 0 published" in shown["text/html"]
    used = {"experiments/runs.py", "report/provenance.py", "results/frames.py"}
    assert used <= set(metadata["sparseattn"]["modules"])


def test_names_tell_projections_apart():
    specs = [
        Spec(),
        Spec(projection="sparsemax"),
        Spec(projection="sparsegen", lam=-3.0),
        Spec(projection="entmax", alpha=1.25),
    ]
    assert [projection_name(spec) for spec in specs] == [
        "softmax",
        "sparsemax",
        "sparsegen λ = −3",
        "α-entmax α = 1.25",
    ]


def test_measurements_and_ledger_of_adversaries(tmp_path):
    wanted = adversaries_of([tiny.spec()], ["frozen", "reseeded", "uniform"])
    found = ensure(wanted, Store(tmp_path), jobs=1, progress=False)
    frame = measurements(found)
    assert set(frame["adversary"]) == {"frozen", "reseeded", "uniform"}
    change = frame.groupby("adversary")["accuracy_change"].mean()
    for one in found:
        assert change[one.spec.variant] == pytest.approx(one.manifest["accuracy_change"])
    assert not frame.duplicated(["adversary", "seed", "document"]).any()
    assert set(frame) <= set(measurements([]))
    table = ledger(found)
    assert list(table["adversary"]) == ["frozen", "reseeded", "uniform"]
    assert set(table["state"]) == {"current"}
    assert (table["train"] >= 0).all()


def test_a_store_tells_current_from_outdated_and_damaged(tmp_path, monkeypatch):
    store = Store(tmp_path)
    assert stored_ledger(store).empty
    run = store.compute(tiny.spec())
    (row,) = stored_ledger(store).to_dict("records")
    assert tuple(row) == STORED
    assert (row["key"], row["task"], row["state"]) == (run.key, "planted", "current")
    assert row["megabytes"] > 0.01
    monkeypatch.setattr(specs, "INFLUENCE_VERSION", 99)
    assert list(stored_ledger(store)["state"]) == ["outdated"]
    (run.path / "manifest.json").write_text("{}")
    assert list(stored_ledger(store)["state"]) == ["damaged"]
