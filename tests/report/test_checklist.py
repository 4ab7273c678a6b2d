"""What a referee is told of the whole, on ledgers whose numbers are known."""

import re
from datetime import date

import pandas as pd
import pytest
import yaml
from torch.nn import TransformerEncoderLayer

from sparseattn import paths
from sparseattn.models.pretrained import SIZE
from sparseattn.report import checklist


def row(key, **changed):
    return {
        "key": key, "origin": "published", "kind": "run", "adversary": None, "task": "sst",
        "classifier": "BiLSTM, additive", "encoder": "bilstm", "alignment": "additive",
        "sparsity": "softmax", "seed": 0, "seconds": 1800.0, "cpu_seconds": 900.0,
        "state": "current", "gpu": None, "processor": "A", "learning_rate": 0.001,
        "vectors": "imdb", "epochs": 20.0, "accuracy": 0.8, "dev_accuracy": 0.7, "auc": 0.9,
        "dev_auc": 0.85, "rests_on": None,
    } | changed  # fmt: skip


@pytest.fixture
def ledger():
    return pd.DataFrame(
        [
            row("a"),
            row("b", seed=1, seconds=5400.0, accuracy=0.9, processor="B"),
            row("c", sparsity="sparsemax", state="outdated"),
            row("d", kind="frozen", adversary="frozen", seconds=360.0),
            row("e", origin="this build", task="planted"),
            row("f", kind="examined", rests_on="a", seconds=720.0),
            row("g", kind="examined", rests_on="z", seconds=720.0, task="planted"),
        ]
    )


@pytest.fixture
def packages():
    return pd.DataFrame({"package": ["x", "y"], "pinned": ["1", None], "here": ["1", "2"]})


def test_adversaries_stand_apart_and_this_build_aside(ledger):
    recorded, diverged, examined = checklist.by_kind(ledger)
    assert recorded["key"].tolist() == ["a", "b", "c"]
    assert diverged["key"].tolist() == ["d"]
    assert examined["key"].tolist() == ["f", "g"]


def test_a_summary_counts_cells_runs_and_hours(ledger):
    published, built, known = checklist.summary(ledger).to_dict("records")
    assert (published["cells"], published["runs"], published["seeds"]) == (2, 3, 2)
    assert (published["adversaries"], published["examinations"]) == (1, 1)
    assert (known["runs"], known["examinations"]) == (0, 1)
    assert published["hours"] == pytest.approx(2.8)
    assert published["outdated"] == 1
    assert built["origin"] == "this build"


def test_scores_are_means_over_seeds(ledger):
    softmax, sparsemax = checklist.dev_beside_test(checklist.by_kind(ledger)[0]).to_dict("records")
    assert softmax["test"] == pytest.approx(0.85)
    assert (softmax["runs"], sparsemax["runs"]) == (2, 1)


def test_sizes_are_of_the_vocabulary(ledger):
    (size,) = checklist.sizes(checklist.by_kind(ledger)[0]).to_dict("records")
    assert size["embedding"] == size["words"] * 300
    assert size["seconds"] == pytest.approx(3000)
    assert size["runs"] == 3
    assert size["rest"] > 4 * 128 * 300  # one direction's input weights, without biases


def test_of_a_pretrained_encoder_the_tuned_layers_are_learned():
    rows = [row(name, encoder=name, classifier=name) for name in ("minilm", "minilm_tuned")]
    frozen, tuned = checklist.sizes(pd.DataFrame(rows)).to_dict("records")
    assert frozen["embedding"] == tuned["embedding"] == 0
    layer = TransformerEncoderLayer(SIZE, nhead=1, dim_feedforward=4 * SIZE)
    learned = sum(part.numel() for part in layer.parameters())
    assert tuned["rest"] - frozen["rest"] == 2 * learned


def test_answers_have_their_numbers(ledger, packages):
    found = checklist.in_numbers(*checklist.by_kind(ledger), packages).set_index("of")["is"]
    assert found["Packages, and those pinned to one version"] == "2, 1"
    assert found["Processors of the published runs"] == "A, B"
    assert found["Published runs, trained and evaluated once each"] == "3"
    assert found["Examinations"] == "2"
    assert found["Runs more, of which the examination alone is published"] == "1"
    assert found["Hours of the published runs, adversaries, examinations"] == "2.5, 0.1, 0.4"
    assert found["Seconds a run, by classifier and task"] == "3,000"
    assert found["Epochs at most"] == "SST 20"
    empty = checklist.in_numbers(*checklist.by_kind(ledger[:0]), packages).set_index("of")["is"]
    assert empty["Seconds a run, by classifier and task"] == "none"
    assert empty["Epochs at most"] == "none"


def test_the_verdict_counts_what_comes_out_again(ledger, packages):
    said = checklist.verdict(checklist.by_kind(ledger)[0], packages)
    assert said.startswith("1 of 2 packages are those asked for. 2 of 3 published runs")


def test_pages_are_told_by_their_runs_and_parameters():
    pages = pd.DataFrame(
        {
            "notebook": ["01", "02"], "runs": [["a", "b"], []], "seconds": [1.0, 2.0],
            "parameters": [{}, {"seeds": [0]}],
            "date": ["2026-01-02T03:04:05+00:00"] * 2,
        }
    )  # fmt: skip
    first, second = checklist.executed(pages).to_dict("records")
    assert (first["runs"], first["when"]) == (2, "2026-01-02 03:04")
    assert pd.isna(first["changed"])
    assert second["changed"] == '{"seeds": [0]}'


def test_the_citation_is_that_of_the_project():
    """And has what the Citation File Format 1.2.0 requires."""
    citation = yaml.safe_load((paths.root() / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(citation)
    assert isinstance(citation["date-released"], date)
    assert f'version = "{citation["version"]}"' in (paths.root() / "pyproject.toml").read_text()
    assert (paths.root() / "LICENSE").read_text().startswith(citation["license"])
    for work in citation["references"]:
        assert {"type", "title", "authors"} <= set(work)
        assert re.fullmatch(r"10\.\d{4,9}(\.\d+)?/\S+", work["doi"])
    said = checklist.cited()
    assert said.startswith(citation["message"])
    assert f"> {citation['authors'][0]['name']} (2026). {citation['title']}, version 0.1.0." in said
    assert "author = {{The sparseattn authors}}," in said
    assert "- Clara Meister, Stefan Lazov, Isabelle Augenstein, Ryan Cotterell (2021)." in said
    entry = said.partition("```")[2].partition("```")[0]
    assert entry.count("{") == entry.count("}")


def test_runs_on_two_processors_agree_where_all_fingerprints_do(tmp_path, monkeypatch):
    (tmp_path / "arithmetic").mkdir()
    rows = ["key,processor,weights,traces", "a,one,1,2", "a,two,1,2", "b,one,1,2", "b,two,1,3"]
    (tmp_path / "arithmetic" / "runs.csv").write_text("\n".join(rows))
    monkeypatch.setattr(checklist.paths, "book", lambda: tmp_path)
    monkeypatch.setattr(checklist.published, "runs", lambda tasks: [])
    found = checklist.on_two_processors().set_index("key")
    assert found["agree"].to_dict() == {"a": "same bits", "b": "other bits"}
    assert found.loc["a", "processors"] == "one and two"


def test_what_was_made_on_two_processors_is_published():
    assert checklist.on_two_processors()["run"].notna().all()
