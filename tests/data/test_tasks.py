import dataclasses
import gzip
import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from madeup import code, small_corpora, unreachable, write

from sparseattn.data import corpora
from sparseattn.data.preparation import digest, prepare_paper
from sparseattn.data.tasks import Documents, check_task, imdb_texts, load_task
from sparseattn.data.words import (
    BEGIN,
    END,
    UNKNOWN,
    imdb_words,
    newsgroups_words,
    plain_words,
    sst_words,
)
from sparseattn.errors import UserError

SMALL = {"documents": [40, 10, 10], "context": True}


def rows(count=60, words="alpha beta gamma delta"):
    """Texts of two classes that share all words but one."""
    kinds = ("worse", "better")
    return [
        {"text": f"{words} {code(i // 2)} {kinds[i % 2]}", "label": i % 2} for i in range(count)
    ]


def assert_apart(task):
    """No text lies in two splits (a repeat's key is the text's, numbered)."""
    train, dev, test = ({key.split("-")[0] for key in d.keys} for d in task.splits().values())
    assert not train & dev
    assert not train & test
    assert not dev & test


# ------------------------------------------------------------------ planted


def test_planted_documents_carry_markers_labels_and_evidence():
    task = load_task("planted", SMALL)
    assert [len(d) for d in task.splits().values()] == SMALL["documents"]
    for documents in task.splits().values():
        assert documents.evidence is not None
        assert set(documents.labels.tolist()) == {0.0, 1.0}
        for ids, evidence in zip(documents.ids, documents.evidence, strict=True):
            assert (ids[0], ids[-1]) == (BEGIN, END)
            assert ids[1:-1].min() > END
            assert len(evidence) == len(ids) - 2 == len(task.words(ids))


def test_fingerprint_is_the_same_in_another_process_and_tells_tasks_apart():
    task = load_task("planted", SMALL)
    code = (
        "from sparseattn.data.tasks import load_task as l;"
        + f"print(l('planted',{SMALL!r}).fingerprint)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": "src"}
    root = Path(__file__).parents[2]
    other = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=root, capture_output=True, text=True
    )
    assert other.stdout.strip() == task.fingerprint
    assert load_task("planted", {**SMALL, "seed": 1}).fingerprint != task.fingerprint
    assert len(task.fingerprint) == 64


def test_fingerprint_sees_every_part():
    task = load_task("planted", SMALL)
    test = task.test
    ids = (test.ids[0].clone(), *test.ids[1:])
    ids[0][1] += 1
    changed = [
        dataclasses.replace(test, ids=ids),
        dataclasses.replace(test, labels=1 - test.labels),
        dataclasses.replace(test, keys=("other", *test.keys[1:])),
        dataclasses.replace(test, evidence=tuple(~e for e in test.evidence)),
    ]
    prints = {dataclasses.replace(task, test=documents).fingerprint for documents in changed}
    prints.add(dataclasses.replace(task, vocabulary=(*task.vocabulary, "new")).fingerprint)
    prints.add(dataclasses.replace(task, train=task.dev, dev=task.train).fingerprint)
    assert len(prints | {task.fingerprint}) == 7


def test_planted_numbers_have_not_changed():
    # Runs are identified by it: a change here makes all planted runs of a store new ones.
    assert load_task("planted").fingerprint.startswith("845dd4aec876")


def test_sample_is_nested_and_independent_of_order():
    documents = load_task("planted", SMALL).train
    few, many = documents.sample(7), documents.sample(15)
    assert many.keys[:7] == few.keys
    assert sorted(many.keys, key=digest) == list(many.keys)
    backwards = documents.select(range(len(documents) - 1, -1, -1)).sample(7)
    assert backwards.keys == few.keys
    assert all(torch.equal(a, b) for a, b in zip(backwards.ids, few.ids, strict=True))
    assert torch.equal(backwards.labels, few.labels)
    assert len(documents.sample(1000)) == len(documents)


