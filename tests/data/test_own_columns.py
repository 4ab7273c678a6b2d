"""Columns of a user's file are taken where no other would do, and asked for everywhere else."""

import csv
import itertools
import json
from pathlib import Path

import pytest

from sparseattn.data.owntexts import find_columns
from sparseattn.errors import UserError

TEXTS = [
    f"the {word} lamp is still on my desk" for word in ["old", "new", "red", "odd", "big", "dim"]
]
TWO = ["good", "bad"] * 3
FIVE = [1, 2, 3, 4, 5, 1]


def table(folder: Path, columns: dict[str, list[object]], header: bool = True) -> Path:
    path = folder / "notes.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if header:
            writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def test_the_only_possible_columns_are_taken_whatever_their_names_and_order(tmp_path):
    columns = {"id": list(range(6)), "wie": TEXTS, "was": TWO, "shop": ["a", "b", "c"] * 2}
    for order in itertools.permutations(columns):
        path = table(tmp_path, {name: columns[name] for name in order})
        assert find_columns(path) == ("wie", "was")


def test_of_several_the_one_with_a_usual_name_is_taken(tmp_path):
    other = [text[::-1] for text in TEXTS]
    path = table(tmp_path, {"title": other, "Review": TEXTS, "new": ["y", "n"] * 3, "label": TWO})
    assert find_columns(path) == ("Review", "label")
    assert find_columns(path, text="title") == ("title", "label")
    assert find_columns(path, label="new") == ("Review", "new")


def test_what_is_doubtful_is_asked_for_by_name(tmp_path):
    other = [text[::-1] for text in TEXTS]
    path = table(tmp_path, {"title": other, "words": TEXTS, "a": TWO, "b": TWO})
    with pytest.raises(UserError) as asked:
        find_columns(path)
    said = str(asked.value)
    assert "--text COLUMN" in said
    assert "--label COLUMN" in said
    assert all(f"'{name}'" in said for name in ("title", "words", "a", "b"))
    with pytest.raises(UserError) as asked:
        find_columns(path, text="words")
    assert "--text" not in str(asked.value)
    assert "--label COLUMN" in str(asked.value)
    assert find_columns(path, "words", "b") == ("words", "b")


def test_two_usual_names_are_one_too_many(tmp_path):
    path = table(tmp_path, {"text": TEXTS, "review": TEXTS[::-1], "label": TWO})
    with pytest.raises(UserError, match="'text', 'review' all hold texts"):
        find_columns(path)


def test_a_column_called_label_that_holds_five_values_is_not_passed_over(tmp_path):
    path = table(tmp_path, {"text": TEXTS, "stars": FIVE, "verified": ["y", "n"] * 3})
    with pytest.raises(UserError, match="'stars' holds 5 values, and labels must be two"):
        find_columns(path)
    assert find_columns(path, label="verified") == ("text", "verified")
    both = table(tmp_path, {"text": TEXTS, "stars": FIVE, "sentiment": TWO})
    assert find_columns(both) == ("text", "sentiment")


def test_one_class_only_and_no_texts_are_said(tmp_path):
    path = table(tmp_path, {"text": TEXTS, "label": ["good"] * 6})
    with pytest.raises(UserError, match="'label' holds 1 values, and labels must be two"):
        find_columns(path)
    path = table(tmp_path, {"word": ["one", "two", "six"] * 2, "label": TWO})
    with pytest.raises(UserError, match="none holds texts of several words"):
        find_columns(path)


def test_an_unknown_column_names_the_nearest(tmp_path):
    path = table(tmp_path, {"text": TEXTS, "label": TWO})
    with pytest.raises(UserError, match=r"no column 'txt'; it has 'text', 'label'\. Did you mean"):
        find_columns(path, text="txt")


def test_a_file_without_a_header_is_not_read_as_if_it_had_one(tmp_path):
    path = table(tmp_path, {"text": TEXTS, "label": TWO}, header=False)
    with pytest.raises(UserError, match=r"first row of notes\.csv must name the columns"):
        find_columns(path)


def test_json_lines_with_missing_keys_and_numbers(tmp_path):
    path = tmp_path / "notes.jsonl"
    rows = [{"body": text, "y": k % 2, **({"note": None} if k else {})}
            for k, text in enumerate(TEXTS)]  # fmt: skip
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert find_columns(path) == ("body", "y")
