"""The published measurement of speed, its goals, and the time of the paper's grid."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pandas as pd
import pytest

from sparseattn.bench import goals
from sparseattn.bench.goals import ENCODERS, TASKS
from sparseattn.errors import UserError
from sparseattn.experiments.specs import STAGES
from sparseattn.results import published


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


def frame_of(rows):
    """The rows as `timed_runs` returns them."""
    frame = pd.DataFrame(rows).astype({"cpu_seconds": float})
    return frame.assign(seconds=frame["cpu_seconds"].fillna(frame[list(STAGES)].sum(axis=1)))


def report(threads, **ratios):
    rows = [
        {"key": key, "what": "w", "against": "a", "ours": 1 / 3, "peer": 1.0, "ratio": ratio}
        for key, ratio in ratios.items()
    ]
    return {"machine": {"threads": threads}, "comparisons": rows}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder of results."""
    monkeypatch.setattr(goals.paths, "results", lambda: tmp_path)
    return tmp_path


def test_one_measurement_for_each_number_of_threads(folder):
    with pytest.raises(UserError, match=r"No speed is measured in .*bench\.json"):
        goals.reports()
    for one in (report(2, a=1.0), report(1, a=2.0), report(2, a=3.0)):
        goals.add_report(one)
    found = goals.reports()
    assert [one["machine"]["threads"] for one in found] == [1, 2]
    frame = goals.rows(found, "comparisons")
    assert frame["ratio"].tolist() == [2.0, 3.0]
    assert frame["threads"].tolist() == [1, 2]
    assert frame["ours"].tolist() == [0.3333, 0.3333]  # to four digits


def test_measurements_published_at_once_are_all_kept(folder):
    with ThreadPoolExecutor(8) as at_once:
        list(at_once.map(lambda threads: goals.add_report(report(threads)), range(64)))
    assert [one["machine"]["threads"] for one in goals.reports()] == list(range(64))
    assert [file.name for file in folder.iterdir()] == [goals.FILE]


def test_it_is_no_run(folder):
    goals.add_report(report(1))
    assert published.runs(folder=folder) == []
    assert published.tasks(folder) == {}


def test_a_damaged_file_is_said(folder):
    (folder / goals.FILE).write_text("[]")
    with pytest.raises(UserError, match=r"bench\.json.*cannot be read"):
        goals.reports()


def test_goals_are_met_or_not():
    ratios = {"tau_vs_scipy": 9.9, "loo_vs_naive": 10.0, "train_vs_padded": 0.1}
    found = goals.against_goals([report(1, **ratios), report(2, **ratios, other=3.0)])
    keys = [key for key in ("loo_vs_naive", "tau_vs_scipy", "train_vs_padded") for _ in range(2)]
    assert found["key"].tolist() == keys
    assert found["setting"].tolist() == ["1 thread", "2 threads"] * 3
    assert found["met"].tolist() == [True, True, False, False, None, None]


def test_the_verdict_counts_what_is_met():
    reached = {"loo_vs_naive": 10.0, "loo_vs_batched": 4.0, "tau_vs_scipy": 9.0}
    measured = [report(1, **reached), report(2, **reached | {"loo_vs_naive": 9.9})]
    runs = goals.run_goals(pd.DataFrame(columns=["task", "encoder", "seconds", *STAGES]))
    cells = goals.grid_cells(frame_of([row("sst", "bilstm", 100.0)]))
    examined = pd.DataFrame({"met": [True, False]})
    said = goals.verdict(goals.against_goals(measured), runs, cells, examined)
    ratios, loo, examination, grid = said
    assert ratios == (
        "Ratios that reach their goal: 2 of 3 with 1 thread; 1 of 3 with 2 threads. Missed: "
        "LOO: pass a token (9.9 of 10, 2 threads), τ-b: scipy (9.0 of 10, 1 thread), "
        "τ-b: scipy (9.0 of 10, 2 threads)."
    )
    assert loo == "Leave-one-out reaches both of its goals at once with 1 thread."
    assert examination.startswith("An examination takes no longer than its run: 1 of 2 tasks")
    assert grid.startswith("What is known of the grid fits into one night")
    slow = goals.grid_cells(frame_of([row(t, e, 1e4) for t in TASKS for e in ENCODERS]))
    nothing = pd.DataFrame()
    assert len(goals.verdict(goals.against_goals(measured), runs, slow, nothing)) == 3
    assert goals.verdict(goals.against_goals(measured), runs, slow, nothing)[-1].startswith(
        "The grid exceeds one night on two cores (150.0 of 10 hours)"
    )


def test_floors_and_growth_keep_their_places():
    floors = [{"what": "w", "seconds": 3.0, "floor_torch": 1.5, "floor_onednn": 1.0}]
    grown = [
        {"what": "w", "encoder": "bilstm", "by": "ours", "along": along, "exponent": k}
        for along, k in (("tokens", 2.0), ("documents", 1.0))
    ]
    times = [{"what": "influence", "encoder": "bilstm", "along": a, "seconds": 1.0}
             for a in ("tokens", "documents")]  # fmt: skip
    measured = [report(1) | {"floors": floors, "growth": grown, "scaling": times}]
    (floor,) = goals.floors(measured).to_dict("records")
    assert (floor["distance"], floor["distance_torch"]) == (3.0, 2.0)
    (slope,) = goals.exponents(measured).to_dict("records")
    assert (slope["tokens"], slope["documents"]) == (2.0, 1.0)
    assert goals.along(measured, "tokens")["panel"].tolist() == ["Influence, BiLSTM"]


