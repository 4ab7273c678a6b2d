"""The book on one page: every article once, no script, links that stay inside."""

import re

import pytest

from sparseattn.errors import UserError
from sparseattn.report import printed

PAGE = """<html><head><title>T</title>
<link href="{up}_static/a.css?digest=1" rel="stylesheet"/></head><body><nav>menu</nav>
<article class="bd-article"><h1 id="top">{name}</h1><script>run()</script>
<span class="math notranslate">\\(h_i\\)</span><noscript><math>h</math></noscript>
{links}</article></body></html>"""


def book():
    links = (
        '<a href="b.html#top">b</a> <a href="#top">here</a> <a href="b.html#task=sst">choice</a> '
        '<a href="https://example.org/">out</a> <a href="../gone.html">gone</a> '
        '<a href="../c.html">c</a>'
    )
    return {
        "n/a": PAGE.format(up="../", name="A", links=links),
        "n/b": PAGE.format(up="../", name="B", links=""),
        "c": PAGE.format(up="", name="C", links='<a href="n/a.html#top">a</a>'),
    }


def test_every_article_stands_once_and_links_stay_inside():
    whole = printed.gathered(book())
    assert re.findall("<h1[^>]*>(.)</h1>", whole) == ["A", "B", "C"]  # in order
    assert "menu" not in whole
    assert "<script" not in whole
    assert "<math>" in whole
    assert "noscript" not in whole
    assert whole.count('href="_static/a.css"') == 1
    ids = re.findall(r'\bid="([^"]*)"', whole)
    assert len(ids) == len(set(ids))
    links = re.findall(r'<a href="([^"]*)"', whole)
    assert links == ["#n/b--top", "#n/a--top", "#n/b", "https://example.org/", "#c", "#n/a--top"]
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)


def test_without_a_browser_one_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.delenv("SPARSEATTN_CHROMIUM", raising=False)
    monkeypatch.setattr(printed.shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="install Debian's 'chromium'"):
        printed.write(tmp_path, [])
