"""The licences of the packages at hand: what each states, in one wording."""

from importlib.metadata import Distribution, distributions

import pytest

from sparseattn import paths
from sparseattn.report import provenance

MIT = "Permission is hereby granted, free of charge, to any person"
BSD = "Redistribution and use in source and binary\nforms, with or without modification"


def package(folder, metadata, licence_text=None):
    info = folder / "given-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: given\nVersion: 1.0\n{metadata}")
    record = "given-1.0.dist-info/METADATA,,\n"
    if licence_text is not None:
        (info / "LICENSE.txt").write_text(licence_text)
        record += "given-1.0.dist-info/LICENSE.txt,,\n"
    (info / "RECORD").write_text(record)
    return Distribution.at(info)


@pytest.mark.parametrize(
    ("metadata", "text", "expected"),
    [
        ("License-Expression: MIT AND PSF-2.0\nLicense: other", None, "MIT AND PSF-2.0"),
        ("License: Apache 2.0\nClassifier: License :: x :: MIT License", None, "Apache-2.0"),
        ("License: UNKNOWN\nClassifier: License :: x :: ISC License (ISCL)", None, "ISC"),
        ("License: Us\n        \n        Copyright\nClassifier: License :: x :: MIT License", None,
         "MIT"),
        ("Classifier: License :: x :: MIT License\nClassifier: License :: x :: BSD License", None,
         "MIT and BSD"),
        ("Classifier: License :: OSI Approved :: BSD License", None, "BSD"),
        ("Classifier: License :: OSI Approved :: BSD License", BSD, "BSD-2-Clause"),
        ("License: BSD", f"{BSD} … used to endorse or\npromote products", "BSD-3-Clause"),
        ("Classifier: Topic :: Software Development", MIT, "MIT"),
        ("Summary: none", "You may not.", provenance.UNKNOWN_LICENCE),
        ("Summary: none", None, provenance.UNKNOWN_LICENCE),
    ],
)  # fmt: skip
def test_a_licence_is_what_its_package_states(tmp_path, metadata, text, expected):
    assert provenance.licence(package(tmp_path, metadata, text)) == expected


def test_every_package_here_has_a_licence_and_stands_once():
    table = provenance.licences()
    names = [name for names in table["packages"] for name in names.split(", ")]
    installed = {one.metadata["Name"] for one in distributions()} - {"sparseattn"}
    assert sorted(names) == sorted(installed)
    assert len(names) == table["count"].sum()
    of = {name: row.licence for row in table.itertuples() for name in row.packages.split(", ")}
    unknown = {name for name, licence in of.items() if licence == provenance.UNKNOWN_LICENCE}
    assert unknown <= {"cuda-toolkit"}  # empty, it names what torch's build for GPUs needs
    assert table["licence"].is_unique
    assert list(table["count"]) == sorted(table["count"], reverse=True)
    known = {"entmax": "MIT", "submitit": "MIT", "torch": "BSD-3-Clause", "scipy": "BSD-3-Clause"}
    assert all(licence in of[name] for name, licence in known.items())


def test_the_licence_of_this_project_is_the_one_of_its_text_and_of_its_citation():
    root = paths.root()
    assert MIT in (root / "LICENSE").read_text()
    assert 'license = "MIT"' in (root / "pyproject.toml").read_text()
    assert "license: MIT" in (root / "CITATION.cff").read_text()
