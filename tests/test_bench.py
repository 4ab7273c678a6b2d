"""The benchmark: peers agree with ours, and what is derived from the times."""

import json
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

from sparseattn import bench, comparisons, peers
from sparseattn.comparisons import Comparison, classifier_of, difference, document, take_turns

small = partial(classifier_of, hidden_size=4, embedding_size=6)


@pytest.mark.parametrize("encoder", ["bilstm", "transformer"])
def test_peers_of_importance_and_influence_agree(encoder):
    prefix = "" if encoder == "bilstm" else "transformer_"
    rows = comparisons.compare_leave_one_out(small(encoder), document(6), 1)
    rows += comparisons.compare_influence(small(encoder), document(6), 1, whole=3)
    assert {row.key for row in rows} == {
        *(f"{prefix}loo_vs_{peer}" for peer in ("naive", "batched", "captum", "captum_batched")),
        *(f"{prefix}influence_vs_{peer}" for peer in ("loop", "batched")),
        f"{prefix}jacobian_vs_loop",
    }
    for row in rows:
        assert row.ratio == row.peer / row.ours > 0
        if "captum" in row.key:
            assert np.isnan(row.difference)
            assert row.record()["difference"] is None
        else:
            assert row.difference <= 1e-5
        json.dumps(row.record(), allow_nan=False)


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


def test_growth_is_the_exponent():
    rows = [
        {"what": "w", "encoder": "e", "along": "tokens", "tokens": n, "documents": 1,
         "seconds": 3e-6 * n**2 if n >= 50 else 1.0}
        for n in (20, 50, 100, 500)
    ]  # fmt: skip
    (found,) = bench.growth(rows)
    assert found["exponent"] == pytest.approx(2)


def test_operations_are_those_of_the_products():
    """Counted for one token a direction: one step, one score; one row of one influence."""
    count = bench.operations(small("bilstm"), 1)
    steps, scores = 2 * 2 * 4 * 16, 2 * 2 * 4 * 4  # 2 directions × 2 × inner × columns
    assert count == {"leave-one-out": steps + scores, "influence": 2 * 2 * 8 * (4 + 6)}


def test_the_report_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench.paths, "root", lambda: tmp_path)
    monkeypatch.setattr(bench, "grid_hours", lambda: None)
    monkeypatch.setattr(bench, "SIZES", (50, 60))
    monkeypatch.setattr(bench, "COUNTS", (1, 2))
    monkeypatch.setattr(bench, "classifier_of", small)
    row = Comparison("loo_vs_naive", 1.0, 12.0, 1e-7, "this", "that")
    monkeypatch.setattr(bench, "comparisons", lambda *_: [row])
    threads = torch.get_num_threads()
    bench.main(quick=True, threads=1)
    assert torch.get_num_threads() == threads
    written = json.loads((tmp_path / "_build" / "bench.json").read_text())
    assert written["loo_vs_naive"] == 12.0
    assert written["comparisons"][0]["against"] == "that"
    assert {one["what"] for one in written["floors"]} == {"leave-one-out", "influence"}
    assert len(written["scaling"]) == 8
    assert written["machine"]["threads"] == 1
    assert "12.0×" in capsys.readouterr().out


def test_the_grid_is_estimated_from_the_ledger(monkeypatch, tmp_path):
    monkeypatch.setattr(bench.paths, "store", lambda: tmp_path)
    assert bench.grid_hours() is None
    tasks, encoders = ("sst", "newsgroups", "imdb"), ("bilstm", "transformer")
    rows = [
        {"state": "current", "observed": 300, "task": task, "encoder": encoder}
        | {"train": 40.0, "evaluate": 0.0, "importance": 15.0, "influence": seconds}
        for task in tasks
        for encoder in encoders
        for seconds in (4.0, 6.0)  # a mean of 60 seconds a run
    ]
    rows.append(rows[0] | {"state": "outdated", "train": 1e9})
    monkeypatch.setattr(bench.Store, "ledger", lambda _: pd.DataFrame(rows))
    found = bench.grid_hours(processes=2)
    assert found["hours"] == pytest.approx(108 * 60 / 2 / 3600)
    monkeypatch.setattr(bench.Store, "ledger", lambda _: pd.DataFrame(rows[:-3]))
    assert bench.grid_hours() is None  # no Transformer on IMDb yet
