"""Colours hold still, stand out from both backgrounds, and apart for the colour-blind."""

from itertools import combinations

import numpy as np
import pytest

from sparseattn.charts.colours import (
    BLUE,
    COLOURS,
    GREEN,
    GREY,
    OCHRE,
    PURPLE,
    colours,
    label,
    ramp,
    theme,
)

# Machado, Oliveira & Fernandes (2009), full severity, on linear RGB.
BLINDNESS = {
    "none": np.eye(3),
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def linear(colour: str) -> np.ndarray:
    part = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    low, high = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (one, other))
    return (high + 0.05) / (low + 0.05)


def lab(rgb: np.ndarray) -> np.ndarray:
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    f = np.cbrt(to_xyz @ np.clip(rgb, 0, 1) / [0.95047, 1, 1.08883])
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_every_mark_stands_out(mode: str) -> None:
    background = str(theme(mode)["background"])
    marks = {hue for field in COLOURS.values() for hue in field.values()} | set(ramp(8))
    assert min(contrast(mark, background) for mark in marks) >= 3


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_text_is_readable(mode: str) -> None:
    chosen = theme(mode)
    axis, background = chosen["axis"], str(chosen["background"])
    assert isinstance(axis, dict)
    assert min(contrast(axis[part], background) for part in ("labelColor", "titleColor")) >= 4.5


@pytest.mark.parametrize("kind", BLINDNESS)
def test_main_colours_stay_apart(kind: str) -> None:
    for hues in ((BLUE, OCHRE, GREEN, PURPLE), COLOURS["classifier"].values()):
        seen = [lab(np.array(BLINDNESS[kind]) @ linear(c)) for c in hues]
        assert min(float(np.linalg.norm(a - b)) for a, b in combinations(seen, 2)) > 30


def test_no_classifier_has_a_projection_s_colour() -> None:
    projections = [lab(linear(c)) for c in COLOURS["projection"].values()]
    for classifier in COLOURS["classifier"].values():
        away = [np.linalg.norm(lab(linear(classifier)) - one) for one in projections]
        assert min(away) > 35


@pytest.mark.parametrize("field", COLOURS)
def test_values_of_a_field_differ(field: str) -> None:
    hues = list(COLOURS[field].values())
    assert len(set(hues)) == len(hues)


def test_a_colour_does_not_depend_on_company() -> None:
    alone = colours("projection", ["sparsemax"])["sparsemax"]
    assert alone == colours("projection", ["entmax", "sparsemax", "softmax"])["sparsemax"] == OCHRE
    assert list(colours("task", ["imdb", "sst"])) == ["SST", "IMDb"]


def test_the_papers_classifiers_have_their_encoders_colours() -> None:
    for encoder, alignment in (("bilstm", "additive"), ("transformer", "dot")):
        name = f"{label(encoder)}, {label(alignment)}"
        assert COLOURS["classifier"][name] == COLOURS["encoder"][encoder]


def test_unknown_values_take_spare_colours() -> None:
    chosen = colours("task", ["/home/me/reviews.csv", "sst"])
    assert chosen["SST"] == BLUE
    assert chosen["reviews.csv"] not in (BLUE, GREY)


def test_lambda_runs_along_the_ramp() -> None:
    chosen = colours("lam", [0.6, -50, 0])
    assert list(chosen) == ["-50", "0", "0.6"]
    assert len(set(chosen.values())) == 3
