from pathlib import Path

import pytest

from sparseattn import paths


def test_found_from_the_source_whatever_the_working_directory(monkeypatch, tmp_path):
    monkeypatch.delenv(paths.VARIABLE, raising=False)
    monkeypatch.delenv("SPARSEATTN_STORE", raising=False)
    monkeypatch.chdir(tmp_path)
    assert paths.root() == Path(__file__).resolve().parents[1]
    assert (paths.book() / "paper").is_dir()
    for folder in (paths.notebooks(), paths.results(), paths.store()):
        assert folder.is_relative_to(paths.root())


def test_the_variable_wins(monkeypatch, tmp_path):
    (tmp_path / "book").mkdir()
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.setenv(paths.VARIABLE, str(tmp_path))
    assert paths.root() == tmp_path.resolve()


def test_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv(paths.VARIABLE, str(tmp_path))
    with pytest.raises(ValueError, match=r"SPARSEATTN_ROOT is .* or unset it"):
        paths.root()
    monkeypatch.delenv(paths.VARIABLE)
    monkeypatch.setattr(paths, "__file__", str(tmp_path / "site-packages" / "sparseattn" / "x.py"))
    with pytest.raises(ValueError, match="pip install -e"):
        paths.root()
