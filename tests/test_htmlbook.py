"""Every link, anchor, image and download of the built book; and whether that check can fail."""

import json
import os
import re
from pathlib import Path

import nbformat
import pytest
import yaml
from htmlbook import pages, problems

from sparseattn import paths

BOOK = Path(os.environ.get("SPARSEATTN_HTML") or paths.root() / "_build" / "html")
HEAD = """<!DOCTYPE html><html lang="en"><head><title>T</title>
<meta name="description" content="d"><meta property="og:title" content="t">
<meta property="og:description" content="d"><meta property="og:image" content="card.png">
<meta name="twitter:card" content="c"></head>"""
GOOD = f"""{HEAD}<body><h1>print</h1><article><h1>One</h1>
<p id="here">Text, <code>{{doc}}</code></p>
<a href="#here">here</a><a href="b.html#there">there</a><a href="https://example.org">away</a>
<a href="data.csv">data</a><img alt="" src="card.png"><script src="s.js?v=1"></script>
<a href="#task=sst&amp;seed=1">chosen</a>
<table><tr data-task="sst" data-seed="0|1"></tr></table>
<svg><title>not the page's</title></svg></article></body></html>"""
OTHER = f"""{HEAD}<body><article><h1>B</h1><p id="there"><br></p></article></body></html>"""

built = pytest.mark.skipif(not (BOOK / "index.html").is_file(), reason="run 'make book' first")


@pytest.fixture
def book(tmp_path):
    """A book of two pages with nothing wrong."""
    (tmp_path / "index.html").write_text(GOOD)
    (tmp_path / "b.html").write_text(OTHER)
    for name in ("card.png", "data.csv", "s.js"):
        (tmp_path / name).touch()
    return tmp_path


def test_a_whole_book_has_no_problem(book):
    assert problems(book) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('lang="en"', "", "index.html: has no language"),
        ("<title>T</title>", "<title> </title>", "index.html: has no title"),
        ("<article><h1>One</h1>", "<article>", "index.html: has 0 headings of the first rank"),
        ("<p id", "<h1>Two</h1><p id", "index.html: has 2 headings of the first rank"),
        ('name="description" content="d"', "", "index.html: has no description"),
        ('content="card.png"', 'content="no.png"', "index.html: no.png does not exist"),
        ("<p id", '<p id="here"></p><p id', "index.html: has the id 'here' 2 times"),
        ('alt="" ', "", "index.html: has 1 images without an alternative text"),
        ("Text, ", "See {doc}`b`", "index.html: shows the markup {doc}"),
        ("#here", "#gone", "index.html: #gone has no such place"),
        ("b.html#there", "b.html#gone", "index.html: b.html#gone has no such place"),
        ("seed=1", "seed=2", "index.html: #task=sst&seed=2 chooses what no row has"),
        ("data.csv", "gone.csv", "index.html: gone.csv does not exist"),
        ("data.csv", "../data.csv", "index.html: ../data.csv does not exist"),
        ("data.csv", "/data.csv", "index.html: /data.csv does not exist"),
        ('src="card.png"', 'src="gone.png"', "index.html: gone.png does not exist"),
        ("b.html#there", "#here", "b.html: no page leads there"),
        (
            "s.js?v=1",
            "https://cdn.example.org/s.js",
            "index.html: fetches https://cdn.example.org/s.js from another server",
        ),
    ],
)
def test_whatever_is_broken_is_told(book, old, new, expected):
    assert old in GOOD
    (book / "index.html").write_text(GOOD.replace(old, new))
    assert problems(book) == [expected]


@built
def test_the_built_book_has_no_problem():
    assert problems(BOOK) == []


@built
def test_every_page_of_the_contents_is_built():
    contents = yaml.safe_load((paths.root() / "_toc.yml").read_text(encoding="utf-8"))
    chapters = [chapter["file"] for part in contents["parts"] for chapter in part["chapters"]]
    assert {f"{name}.html" for name in [contents["root"], *chapters]} <= set(pages(BOOK))
    notebooks = {f"notebooks/{file.stem}" for file in paths.notebooks().glob("[0-9]*.py")}
    assert notebooks <= {contents["root"], *chapters}


@built
def test_no_two_pages_share_a_title_or_a_summary():
    read = {n: p for n, p in pages(BOOK).items() if n not in ("genindex.html", "search.html")}
    for what in ("title", "description"):
        said = [page.title if what == "title" else page.meta[what] for page in read.values()]
        assert len(set(said)) == len(said), sorted(said)


@built
def test_no_two_pages_judge_a_claim_otherwise():
    """Tables of the front and of page 07 say what each claim's own page does."""
    row = r'<td>(\d)</td>.*?data-title="together"><span class="verdict[^>]*>([^<]*)<'
    own = r'id="claim-(\d)".*?class="verdict[^>]*>([^<]*)<'
    texts = {file.stem: file.read_text(encoding="utf-8") for file in BOOK.glob("notebooks/*.html")}
    there = dict(match for text in texts.values() for match in re.findall(own, text, re.DOTALL))
    assert set(there) == {*"1234567"}
    for page in ("00-front", "07-paper"):
        assert dict(re.findall(row, texts[page], re.DOTALL)) == there, page
    asked = r"Is sparse attention the better explanation\?[^<]*"
    answers = {re.findall(asked, texts[page])[0] for page in ("00-front", "05-truth")}
    assert len(answers) == 1


@built
def test_downloaded_notebooks_are_executed_and_name_no_machine():
    downloads = sorted((BOOK / "_sources" / "notebooks").glob("*.ipynb"))
    assert downloads
    for file in downloads:
        assert f"_sources/notebooks/{file.name}" in (
            BOOK / "notebooks" / f"{file.stem}.html"
        ).read_text(encoding="utf-8")
        notebook = nbformat.read(file, as_version=4)
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert all(cell.execution_count for cell in code)
        assert any(cell.outputs for cell in code)
        text = json.dumps(notebook, ensure_ascii=False)
        for folder in (paths.root(), Path.home(), paths.store()):
            assert f"{folder}/" not in text


@built
def test_every_term_of_the_glossary_leads_to_its_place():
    """A definition without a link tells the reader what, but not where."""
    text = (BOOK / "glossary.html").read_text(encoding="utf-8")
    entries = re.findall(r'<dt id="term-.*?<dd>(.*?)</dd>', text, re.DOTALL)
    assert len(entries) > 40
    assert [entry for entry in entries if 'class="reference internal"' not in entry] == []


@built
def test_every_work_of_the_bibliography_is_cited():
    text = (BOOK / "bibliography.html").read_text(encoding="utf-8")
    works = re.findall(r'<div class="citation" id="([^"]+)"', text)
    cited = {link.partition("#")[2] for page in pages(BOOK).values() for link in page.links}
    assert len(works) > 15
    assert set(works) <= cited
