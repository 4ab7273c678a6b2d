"""The benchmark: peers agree with ours, and what is derived from the times."""

import json
from dataclasses import asdict
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

from sparseattn import __main__ as command
from sparseattn.attribution.kernels import flushes_denormals
from sparseattn.bench import benchmark, comparisons, goals, peers, scaling
from sparseattn.bench.comparisons import Comparison, classifier_of, difference, document, take_turns

small = partial(classifier_of, hidden_size=4, embedding_size=6)


@pytest.mark.parametrize("encoder", ["bilstm", "transformer"])
def test_peers_of_importance_influence_and_paths_agree(encoder):
    prefix = "" if encoder == "bilstm" else "transformer_"
    rows = comparisons.compare_leave_one_out(small(encoder), document(6), 1)
    rows += comparisons.compare_influence(small(encoder), document(6), 1, whole=3)
    rows += comparisons.compare_paths(small(encoder), document(6), 1)
    assert {row.key for row in rows} == {
        *(f"{prefix}loo_vs_{peer}" for peer in ("naive", "batched", "captum", "captum_batched")),
        *(f"{prefix}influence_vs_{peer}" for peer in ("loop", "batched")),
        f"{prefix}jacobian_vs_loop",
        f"{prefix}paths_vs_loop",
    }
    for row in rows:
        assert row.ratio == row.peer / row.ours > 0
        if "captum" in row.key:
            assert row.difference is None
        else:
            assert row.difference <= (1e-4 if "paths" in row.key else 1e-5)
        json.dumps(asdict(row), allow_nan=False)


@pytest.mark.parametrize("encoder", ["bilstm", "transformer"])
def test_a_pass_for_each_text_gives_the_same_faithfulness(encoder):
    (row,) = comparisons.compare_faithfulness(small(encoder), document(5), 1, explainers=2)
    assert row.key == f"{'' if encoder == 'bilstm' else 'transformer_'}faithfulness_vs_loop"
    assert row.difference <= 1e-5


@pytest.mark.filterwarnings("ignore")  # captum's own
@pytest.mark.parametrize("encoder", ["bilstm", "transformer"])
def test_captums_integrated_gradients_and_shapley_values_are_the_same(encoder):
    rows = comparisons.compare_integrated(small(encoder), document(6), 1, steps=3)
    rows += comparisons.compare_shapley(small(encoder), document(6), 1, permutations=3)
    assert [row.key.removeprefix("transformer_") for row in rows] == [
        "integrated_vs_captum",
        "shapley_vs_captum",
    ]
    assert all(row.difference <= 1e-5 for row in rows)


def test_captum_replaces_and_does_not_delete():
    classifier, ids = small("none"), document(5)
    with torch.no_grad():
        classifier.embedding.weight[7] = 0
        full = classifier(comparisons.collate([ids])).logit
        replaced = [torch.where(torch.arange(7) == i, 7, ids) for i in range(1, 6)]
        expected = full - classifier(comparisons.collate(replaced)).logit
    torch.testing.assert_close(peers.leave_out_by_captum(classifier, ids), expected)


def test_peers_of_statistics_and_training_agree():
    (tau,) = comparisons.compare_kendall(3, 20, 1)
    assert tau.key == "tau_vs_scipy"
    assert tau.difference <= 1e-12
    padded, packed = comparisons.compare_training(8, 12, 1)
    assert (padded.key, packed.key) == ("train_vs_padded", "train_vs_packed")
    assert packed.difference <= 1e-5 < padded.difference  # padding reaches its states


def test_our_ways_are_the_plain_ones():
    assert comparisons.check_peers(6) <= 1e-5


def test_a_difference_stops_the_benchmark():
    assert difference([1.0, 2.0], [1.0, 2.0 + 1e-6]) == pytest.approx(5e-7)
    for wrong in (2.1, np.nan):
        with pytest.raises(AssertionError, match="Results differ"):
            difference([1.0, wrong], [1.0, 2.0])


def test_functions_take_turns():
    calls = []
    times = take_turns({name: partial(calls.append, name) for name in "ab"}, 3)
    assert "".join(calls) == "ababab"
    assert set(times) == {"a", "b"}


def test_operations_are_those_of_the_products():
    """Counted for one token a direction: one step, one score; one row of one influence."""
    count = benchmark.operations(small("bilstm"), 1)
    steps, scores = 2 * 2 * 4 * 16, 2 * 2 * 4 * 4  # 2 directions × 2 × inner × columns
    assert count == {"leave-one-out": steps + scores, "influence": 2 * 2 * 8 * (4 + 6)}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project in which a measurement is tiny."""
    monkeypatch.setattr(benchmark.paths, "root", lambda: tmp_path)
    nothing = pd.DataFrame(columns=["task", "encoder", "seconds", "cpu_seconds"])
    monkeypatch.setattr(goals, "timed_runs", lambda: nothing)
    monkeypatch.setattr(benchmark, "SIZES", (50, 60))
    monkeypatch.setattr(benchmark, "COUNTS", (1, 2))
    monkeypatch.setattr(benchmark, "classifier_of", small)
    monkeypatch.setattr(scaling, "classifier_of", small)
    row = Comparison("loo_vs_naive", 1.0, 12.0, 1e-7, "this", "that")
    monkeypatch.setattr(benchmark, "comparisons", lambda *_: [row])
    return tmp_path


def test_the_report_is_written(project, capsys):
    before = torch.get_num_threads(), flushes_denormals()
    benchmark.main(quick=True, threads=1, publish=False)
    assert (torch.get_num_threads(), flushes_denormals()) == before  # as others compute with
    written = json.loads((project / "_build" / "bench.json").read_text())
    assert written["loo_vs_naive"] == 12.0
    assert written["comparisons"][0]["against"] == "that"
    assert {one["what"] for one in written["floors"]} == {"leave-one-out", "influence"}
    assert len(written["scaling"]) == (3 + 2) * (2 + 2)  # ways × (sizes + counts)
    assert len(written["growth"]) == (3 + 2) * 2
    assert written["memory"][0]["megabytes"] > 0
    assert written["machine"]["threads"] == 1
    assert "12.0×" in capsys.readouterr().out
    assert not goals.paths.results().exists()  # nothing published unless asked


def test_the_command_passes_its_options_on(project):
    with pytest.raises(SystemExit) as stopped:
        # One: two would wait for one another beside other tests, for minutes.
        command.main(["bench", "--quick", "--threads", "1", "--publish"])
    assert stopped.value.code == 0
    (published,) = goals.reports()
    assert published["machine"]["threads"] == 1
    assert {row["encoder"] for row in published["scaling"]} == {"bilstm"}  # as --quick is
