"""The published measurement of speed, and its goals."""

import pandas as pd
import pytest

from sparseattn.bench import timings
from sparseattn.errors import UserError
from sparseattn.results import published


def report(threads, **ratios):
    rows = [
        {"key": key, "what": "w", "against": "a", "ours": 1 / 3, "ratio": ratio}
        for key, ratio in ratios.items()
    ]
    return {"machine": {"threads": threads}, "comparisons": rows}


def test_one_measurement_for_each_number_of_threads(tmp_path):
    assert timings.read(tmp_path) == []
    for one in (report(2, a=1.0), report(1, a=2.0), report(2, a=3.0)):
        timings.publish(one, tmp_path)
    found = timings.read(tmp_path)
    assert [one["machine"]["threads"] for one in found] == [1, 2]
    frame = timings.rows(found, "comparisons")
    assert frame["ratio"].tolist() == [2.0, 3.0]
    assert frame["threads"].tolist() == [1, 2]
    assert frame["ours"].tolist() == [0.3333, 0.3333]  # to four digits


def test_it_is_no_run(tmp_path):
    timings.publish(report(1), tmp_path)
    assert published.runs(folder=tmp_path) == []
    assert published.tasks(tmp_path) == {}


def test_a_damaged_file_is_said(tmp_path):
    (tmp_path / timings.FILE).write_text("[]")
    with pytest.raises(UserError, match=r"bench\.json.*cannot be read"):
        timings.read(tmp_path)


def test_goals_are_met_or_not():
    ratios = {"tau_vs_scipy": 9.9, "loo_vs_naive": 10.0, "train_vs_padded": 0.1}
    found = timings.goals([report(1, **ratios), report(2, **ratios)])
    assert found["key"].tolist() == ["loo_vs_naive"] * 2 + ["tau_vs_scipy"] * 2
    assert found["threads"].tolist() == [1, 2, 1, 2]
    assert found["met"].tolist() == [True, True, False, False]
    assert timings.goals([]).empty


def test_goals_name_what_is_compared():
    """A key that no comparison has would be a goal that nothing can miss."""
    known = {
        f"{prefix}{name}"
        for prefix in ("", "transformer_")
        for name in ("loo_vs_batched", "loo_vs_naive", "influence_vs_batched", "influence_vs_loop")
    }
    assert set(timings.GOALS) <= {*known, "tau_vs_scipy"}


def test_runs_are_held_against_their_goal():
    stages = dict.fromkeys(("train", "evaluate", "importance", "influence"), 1.0)
    rows = [
        {"task": task, "encoder": "bilstm", **stages, "seconds": seconds}
        for task, all_seconds in (
            ("sst", (50, 60, 900)),
            ("newsgroups", (149, 152)),
            ("imdb", (5,)),
        )
        for seconds in all_seconds
    ]
    found = timings.run_goals(pd.DataFrame(rows)).set_index("task")
    assert found["seconds"].tolist() == [60, 150.5, 5]
    assert found["train"].tolist() == [0.25] * 3  # a quarter of the stages' time
    assert found["met"].tolist() == [True, False, None]
    assert timings.run_goals(pd.DataFrame(rows[:0], columns=list(rows[0]))).empty
