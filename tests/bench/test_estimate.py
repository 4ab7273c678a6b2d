"""The time of the paper's grid, from the ledgers."""

import pandas as pd
import pytest

from sparseattn.bench import estimate as module
from sparseattn.bench.estimate import ENCODERS, STAGES, TASKS, estimate, in_words, timed_runs


def row(task, encoder, seconds, **values):
    stages = dict(zip(STAGES, (seconds / 2, 0.0, seconds / 4, seconds / 4), strict=True))
    common = {
        "task": task,
        "encoder": encoder,
        "observed": 300,
        "device": "cpu",
        "cpu_seconds": None,
    }
    key = f"{task} {encoder} {seconds}"
    return {"key": key, "state": "current", **common, **stages, **values}


@pytest.fixture
def ledgers(monkeypatch):
    """Give the published ledger and the store's their rows."""

    def given(published, store):
        columns = list(row("", "", 0.0))
        frames = [pd.DataFrame(rows, columns=columns) for rows in (published, store)]
        monkeypatch.setattr(module.published, "ledger", lambda: frames[0])
        monkeypatch.setattr(module.Store, "ledger", lambda _: frames[1])
        return timed_runs()

    return given


def test_runs_of_both_ledgers_count_once(ledgers):
    one, other = row("sst", "bilstm", 40.0), row("sst", "bilstm", 60.0)
    found = ledgers([one], [one, other])
    assert found["key"].tolist() == [one["key"], other["key"]]
    assert found["published"].tolist() == [True, False]
    assert found["seconds"].tolist() == [40.0, 60.0]
    assert timed_runs(store=False)["key"].tolist() == [one["key"]]


def test_a_processors_time_takes_the_place_of_the_walls(ledgers):
    rows = [row("sst", "bilstm", 40.0, cpu_seconds=30.0), row("sst", "bilstm", 60.0)]
    found = ledgers([], [*rows, row("sst", "transformer", 70.0)])
    assert found["seconds"].tolist() == [30.0, 70.0]  # no other run of the Transformer
    grid = estimate(found)
    assert [cell["by_wall"] for cell in grid["cells"][:2]] == [0, 1]
    assert "1 of these runs are timed by the wall clock" in in_words(grid)
    assert "wall" not in in_words(estimate(found[:1]))


def test_only_runs_of_the_grid_count(ledgers):
    others = [
        row("sst", "bilstm", 9.0, state="outdated"),
        row("sst", "bilstm", 8.0, observed=100),
        row("sst", "bilstm", 7.0, device="cuda"),
        row("sst", "none", 6.0),
        row("planted", "bilstm", 5.0),
        {"key": "broken", "state": "damaged"},
    ]
    assert ledgers([], others).empty
    assert len(ledgers(others, [*others, row("imdb", "transformer", 4.0)])) == 1


def test_the_grid_takes_its_medians(ledgers):
    rows = [row(task, one, s) for task in TASKS for one in ENCODERS for s in (50.0, 60.0, 900.0)]
    grid = estimate(ledgers(rows[:5], rows), processes=2)
    assert grid["runs"] == 3 * 2 * 2 * 9
    assert grid["hours"] == pytest.approx(108 * 60 / 2 / 3600)
    assert not grid["unknown"]
    first = {"task": "sst", "encoder": "bilstm", "seconds": 60.0, "measured": 3, "published": 3}
    assert grid["cells"][0] == {**first, "by_wall": 3}
    assert estimate(ledgers([], rows), processes=1)["hours"] == pytest.approx(2 * grid["hours"])
    assert in_words(grid).startswith("All 108 runs of the paper's grid, 2 at a time: 0.9 h")
    assert "Not known" not in in_words(grid)


def test_what_is_unknown_is_said(ledgers):
    grid = estimate(ledgers([row("sst", "bilstm", 100.0)], []), processes=1)
    assert grid["hours"] == pytest.approx(18 * 100 / 3600)
    assert len(grid["unknown"]) == 5
    said = in_words(grid)
    assert said.startswith("18 of the 108 runs")
    assert "IMDb Transformer, 18 runs each" in said
    assert "none of its runs" in in_words(estimate(ledgers([], [])))