def test_summary_counts_by_hand(tmp_path):
    task = load_task(write(tmp_path / "own.jsonl", rows()), {"min_count": 3})
    train = task.summary()[0]
    assert train["documents"] == len(task.train) == 38
    assert train["positive_share"] == 0.5
    assert train["tokens_mean"] == train["tokens_max"] == 6
    # One word in six occurs in at most two texts.
    assert train["unknown_share"] == pytest.approx(1 / 6)


# ------------------------------------------------------------------ words


@pytest.mark.parametrize(
    ("split", "text", "words"),
    [
        (sst_words, "It 's -LRB- not -RRB- Bad .", "it s not bad"),
        (sst_words, "the 21st century", "the 21st century"),
        (newsgroups_words, "Don't e-mail (me) 3-2!", "do n ' t e mail me qqq qqq !"),
        (newsgroups_words, "It's the 4th", "it ' s the qqq"),
        (newsgroups_words, "a@b.com said:\n...", "a @ b . com said ."),
        (newsgroups_words, "  ", ""),
        (imdb_words, "Don't!<br />So-so, 10/10.", "don't br so so 10 10"),
        (plain_words, "Don't pay 5€ – ok?", "don't pay qqq € – ok ?"),
        (plain_words, "Don’t ‘x’", "don't ‘ x ’"),
        (plain_words, "यह फ़िल्म अच्छी है।", "यह फ़िल्म अच्छी है ।"),
        (plain_words, "תּוֹרָה நன்றி مَدْرَسَة می‌روم", "תּוֹרָה நன்றி مَدْرَسَة می‌روم"),
        (plain_words, "Cafe\u0301 ❤\ufe0f!", "café ❤\ufe0f !"),
    ],
)  # fmt: skip
def test_texts_are_split_as_told(split, text, words):
    assert split(text) == words.split()


@given(st.text())
def test_no_letter_or_mark_is_lost_and_forms_of_a_text_are_one(text):
    words = plain_words(text)
    assert words == plain_words(unicodedata.normalize("NFD", text))
    if not any(map(str.isdigit, text)):
        whole = unicodedata.normalize("NFC", text.lower())
        assert "".join(words).replace("’", "'") == "".join(whole.split()).replace("’", "'")


def test_scripts_without_spaces_are_told_of(tmp_path):
    for kind, count in (("หนังดี", 60), ("अच्छी", 0)):
        texts = [{"text": f"{kind} {code(i)}", "label": i % 2} for i in range(60)]
        said = " ".join(load_task(write(tmp_path / f"{count}.jsonl", texts)).deviations)
        assert ("60 texts hold letters of a script without spaces" in said) == (count > 0)


# ------------------------------------------------------------------ the user's file


@pytest.mark.parametrize("name", ["own.jsonl", "own.jsonl.gz", "own.json", "own.csv", "own.csv.gz"])
def test_all_forms_of_a_file_give_the_same_task(tmp_path, name):
    records = rows()
    path = tmp_path / name
    if name == "own.json":
        path.write_text(json.dumps(records))
    elif ".csv" in name:
        text = "label,text\n" + "".join(f'{r["label"]},"{r["text"]}"\n' for r in records)
        path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    else:
        write(path, records)
    task = load_task(str(path))
    reference = load_task(write(tmp_path / "reference.jsonl", list(reversed(records))))
    assert task.fingerprint == reference.fingerprint
    assert task.name == name
    assert "label 0 is '0', label 1 is '1'" in task.deviations[0]


def test_labels_are_mapped_in_sorted_order(tmp_path):
    for names, order in [(("spam", "ham"), ("ham", "spam")), ((10, 9), ("9", "10"))]:
        records = [{**r, "label": names[r["label"]]} for r in rows()]
        task = load_task(write(tmp_path / "own.jsonl", records))
        assert f"label 0 is '{order[0]}', label 1 is '{order[1]}'" in task.deviations[0]
        for ids, label in zip(task.test.ids, task.test.labels, strict=True):
            # The class listed first above has "worse" in its texts.
            expected = order.index(str(names["better" in task.words(ids)]))
            assert int(label) == expected


