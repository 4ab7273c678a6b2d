"""Charts are valid, aggregated, honest about the paper, and do what their parameters say."""

import json

import altair as alt
import numpy as np
import pandas as pd
import pytest
import torch

from sparseattn import charts
from sparseattn.charts.colours import GREY, OCHRE
from sparseattn.charts.figure import AnyChart, Figure
from sparseattn.errors import UserError
from sparseattn.models.projections import project, solved

OURS = pd.DataFrame(
    {
        "task": ["sst", "sst", "imdb", "imdb"],
        "projection": ["softmax", "sparsemax"] * 2,
        "mean": [0.4, 0.3, 0.2, 0.1],
        "low": [0.3, 0.2, 0.1, 0.0],
        "high": [0.5, 0.4, 0.3, 0.2],
        "importance_of": ["inputs", "inputs", "hidden", "hidden"],
    }
)
PAPER = OURS.drop(columns=["low", "high"]).assign(mean=[0.25, 0.45, 0.36, 0.31])
CURVES = pd.DataFrame(
    [
        {"epoch": epoch, "dev_auc": 0.5 + epoch / 10, "encoder": encoder, "seed": seed}
        for encoder in ("bilstm", "transformer")
        for seed in (0, 1)
        for epoch in (1, 2, 3)
    ]
)
LAMBDAS = pd.DataFrame(
    [
        {"lam": lam, "encoder": e, "mean": 0.5, "low": 0.4, "high": 0.6}
        for lam in (-50.0, -10.0, 0.0, 0.6)
        for e in ("bilstm", "transformer")
    ]
)
SCORES = [2.0, 1.0, 0.5, -1.0]
LAMS = [round(-10 + 0.1 * step, 1) for step in range(110)]
ALPHAS = [round(1 + 0.05 * step, 2) for step in range(31)]
SOLVED = solved(SCORES, LAMS, ALPHAS)


def documents(count: int = 400) -> pd.DataFrame:
    values = np.random.default_rng(0).beta(3, 4, 4 * count)
    return pd.DataFrame(
        {
            "task": np.repeat(["sst", "sst", "imdb", "imdb"], count),
            "projection": np.tile(np.repeat(["softmax", "sparsemax"], count), 2),
            "tau": values,
        }
    )


AMOUNTS = pd.DataFrame(
    {
        "task": ["sst", "sst", "imdb", "imdb"],
        "stage": ["training", "scoring"] * 2,
        "hours": [3.0, 1.0, 5.0, 0.5],
    }
)
KINDS = {
    "amounts": lambda: charts.amounts(AMOUNTS, value="hours", colour="stage", title="Hours"),
    "learning_curves": lambda: charts.learning_curves(CURVES),
    "paper_versus_here": lambda: charts.paper_versus_here(OURS, PAPER),
    "paper_versus_here panels": lambda: charts.paper_versus_here(
        OURS, PAPER, panel="importance_of"
    ),
    "ours alone": lambda: charts.paper_versus_here(OURS, low=None, high=None),
    "distribution": lambda: charts.distribution(documents(), value="tau", title="τ-b"),
    "over_lambda": lambda: charts.over_lambda(LAMBDAS),
    "projections": lambda: charts.projections(SOLVED),
}


def figure(chart: AnyChart, **options: object) -> Figure:
    words = {"name": "a-chart", "caption": "A caption.", "description": "A description."}
    return charts.show(chart, **{**words, **options})  # type: ignore[arg-type]


def rows(chart: AnyChart) -> pd.DataFrame:
    datasets = figure(chart).spec["datasets"]
    assert isinstance(datasets, dict)
    return pd.DataFrame([row for data in datasets.values() for row in data])


@pytest.mark.parametrize("kind", KINDS)
def test_specification_is_valid_and_drawable(kind: str) -> None:
    shown = figure(KINDS[kind]())
    alt.Chart.from_dict(shown.spec)  # validates against Vega-Lite's schema
    assert "config" not in shown.spec
    assert shown.svg().count("<path") > 3


@pytest.mark.parametrize("kind", KINDS)
def test_same_twice(kind: str) -> None:
    assert figure(KINDS[kind]())._repr_html_() == figure(KINDS[kind]())._repr_html_()


def test_amounts_are_drawn_whole_and_from_zero() -> None:
    drawn = figure(KINDS["amounts"]())
    assert rows(KINDS["amounts"]())["hours"].sum() == AMOUNTS["hours"].sum()
    encoding = drawn.spec["encoding"]
    assert isinstance(encoding, dict)
    assert encoding["x"]["stack"] == "zero"


