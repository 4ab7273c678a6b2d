"""Charts of times."""

import json

import altair as alt
import pandas as pd
import pytest

from sparseattn import charts

TIMES = pd.DataFrame(
    [
        {"by": by, "tokens": n, "seconds": factor * n**2, "panel": "Influence, BiLSTM"}
        for by, factor in (("ours", 1e-6), ("a pass a token", 1e-5))
        for n in (20, 180, 500)
    ]
)
RATIOS = pd.DataFrame(
    {
        "peer": ["τ-b: scipy", "τ-b: scipy", "Training: packed"],
        "setting": ["1 thread", "2 threads", "1 thread"],
        "ratio": [16.0, 14.0, 0.9],
        "goal": [10.0, 10.0, None],
    }
)
KINDS = {
    "over_size": lambda: charts.over_size(TIMES, size="tokens", title="Tokens"),
    "over_size panels": lambda: charts.over_size(
        TIMES, size="tokens", title="Tokens", panel="panel"
    ),
    "times_faster": lambda: charts.times_faster(RATIOS, group="peer", colour="setting"),
    "times_faster without a goal": lambda: charts.times_faster(
        RATIOS[2:], group="peer", colour="setting"
    ),
}


def figure(kind):
    return charts.show(KINDS[kind](), name="a-chart", caption="A.", description="B.")


@pytest.mark.parametrize("kind", KINDS)
def test_specification_is_valid_and_drawable(kind):
    shown = figure(kind)
    alt.Chart.from_dict(shown.spec)
    assert shown.svg().count("<path") > 3
    assert "NaN" not in shown.svg()


def scales(kind, channel):
    return [layer["encoding"][channel]["scale"] for layer in figure(kind).spec["layer"]]


def test_a_power_law_is_a_straight_line():
    for channel in ("x", "y"):
        assert [one["type"] for one in scales("over_size", channel)] == ["log", "log"]


def test_the_axis_of_ratios_holds_one_and_every_goal():
    assert {tuple(one["domain"]) for one in scales("times_faster", "x")} == {(0.9, 16)}
    alone = scales("times_faster without a goal", "x")
    assert {tuple(one["domain"]) for one in alone} == {(0.9, 1)}  # 1 is neither faster nor slower


def test_goals_are_ticks_where_there_are_any():
    drawn = json.dumps(figure("times_faster").spec)
    assert '"type": "tick"' in drawn
    assert "isValid(datum.goal)" in drawn
