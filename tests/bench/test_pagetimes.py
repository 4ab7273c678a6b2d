"""The times of pages, on pages whose times are known."""

import shutil

import pytest

from sparseattn import paths
from sparseattn.bench import pagetimes
from sparseattn.bench.browser import executable, pages
from sparseattn.errors import UserError

PLAIN = "<!doctype html><link rel='icon' href='data:,'><title>Plain</title><p>Only text.</p>"
DRAWN = """<!doctype html><link rel='icon' href='data:,'><title>Drawn</title><p>Text.</p>
<figure class="chart"></figure><figure class="chart"></figure>
<script>
  const figures = document.querySelectorAll("figure");
  setTimeout(() => { figures[0].dataset.drawn = "light"; }, 300);
  setTimeout(() => { figures[1].dataset.drawn = "light"; }, 600);
  setTimeout(() => { document.documentElement.dataset.charts = "ready"; }, 900);
</script>"""


@pytest.fixture
def book(tmp_path):
    for name, content in {"plain.html": PLAIN, "notebooks/drawn.html": DRAWN}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    (tmp_path / "search.html").write_text(PLAIN)
    (tmp_path / "_static").mkdir()
    (tmp_path / "_static" / "part.html").write_text(PLAIN)
    return tmp_path


def test_pages_are_those_one_reads(book):
    assert pages(book) == ["notebooks/drawn.html", "plain.html"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.skipif(executable() is None, reason="no Chromium here")
def test_times_are_those_of_the_page(book):
    drawn, plain = pagetimes.page_times(book, visits=1)
    assert (drawn["page"], drawn["charts"]) == ("notebooks/drawn.html", 2)
    assert 0.3 <= drawn["first_chart"] <= drawn["all_charts"] - 0.3
    assert drawn["all_charts"] >= 0.9
    assert drawn["megabytes"] == pytest.approx(len(DRAWN) / 1e6, rel=0.01)
    assert plain["charts"] == 0
    assert plain["first_chart"] is plain["all_charts"] is None
    assert plain["first_text"] > 0


def test_no_browser_is_said(book, monkeypatch):
    monkeypatch.delenv("SPARSEATTN_CHROMIUM", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="No Chromium"):
        pagetimes.page_times(book)


def test_no_book_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("SPARSEATTN_CHROMIUM", "/bin/true")
    with pytest.raises(UserError, match="make book"):
        pagetimes.page_times(tmp_path)


def test_published_comes_back(tmp_path, monkeypatch, capsys):
    row = {"page": "a.html", "charts": 0, "first_text": 0.123456, "first_chart": None}
    row |= {"all_charts": None, "megabytes": 1.0}
    monkeypatch.setattr(pagetimes, "page_times", lambda: [row])
    monkeypatch.setattr(paths, "results", lambda: tmp_path)
    assert pagetimes.read() is None
    pagetimes.main(publish=True)
    assert pagetimes.read()["pages"] == [{**row, "first_text": 0.1235}]
    assert "a.html" in capsys.readouterr().out
