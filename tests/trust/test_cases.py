"""Twenty inputs suggested by public reports of other projects, by the commands they came with.

They lie in the folder that SPARSEATTN_CASES names, one folder a case. What each must give is also
the law of a test beside what it tests; here it is seen from outside. Those on building the book
(02, 03, 14) are in `report.test_book`.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from trusted import THOROUGH, record

from sparseattn.data.tasks import load_task
from sparseattn.data.words import plain_words
from sparseattn.experiments.store import Store

CASES = Path(os.environ.get("SPARSEATTN_CASES", "no folder"))
COMMAND = "SPARSEATTN_CASES=FOLDER SPARSEATTN_TRUST=1 pytest tests/trust/test_cases.py"
FAST = ["-p", "epochs", "1", "-p", "observed", "5", "--jobs", "1", "--quiet"]
SMALL = ["encoders", "[none]", "projections", "[softmax, sparsemax]", "lams", "[]", "epochs", "1"]

# Case: a command and a file; the exit code, and what is said or written.
COMMANDS = [
    ("01", "sweep", "reviews[1].csv", 0, "accuracy"),
    ("01", "sweep", "alone[2].csv", 0, "accuracy"),
    ("04", "sweep", "names.csv", 0, "accuracy"),
    ("05", "sweep", "reviews.csv", 2, "Row 1 of reviews.csv (line 2) has 3 fields, the header 2"),
    ("05", "sweep", "trailing.csv", 2, "let no line end in ','"),
    ("05", "sweep", "backslash.csv", 2, "has a quote that does not close its field"),
    ("06", "sweep", "index.csv", 0, "accuracy"),
    ("06", "sweep", "trailing_header.csv", 0, "accuracy"),
    ("06", "sweep", "sep_line.csv", 0, "accuracy"),
    ("07", "sweep", "flagged.csv", 2, "12 rows without a label"),
    ("07", "sweep", "flagged.jsonl", 2, "empty, null and NaN are no label"),
    ("09", "sweep", "newline.csv", 2, "it has 'text (as typed)', 'label'"),
    ("09", "sweep", "newline_elsewhere.csv", 0, "accuracy"),
    ("09", "sweep", "semicolons.csv", 0, "accuracy"),
    ("09", "sweep", "blank_first.csv", 0, "accuracy"),
    ("10", "sweep", "mac.csv", 0, "accuracy"),
    ("10", "sweep", "long_first_no_header.csv", 2, "The first row names the columns"),
    ("10", "sweep", "utf16le_no_bom.csv", 2, "Save the file as UTF-8"),
    ("11", "sweep", "hindi.csv", 0, "accuracy"),
    ("17", "08-explorer", "one_word.csv", 0, "undefined on every document"),
    ("17", "05-agreement", "one_word.csv", 0, "rankings leave: True"),
    ("18", "sweep", "#1/r.csv", 0, "accuracy"),
    ("19", "sweep", "reviews.CSV.GZ", 0, "accuracy"),
    ("21", "02-tasks-and-classifiers", "reviews.csv", 0, "&#60;b&#62;under&#60;/b&#62; &#60;img"),
]
REFUSALS = [
    ("12", ["sweep", "--projections", "entmax", "--alphas", "1e30"], "less than or equal to 3"),
    ("15", ["run", "01-scores-to-attention", "-o", "/proc/nope/o.ipynb"], "Cannot write"),
    ("15", ["run", "01-scores-to-attention", "-o", "."], "it is a folder"),
    ("16", ["sweep", "--cluster", "local", "--task", "base.csv", "-p", "learning_rate", "1e30",
            "-p", "epochs", "1"], "1 of 1 runs failed"),
    ("18", ["run", "05-agreement", "-p", "seeds", "0,1"], "-p seeds '[0, 1]'"),
    ("18", ["run", "05-agreement", "-p", "task", "@v1/r.csv"], "There is no file '@v1/r.csv'"),
    ("18", ["run", "05-agreement", "-p", "seeds", "[010]"], "'010'; expected a valid integer"),
    ("18", ["run", "05-agreement", "-p", "epochs", "1:30"], "'1:30'; expected a valid integer"),
]  # fmt: skip

pytestmark = pytest.mark.skipif(
    not (THOROUGH and CASES.is_dir()), reason="cases from outside: name their folder and ask"
)


@pytest.fixture(scope="module")
def store(tmp_path_factory, request):
    before = request.session.testsfailed
    yield tmp_path_factory.mktemp("store")
    lost = request.session.testsfailed - before
    tried = len(COMMANDS) + len(REFUSALS) + 4
    record("cases", "commands of twenty cases from public reports", tried, lost, COMMAND)


@pytest.fixture
def case(tmp_path):
    def copied(number):
        (folder,) = CASES.glob(f"{number}-*")
        return shutil.copytree(folder, tmp_path / "case {x}", copy_function=shutil.copyfile)

    return copied


def said(arguments, folder, store):
    folder.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-m", "sparseattn", *arguments],
        cwd=folder, env=os.environ | {"SPARSEATTN_STORE": str(store)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(("number", "command", "file", "code", "words"), COMMANDS)
def test_a_file_is_read_or_refused(case, store, number, command, file, code, words):
    folder = case(number)
    if command == "sweep":
        found = said([command, "--task", file, *FAST], folder, store)
    else:
        pairs = [part for k in range(0, len(SMALL), 2) for part in ("-p", *SMALL[k : k + 2])]
        output = folder / "out.ipynb"
        found = said(["run", command, "-p", "task", file, *pairs, "-o", str(output)], folder, store)
        found = (found[0], output.read_text() if output.is_file() else found[1])
    assert found[0] == code, found[1]
    assert words in found[1]
    assert "Traceback" not in found[1]


@pytest.mark.parametrize(("number", "arguments", "words"), REFUSALS)
def test_a_mistake_is_told(case, store, number, arguments, words):
    code, text = said(arguments, case(number), store)
    assert code == 2, text
    assert words in text
    assert "Traceback" not in text


def test_the_file_named_is_the_one_read(case):
    folder = case("01")
    one, other = (load_task(str(folder / name)) for name in ("reviews[1].csv", "reviews1.csv"))
    assert one.fingerprint != other.fingerprint
    assert "'bad', label 1 is 'good'" in one.deviations[0]


def test_equal_texts_are_ties(case, store):
    task = load_task(str(case("04") / "names.csv"))
    runs = [run for run in Store(store).runs() if run.manifest["task"]["name"] == task.name]
    assert runs
    for run in runs:
        for row, ids in enumerate(run.documents(task).ids):
            words, value = ids[1:-1].numpy(), run.traces["inputs_loo_logit"][row]
            for k in np.flatnonzero(words[1:] == words[:-1]):
                assert value[k] == value[k + 1]


def test_words_of_other_scripts_are_whole():
    assert plain_words("यह फ़िल्म अच्छी है") == ["यह", "फ़िल्म", "अच्छी", "है"]


def test_late_columns_do_no_harm(tmp_path):
    rows = pd.DataFrame(
        {"text": [f"{'ab'[i % 2]} {chr(97 + i // 2)} " + "pad " * 1500 for i in range(50)]}
    ).assign(label=lambda frame: frame["text"].str[0])
    lines = rows.to_json(orient="records", lines=True).splitlines()
    lines[-1] = lines[-1][:-1] + ', "note": "x"}'
    (tmp_path / "late.jsonl").write_text("\n".join(lines))
    assert len(load_task(str(tmp_path / "late.jsonl")).train) > 20