def test_a_projection_has_its_colour_in_every_kind() -> None:
    for chart in (
        charts.paper_versus_here(OURS[OURS["projection"] == "sparsemax"]),
        charts.distribution(documents(), value="tau", title="τ-b"),
    ):
        spec = figure(chart).spec
        legend = spec["usermeta"]["legend"]["items"]  # type: ignore[index]
        assert {"value": "sparsemax", "colour": OCHRE} in legend
        assert OCHRE in json.dumps(spec["layer"])


def test_paper_is_hollow_and_named_in_the_caption() -> None:
    html = figure(charts.paper_versus_here(OURS, PAPER))._repr_html_()
    assert "◇\u00a0the paper" in html
    assert "◇" not in figure(charts.paper_versus_here(OURS))._repr_html_()
    drawn = figure(charts.paper_versus_here(OURS, PAPER)).spec["layer"]
    hollow = [layer for layer in drawn if layer["mark"].get("shape") == "diamond"]  # type: ignore[union-attr]
    assert [layer["mark"]["filled"] for layer in hollow] == [False]
    assert rows(charts.paper_versus_here(OURS, PAPER)).query("source == 'paper'")[
        "mean"
    ].tolist() == [
        0.25,
        0.45,
        0.36,
        0.31,
    ]


@pytest.mark.parametrize("chart", [charts.paper_versus_here, charts.over_lambda])
def test_a_single_seed_is_drawn_hollow_and_called_so(chart) -> None:  # type: ignore[no-untyped-def]
    frame, colour = (
        (OURS, "projection") if chart is charts.paper_versus_here else (LAMBDAS, "encoder")
    )
    several = figure(chart(frame.assign(seeds=3), colour=colour))._repr_html_()
    assert "○" not in several
    mixed = figure(chart(frame.assign(seeds=[1, *[3] * (len(frame) - 1)]), colour=colour))
    assert "○\u00a0one seed, its interval over documents alone" in mixed._repr_html_()
    drawn = [
        (layer["mark"]["filled"], layer["transform"][-1]["filter"])
        for layer in mixed.spec["layer"]  # type: ignore[union-attr]
        if layer["mark"]["type"] == "point"
    ]
    assert drawn == [(True, "(datum.seeds !== 1)"), (False, "(datum.seeds === 1)")] or drawn == [
        (True, "datum.seeds != 1"),
        (False, "datum.seeds == 1"),
    ]


def test_chance_is_a_grey_mark_and_named_in_the_caption() -> None:
    groups = charts.paper_versus_here(OURS.assign(null=0.7), PAPER, null="null")
    lines = charts.over_lambda(LAMBDAS.assign(null=0.1), null="null")
    for chart, place in ((groups, "x"), (lines, "y")):
        shown = figure(chart)
        assert "by chance" in shown._repr_html_()
        (drawn,) = [
            layer
            for layer in shown.spec["layer"]  # type: ignore[union-attr]
            if layer["encoding"].get(place, {}).get("field") == "null"
        ]
        assert drawn["encoding"]["color"] == {"value": GREY}
        low, high = drawn["encoding"][place]["scale"]["domain"]
        assert low <= shown.spec["datasets"].popitem()[1][0]["null"] <= high  # type: ignore[union-attr]
    assert "by chance" not in figure(charts.paper_versus_here(OURS, PAPER))._repr_html_()


def test_a_distribution_has_the_papers_medians_beside_it() -> None:
    theirs = pd.DataFrame({"task": ["sst"], "projection": ["softmax"], "mean": [0.9]})
    chart = charts.distribution(documents(), theirs, value="tau", title="τ-b")
    assert "◇\u00a0the paper" in figure(chart)._repr_html_()
    drawn = rows(chart)
    assert drawn.query("source == 'paper'")["p50"].tolist() == [0.9]
    assert len(drawn.query("source == 'here'")) == 4


def test_documents_are_aggregated() -> None:
    few, many = documents(400), documents(20_000)
    assert len(rows(charts.distribution(many, value="tau", title="τ-b"))) == 4
    row = rows(charts.distribution(few, value="tau", title="τ-b")).iloc[0]
    mine = few[(few["task"] == "sst") & (few["projection"] == "softmax")]["tau"]
    assert row["p50"] == pytest.approx(mine.median(), rel=1e-5)
    assert row["p95"] == pytest.approx(mine.quantile(0.95), rel=1e-5)
    assert row["documents"] == 400


def test_documents_without_a_value_are_left_out() -> None:
    frame = documents(10)
    frame.loc[:4, "tau"] = np.nan
    assert rows(charts.distribution(frame, value="tau", title="τ-b"))["documents"].tolist()[0] == 5


