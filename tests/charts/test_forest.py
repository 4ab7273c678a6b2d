"""A forest plot draws every effect where it belongs, in units of what matters."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import vl_convert

from sparseattn import charts
from sparseattn.charts.figure import VEGA_LITE
from sparseattn.errors import UserError


@pytest.fixture
def cells():
    rows = [
        ("A claim of many words", "sst", 20.0, 3, "points", 5.0),
        ("A claim of many words", "imdb", 10.0, 1, "points", 5.0),
        ("Another", "sst", -0.1, 3, "τ", 0.05),
    ]
    columns = ["row", "task", "value", "seeds", "unit", "smallest"]
    frame = pd.DataFrame(rows, columns=columns).assign(classifier="BiLSTM, additive")
    return frame.assign(low=frame["value"] - 0.01, high=frame["value"] + 0.01)


@pytest.fixture
def means():
    one = {"row": "A claim of many words", "verdict": "holds", "counts": "2 for, 0 against of 2"}
    one |= {"value": 15.0, "low": 10.0, "high": 20.0, "predicted_low": -500.0}
    one |= {
        "predicted_high": 530.0,
        "unit": "points of accuracy",
        "smallest": 5.0,
        "page": "a.html",
    }
    two = one | {"row": "Another", "verdict": "too few data", "page": None, "unit": "τ"}
    two |= dict.fromkeys(["value", "low", "high", "predicted_low", "predicted_high"], np.nan)
    return pd.DataFrame([one, two])


def drawn(cells, means):
    figure = charts.show(charts.forest, cells, means, name="forest", caption="c", description="d")
    rows = [row for rows in figure.spec["datasets"].values() for row in rows]
    return figure, rows


def test_units_are_those_that_matter(cells, means):
    _, rows = drawn(cells, means)
    assert sorted(row["x"] for row in rows if "x" in row) == [-2, 2, 4]
    (mean,) = [row for row in rows if "x_value" in row]
    assert (mean["x_value"], mean["x_low"], mean["x_high"]) == (3, 2, 4)
    assert mean["effect"] == "15.0 [10.0, 20.0] points of accuracy"
    assert mean["shown"] == "15.0 points"
    # A prediction interval is cut at the ends of the axis, and does not stretch it.
    assert mean["x_predicted_high"] == -mean["x_predicted_low"] == pytest.approx(4.8)
    assert next(row["effect"] for row in rows if row.get("x") == -2) == "−0.10 [−0.11, −0.09] τ"


def test_each_row_is_read_out_with_its_size_and_an_interval_that_it_has(cells, means):
    figure = charts.show(charts.forest, cells, means, name="forest", caption="c")
    assert figure.description == (
        "A claim of many words: holds, 15.0 [10.0, 20.0] points of accuracy (2 for, 0 against of "
        "2). Another: too few data (2 for, 0 against of 2)."
    )
    few = charts.show(
        charts.forest, cells, means.assign(low=np.nan, high=np.nan), name="forest", caption="c"
    )
    assert few.description.startswith("A claim of many words: holds, 15.0 points of accuracy (2")


def test_every_row_is_there_with_its_word_in_the_order_given(cells, means):
    for given in (means, means[::-1]):
        figure, _ = drawn(cells[:2], given)
        text = json.dumps(figure.spec, ensure_ascii=False)
        assert json.dumps(list(given["row"])) in text
        assert "→ too few data" in text
        assert "→ too few data" in figure.svg()


def test_with_one_seed_everywhere_there_are_points_and_no_means(cells, means):
    unknown = means.assign(**dict.fromkeys(["value", "low", "high"], np.nan))
    figure, rows = drawn(cells.assign(seeds=1), unknown)
    assert sorted(row["x"] for row in rows if "x" in row) == [-2, 2, 4]
    assert not [row for row in rows if "x_value" in row]
    assert "→ holds" in figure.svg()


def test_a_click_leads_to_the_evidence(cells, means):
    _, rows = drawn(cells, means)
    assert {row.get("page") for row in rows if row.get("task") == "IMDb"} == {"a.html"}
    assert {row.get("page") for row in rows if row.get("x") == -2} == {None}


def test_the_key_names_the_shapes_and_hollow_marks(cells, means):
    figure, _ = drawn(cells, means)
    assert "● SST, ▲ IMDb, hollow: one seed" in figure._repr_html_()


def test_each_task_has_a_shape_of_its_own_on_every_page(cells, means):
    every = ["imdb+token", "planted", *(f"sst+{kind}" for kind in ("order", "beside", "token"))]
    every += ["planted+context", "imdb", "newsgroups", "sst"]
    whole = pd.concat([cells.iloc[:1].assign(task=task) for task in every])
    marks, alone = [], []
    for frame in (whole, *(whole[whole["task"] == task] for task in every)):
        spec = drawn(frame, means)[0].spec
        scales = [layer["encoding"]["shape"]["scale"] for layer in spec["layer"][3:5]]
        assert scales[0] == scales[1]
        marks.append(dict(zip(scales[0]["domain"], scales[0]["range"], strict=True)))
        key = spec["usermeta"]["key"].partition(", hollow")[0]
        alone.append(
            {name: mark for mark, name in re.findall(r"(\S) ([^●■▲▼◀✚✖★▶⬢]+?)(?:, |$)", key)}
        )
    for found in (marks, alone):
        together, *each = found
        assert len(set(together.values())) == len(every)
        assert {name: mark for one in each for name, mark in one.items()} == together


@pytest.mark.parametrize("width", [330, 760])
def test_it_is_drawn_at_any_width_without_a_warning(cells, means, width):
    figure, _ = drawn(cells, means)
    svg = vl_convert.vegalite_to_svg(figure.spec | {"width": width}, vl_version=VEGA_LITE)
    assert svg.count("◆") == 1
    for tick in ("−3", "−1", ">0<", ">1<", ">3<"):
        assert tick in svg


def test_nothing_to_draw_is_said(cells, means):
    told = charts.show(charts.forest, cells[:0], means, name="f", caption="c", description="d")
    assert "no rows" in told.data
    with pytest.raises(UserError, match="smallest"):
        charts.forest(cells.drop(columns="smallest"), means)


def test_the_papers_own_is_hollow_where_there_is_one(cells, means):
    figure, _ = drawn(cells, means.assign(reported=[7.5, np.nan]))
    assert figure.svg().count("◇") == 1
    assert "◇ the paper" in figure._repr_html_()
    for given in (means, means.assign(reported=np.nan)):
        figure, _ = drawn(cells, given)
        assert "◇" not in figure._repr_html_()


def test_without_an_interval_there_is_the_mean_alone(cells, means):
    ends = ["low", "high", "predicted_low", "predicted_high"]
    figure, _ = drawn(cells, means.assign(**dict.fromkeys(ends, np.nan)))
    whole, _ = drawn(cells, means)
    assert figure.svg().count("◆") == whole.svg().count("◆") == 1
    assert figure.svg().count("<line") == whole.svg().count("<line") - 2


def test_without_any_mean_there_are_the_cells_alone(cells, means):
    numbers = ["value", "low", "high", "predicted_low", "predicted_high"]
    few = means.assign(verdict="too few data", **dict.fromkeys(numbers, np.nan))
    _, rows = drawn(cells, few)
    assert sum(row.get("row") is not None and "line" in row for row in rows) == len(cells)
