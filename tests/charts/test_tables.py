import re
from typing import get_args

import pandas as pd
import pytest

from sparseattn.charts.tables import badge, claims_table, departures_table, table
from sparseattn.errors import UserError
from sparseattn.measures.statistics import Comparison
from sparseattn.verdicts.judging import STANCES, Word


def test_text_is_escaped_and_codes_are_spelled():
    frame = pd.DataFrame({"task": ["<script>", "sst"], "tau": [-0.256, float("nan")]})
    markup = table(frame, "A & B")._repr_html_()
    assert "<script>" not in markup
    assert "&lt;script&gt;" in markup
    assert "A &amp; B" in markup
    assert "SST" in markup
    assert "−0.26" in markup
    assert '<td class="number" data-title="tau">–</td>' in markup


def test_columns_in_order_with_formats_and_whole_numbers_whole():
    frame = pd.DataFrame({"a": [1.0, 2000.0], "b": [0.5, 1.0]})
    markup = table(frame, "c", columns={"b": "B", "a": "A"}, formats={"b": ".3f"}).markup
    assert markup.index(">B<") < markup.index(">A<")
    assert ">0.500<" in markup
    assert ">1.000<" in markup
    assert ">2,000<" in markup


def test_rows_with_sentences_become_cards_where_there_is_no_room():
    frame = pd.DataFrame({"claim": ["a sentence, and so not the name of any row at all"], "n": [1]})
    assert '<table class="dataframe cards">' in table(frame, "c").markup
    assert "cards" not in table(frame.assign(claim="a name"), "c").markup


def test_a_folded_table_keeps_what_it_shows():
    frame = pd.DataFrame({"task": ["sst"], "tau": [0.5]})
    plain, folded = table(frame, "c"), table(frame, "c", fold="a < b")
    assert folded.markup == f"<details><summary>a &lt; b</summary>{plain.markup}</details>"
    assert folded.values == plain.values == {"c · SST · tau": "0.50"}


def test_missing_column_is_named():
    with pytest.raises(UserError, match=r"lacks the columns z; there are a"):
        table(pd.DataFrame({"a": [1]}), "c", columns={"z": "Z"})


def test_claims_link_only_to_pages_there_are():
    verdicts = pd.DataFrame(
        {
            "number": [1, 2],
            "claim": ["one", "two"],
            "verdict": ["holds", "not measured here"],
            "counts": ["3 for, 0 against, 1 unclear of 4", ""],
            "sentence": ["s", "t"],
            "paper": ["p", ""],
            "page": ["agreement", "adversary"],
        }
    )
    markup = claims_table({"here": verdicts}, ["05-agreement"]).markup
    assert '<a href="05-agreement.html#claim-1">one</a>' in markup
    assert '<td class="sentence">two<details>' in markup
    assert f"{badge('holds')}<br><small>3 for, 0 against, 1 unclear of 4</small>" in markup


@pytest.mark.parametrize("word", [*get_args(Word), *STANCES, *get_args(Comparison)])
def test_every_verdict_has_a_badge(word):
    assert f">{word}</span>" in badge(word)
    shown = table(pd.DataFrame({"task": ["sst"], "verdict": [word]}), "c")
    assert badge(word) in shown.markup


def test_values_lead_where_they_should():
    frame = pd.DataFrame({"n": [3, 4], "name": ["a <b>", "c"], "where": ["x.html#a=1&b=2", None]})
    markup = table(frame, "c", columns={"n": "n", "name": "name"}, links={"n": "where"}).markup
    assert '<td class="number" data-title="n"><a href="x.html#a=1&amp;b=2">3</a></td>' in markup
    assert markup.count("<a ") == 1
    assert ">where<" not in markup
    with pytest.raises(UserError, match="lacks the columns there"):
        table(frame, "c", columns={"n": "n"}, links={"n": "there"})


def test_names_break_at_their_commas_alone():
    frame = pd.DataFrame({"name": ["Transformer, scaled dot", "sparsegen λ = −10", "two words"]})
    cells = re.findall('<td class="name"[^>]*>(.*?)</td>', table(frame, "c").markup)
    assert cells == ["Transformer, scaled&nbsp;dot", "sparsegen λ&nbsp;=&nbsp;−10", "two words"]


def test_verdicts_are_badges_in_their_columns_alone():
    frame = pd.DataFrame({"seed": ["same", "another"], "verdict": ["same", "holds"]})
    made = table(frame, "c")
    assert made.markup.count("verdict-holds") == 2
    assert f'<td data-title="verdict">{badge("same")}</td>' in made.markup
    assert '<td class="name" data-title="seed">same</td>' in made.markup
    assert made.values == {"c · same · verdict": "same", "c · another · verdict": "holds"}
    assert "verdict-" not in table(frame, "c", badges=()).markup


def test_columns_by_name_and_what_stands_for_an_empty_table():
    frame = pd.DataFrame({"mean": [0.5], "origin": ["sst"], "rest": [1]})
    markup = table(frame, "c", columns="origin mean", titles={"mean": "τ-b"}).markup
    assert re.findall('<th scope="col"[^>]*>(.*?)</th>', markup) == ["task", "τ-b"]
    assert table(frame[:0], "c", missing="Nothing here.").data == "Nothing here."
    assert "<tbody></tbody>" in table(frame[:0], "c").markup


def test_departures_stand_under_their_part():
    rows = [("training", "Seeds"), ("training", "Epochs <"), ("measures", "Loss")]
    frame = pd.DataFrame(rows, columns=["part", "what"])
    markup = departures_table(frame.assign(paper="p", here="h", why="w", effect="e")).markup
    parts = re.findall('rowgroup">(.*?)</th>|<tr><td>(.*?)</td>', markup)
    assert [one or other for one, other in parts] == [
        "Training",
        "Seeds",
        "Epochs &lt;",
        "Measures",
        "Loss",
    ]


def test_an_interval_has_one_number_of_decimals():
    frame = pd.DataFrame({"low": [-1.0, -1.0], "high": [-0.25, 0.5]})
    assert "[−1.00, −0.25]" in table(frame, "c").markup


def test_each_quantity_s_ends_are_an_interval_in_its_format():
    frame = pd.DataFrame({"jsd": [0.1], "jsd_low": [0.05], "jsd_high": [0.2], "tau_low": [0.0]})
    markup = table(frame, "c").markup
    assert "[0.050, 0.200]" in markup
    assert markup.count("95 % interval</th>") == 1
    assert ">tau_low</th>" in markup  # one end alone is a column


def test_a_rounded_change_has_no_negative_zero():
    assert ">+0.000<" in table(pd.DataFrame({"accuracy_change": [-1e-5]}), "c").markup


def test_a_table_that_filters_says_what_its_rows_are():
    frame = pd.DataFrame({"task": ["sst", "imdb"], "here": [0.5, float("nan")], "why": ["a", "b"]})
    made = table(frame, "c", columns="task here", filters=("task", "why"))
    assert '<tr data-task="SST" data-why="a">' in made.markup
    assert made.markup.count("<option") == 2 * 3  # all, and each value
    assert 'data-sort="0.5"' in made.markup  # what a column is sorted by is no text
    assert ">why<" not in made.markup.partition("<table")[2]
    assert "ledger" not in table(frame, "c").markup
    with pytest.raises(UserError, match="lacks the columns where"):
        table(frame, "c", filters=("where",))
