"""Sentences list names and numbers as people do."""

import csv
from html import escape
from io import StringIO

import numpy as np
import pandas as pd
import pytest
from hostile import FORMULAS, NUMBERS
from markdown_it.renderer import RendererHTML
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser

from sparseattn.wording import as_csv, label, listed, span, verbatim, visible


@pytest.mark.parametrize(
    ("names", "told"),
    [([], ""), (["A"], "A"), (["A", "B"], "A and B"), (["A", "B", "C"], "A, B and C")],
)
def test_listed(names, told):
    assert listed(names) == told


@pytest.mark.parametrize(
    ("values", "form", "told"),
    [
        ([0.5, 0.25, 0.75], ".2f", "0.25 to 0.75"),
        ([0.501, 0.499], ".2f", "0.50"),
        ([-0.001, 0.001], ".2f", "0.00"),  # no −0.00
        ([-1.0, 0.5], "+.1f", "−1.0 to +0.5"),
        ([0.081, 0.319], ".0%", "8% to 32%"),
        ([-0.0001], ".1%", "0.0%"),
        ([78.5, 0.00043], ".2g", "0.00043 to 78"),
        ([np.nan, 2.0], ".0f", "2"),
        ([np.nan], ".2f", "undefined"),
        ([], ".2f", "undefined"),
    ],
)
def test_span(values, form, told):
    assert span(values, form) == told
    assert span(np.array(values), form) == told


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("bilstm", "BiLSTM"),
        ("/home/me/mine.csv", "mine.csv"),
        ("a\\b\\mine.csv", "mine.csv"),
        ("something", "something"),
        (3, "3"),
    ],
)
def test_label(value, told):
    assert label(value) == told


@pytest.mark.parametrize(
    "text",
    [
        "<img src=x onerror=alert(1)>",
        "$5 to $10",
        "*a* _b_ `c` ~~d~~ | e",
        "[a](javascript:alert(1)) ![b](c) [d] {math}`x` {{e}}",
        "&lt;b&gt; &#60;b&#62;",
        "# a",
        "% a",
        "- a",
        "1. a",
        ": a",
        "+++ a",
        r"\alpha \* \(a\)",
        "two\n\n<b>paragraphs</b>",
    ],
)
def test_markup_in_data_is_shown_not_obeyed(text):
    config = MdParserConfig(enable_extensions={"dollarmath", "amsmath", "substitution"})
    page = create_md_parser(config, RendererHTML).render(f"- {verbatim(text)}\n")
    assert "".join(page.split()) == "".join(f"<ul><li>{escape(text)}</li></ul>".split())


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain, שלום, क्‍ष, 👩‍🚀, e\u0301", None),
        ("a\0b\n\x1b[31m", "a⟨U+0000⟩b⟨U+000A⟩⟨U+001B⟩[31m"),
        ("\u202egnp.exe", "⟨U+202E⟩gnp.exe"),
        ("\u200b\ufeff\u2028\ud800", "⟨U+200B⟩⟨U+FEFF⟩⟨U+2028⟩⟨U+D800⟩"),
        ("w" * 80, None),
        ("w" * 90 + "xy", f"{'w' * 40} … {'w' * 8}xy (92 characters)"),
    ],
)
def test_what_cannot_be_seen_is_named_and_what_has_no_room_shortened(text, seen):
    assert visible(text) == (text if seen is None else seen)
    assert visible(visible(text)) == visible(text)
    assert label(f"folder/{text[:60]}.csv") == visible(f"{text[:60]}.csv")


def test_a_spreadsheet_runs_nothing_of_a_table():
    plain = [*NUMBERS, "a=1", "", "−5", "⟨U+000D⟩=1"]
    texts = [*FORMULAS, *plain[:-1], "\r=1"]
    frame = pd.DataFrame({"text": texts, "either": [-1, None, *texts[2:]], "number": -0.5})
    rows = list(csv.DictReader(StringIO(as_csv(frame), newline="")))
    assert [row["text"] for row in rows] == [*(f"'{text}" for text in FORMULAS), *plain]
    assert [row["either"] for row in rows[:3]] == ["-1", "", f"'{FORMULAS[2]}"]
    assert {row["number"] for row in rows} == {"-0.5"}