def test_equal_texts_share_a_split_and_parts_are_stratified(tmp_path):
    records = rows(100)
    shouted = [{**r, "text": f"  {r['text'].upper()} "} for r in records]
    task = load_task(write(tmp_path / "own.jsonl", records + shouted), {"min_count": 1})
    assert sum(len(d) for d in task.splits().values()) == 200
    assert_apart(task)
    for documents in task.splits().values():
        assert len(set(documents.keys)) == len(documents)


def test_splits_have_set_shares(tmp_path):
    task = load_task(write(tmp_path / "own.jsonl", rows(100)))
    assert [len(d) for d in task.splits().values()] == [64, 16, 20]
    assert all(d.labels.mean() == 0.5 for d in task.splits().values())


def test_empty_long_and_torn_texts_are_told(tmp_path):
    records = [
        *rows(),
        {"text": "", "label": 0},
        {"text": "  \n", "label": 1},
        {"text": None, "label": 1},
        {"text": "long " * 10_000, "label": 1},
        {"text": "both", "label": 1},
        {"text": "both", "label": 0},
    ]
    task = load_task(write(tmp_path / "own.jsonl", records), {"max_length": 50})
    notes = " ".join(task.deviations)
    assert "3 empty texts are left out" in notes
    assert "1 texts are cut to their first 50 tokens" in notes
    assert "1 texts occur with both labels" in notes
    assert sum(len(d) for d in task.splits().values()) == 63
    assert max(len(ids) for d in task.splits().values() for ids in d.ids) == 52


def test_texts_equal_up_to_the_cut_share_a_split(tmp_path):
    records = [{"text": f"same start {'xyz'[i % 3]} {i}", "label": 0} for i in range(40)]
    records += [{"text": f"other {chr(97 + i)}", "label": 1} for i in range(20)]
    with pytest.raises(UserError, match="1 different texts of class '0'"):
        load_task(write(tmp_path / "own.jsonl", records), {"max_length": 2})


def test_rare_words_become_unknown(tmp_path):
    records = [{**r, "text": f"{r['text']} {chr(97 + i % 26)}{chr(97 + i // 26)}"}
               for i, r in enumerate(rows())]  # fmt: skip
    path = write(tmp_path / "own.jsonl", records)
    assert all(UNKNOWN in ids.tolist() for ids in load_task(path).train.ids)
    assert not any(UNKNOWN in ids.tolist() for ids in load_task(path, {"min_count": 1}).train.ids)


def test_words_that_pandas_would_take_for_missing_are_kept(tmp_path):
    path = tmp_path / "own.csv"
    kinds = ("NA", "null")
    path.write_text(
        "\ufefftext;label\n" + "".join(f"{kinds[i % 2]} {chr(97 + i // 2)}x;{kinds[i % 2]}\n"
                                       for i in range(40)), encoding="utf-8")  # fmt: skip
    task = load_task(str(path))
    assert {"na", "null"} <= set(task.vocabulary)
    assert "label 0 is 'NA', label 1 is 'null'" in task.deviations[0]


def refused(tmp_path, name, content, options=None):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError) as refusal:
        load_task(str(path), options)
    return str(refusal.value)


