"""A user's texts become one page: accuracy, the answer, the explorer; nothing in them runs."""

import csv
import json
import random
import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from browser import serious

from sparseattn import __main__ as command
from sparseattn.errors import UserError
from sparseattn.experiments import sweeps
from sparseattn.experiments.store import Store
from sparseattn.report import explain as explaining
from sparseattn.report import onefile

SMALL = {
    "encoders": ["bilstm"], "seeds": [0], "embedding_size": 12, "hidden_size": 8, "epochs": 4,
    "observed": 6,
}  # fmt: skip
HOSTILE = "<script>document.title='run'</script> <img src=x onerror=document.title='run'>"
CLASSES = ("<b>glad</b>", "<img src=x>")


def written(folder: Path, count: int = 90, name: str = "notes.csv") -> Path:
    """Write reviews made up of a few templates, of two hostile classes."""
    rng = random.Random(0)
    words = {0: ("splendid", "sturdy", "cheerful"), 1: ("flimsy", "broken", "dismal")}
    path = folder / name
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["when", "note", "kind"])
        for number in range(count):
            label = number % 2
            once = "".join("abcdefghij"[int(digit)] for digit in f"{number:03}")
            text = f"Bought 3 days ago, {once}, a {rng.choice(words[label])} thing it is"
            extra = f" {HOSTILE}" if number % 5 == 0 else ""
            writer.writerow([number, text + extra, CLASSES[label]])
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a page, what was said while it was made, and its store."""
    folder = tmp_path_factory.mktemp("explained")
    store = Store(folder / "store")
    with redirect_stdout(StringIO()) as said:
        page = explaining.explain(
            written(folder), folder / "page.html", store=store, jobs=1, **SMALL
        )
    return page, said.getvalue(), store


def test_what_will_be_done_is_said_first(made):
    _, whole, _ = made
    assert "texts in column 'note', labels in column 'kind'" in whole
    assert "58 texts to train on, 14 to choose the epoch by, 18 to test on" in whole
    assert re.search(r"4 of 4 runs are to be done, less than a minute on 1 free core\.", whole)
    assert "Ctrl-C loses nothing" in whole


def test_accuracy_comes_before_the_answer_and_that_before_the_explorer(made):
    html = made[0].read_text(encoding="utf-8")
    places = [
        html.index(words)
        for words in (
            "How good are the classifiers?", "always naming the larger class would be right in 50%",
            "Does attention show what decides?", "Is sparse attention the better explanation?",
            "Look for yourself", 'class="explorer"', "How this page was made",
        )
    ]  # fmt: skip
    assert places == sorted(places)
    assert "of at most 4" in html  # epochs


def test_the_explorer_shows_the_texts_as_written_and_their_classes(made):
    data = json.loads(
        re.search(r'class="explorer-data">(.*?)</script>', made[0].read_text(encoding="utf-8"))[1]
    )
    (task,) = data["tasks"]
    assert task["classes"] == sorted(CLASSES)
    for document in task["documents"]:
        assert document["tokens"][:4] == ["bought", "3", "days", "ago"]
        assert "<unknown>" not in document["tokens"]
        assert document["unknown"] == [5]  # what is in one text only


def test_it_opens_from_a_disk_and_nothing_in_the_texts_runs(made, browser):
    for width in (1280, 360):
        context = browser.new_context(offline=True, viewport={"width": width, "height": 800})
        tab, heard, asked = context.new_page(), [], []
        tab.on("console", lambda message, heard=heard: heard.append(message.text))
        tab.on("pageerror", lambda error, heard=heard: heard.append(str(error)))
        tab.on("request", lambda request, asked=asked: asked.append(request.url))
        tab.goto(made[0].as_uri())
        tab.wait_for_selector(".explorer[data-ready=yes]")
        tab.wait_for_selector("html[data-charts=ready]", timeout=20_000)
        tab.get_by_label("Next document").click()
        tab.wait_for_timeout(300)
        assert tab.title() == "Does attention show why? notes.csv"
        assert tab.locator(".bd-article img:not(.chart-static)").count() == 0
        assert tab.locator(".bd-article strong b").count() == 0
        assert (
            tab.locator(".explorer-summary")
            .inner_text()
            .startswith(tuple(f"Read as {name}" for name in CLASSES))
        )
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert serious(tab) == []
        assert heard == []
        assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [
            made[0].as_uri()
        ]
        context.close()


def test_again_it_computes_nothing_and_asks_for_nothing(made, tmp_path, monkeypatch, capsys):
    page, _, store = made
    monkeypatch.setattr(sweeps, "_one_by_one", None)
    again = explaining.explain(page.parent / "notes.csv", tmp_path / "a.html", store=store, **SMALL)
    assert capsys.readouterr().out.splitlines()[-1] == "Everything is computed already."

    def lasting(path):
        return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC, within \d+ s", "", path.read_text("utf-8"))

    assert lasting(again) == lasting(page)


def test_what_they_learned_is_said_as_it_is(made):
    page, _, store = made
    asked = explaining.ask(page.parent / "notes.csv", **SMALL)
    runs = sweeps.ensure(asked.runs, store, progress=False)
    scores = explaining.accuracies(runs, asked.task)
    n = len(asked.task.test)
    for row in scores.to_dict("records"):  # Wilson (1927), by hand
        p, z = row["accuracy"], 1.959964
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        assert row["low"] == pytest.approx(middle - half, abs=1e-6)
        assert row["high"] == pytest.approx(middle + half, abs=1e-6)
        assert row["larger"] == pytest.approx(0.5)
        assert row["sure"] == (row["low"] > row["larger"])
    for sure, told in (([True, True], "50%."), ([False, True], "Not surely better than that: "),
                       ([False, False], "**None is surely better")):  # fmt: skip
        assert told in explaining.learned(scores.assign(sure=sure), asked)


def test_a_file_is_read_to_find_its_columns_and_to_read_them(tmp_path, monkeypatch):
    path, read, whole = written(tmp_path), [], Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda one: read.append(one) or whole(one))
    asked = explaining.ask(path, **SMALL)
    assert read == [path, path]
    assert asked.task.classes == tuple(sorted(CLASSES))


def test_an_examination_follows_its_run_and_each_is_asked_once(made):
    asked = explaining.ask(made[0].parent / "notes.csv", **SMALL)
    for jobs in (1, 2, 3, 16):
        order = asked.wanted(jobs)
        assert len(set(order)) == len(order) == 4
        assert set(order) == {*asked.runs, *asked.examinations}
        for one in asked.examinations:
            assert order.index(one.base) < order.index(one)
    assert all(asked.seconds(spec) > 0 for spec in asked.wanted(2))


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Return what the command says to bad input; it must exit with 2 and compute nothing."""
    monkeypatch.setenv("SPARSEATTN_STORE", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(explaining, "ensure", None)

    def called(*arguments):
        with pytest.raises(SystemExit) as stopped:
            command.main(["explain", *map(str, arguments)])
        assert stopped.value.code == 2
        assert not (tmp_path / "store").exists()
        return " ".join(capsys.readouterr().err.split())

    return called


def test_bad_input_is_told_before_anything_runs(refused, tmp_path):
    path = written(tmp_path)
    assert "There is no file 'nots.csv'. Did you mean 'notes.csv'?" in refused("nots.csv")
    assert "expected one of .csv, .jsonl, .json" in refused(tmp_path / "notes.xlsx")
    assert "no column 'x'; it has 'when', 'note', 'kind'" in refused(path, "--text", "x")
    assert "expected the name of a page, such as page.html" in refused(path, "-o", "page.pdf")
    assert "Cannot write" in refused(path, "-o", path / "page.html")
    assert "it is a folder" in refused(path, "-o", _folder(tmp_path / "page.html"))
    few = written(tmp_path, 12, "few.csv")
    said = refused(few)
    assert "few.csv has 6 different texts of class '<b>glad</b>' (words with a digit are" in said
    assert "at least 10 of each class" in said
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    assert "empty.csv is empty" in refused(empty)
    one = tmp_path / "one.csv"
    one.write_text("text,label\n" + "".join(f"a text of {'a' * (k + 1)},x\n" for k in range(30)))
    assert "'label' holds 1 values, and labels must be two" in refused(one)
    blank = tmp_path / "blank.csv"
    blank.write_text("text,label\n" + "".join(f" ,{k % 2}\n" for k in range(30)))
    assert "none holds texts of several words" in refused(blank)
    assert "has 0 different texts" in refused(blank, "--text", "text")


def _folder(path):
    path.mkdir()
    return path


def test_a_file_it_did_not_write_is_not_replaced_unless_named(refused, tmp_path, monkeypatch):
    path, page = written(tmp_path), tmp_path / "notes.html"
    page.write_text("my own page")
    assert "There is a file 'notes.html' that this command did not write" in refused(path)
    assert page.read_text() == "my own page"
    assert explaining._target(path, Path("notes.html")) == Path("notes.html")
    page.write_text(onefile.page("Title", ["words"]), encoding="utf-8")
    assert explaining._target(path, None) == Path("notes.html")
    assert explaining._target(Path("some/notes.csv.gz"), None) == Path("notes.html")


def test_long_texts_cost_no_more_than_short_ones(tmp_path):
    path = tmp_path / "long.csv"
    rows = "".join(f"{'word ' * 150}{'a' * (k + 1)},{k % 2}\n" for k in range(60))
    path.write_text(f"text,label\n{rows}", encoding="utf-8")
    asked = explaining.ask(path)
    assert asked.examinations[0].documents == 6
    assert explaining.ask(written(tmp_path, 200)).examinations[0].documents == 20


def test_an_error_of_a_run_is_not_hidden(tmp_path):
    with pytest.raises(UserError, match="Parameter 'epochs' was 0"):
        explaining.ask(written(tmp_path), epochs=0)
