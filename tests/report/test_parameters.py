import re
import subprocess
import sys

import pytest

from sparseattn.errors import UserError
from sparseattn.report import parameters
from sparseattn.report.parameters import check, declared, validated

NOTEBOOK = "05-agreement"


def given(**values):
    return {**declared(NOTEBOOK), **values}


def test_defaults_pass_and_kernel_names_are_passed_over():
    checked = check(given(In=[], Out={}, _1=3, parameters=parameters, open=open), NOTEBOOK)
    assert checked.task == "planted"
    assert checked.seeds == declared(NOTEBOOK)["seeds"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sedes": [1]}, "Unknown parameter 'sedes'.*Did you mean 'seeds'"),
        ({"scores": [1.0, 2.0]}, "Unknown parameter 'scores' of notebook '05-agreement'"),
        ({"seeds": [-1]}, "seeds.*greater than or equal to 0"),
        ({"seeds": []}, "seeds.*at least 1"),
        ({"seeds": "[0, 1]"}, "seeds.*list(.|\n)*-y"),
        ({"lams": [1.0]}, "lams.*less than 1"),
        ({"lams": [float("nan")]}, "lams.*finite"),
        ({"alphas": [0.5]}, "alphas.*greater than or equal to 1"),
        ({"encoders": ["bilst"]}, "encoders.*bilst.*'bilstm'"),
        ({"projections": ["sofmax"]}, "projections.*'softmax'"),
        ({"observed": "300"}, "observed.*integer"),
        ({"task": "ssst"}, "ssst.*Did you mean 'sst'"),
        ({"task": 7}, "task.*string"),
        ({"task_options": {"lenght": [5, 6]}}, "lenght.*Did you mean 'length'"),
        ({"learning_rate": 0}, "learning_rate.*greater than 0"),
    ],
)
def test_refuses_and_says_what_is_known(values, message):
    with pytest.raises(UserError, match=re.compile(message, re.DOTALL)):
        check(given(**values), NOTEBOOK)


def test_unknown_notebook_names_the_nearest():
    with pytest.raises(UserError, match="Did you mean '05-agreement'"):
        validated("03-agrement", {})


def test_grid_is_the_product_with_sparsities_where_they_belong():
    checked = check(
        given(
            encoders=["none", "bilstm"],
            alignments=["dot"],
            projections=["softmax"],
            lams=[-1.0, 0.0],
            alphas=[1.5],
            seeds=[3, 4],
        ),
        NOTEBOOK,
    )
    specs = checked.specs()
    assert len(specs) == len(set(specs)) == 2 * 1 * (1 + 2 + 1) * 2
    assert {spec.lam for spec in specs if spec.projection == "sparsegen"} == {-1.0}
    assert {spec.lam for spec in specs if spec.projection == "sparsemax"} == {0.0}
    assert {spec.alpha for spec in specs if spec.projection == "entmax"} == {1.5}


def test_plain_papermill_stops_with_the_message(tmp_path):
    """papermill itself would only warn and go on."""
    notebook = parameters.paths.notebooks() / "01-scores-to-attention.ipynb"
    finished = subprocess.run(
        [
            sys.executable,
            "-m",
            "papermill",
            notebook,
            tmp_path / "out.ipynb",
            "-p",
            "shown_lamz",
            "1",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode != 0
    assert "Unknown parameter 'shown_lamz'" in finished.stderr
    assert "Did you mean 'shown_lams'" in finished.stderr