def test_unusable_files_are_refused_with_advice(tmp_path):
    lines = "".join(json.dumps(r) + "\n" for r in rows()).encode()
    assert "empty" in refused(tmp_path, "a.csv", b"")
    assert "empty" in refused(tmp_path, "a.jsonl", b"\n")
    assert "no rows" in refused(tmp_path, "b.csv", b"text,label\n")
    assert "no rows" in refused(tmp_path, "b.json", b"[]")
    message = refused(tmp_path, "c.jsonl", lines, {"text_column": "txet"})
    assert "no column 'txet'" in message
    assert "'text', 'label'" in message
    assert "Did you mean 'text'" in message
    message = refused(tmp_path, "d.jsonl", lines.replace(b'"label": 1', b'"label": 0'))
    assert "it holds 1: '0'" in message
    message = refused(
        tmp_path, "e.csv", b"text,label\n" + b"".join(b"t,%d\n" % i for i in range(30))
    )
    assert "it holds 30: '0', '1', '2'" in message
    assert "and 20 more" in message
    message = refused(tmp_path, "f.csv", b"text,label\nok,0\ncaf\xe9,1\n")
    assert "byte 19, in line 3" in message
    assert "UTF-8" in message
    assert "10 of each class" in refused(tmp_path, "g.jsonl", lines[:400].rsplit(b"\n", 1)[0])
    message = refused(tmp_path, "h.csv", b"text,label\na,0\nb,\nc,1\n")
    assert "1 rows without a label" in message
    assert "row 2" in message
    assert "not a whole gzip" in refused(tmp_path, "i.csv.gz", b"text,label\na,0\n")
    assert "column twice" in refused(tmp_path, "j.csv", b"text,text,label\na,a,0\n")
    assert "after 1 rows" in refused(tmp_path, "k.jsonl", b'{"text": "a", "label": 0}\n{"text":\n')
    message = refused(tmp_path, "m.jsonl", b'{"text": ["a"], "label": 0}\n')
    assert "must hold texts, not list" in message
    assert "orient='records'" in refused(tmp_path, "n.json", b'{"text":{"0":"a"},"label":{"0":0}}')
    assert "Row 2 of" in refused(
        tmp_path, "o.jsonl", b'{"text":"a","label":0}\n' + rb'{"text":"\ud83d","label":1}'
    )
    assert "after 1 rows" in refused(tmp_path, "p.json", b'[{"text": "a", "label": 0}, 3]')


@pytest.mark.parametrize("name", ["reviews[1].csv", "[ab]*?/x.csv", "a::b.jsonl"])
def test_a_path_is_no_pattern(tmp_path, name):
    path = tmp_path / name
    for file in (tmp_path / "reviews1.csv", tmp_path / "a/x.csv", path):
        file.parent.mkdir(exist_ok=True)
        classes = ("mine", "own") if file == path else ("other", "wrong")
        records = [{**r, "label": classes[r["label"]]} for r in rows()]
        if file.suffix == ".csv":
            lines = "".join(f"{r['text']},{r['label']}\n" for r in records)
            file.write_text("text,label\n" + lines)
        else:
            write(file, records)
    assert "label 0 is 'mine', label 1 is 'own'" in load_task(str(path)).deviations[0]


@pytest.mark.parametrize(
    ("name", "header", "line"),
    [
        ("index.csv", ",text,label", "7,{text},{label}"),
        ("end.csv", "text,label,", "{text},{label},"),
        ("twice.csv", "text,label,x,x", "{text},{label},1,2"),
        ("blank.csv", "\n  \ntext,label", "{text},{label}\n"),
        ("spaces.csv", "text, label ", "{text},{label}"),
        ("sep.csv", "sep=;\ntext;label", "{text};{label}"),
        ("bar.csv", "text|label", "{text}|{label}"),
        ("tab.csv", "\ttext\tlabel", "0\t{text}\t{label}"),
        ("newline.csv", 'text,label,"sure?\n(1 to 5)"', "{text},{label},3"),
        ("semicolons.csv", 'text,label,"a; b; c; d"', "{text},{label},;"),
        ("capitals.CSV.GZ", "text,label", "{text},{label}"),
        ("gzipped.csv", "text,label", "{text},{label}"),
    ],
)
def test_headers_and_columns_nobody_asked_for_do_no_harm(tmp_path, name, header, line):
    lines = "".join(line.format(**r) + "\n" for r in rows())
    content = f"{header}\n{lines}".encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if "z" in name.lower() else content)
    reference = load_task(write(tmp_path / "reference.jsonl", rows()))
    assert load_task(str(path)).fingerprint == reference.fingerprint