def test_padding_is_what_batches_hold_beyond_their_texts():
    lengths = [1, 9] * 32  # one batch as they come; what is short waits for its like
    assert goals.padding(lengths, bucketed=False) == pytest.approx(1 - 5 / 9)
    assert goals.padding([7] * 100, bucketed=True) == 0
    long = list(range(1, 1025))
    assert goals.padding(long, bucketed=True) < goals.padding(long, bucketed=False) / 2


def test_goals_name_what_is_compared():
    """A key that no comparison has would be a goal that nothing can meet or miss."""
    known = {
        f"{prefix}{name}"
        for prefix in ("", "transformer_")
        for name in ("loo_vs_batched", "loo_vs_naive", "influence_vs_batched", "influence_vs_loop")
    }
    known |= {"paths_vs_loop", "faithfulness_vs_loop", "integrated_vs_captum", "shapley_vs_captum"}
    assert set(goals.PEERS) <= {*known, "tau_vs_scipy", "train_vs_padded", "train_vs_packed"}


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
    found = goals.run_goals(pd.DataFrame(rows)).set_index("task")
    assert found["seconds"].tolist() == [60, 150.5, 5]
    assert found["train"].tolist() == [0.25] * 3  # a quarter of the stages' time
    assert found["met"].tolist() == [True, False, None]
    assert goals.run_goals(pd.DataFrame(rows[:0], columns=list(rows[0]))).empty


@pytest.fixture
def ledgers(monkeypatch):
    """Give the published ledger and the store's their rows."""

    def given(published, store):
        columns = list(row("", "", 0.0))
        frames = [pd.DataFrame(rows, columns=columns) for rows in (published, store)]
        monkeypatch.setattr(goals.published, "ledger", lambda: frames[0])
        monkeypatch.setattr(goals, "stored_ledger", lambda _: frames[1])
        return goals.timed_runs()

    return given


def test_runs_of_both_ledgers_count_once(ledgers):
    one, other = row("sst", "bilstm", 40.0), row("sst", "bilstm", 60.0)
    found = ledgers([one], [one, other])
    assert found["key"].tolist() == [one["key"], other["key"]]
    assert found["seconds"].tolist() == [40.0, 60.0]
    assert goals.timed_runs(store=False)["key"].tolist() == [one["key"]]


def test_a_processors_time_takes_the_place_of_the_walls(ledgers):
    rows = [row("sst", "bilstm", 40.0, cpu_seconds=30.0), row("sst", "bilstm", 60.0)]
    found = ledgers([], [*rows, row("sst", "transformer", 70.0)])
    assert found["seconds"].tolist() == [30.0, 70.0]  # no other run of the Transformer
    assert goals.grid_cells(found)["timed"].tolist()[:2] == [1, 0]
    said = goals.grid_in_words(goals.grid_cells(found))
    assert "1 of these runs are timed by the wall clock" in said
    assert "wall" not in goals.grid_in_words(goals.grid_cells(found[:1]))


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


def test_the_grid_takes_its_medians(ledgers, monkeypatch):
    rows = [row(task, one, s) for task in TASKS for one in ENCODERS for s in (50.0, 60.0, 900.0)]
    cells = goals.grid_cells(ledgers(rows[:5], rows))
    assert cells["seconds"].tolist() == [60.0] * 6
    assert cells["measured"].tolist() == [3] * 6
    assert goals.grid_hours(cells) == pytest.approx(108 * 60 / 2 / 3600)
    said = goals.grid_in_words(cells)
    assert said.startswith("All 108 runs of the paper's grid, 2 at a time: 0.9 h")
    assert "today's arithmetic" not in said
    two = goals.grid_hours(cells)
    monkeypatch.setattr(goals, "PROCESSES", 1)
    assert goals.grid_hours(cells) == pytest.approx(2 * two)


def test_what_is_unknown_is_said(ledgers, monkeypatch):
    monkeypatch.setattr(goals, "PROCESSES", 1)
    cells = goals.grid_cells(ledgers([row("sst", "bilstm", 100.0)], []))
    assert goals.grid_hours(cells) == pytest.approx(18 * 100 / 3600)
    assert cells["seconds"].isna().sum() == 5
    said = goals.grid_in_words(cells)
    assert said.startswith("18 of the 108 runs")
    assert said.endswith("IMDb Transformer there is none, and on top come 18 runs each.")
    assert "none of its runs" in goals.grid_in_words(goals.grid_cells(ledgers([], [])))


def test_examinations_are_held_against_their_own_runs(monkeypatch):
    def result(key, encoder, cpu, **manifest):
        base = SimpleNamespace(task="sst", encoder=encoder)
        spec = SimpleNamespace(base=base)
        return SimpleNamespace(key=key, spec=spec, manifest={"cpu_seconds": cpu, **manifest})

    parts = {"seconds": {"explain": 10.0, "faithfulness": 30.0}}
    runs = [result("a", "bilstm", 20.0), result("b", "bilstm", 40.0), result("c", "none", None)]
    examined = [
        result("x", "bilstm", 30.0, base="a", **parts),
        result("y", "bilstm", 20.0, base="b", **parts),
        result("z", "none", 20.0, base="c", **parts),  # whose run has no time
        result("w", "none", 20.0, base="gone", **parts),
    ]
    monkeypatch.setattr(published, "runs", lambda *_: runs)
    monkeypatch.setattr(published, "examinations", lambda *_: examined)
    (row,) = goals.examinations(["sst"]).to_dict("records")
    assert (row["encoder"], row["examinations"]) == ("bilstm", 2)
    assert (row["seconds"], row["run"], row["ratio"]) == (25.0, 30.0, (1.5 + 0.5) / 2)
    assert (row["explain"], row["faithfulness"]) == (0.25, 0.75)
    assert row["met"]
    monkeypatch.setattr(published, "examinations", lambda *_: examined[2:])
    assert goals.examinations(["sst"]).empty
