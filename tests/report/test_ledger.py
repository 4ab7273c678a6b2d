import csv
import html
import json
import re

import pandas as pd
import pytest
import tiny

from sparseattn import paths
from sparseattn.charts.tables import Table
from sparseattn.experiments.runs import Run
from sparseattn.experiments.specs import adversaries_of, examinations_of
from sparseattn.experiments.store import Store
from sparseattn.report import execution, ledger, links, parameters
from sparseattn.report.ledger import ledger_table
from sparseattn.report.provenance import METADATA, Provenance, requirements
from sparseattn.results import published
from sparseattn.results.frames import SPENT


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("store"))
    task = tiny.task()
    sparse = {"projection": "sparsegen", "lam": -1.0, "seed": 1}
    return [store.compute(tiny.spec(**more), task) for more in ({}, sparse)]


@pytest.fixture(scope="module")
def adversary(runs):
    (spec,) = adversaries_of([runs[0].spec], ["frozen"])
    return Store(runs[0].path.parents[1]).compute(spec, tiny.task())


@pytest.fixture(scope="module")
def frame(runs):
    return ledger.with_pages(runs, {runs[0].key: ["02-tasks", "05-agreement"]})


def rows_of(table: Table):
    """Each row's id and data, by the markup."""
    found = {}
    for key, data in re.findall(r'<tr id="(\w+)"((?: data-\w+="[^"]*")*)>', table.markup):
        pairs = re.findall(r'data-(\w+)="([^"]*)"', data)
        found[key] = {name: html.unescape(value).split("|") for name, value in pairs}
    return found


def test_an_entry_says_what_the_run_says(runs, frame):
    assert list(frame["key"]) == [run.key for run in runs]
    for run, row in zip(runs, frame.to_dict("records"), strict=True):
        assert row["accuracy"] == run.manifest["accuracy"]
        assert row["seconds"] == pytest.approx(sum(run.manifest["seconds"].values()))
        assert row["fingerprint"] == run.manifest["task"]["fingerprint"]
        assert row["origin"] == "this build"
        assert row["state"] == "current"
    assert list(frame["pages"]) == ["02-tasks 05-agreement", ""]


def test_an_adversary_has_numbers_of_its_own_and_its_base_s_cell(runs, adversary):
    run, other = ledger.with_pages([runs[0], adversary], {}).to_dict("records")
    assert other["key"] == adversary.key
    assert [one["kind"] for one in (run, other)] == ["run", "frozen"]
    assert other["rests_on"] == runs[0].key
    assert other["accuracy"] == adversary.manifest["accuracy"]
    assert other["seconds"] == pytest.approx(sum(other[stage] for stage in SPENT), abs=0.01)
    assert other["epochs"] == adversary.spec.epochs != run["epochs"]
    for name in ("task", "classifier", "sparsity", "seed", "fingerprint"):
        assert other[name] == run[name]
    assert other["state"] == "current"


def test_an_adversary_can_be_chosen_and_leads_to_its_base(runs, adversary):
    table = ledger_table(ledger.with_pages([runs[0], adversary], {}), "Runs.")
    assert rows_of(table)[adversary.key]["kind"] == ["frozen"]
    assert '<option value="frozen">' in table.markup
    assert f'href="11-ledger.html#{runs[0].key}"' in table.markup


def test_an_examination_has_its_run_s_cell_and_scores_and_costs_its_own(runs):
    (spec,) = examinations_of([runs[0].spec], 5)
    one = Store(runs[0].path.parents[1]).compute(spec, tiny.task())
    run, other = ledger.with_pages([runs[0], one], {one.key: ["05-truth"]}).to_dict("records")
    assert (other["key"], other["kind"], other["observed"]) == (one.key, "examined", 5)
    assert (other["rests_on"], other["pages"]) == (runs[0].key, "05-truth")
    assert other["seconds"] == pytest.approx(other["examine"]) == one.seconds > 0
    for name in ("task", "classifier", "sparsity", "seed", "fingerprint", "accuracy", "epochs"):
        assert other[name] == run[name]
    markup = ledger_table(ledger.with_pages([one], {}), "Runs.").markup
    assert "softmax, examined" in markup
    assert "sparseattn examine" in markup
    html = Provenance(parameters.validated("05-truth", {}), [one])._html()
    assert html.count(one.key) == 2


def test_a_page_tells_which_of_its_runs_are_older(runs, monkeypatch):
    monkeypatch.setattr(Run, "state", "outdated")
    html = Provenance(parameters.validated("02-tasks-and-classifiers", {}), runs)._html()
    assert "2 of these (<em>outdated</em> below) were made by earlier code" in html
    assert html.count("<td>outdated</td>") == 2


def test_what_a_build_used_is_found_in_its_store(runs, adversary, monkeypatch):
    monkeypatch.setenv("SPARSEATTN_STORE", str(runs[0].path.parents[1]))
    keys = [adversary.key, "0" * 16, runs[1].key]
    assert [one.key for one in ledger.stored(keys)] == [adversary.key, runs[1].key]


