from urllib.parse import parse_qs

import pytest

from sparseattn.report import links
from sparseattn.report.links import behind_figure, to_run, to_runs
from sparseattn.verdicts import replication


def chosen(address):
    page, _, fragment = address.partition("#")
    assert page == f"{links.PAGE}.html"
    return {name: value for name, (value,) in parse_qs(fragment).items()}


def test_an_address_says_what_was_chosen():
    assert to_run("03d493f06f6479f9") == "11-ledger.html#03d493f06f6479f9"
    assert chosen(to_runs(task="sst", lam=-10.0, seed=2)) == {
        "task": "sst",
        "lam": "-10",
        "seed": "2",
    }
    assert chosen(to_runs(task="a & b=1#.csv")) == {"task": "a & b=1#.csv"}


def test_what_is_missing_is_no_choice():
    assert to_runs(task=None, lam=float("nan")) == "11-ledger.html"
    with pytest.raises(ValueError, match="chosen by colour"):
        to_runs(colour="red")


def test_figures_lead_to_the_runs_they_rest_on():
    """Each address's choice, applied to the ledger, gives as many runs as the figure has."""
    from sparseattn.results import published

    ledger, figures = published.ledger(), replication.replicate()
    ledger = ledger[ledger["projection"].isin(["softmax", "sparsemax", "sparsegen"])]
    seen = set()
    for row in figures.to_dict("records"):
        address = behind_figure(row)
        if address is None:
            assert row["runs"] == 0
            continue
        kept = ledger
        choice = chosen(address)
        if choice.pop("kind") != "run":
            assert row["item"] == "Table 5"
            continue
        for name, value in choice.items():
            if name == "lam":
                kept = kept[
                    kept["lam"].notna() if value == links.ANY else kept["lam"] == float(value)
                ]
            else:
                kept = kept[kept[name] == value]
        if row["item"] == "Table 2":  # one λ or two of a seed make no correlation with λ
            kept = kept[kept.groupby("seed")["lam"].transform("nunique") > 2]
        assert len(kept) == row["runs"], row
        seen.add(row["item"])
    assert {"Table 1", "Table 2", "Table 3", "Table 6", "Figure 2"} <= seen
