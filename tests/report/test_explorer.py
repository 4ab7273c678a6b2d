"""What the explorer shows is what was measured; text stays text; choices follow their rule."""

import copy
import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sparseattn.bench.peers import influence_by_loop
from sparseattn.data.tasks import load_task
from sparseattn.errors import UserError
from sparseattn.experiments.store import Store
from sparseattn.measures.per_document import normalise
from sparseattn.report import explorer, specimens
from sparseattn.report.explorer import Explorer, explore, notes
from sparseattn.report.parameters import validated
from sparseattn.report.specimens import (
    INFLUENCE_UNIT,
    SHARE_UNIT,
    choose,
    in_units,
    in_units_of_one,
)
from sparseattn.verdicts import training

HOSTILE = [
    "</script><img src=x onerror=alert(1)>",
    "<!--",
    "\"'`&amp;",
    "שלום",
    "👩‍🚀",
    "\u2028",
    "‮",
]
PROJECTIONS = (
    {"projection": "sparsemax"},
    {"projection": "sparsegen", "lam": 0.5},
    {"projection": "softmax"},
    {"projection": "entmax", "alpha": 1.5},
    {"projection": "sparsegen", "lam": -10.0},
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    store, task = Store(tmp_path_factory.mktemp("store")), tiny.task()
    specs = [tiny.spec(**one) for one in PROJECTIONS]
    specs += [tiny.spec(encoder="none"), tiny.spec(seed=1)]
    return [store.compute(spec, task) for spec in specs]


@pytest.fixture(scope="module")
def shown(runs):
    return explore(runs, count=4)


def seen(shown, runs):
    """Pair each classifier's document with the run and the row of its traces."""
    (task,) = shown.data["tasks"]
    known = {
        (f"{run.spec.encoder}-{run.spec.alignment}", run.spec.projection, run.spec.lam): run
        for run in reversed(runs)  # of several seeds, the first
    }
    for classifier in task["classifiers"]:
        for stop in classifier["stops"]:
            projection = re.sub(r"[-.\d]+$", "", stop["code"])
            lam = (
                float(stop["code"].removeprefix("sparsegen")) if projection == "sparsegen" else 0.0
            )
            run = (
                known.get((classifier["code"], projection, lam))
                or known[(classifier["code"], projection, None)]
            )
            for document, about in zip(stop["documents"], task["documents"], strict=True):
                yield document, about, run, about["number"]


def test_numbers_are_those_of_the_measurements(shown, runs):
    checked = 0
    for document, about, run, number in seen(shown, runs):
        measured = run.measurements().loc[number]
        assert document["support"] == measured["support"]
        assert document["correct"] == bool(measured["correct"])
        assert document["predicted"] == int(document["probability"] > 0.5)
        assert len(about["tokens"]) == measured["length"]
        attention = document["measures"]["attention"]
        assert attention["dispersion"] == pytest.approx(
            measured["attention_dispersion"], abs=5.1e-5
        )
        assert attention["effective"] == pytest.approx(measured["attention_effective"], abs=5.1e-5)
        for name in ("inputs_gradient", "inputs_loo", "hidden_gradient", "hidden_loo"):
            numbers = document["measures"][name]
            for kind in ("tau", "dispersion", "effective"):
                expected = measured[f"{kind}_{name}"]
                if np.isnan(expected):
                    assert numbers[kind] is None
                else:
                    assert numbers[kind] == pytest.approx(expected, abs=5.1e-5)
            if numbers["tau"] is not None:
                relative = measured[f"tau_relative_{name}"]
                assert numbers["tau"] == pytest.approx(relative * numbers["ceiling"], abs=2e-4)
            checked += 1
    assert checked == 6 * 4 * 4


def test_shares_are_those_of_the_traces(shown, runs):
    for document, _, run, number in seen(shown, runs):
        n = run.traces["lengths"][number : number + 1]
        for name, numbers in document["measures"].items():
            exact = normalise(run.traces[name][number : number + 1, : n[0]], n)[0]
            rounded = np.array(numbers["shares"]) * SHARE_UNIT
            if np.isnan(exact).any():
                assert not rounded.any()
                continue
            assert abs(rounded - exact).max() <= SHARE_UNIT * (1 + 1e-9)
            assert ((rounded > 0) == (exact > 0)).all()


def test_influence_is_that_of_plain_differentiation(shown, runs):
    task = tiny.task()
    for document, about, run, number in seen(shown, runs):
        ids = run.documents(task).ids[number]
        loop = influence_by_loop(run.classifier(), ids).numpy()
        shares = loop / loop.sum(axis=1, keepdims=True)
        assert about["positions"] == list(range(len(loop)))
        for p, row in enumerate(document["influence"]["shares"]):
            assert sum(row) == round(1 / INFLUENCE_UNIT)
            assert abs(np.array(row) * INFLUENCE_UNIT - shares[p]).max() < 1.1 * INFLUENCE_UNIT
            assert document["influence"]["self_share"][p] == pytest.approx(shares[p, p], abs=1e-4)


@given(
    shares=arrays.arrays(np.float64, st.integers(1, 30), elements=st.floats(0, 1e3)).filter(np.any)
)
def test_rounding_keeps_zeros_and_sums(shares):
    shares = shares / shares.sum()
    units = in_units(shares, SHARE_UNIT)
    assert [u > 0 for u in units] == (shares > 0).tolist()
    assert abs(np.array(units) * SHARE_UNIT - shares).max() <= SHARE_UNIT * (1 + 1e-9)
    units = in_units_of_one(shares, INFLUENCE_UNIT)
    assert sum(units) == round(1 / INFLUENCE_UNIT)
    assert min(units) >= 0
    assert abs(np.array(units) * INFLUENCE_UNIT - shares).max() <= INFLUENCE_UNIT * (1 + 1e-9)


def test_projections_go_from_even_to_sparse_and_seeds_do_not_mix(shown):
    (task,) = shown.data["tasks"]
    first, none = task["classifiers"]
    assert [stop["code"] for stop in first["stops"]] == [
        *("softmax", "sparsegen-10", "sparsemax", "sparsegen0.5", "entmax1.5"),
    ]
    assert [stop["short"] for stop in first["stops"]][1] == "λ −10"
    assert len(none["stops"]) == 1
    assert none["name"] == "no encoder, additive"


def frame(**columns):
    rows = len(columns["tau_inputs_gradient"])
    given = {"document": range(rows), "key": "one", "correct": 1.0, "length": 10.0}
    return pd.DataFrame({**given, **columns})


def test_documents_are_chosen_by_rule():
    tau = [0.1, 0.9, -0.5, 0.2, 0.3, 0.8, -0.4, 0.25, 0.25, 0.25]
    wrong = [1, 1, 1, 0, 1, 1, 1, 1, 1, 1]
    length = [10, 10, 10, 10, 30, 10, 10, 5, 10, 900]
    chosen = choose(frame(tau_inputs_gradient=tau, correct=wrong, length=length), 10)
    assert [number for number, _ in chosen] == [1, 5, 2, 6, 3, 4, 7, 0, 8, 9]
    assert chosen[4][1] == "misclassified by 1 of 1 classifiers"
    assert chosen[5][1] == "the longest"  # of those that fit a page
    assert [number for number, _ in choose(frame(tau_inputs_gradient=tau), 3)] == [1, 5, 2]
    undefined = choose(frame(tau_inputs_gradient=[np.nan, np.nan], length=[1, 1]), 10)
    assert [number for number, _ in undefined] == [0, 1]


def test_long_documents_keep_the_most_attended_states(runs, monkeypatch):
    monkeypatch.setattr(specimens, "_INFLUENCES", 600)
    few = explore(runs, count=4).data["tasks"][0]
    held = 0
    for place, about in enumerate(few["documents"]):
        n = len(about["tokens"])
        assert 1 <= len(about["positions"]) < n
        for classifier in few["classifiers"]:
            for stop in classifier["stops"]:
                rows = stop["documents"][place]["influence"]["shares"]
                assert [len(row) for row in rows] == [n] * len(about["positions"])
                held += sum(map(len, rows))
    assert held <= 600


class _Outline(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.texts = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.texts.append(data)


def hostile(shown):
    data = copy.deepcopy(shown.data)
    for document in data["tasks"][0]["documents"]:
        document["tokens"] = [HOSTILE[i % len(HOSTILE)] for i in range(len(document["tokens"]))]
    return Explorer(data)


def test_no_text_escapes(shown):
    nasty = hostile(shown)
    outlines = []
    for one in (shown, nasty):
        outline = _Outline()
        outline.feed(one._repr_html_())
        outline.close()
        outlines.append(outline)
    plain, attacked = outlines
    assert attacked.tags == plain.tags
    assert all(word in attacked.texts for word in HOSTILE)  # in the static table, verbatim
    content = re.search(r'class="explorer-data">(.*?)</script>', nasty._repr_html_(), re.DOTALL)
    assert content is not None
    assert not set("<>&\u2028") & set(content.group(1))
    assert json.loads(content.group(1)) == nasty.data


def test_agreements_are_of_every_panel(shown):
    found = shown.agreements()
    assert len(found) == 6 * 4 * 5  # classifiers, documents, measures; attention has no τ-b
    assert found["tau"].notna().sum() <= 6 * 4 * 4
    assert (found.dropna()["tau"] <= found.dropna()["ceiling"] + 1e-4).all()


def test_documents_are_counted_as_a_reader_does(shown):
    assert shown.documents()["document"].tolist() == [1, 2, 3, 4]


def test_few_documents_stand_beside_all(shown, runs):
    some = [run for run in runs if run.spec.seed == 0]
    found = explorer.few_and_all(some, shown)
    numbers = shown.numbers()
    for row, run in zip(found.to_dict("records"), some, strict=True):
        tau = run.measurements()["tau_inputs_gradient"]
        assert row["every"] == pytest.approx(tau.mean())
        assert row["few"] == pytest.approx(tau[numbers].mean())
        assert row["difference"] == pytest.approx(row["few"] - row["every"])
    worst = found["difference"].abs().max()
    said = explorer.verdict(some, shown)
    assert "On the task Planted, the 4 documents shown miss" in said
    assert f"by {worst:.2f} at worst" in said


def test_the_table_says_whose_truth_it_marks(shown):
    (task,) = shown.data["tasks"]
    task["documents"][0]["evidence"] = task["documents"][0]["evidence"] or [0]
    assert "; ● marks those that truly decide" in explorer._table(task)
    read = {**task, "truth": "decide, as we read it"}
    assert "; ● marks those that decide, as we read it" in explorer._table(read)


def test_undefined_everywhere_is_said(shown, runs, monkeypatch):
    undefined = explorer.measurements(runs).assign(tau_inputs_gradient=np.nan)
    monkeypatch.setattr(explorer, "measurements", lambda _: undefined)
    assert "undefined on every document" in explorer.verdict(runs, shown)


def test_word_order_is_asked_of_the_planted_task_alone():
    assert explorer.in_context(validated("08-explorer", {"task": "sst"})) == []
    context = {"task_options": {"context": True}}
    assert explorer.in_context(validated("08-explorer", context)) == []


def test_questions_point_at_what_is_there(shown):
    (task,) = shown.data["tasks"]
    codes = {stop["code"] for classifier in task["classifiers"] for stop in classifier["stops"]}
    asked = re.findall(r'data-explore="([^"]*)"', shown.questions())
    assert len(asked) >= 5
    for where in asked:
        parts = dict(part.split("=") for part in where.replace("&amp;", "&").split("&"))
        assert parts["projection"] in codes
        assert int(parts["document"]) in shown.numbers()


def test_own_texts_are_shown(tmp_path):
    lines = ["text,label"]
    for i in range(60):
        word = "".join(sorted("abcdef"[digit] for digit in (i % 6, i // 6 % 6))) + "x" * (i // 30)
        label = "$*"[i % 2] + "<i>"
        lines.append(f"a {'grand' if i % 2 else 'dreary'} film {word} {i % 7 * 'so '}<b>,{label}")
    (tmp_path / "mine.csv").write_text("\n".join(lines))
    spec = tiny.spec(task=str(tmp_path / "mine.csv"), task_options={})
    runs = [Store(tmp_path / "store").compute(spec)]
    told = "label 0 is '&#36;&#60;i&#62;', label 1 is '&#42;&#60;i&#62;'"
    assert told in notes(runs)
    assert told in training.departures_of(load_task(str(tmp_path / "mine.csv")))
    shown = explore(runs, count=3)
    (task,) = shown.data["tasks"]
    assert task["name"] == "mine.csv"
    assert task["classes"] == ["$<i>", "*<i>"]  # as the file calls them
    assert all("film" in document["tokens"] for document in task["documents"])
    assert all(document["evidence"] is None for document in task["documents"])


def test_nothing_to_show_is_said():
    with pytest.raises(UserError, match="empty"):
        explore([])
