import json

import nbformat
import pandas as pd
import pytest
from browser import served

from sparseattn.charts.tables import claims_table, table
from sparseattn.errors import UserError
from sparseattn.report import changes

FRAME = pd.DataFrame(
    {
        "task": ["sst", "sst", "imdb"],
        "lam": [0.0, 0.5, 0.0],
        "tau": [0.256, 0.3, float("nan")],
        "verdict": ["same", "undecided", "different"],
        "rule": ["a sentence that is far too long to be the name of a row", "", ""],
    }
)


def notebook(*tables):
    """An executed notebook that shows tables, as JSON."""
    executed = nbformat.v4.new_notebook()
    for shown in tables:
        data, metadata = shown._repr_mimebundle_()
        output = nbformat.v4.new_output("display_data", data, metadata=metadata)
        executed.cells.append(nbformat.v4.new_code_cell("table()", outputs=[output]))
    return nbformat.writes(executed)


@pytest.fixture
def builds(tmp_path):
    """Two folders of executed notebooks: one number differs, one row is gone, one is new."""
    after = FRAME.assign(tau=[0.256, 0.4, float("nan")]).iloc[[0, 1]]
    after = pd.concat([after, FRAME.iloc[[2]].assign(task="planted")])
    folders = tmp_path / "before", tmp_path / "after"
    for folder, frame in zip(folders, (FRAME, after), strict=True):
        folder.mkdir()
        (folder / "05-agreement.ipynb").write_text(notebook(table(frame, "Agreement. More.")))
    return [changes.of_book(str(folder), ["05-agreement", "99-none"]) for folder in folders]


def test_values_are_named_by_table_row_and_column():
    found = changes.values(notebook(table(FRAME, "Agreement. More.")))
    assert found["Agreement · SST · 0 · tau"] == "0.26"
    assert found["Agreement · SST · 0.5 · verdict"] == "undecided"
    assert found["Agreement · IMDb · 0 · tau"] == "–"
    assert len(found) == 6


def test_rows_of_one_name_are_counted():
    twice = pd.DataFrame({"task": ["sst", "sst", "sst"], "n_runs": [1, 2, 3]})
    found = table(twice, "T").values
    assert found == {
        "T · SST · n_runs": "1",
        "T · SST · n_runs (2)": "2",
        "T · SST · n_runs (3)": "3",
    }


def test_verdicts_of_the_claims_are_among_them():
    verdicts = pd.DataFrame(
        {"number": [4], "claim": "c", "verdict": "holds", "sentence": "s", "page": "p"}
    ).assign(paper="", counts="")
    assert changes.values(notebook(claims_table({"SST": verdicts}, []))) == {
        "claim 4, SST": "holds"
    }


def test_only_what_differs_is_told(builds):
    changed = changes.between(*builds)
    told = {row["name"]: (row["before"], row["after"]) for row in changed.to_dict("records")}
    assert told == {
        "Agreement · SST · 0.5 · tau": ("0.30", "0.40"),
        "Agreement · IMDb · 0 · tau": ("–", ""),
        "Agreement · IMDb · 0 · verdict": ("different", ""),
        "Agreement · Planted · 0 · tau": ("", "–"),
        "Agreement · Planted · 0 · verdict": ("", "different"),
    }
    assert changes.between(builds[0], builds[0]).empty
    assert changes.between({}, builds[0]).empty  # a first build changes nothing


def test_told_in_words_and_as_markdown(builds):
    changed = changes.between(*builds)
    text, markdown = changes.as_text(changed), changes.as_markdown(changed)
    assert text.splitlines() == [
        "05-agreement: 1 changed, 2 new, 2 gone",
        "  Agreement · SST · 0.5 · tau: 0.30 → 0.40",
    ]
    assert "| Agreement · SST · 0.5 · tau | 0.30 | 0.40 |" in markdown.splitlines()
    none = changed.iloc[:0]
    assert "No number" in changes.as_text(none)
    assert "No number" in changes.as_markdown(none)


def test_many_changes_are_cut_on_the_terminal_alone():
    before = {"p": {f"n{i:02}": "1" for i in range(20)}}
    after = {"p": {f"n{i:02}": "2" for i in range(20)}}
    changed = changes.between(before, after)
    assert changes.as_text(changed).splitlines()[-1] == "  … and 8 more"
    assert changes.as_markdown(changed).count("| 1 | 2 |") == 20


def test_a_published_book_is_read_through_its_downloads(tmp_path):
    place = tmp_path / "_sources" / "notebooks"
    place.mkdir(parents=True)
    (place / "05-agreement.ipynb").write_text(notebook(table(FRAME, "Agreement.")))
    expected = {"05-agreement": table(FRAME, "Agreement.").values}
    with served(tmp_path) as site:
        assert changes.of_book(f"{site}/", ["05-agreement", "06-new"]) == expected
    assert changes.of_book(str(tmp_path), ["05-agreement", "06-new"]) == expected
    with pytest.raises(UserError, match="does not answer"):
        changes.of_book(site, ["05-agreement"])
    with pytest.raises(UserError, match="neither a folder nor an address"):
        changes.of_book(str(tmp_path / "absent"), [])


def test_a_notebook_of_others_has_no_values():
    bare = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")])
    assert changes.values(json.dumps(bare)) == {}