def test_sliders_choose_exact_distributions() -> None:
    drawn = rows(charts.projections(SOLVED))
    mask = torch.ones(4, dtype=torch.bool)
    scores = torch.tensor(SCORES, dtype=torch.float64)
    for name, lam, alpha in (("sparsegen", -2.5, None), ("α-entmax", None, 1.25)):
        parameter = lam if lam is not None else alpha
        part = drawn[(drawn["projection"] == name) & (abs(drawn["parameter"] - parameter) < 1e-9)]
        kind = "sparsegen" if lam is not None else "entmax"
        expected = project(scores, mask, kind, lam=lam, alpha=alpha)
        np.testing.assert_allclose(part["weight"], expected.numpy(), rtol=1e-5, atol=1e-8)
        assert set(part["nonzero"]) == {int((expected > 0).sum())}
    # Every stop of the slider has its distribution.
    params = {p["name"]: p for p in figure(charts.projections(SOLVED)).spec["params"]}  # type: ignore[union-attr]
    bind = params["lam"]["bind"]
    stops = np.arange(round((bind["max"] - bind["min"]) / bind["step"]) + 1) * bind["step"]
    have = np.sort(drawn[drawn["projection"] == "sparsegen"]["parameter"].unique())
    np.testing.assert_allclose(have, bind["min"] + stops, atol=1e-9)


def test_tau_beside_the_slider_falls_with_ties_alone() -> None:
    drawn = rows(charts.projections(SOLVED))
    n = len(SCORES)
    pairs = n * (n - 1) / 2
    untied = (
        drawn["nonzero"] * (n - drawn["nonzero"]) + drawn["nonzero"] * (drawn["nonzero"] - 1) / 2
    )
    np.testing.assert_allclose(drawn["tau"], np.sqrt(untied / pairs), rtol=1e-5)
    assert drawn["tau"].nunique() > 2


def test_lambda_lies_on_its_temperature() -> None:
    drawn = rows(charts.over_lambda(LAMBDAS))
    lam = drawn["lam"].str.replace("−", "-").astype(float)
    np.testing.assert_allclose(drawn["temperature"], 1 - lam)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: charts.paper_versus_here(OURS.drop(columns="low")), "missing low"),
        (lambda: charts.paper_versus_here(OURS.iloc[:0]), "no rows"),
        (lambda: charts.over_lambda(LAMBDAS.iloc[:0]), "None of these classifiers has a λ"),
        (lambda: solved([1.0]), "2 to 20 scores"),
    ],
)
def test_bad_input_is_told(make: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()  # type: ignore[operator]


def test_axes_stay_where_a_filter_leaves_nothing() -> None:
    spec = json.dumps(figure(charts.paper_versus_here(OURS, PAPER)).spec["layer"])
    assert '"domain": [0.0, 0.5]' in spec
    assert '"type": "log"' in json.dumps(figure(charts.over_lambda(LAMBDAS)).spec["layer"])


def test_a_figure_without_a_row_is_a_sentence() -> None:
    words = {"name": "a-chart", "caption": "A caption.", "description": "A description."}
    nothing = charts.show(charts.over_lambda, LAMBDAS.iloc[:0], **words)
    assert nothing.data == "None of these classifiers has a λ: there is nothing to draw."
    told = charts.show(charts.paper_versus_here, OURS.iloc[:0], None, missing="None.", **words)
    assert told.data == "None."
    drawn = charts.show(charts.paper_versus_here, OURS, PAPER, colour="projection", **words)
    assert drawn.spec == figure(charts.paper_versus_here(OURS, PAPER)).spec
    with pytest.raises(UserError, match="missing low"):
        charts.show(charts.paper_versus_here, OURS.drop(columns="low"), **words)


def test_panels_of_several_columns_are_joined() -> None:
    drawn = rows(charts.paper_versus_here(OURS, PAPER, panel=["importance_of", "task"]))
    assert set(drawn["panel"]) == {"inputs, SST", "hidden states, IMDb"}


def test_an_axis_of_shares_ends_at_one() -> None:
    assert charts.up_to_one(OURS.assign(low=0.77), ["low"], 20) == (0.75, 1)
    assert charts.up_to_one(OURS.assign(low=np.nan), ["low", "mean"], 10) == (0.1, 1)
    assert charts.up_to_one(OURS.assign(low=1.0), ["low"], 20) == (0.95, 1)


def test_nothing_measured_is_said_and_not_a_missing_column():
    empty = pd.DataFrame()
    said = charts.show(
        charts.paper_versus_here, empty, group="shown", title="Share", name="share",
        caption="A share.", description="Points.", missing="Not known.",
    )  # fmt: skip
    assert said.data == "Not known."
