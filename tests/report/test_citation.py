import re

import pytest
import yaml

from sparseattn import paths
from sparseattn.errors import UserError
from sparseattn.report import citation

VALID = {
    "cff-version": "1.2.0",
    "message": "Please cite.",
    "title": "A report",
    "authors": [{"family-names": "Lovelace", "given-names": "Ada"}, {"name": "The others"}],
    "date-released": "2026-01-02",
    "version": "1.0",
}


def written(tmp_path, values):
    file = tmp_path / "CITATION.cff"
    file.write_text(yaml.safe_dump(values))
    return file


def test_the_projects_own_file_is_valid():
    cited = citation.read()
    assert cited.released is not None
    assert cited.license == "MIT"
    assert (paths.root() / "LICENSE").read_text().startswith("MIT")
    pyproject = (paths.root() / "pyproject.toml").read_text()
    assert f'version = "{cited.version}"' in pyproject
    assert any(work.doi == "10.18653/v1/2021.acl-short.17" for work in cited.references)


@pytest.mark.parametrize("missing", ["cff-version", "message", "title", "authors"])
def test_required_keys_are_required(tmp_path, missing):
    values = {name: value for name, value in VALID.items() if name != missing}
    with pytest.raises(UserError, match=missing.replace("-", ".")):
        citation.read(written(tmp_path, values))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"cff-version": "1.0"}, "cff"),
        ({"authors": []}, "authors"),
        ({"authors": [{"name": "One", "family-names": "Two"}]}, "author"),
        ({"doi": "https://doi.org/10.1/x"}, "doi"),
        ({"date-released": "yesterday"}, "date"),
        ({"type": "poem"}, "type"),
        ({"references": [{"title": "No type", "authors": [{"name": "One"}]}]}, "references"),
    ],
)
def test_what_the_format_refuses_is_refused(tmp_path, changed, message):
    with pytest.raises(UserError, match=message):
        citation.read(written(tmp_path, {**VALID, **changed}))


def test_spelled_out(tmp_path):
    cited = citation.read(written(tmp_path, VALID))
    assert cited.text() == "Ada Lovelace and The others (2026). A report, version 1.0."
    entry = cited.bibtex()
    assert "author = {Lovelace, Ada and {The others}}," in entry
    assert re.search(r"year = \{2026\}", entry)
    assert entry.count("{") == entry.count("}")


def test_absent_or_no_mapping(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        citation.read(tmp_path / "CITATION.cff")
    with pytest.raises(UserError, match="must hold lines"):
        citation.read(written(tmp_path, ["a"]))