def test_line_ends_long_texts_and_late_types_are_read(tmp_path):
    reference = load_task(write(tmp_path / "reference.jsonl", rows())).fingerprint
    mac = "text,label\r" + "".join(f"{r['text']},{r['label']}\r" for r in rows())
    (tmp_path / "mac.csv").write_bytes(mac.encode())
    assert load_task(str(tmp_path / "mac.csv")).fingerprint == reference
    # JSON is read in chunks by some: what comes late may differ in kind.
    wide = [{**r, "x": "x" * 200_000} for r in rows()]
    wide[-1].update(x=3, late=[1])
    assert load_task(write(tmp_path / "late.jsonl", wide)).fingerprint == reference
    assert "it has 'aaaaa" in refused(tmp_path, "long.csv", b"a" * 200_000 + b",0\nb,1\n")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("good, not bad,0\n", "Row 2 of own.csv (line 3) has 3 fields, the header 2"),
        ("good,0,\n", "Row 2 of own.csv (line 3) has 3 fields, the header 2"),
        ("good\nnot bad,0\n", "Row 2 of own.csv (line 3) has 1 fields, the header 2"),
        (r'"said \"so\", yes",0', "begins in line 3"),
        ('"one,0\nlost,1\n"two,0\n', "begins in line 3"),
        ('"one,0\nlost,1\n', "begins in line 3"),
        ("t\0e\0,0\n", "not UTF-8: byte 35, in line 3"),
    ],
)
def test_shifted_columns_and_stray_quotes_are_refused(tmp_path, content, reason):
    whole = f"text,label\n{'a' * 20},1\n{content}"
    assert reason in refused(tmp_path, "own.csv", whole.encode())


@pytest.mark.parametrize("missing", ["NaN", "nan", "-NaN", "+nan"])
def test_nan_is_no_label(tmp_path, missing):
    lines = "".join(f"{r['text']},{'1.0' if r['label'] else missing}\n" for r in rows())
    message = refused(tmp_path, "flagged.csv", b"text,label\n" + lines.encode())
    assert "30 rows without a label in column 'label', the first is row 1" in message
    records = [{**r, "label": 1.0 if r["label"] else float("nan")} for r in rows()]
    path = Path(write(tmp_path / "flagged.jsonl", records))
    assert "the first is row 1" in refused(tmp_path, "flagged.jsonl", path.read_bytes())
    records = [*rows(), {"text": float("nan"), "label": 1}]
    task = load_task(write(tmp_path / "text.jsonl", records))
    assert "1 empty texts are left out" in " ".join(task.deviations)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("sts", {}, "no task 'sts'. Did you mean 'sst'"),
        ("texts.xlsx", {}, "path of a .csv, .jsonl, .json file"),
        ("nowhere/own.csv", {}, "no file 'nowhere/own.csv'"),
        ("own.csv", {"colunm": "a"}, "Unknown parameter 'colunm'"),
        ("own.csv", {"text_colum": "a"}, "Did you mean 'text_column'"),
        ("own.csv", {"max_length": 0}, "greater than or equal to 2"),
        ("planted", {"cue": 2}, "Did you mean 'cues'"),
        ("sst", {"seed": 2}, "takes no options"),
    ],
)
def test_names_and_options_are_checked_without_loading(name, options, message):
    with pytest.raises(UserError, match=message.replace(".", r"\.")):
        check_task(name, options)
    with pytest.raises(UserError):
        load_task(name, options)


def test_a_mistyped_file_names_the_nearest(tmp_path):
    write(tmp_path / "reviews.jsonl", rows())
    with pytest.raises(UserError, match=r"Did you mean 'reviews.jsonl'"):
        check_task(str(tmp_path / "review.jsonl"))
    check_task(str(tmp_path / "review.jsonl"), available=False)
    check_task(str(tmp_path / "reviews.jsonl"))


# ------------------------------------------------------------------ the paper's data sets


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    return small_corpora(tmp_path, monkeypatch)


