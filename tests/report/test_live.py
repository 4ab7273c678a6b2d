"""Laws of the small classifiers: rounded little, the same bytes again, small, and as named."""

import json
import os

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tiny import spec, task

from sparseattn import paths
from sparseattn.errors import UserError
from sparseattn.experiments.store import Store
from sparseattn.report import live

FOLDER = paths.book() / "_extra" / "live"
TINY = [spec(), spec(encoder="transformer", alignment="dot", projection="sparsegen", lam=0.6)]


@given(
    arrays.arrays(np.float32, (3, 5), elements=st.floats(-8, 8, width=32, allow_subnormal=False))
)
def test_rounding_is_within_half_a_scale(matrix):
    scales, rows = live.quantised(matrix)
    assert rows.dtype == np.int8
    assert rows.min(initial=0) >= -live.LEVELS  # never −128: symmetric
    back = rows * scales[:, None].astype(np.float64)
    assert (np.abs(back - matrix) <= scales[:, None] * 0.501).all()
    whole = np.abs(matrix).max(axis=1) > 1e-30  # below, scales themselves vanish
    assert (np.abs(rows).max(axis=1)[whole] == live.LEVELS).all()


def test_what_is_rounded_already_stays():
    """A round trip of what the page holds changes no bit, so its numbers are well defined."""
    torch.manual_seed(0)
    first = live.Classifier(TINY[1], 9)
    once = live.script("a", first.state_dict())
    second = live.restored(once, TINY[1])
    for (name, before), after in zip(
        first.state_dict().items(), second.state_dict().values(), strict=True
    ):
        assert before.shape == after.shape, name
        assert torch.allclose(before, after, atol=0.02)
        assert before.ndim == 2 or torch.equal(before, after)
    again = live.restored(live.script("a", second.state_dict()), TINY[1])
    for before, after in zip(
        second.state_dict().values(), again.state_dict().values(), strict=True
    ):
        assert torch.allclose(before, after, rtol=1e-6, atol=0)


def test_trained_anew_they_are_the_same_files(tmp_path, monkeypatch):
    """Two stores that share nothing; and other weights give other files (the control)."""
    indices = []
    for name, wanted in (("a", TINY), ("b", TINY), ("c", [spec(seed=1), TINY[1]])):
        monkeypatch.setattr(live, "specs", lambda wanted=wanted: wanted)
        into = tmp_path / f"{name}-files"
        indices.append(live.export(Store(tmp_path / name), into, 1, progress=False))
    files = [
        {file.name: file.read_bytes() for file in (tmp_path / f"{name}-files").iterdir()}
        for name in "abc"
    ]
    assert files[0] == files[1]
    assert files[0] != files[2]
    assert files[0]["bilstm-softmax.js"] != files[2]["bilstm-softmax.js"]
    assert files[0]["words.js"] == files[2]["words.js"]
    names = {"words.js", "index.json", "bilstm-softmax.js", "transformer-sparsegen0.6.js"}
    assert set(files[0]) == names
    assert indices[0]["bytes"] == sum(map(len, files[0].values())) - len(files[0]["index.json"])
    assert [one["key"] for one in indices[0]["classifiers"]] == [
        one.key(task().fingerprint) for one in TINY
    ]
    monkeypatch.setattr(live, "_folder", lambda: tmp_path / "a-files")
    shown = live.page()
    assert shown.index == indices[0]
    assert json.dumps(live.EXAMPLES[0]) in shown._repr_html_()


def test_a_folder_without_them_says_how_to_make_them(tmp_path, monkeypatch):
    monkeypatch.setattr(live, "_folder", lambda: tmp_path)
    with pytest.raises(UserError, match="sparseattn export-live"):
        live.page()
    (tmp_path / "file").touch()
    monkeypatch.setattr(live, "specs", lambda: TINY[:1])
    with pytest.raises(UserError, match="Name another folder with -o"):
        live.export(Store(tmp_path / "s"), tmp_path / "file", 1, progress=False)


@pytest.mark.skipif(not os.environ.get("SPARSEATTN_DATA"), reason="needs the real data")
def test_committed_are_those_of_the_specs():
    """By their keys, which hash settings, task and versions: an older export is told."""
    index = live.page().index
    wanted = live.specs()
    assert len(wanted) == 8
    fingerprint = index["task"]["fingerprint"]
    assert [one["code"] for one in index["classifiers"]] == [live.short_name(one) for one in wanted]
    assert [one["key"] for one in index["classifiers"]] == [one.key(fingerprint) for one in wanted]
    files = {file.name: file.stat().st_size for file in FOLDER.iterdir()}
    scripts = {f"{live.short_name(one)}.js" for one in wanted}
    assert set(files) == {"words.js", "index.json"} | scripts
    assert sum(files.values()) <= 8_000_000
    assert all(files[f"{one['code']}.js"] == one["bytes"] for one in index["classifiers"])


def test_committed_are_nearly_as_good_as_the_full_ones():
    frame = live.classifiers(live.page())
    assert frame["full"].notna().all()
    assert (frame["accuracy"] - frame["full"]).abs().max() < 0.02
    assert (frame["accuracy"] - frame["trained"]).abs().max() < 0.01  # what rounding costs


def test_words_and_numbers_only():
    """The words are single, sorted and each once: no text of the data set can be read off them."""
    content = (FOLDER / "words.js").read_text(encoding="utf-8")
    words = json.loads(content[content.index("=", content.index("words")) + 1 : -2]).split(" ")
    assert len(words) == live.page().index["task"]["words"]
    assert words == sorted(set(words))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("I don't; he can’t, they WON'T", "i do n t he ca n t they wo n t"),
        ("it's John's, we'd've", "it s john s we d ve"),
        ("-LRB- good -RRB-", "good"),
        ("hunt's n't", "hunt s n t"),
        ("<b>bold</b> 👩‍🚀", "b bold b"),
        ("漢字 Amélie", "漢字 amélie"),
        (" \n ", ""),
    ],
)
def test_typed_words(text, words):
    assert live.typed_words(text) == words.split()
