import tiny

from sparseattn.experiments.runs import Spec, Store
from sparseattn.report.parameters import validated
from sparseattn.report.provenance import Provenance
from sparseattn.results.frames import cell_columns, measurements
from sparseattn.wording import classifier_names, projection_name


def test_one_row_a_run_and_document_with_the_cell_named(tmp_path):
    store = Store(tmp_path)
    runs = [store.compute(tiny.spec(seed=seed)) for seed in (0, 1)]
    frame = measurements(runs)
    assert list(frame.columns[: len(cell_columns())]) == cell_columns()
    assert set(frame["key"]) == {run.key for run in runs}
    sizes = frame.groupby("seed")["document"]
    assert (sizes.size() == runs[0].spec.observed).all()
    assert sizes.apply(lambda d: sorted(d) == list(range(len(d)))).all()
    assert frame["classifier"].equals(classifier_names(frame))

    shown, metadata = Provenance(
        "01-scores-to-attention", validated("01-scores-to-attention", {}), runs
    )._repr_mimebundle_()
    assert all(run.key in shown["text/html"] for run in runs)
    assert "2: 2 computed for this page" not in shown["text/html"]  # they are older than the page
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