def test_hours_add_up(frame):
    hours = ledger.times(frame)
    assert hours["hours"].sum() == pytest.approx(frame["seconds"].sum() / 3600)
    assert list(hours["stage"]) == list(SPENT.values())
    assert set(hours["runs"]) == {2}


def test_every_published_run_is_listed_once():
    known = [
        *published.runs(pretrained=None), *published.adversaries(),
        *published.examinations(pretrained=None),
    ]  # fmt: skip
    found = ledger.everything("00")  # before any page of a build
    assert list(found["key"]) == [one.key for one in known]
    assert found["key"].is_unique
    assert set(found["origin"]) <= {"published"}
    tasks = {row["task"] for row in ledger.everything("00", ["sst"]).to_dict("records")}
    assert {"sst", "sst+thinned", "planted"} <= tasks
    assert not tasks & {"newsgroups", "imdb"}


def test_hours_stand_by_task_with_their_runs(frame):
    (row,) = ledger.times_by_task(frame).to_dict("records")
    assert row["runs"] == 2
    assert row["all"] == pytest.approx(sum(row[stage] for stage in SPENT.values()))
    assert row["all"] == pytest.approx(frame["seconds"].sum() / 3600)
    assert row["median"] == pytest.approx(frame["seconds"].mean())  # of two


def test_data_and_machines_are_told_once(frame):
    other = frame.assign(
        commit=["0123456789+", None], seed=[0, 1], date=["2026-01-02", "2026-01-05"]
    )
    (row,) = ledger.data_behind(other).to_dict("records")
    assert row["data"] == frame["fingerprint"][0][:16]
    assert (row["runs"], row["seeds"], row["days"]) == (2, 2, "2026-01-02 to 2026-01-05")
    facts = ledger.machines(other).set_index("of")
    assert list(facts.columns) == ["1"]
    assert facts.loc["commits", "1"] == "01234567+, no commit"
    assert facts.loc["runs", "1"] == "2"
    apart = ledger.machines(other.assign(python=["3.11.1", "3.11.2"])).set_index("of")
    assert apart.loc["Python"].tolist() == ["3.11.1", "3.11.2"]


def test_runs_that_are_lost_are_said(frame):
    one, two = frame["key"]
    named = {"02": [one, two], "05": [one, "gone"], "09": []}
    executed = pd.DataFrame({"notebook": named.keys(), "runs": named.values()})
    said = ledger.verdict(frame.assign(state=["current", "outdated"]), executed)
    assert said.startswith(
        "2 pages of this build rest on 3 runs; 2 of them are listed below, 1 are no longer in the "
        "run store. 1 of the 2 runs"
    )
    assert "no longer" not in ledger.verdict(frame, executed[:1])
    assert ledger.counted(frame) == "2 runs: 2 on Planted (this build)."


def test_nothing_published_is_a_table_too():
    empty = ledger.with_pages([], {})
    assert ledger.times(empty).empty
    assert ledger.times_by_task(empty).empty
    assert ledger.data_behind(empty).empty
    assert list(ledger.machines(empty)) == ["of"]
    assert ledger.counted(empty).startswith("No run")
    assert rows_of(ledger_table(empty, "Runs.")) == {}


def test_rows_are_addressable_and_carry_their_choices(frame):
    rows = rows_of(ledger_table(frame, "Runs."))
    one, two = frame["key"]
    assert list(rows) == [one, two]
    assert rows[one]["lam"] == [""]
    assert rows[two]["lam"] == [links.ANY, "-1"]
    assert rows[two]["seed"] == ["1"]
    assert rows[one]["page"] == ["02-tasks", "05-agreement"]


def test_each_value_of_a_row_can_be_chosen(frame):
    table = ledger_table(frame, "Runs.")
    menus = dict(re.findall(r'<select name="(\w+)">(.*?)</select>', table.markup))
    seen = {}
    for data in rows_of(table).values():
        for name, values in data.items():
            seen.setdefault(name, set()).update(value for value in values if value)
    for name, values in seen.items():
        assert (name in menus) == (len(values) > 1)  # one value leaves nothing to choose
        for value in values if name in menus else ():
            assert f'<option value="{value}">' in menus[name]


def test_the_download_has_a_line_a_row(frame):
    table = ledger_table(frame, "Runs.")
    (held,) = re.findall(r'class="ledger-csv">(.*?)</script>', table.markup)
    lines = json.loads(held)
    assert len(lines) == len(frame) + 1
    read = list(csv.DictReader(lines))
    assert [row["key"] for row in read] == list(frame["key"])
    assert float(read[1]["lam"]) == -1