def test_prepared_tasks_are_sound(tiny):
    for name in ("sst", "newsgroups", "imdb"):
        check_task(name)
        task = load_task(name)
        assert task.name == name
        assert task.deviations
        assert len(task.vocabulary) == len(set(task.vocabulary))
        for documents in task.splits().values():
            assert len(documents) > 0
            assert documents.evidence is None
            assert len(set(documents.keys)) == len(documents)
            assert all(max(ids.tolist()) < len(task.vocabulary) for ids in documents.ids)
            assert all((ids[0], ids[-1]) == (BEGIN, END) for ids in documents.ids)
        if name != "sst":  # no text is judged that was trained on
            assert_apart(task)


def test_hub_and_folder_give_the_same_task(tiny, monkeypatch):
    for name in ("sst", "newsgroups", "imdb"):
        local = load_task(name)
        monkeypatch.delenv("SPARSEATTN_DATA")
        from_hub = load_task(name)
        monkeypatch.setenv("SPARSEATTN_DATA", str(tiny))
        assert from_hub.fingerprint == local.fingerprint
        assert ("not pinned" in " ".join(from_hub.deviations)) == (name == "sst")
        assert corpora.SOURCES[name].revision is not None or name == "sst"


def test_lengths_are_kept_strictly_between_the_bounds():
    def corpus(lengths):
        return corpora.Corpus(
            {s: [("a" + f" {k}" * (n - 1), k) for n in lengths for k in (0, 1)]
             for s in ("train", "dev", "test")}, prepared=True)  # fmt: skip

    task = prepare_paper("sst", corpus([4, 5, 6, 7, 9, 10]))
    for texts in task.splits.values():
        assert sorted({len(ids) for ids in texts.ids}) == [6, 7, 9]  # the longest falls out too


def test_imdb_texts_are_in_another_tasks_words(tiny):
    task = load_task("sst")
    texts = imdb_texts(task)
    assert len(texts) == 120
    assert any((ids > END).any() for ids in texts)
    assert all(int(ids.max()) < len(task.vocabulary) for ids in texts)


def test_data_of_another_size_are_refused(tiny):
    write(tiny / "imdb" / "train.jsonl.gz", rows(10))
    with pytest.raises(UserError, match="not those this project knows"):
        load_task("imdb")


def test_a_missing_folder_or_file_says_how_to_get_the_data(tiny, monkeypatch):
    (tiny / "imdb" / "test.jsonl.gz").unlink()
    with pytest.raises(UserError, match=r"lacks imdb/test\.jsonl\.gz.*'planted' needs no data"):
        check_task("imdb")
    check_task("imdb", available=False)
    monkeypatch.setenv("SPARSEATTN_DATA", str(tiny / "nowhere"))
    with pytest.raises(UserError, match="not a folder"):
        check_task("sst")


def test_without_folder_and_network_the_message_comes_at_once(monkeypatch, tmp_path):
    monkeypatch.delenv("SPARSEATTN_DATA", raising=False)

    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path)
    with pytest.raises(UserError, match=r"Set SPARSEATTN_DATA .*'planted' needs no data"):
        load_task("newsgroups")
    import datasets
    import huggingface_hub

    assert not datasets.config.HF_HUB_OFFLINE
    assert not huggingface_hub.constants.HF_HUB_OFFLINE


@pytest.mark.skipif(not os.environ.get("SPARSEATTN_DATA"), reason="needs the real data")
@pytest.mark.parametrize(
    ("name", "sizes", "words"),
    [
        ("sst", (6355, 821, 1725), 13826),  # Table 3: 6,355 and 1,725; their vocabulary: 13,826
        ("newsgroups", (1137, 288, 354), 6666),
        pytest.param("imdb", (17199, 4267, 4315), 12481, marks=pytest.mark.slow),
    ],
)
def test_real_sizes(name, sizes, words):
    task = load_task(name)
    assert tuple(len(d) for d in task.splits().values()) == sizes
    assert len(task.vocabulary) == words
    assert all(0.48 < row["positive_share"] < 0.53 for row in task.summary())
    assert isinstance(task.test, Documents)
