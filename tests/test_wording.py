"""Sentences list names and numbers as people do."""

import numpy as np
import pytest

from sparseattn.wording import label, listed, span


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
