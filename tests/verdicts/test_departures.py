"""What departures from the paper change, on summaries whose effects are known."""

import pandas as pd
import pytest

from sparseattn.results import variants
from sparseattn.results.variants import OURS, QUANTITIES
from sparseattn.verdicts import departures

RATES = variants.PAPERS_RATES


def summaries(change=0.0, seeds=4, **changed):
    """The BiLSTM on SST as here and at the paper's rates, where `changed` moves that much more."""
    rows = []
    for seed in range(seeds):
        for name in (OURS, RATES):
            values = {q: 0.5 + 0.01 * seed for q in QUANTITIES}
            values["tau_hidden_gradient"] += 0.1
            if name == RATES:
                values = {q: v + change + changed.get(q, 0.0) for q, v in values.items()}
            row = {"variant": name, "task": "sst", "encoder": "bilstm", "seed": seed}
            row |= {"vectors": "imdb", "learning_rate": 1e-3 if name == OURS else 1e-4}
            row |= {"trained": 20 if name == OURS else 40, "best_epoch": 20 - seed}
            row |= {"epochs": 20 if name == OURS else 50, "patience": 2}
            rows.append(row | values)
    return pd.DataFrame(rows)


@pytest.fixture
def nothing():
    return summaries()[:0]


def test_a_change_is_judged_beside_its_tolerance():
    found = departures.judged(summaries(tau_inputs_gradient=-0.3)).set_index("quantity")
    assert found.loc["tau_inputs_gradient", "verdict"] == "different"
    assert found.loc["tau_hidden_gradient", "verdict"] == "same"
    tokens = found.loc[found.index.str.contains("effective")]
    assert tokens["verdict"].isna().all()
    assert tokens["tolerance"].isna().all()
    assert found.loc["accuracy", "tolerance"] != found.loc["tau_inputs_gradient", "tolerance"]


def test_the_verdict_counts_and_names_what_differs():
    measured = summaries(tau_inputs_gradient=-0.3)
    said = departures.verdict(departures.judged(measured), departures.hidden_less_inputs(measured))
    assert said == (
        "Of 6 comparisons of another setting with this report's, 5 say the same, "
        "1 different, and 0 are undecided with this few seeds. "
        f"Different: {RATES}, SST, BiLSTM: τ-b with input gradients −0.300. Agreement with hidden "
        "states is the higher one in every run of every variant."
    )
    measured = summaries(tau_inputs_gradient=0.2)
    said = departures.verdict(departures.judged(measured), departures.hidden_less_inputs(measured))
    assert said.endswith("Which agreement is the higher one depends on the variant.")


def test_gaps_are_within_runs():
    found = departures.hidden_less_inputs(summaries(tau_inputs_gradient=-0.3))
    ours, theirs = found.to_dict("records")
    assert (ours["min"], ours["max"]) == pytest.approx((0.1, 0.1))
    assert theirs["mean"] == pytest.approx(0.4)
    assert theirs["size"] == 4


def test_what_was_trained_is_in_words():
    ours, theirs = departures.trained(summaries()).to_dict("records")
    assert (ours["task"], ours["rates"], ours["seeds"]) == ("SST", "0.001", 4)
    assert (theirs["epochs"], theirs["kept"]) == (40, 18.5)


def test_a_run_that_the_limit_stopped_is_said():
    """Of four whose best epochs are 20, 19, 18, 17 of 20, patience of two stopped the last two."""
    assert departures.unfinished(summaries()).startswith(
        f"Stopped by the limit of epochs, not by patience: {OURS}, BiLSTM: 2 of 4 runs."
    )
    for more in (summaries().assign(epochs=50), summaries().assign(trained=50, epochs=50)):
        assert departures.unfinished(more).startswith("Every run was stopped by patience")


def test_the_nearest_setting_is_counted():
    """At the paper's own values nothing is away; moved from there, every figure is."""
    figures = departures.by_setting(summaries())
    exact = figures.assign(here=figures["value"].where(figures["variant"] == RATES, 9.0))
    exact["away"] = (exact["here"] - exact["value"]).abs()
    count = len(departures.settings_side_by_side(exact))
    said = departures.nearest_setting(exact)
    assert said.startswith(
        f"Nearest to the paper, of {count} figures: {OURS}, 0; {RATES}, {count}."
    )
    assert f"{RATES}, 0.000" in said


def test_without_a_measurement_that_is_said(nothing):
    effects, gaps = departures.judged(nothing), departures.hidden_less_inputs(nothing)
    assert departures.verdict(effects, gaps) == departures.NOT_MEASURED
    assert departures.unfinished(nothing) == departures.NOT_MEASURED
    figures = departures.by_setting(nothing)
    assert departures.nearest_setting(figures) == departures.NOT_MEASURED
    assert departures.settings_side_by_side(figures).empty
    assert departures.trained(nothing).empty


def test_departures_are_counted_and_those_of_the_data_named():
    every = departures.departures()
    assert departures.counted().startswith(f"Of these {len(every)}, ")
    assert "once runs are published" in departures.of_the_data(["nowhere"])
    assert "- SST" in departures.of_the_data(["sst"])
