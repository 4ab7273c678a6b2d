"""Laws of the notebooks' form; their execution is nbval's business."""

import re

import jupytext
import nbformat
import pytest

from sparseattn import paths
from sparseattn.paths import notebook_names as notebooks
from sparseattn.report.parameters import Parameters, declared, validated

NAMES = notebooks()


def source(name):
    return jupytext.read(paths.notebooks() / f"{name}.py")


@pytest.mark.parametrize("name", NAMES)
def test_pair_holds_the_same_cells(name):
    """The .ipynb is generated: `make notebooks` writes it."""
    paired = nbformat.read(paths.notebooks() / f"{name}.ipynb", as_version=4)
    ours, theirs = source(name).cells, paired.cells
    assert [(c.cell_type, c.source) for c in ours] == [(c.cell_type, c.source) for c in theirs]
    assert [c.metadata.get("tags", []) for c in ours] == [
        c.metadata.get("tags", []) for c in theirs
    ]


@pytest.mark.parametrize("name", NAMES)
def test_only_checked_outputs_are_committed(name):
    paired = nbformat.read(paths.notebooks() / f"{name}.ipynb", as_version=4)
    for cell in paired.cells:
        if cell.cell_type == "code" and cell.outputs:
            assert "# NBVAL_CHECK_OUTPUT" in cell.source
            assert all(output.output_type == "stream" for output in cell.outputs)


@pytest.mark.parametrize("name", NAMES)
def test_skeleton(name):
    cells = source(name).cells
    assert cells[0].cell_type == "markdown"
    assert cells[0].source.startswith("# ")
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert code[0].metadata["tags"][0] == "parameters"
    assert "parameters.check(globals()" in code[1].source  # right after the parameters
    assert f'"{name}"' in code[1].source
    assert "provenance.Provenance(p" in code[-1].source
    for cell in code:
        assert not re.search(r"^\s*(class|def) |\.backward\(|\boptim\.", cell.source, re.MULTILINE)
        assert len(cell.source.splitlines()) <= 50


@pytest.mark.parametrize("name", NAMES)
def test_declared_parameters_are_known_and_defaults_valid(name):
    assert set(declared(name)) <= set(Parameters.model_fields)
    validated(name, {})


@pytest.mark.parametrize("name", NAMES)
def test_no_number_is_typed_into_the_prose(name):
    """Results in prose come from values computed on the page: no decimal outside math and code."""
    for cell in source(name).cells:
        if cell.cell_type == "markdown":
            prose = re.sub(r"\$\$.*?\$\$|\$.*?\$|```.*?```|`.*?`", "", cell.source, flags=re.DOTALL)
            assert not re.search(r"\d\.\d|\d ?%", prose), cell.source