def test_the_download_holds_no_formula(frame):
    markup = ledger_table(frame.assign(task="=1.csv", vectors="@a"), "Runs.").markup
    (held,) = re.findall(r'class="ledger-csv">(.*?)</script>', markup)
    for row in csv.DictReader(json.loads(held)):
        assert (row["task"], row["vectors"]) == ("'=1.csv", "'@a")


def test_text_is_escaped(frame):
    hostile = frame.assign(task='<b>"x"', processor="<script>", pages="<i>")
    markup = ledger_table(hostile, "A & B").markup
    assert "<b>" not in markup
    assert "<i>" not in markup
    assert "<script>" not in markup.replace('<script type="application/json"', "")
    assert "A &amp; B" in markup


def test_the_command_to_check_a_run_is_in_its_row(frame):
    recorded = frame.assign(origin="published")
    markup = ledger_table(recorded, "Runs.").markup
    for key in frame["key"]:
        assert f"sparseattn recompute {key}" in markup
    assert "recompute" not in ledger_table(frame, "Runs.").markup
    old = recorded.assign(state="outdated", commit=["abc", "def+"])
    markup = ledger_table(old, "Runs.").markup
    one, two = frame["key"]
    checkout = "<code>git checkout abc</code>"
    assert f"{checkout}, then <code>sparseattn recompute {one}</code>" in markup
    assert f"recompute {two}" not in markup
    assert "not all of which was committed" in markup


def test_what_is_unknown_of_some_rows_breaks_none(frame):
    both = frame.assign(gpu=["H200", None], commit=[None, "abc"], rests_on=[None, "f" * 16])
    markup = ledger_table(both, "Runs.").markup
    assert "nan" not in markup.replace("NaN", "").split('class="ledger-csv"')[0].lower()
    assert ", H200" in markup


def test_a_base_is_a_link_where_it_is_listed(frame):
    base = frame["key"].iloc[0]
    here = ledger_table(frame.assign(rests_on=[None, base]), "Runs.").markup
    assert f'<dd><a href="11-ledger.html#{base}">' in here
    gone = ledger_table(frame.assign(rests_on=[None, "f" * 16]), "Runs.").markup
    assert f"<dd><code>{'f' * 16}</code>, which is not published" in gone


def test_many_runs_stay_light(frame):
    many = pd.concat([frame] * 200, ignore_index=True)
    assert len(ledger_table(many, "Runs.").markup) < 2_000_000


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of three notebooks, two of them executed."""
    for folder in ("book", "notebooks", "_build/executed"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "requirements.txt").write_text(
        "# What is needed\ntorch==2.13.0\nnumpy>=1.0  # any\nno-such-package==1.0\n"
    )
    monkeypatch.setenv("SPARSEATTN_ROOT", str(tmp_path))
    for name in ("01-one", "02-two", "03-three"):
        (tmp_path / "notebooks" / f"{name}.py").touch()
    executed("01-one", runs=["a", "b", "a"])
    executed("02-two", runs=["b"])
    return tmp_path


def executed(name, **origin):
    origin = {"parameters": {}, "runs": [], "seconds": 1.5, "date": "2026-01-01", **origin}
    notebook = {"metadata": {METADATA: {**origin, "inputs": {}, "modules": []}}}
    paths.executed_notebook(name).write_text(json.dumps(notebook))


def test_a_page_sees_those_before_it(project):
    assert list(ledger.pages("03-three")["notebook"]) == ["01-one", "02-two"]
    assert list(ledger.pages("02-two")["notebook"]) == ["01-one"]
    assert ledger.pages("01-one").empty


def test_runs_name_their_pages_once(project):
    behind = ledger.pages_of_runs(ledger.pages("03-three"))
    assert behind == {"a": ["01-one"], "b": ["01-one", "02-two"]}


def test_what_is_no_record_is_no_page(project):
    paths.executed_notebook("01-one").write_text("{")
    paths.executed_notebook("02-two").write_text(json.dumps({"metadata": {}}))
    assert ledger.pages("03-three").empty
    executed("04-gone")  # a page there no longer is
    assert ledger.pages("09").empty


def test_a_page_on_the_build_depends_on_the_pages_before_it(project):
    def inputs(*modules):
        return execution._inputs("02-two", {}, list(modules))

    before, apart = inputs("report/ledger.py"), inputs("charts/points.py")
    executed("02-two", seconds=9.0)
    assert inputs("report/ledger.py") == before  # its own copy is not what it depends on
    executed("01-one", seconds=9.0)
    assert inputs("report/ledger.py") != before
    assert inputs("charts/points.py") == apart


def test_requirements_are_pinned_or_not(project):
    frame = requirements().set_index("package")
    assert frame.loc["torch", "pinned"] == "2.13.0"
    assert frame["pinned"].isna().to_dict() == {
        "torch": False, "numpy": True, "no-such-package": False,
    }  # fmt: skip
    assert frame["here"].isna().to_dict() == {
        "torch": False, "numpy": False, "no-such-package": True,
    }  # fmt: skip
