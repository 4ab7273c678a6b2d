"""What our Sphinx extension says of a page, alone and in a small book built with the real theme."""

import re
import shutil
import textwrap

import pytest
from docutils import nodes
from docutils.core import publish_doctree
from htmlbook import pages as read_pages
from htmlbook import problems
from sphinx import addnodes

from sparseattn import paths
from sparseattn.report import book as report
from sparseattn.report import sphinx_extension
from sparseattn.report.sphinx_extension import definitions, link_terms

NOTEBOOK = """\
    # ---
    # jupyter:
    #   kernelspec:
    #     display_name: Python 3
    #     language: python
    #     name: python3
    # ---

    # %% [markdown]
    # # A page
    #
    # **What is asked?** What is said: {doc}`../prose`.

    # %% tags=["parameters", "hide-input"]
    seeds = [0]

    # %%
    from sparseattn.report import parameters

    p = parameters.check(globals(), "01-page")

    # %%
    import pandas as pd

    from sparseattn.charts.tables import table

    table(pd.DataFrame({"task": ["sst"], "seeds": [len(p.seeds)]}), "Seeds.")

    # %%
    from sparseattn.report.provenance import Provenance

    Provenance(p)
    """


def doctree(text):
    return publish_doctree(textwrap.dedent(text), settings_overrides={"doctitle_xform": False})


def test_a_formula_is_set_without_a_script():
    assert "<msub>" in sphinx_extension.mathml("h_i", block=False)
    assert "<mtable" in sphinx_extension.mathml(
        "\\begin{gathered} a, \\dots \\\\ b \\end{gathered}", block=True
    )
    assert sphinx_extension.mathml("\\unheardof < 1", False) == "<code>\\unheardof &lt; 1</code>"


@pytest.mark.parametrize("file", [*paths.notebooks().glob("*.py"), *paths.book().glob("*.md")])
def test_every_formula_of_the_report_is_set_without_a_script(file):
    text = re.sub(r"(?m)^# ?", "", file.read_text(encoding="utf-8"))
    text = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    formulas = re.findall(r"\$\$(.+?)\$\$|\$([^$\n]+)\$", text, flags=re.DOTALL)
    failed = [
        one for one in formulas if sphinx_extension.mathml(max(one), bool(one[0])).startswith("<c")
    ]
    assert failed == []


def test_search_knows_no_code():
    page = doctree("Title\n=====\n\nProse.\n")
    page[0].append(nodes.container("", nodes.literal_block(text="code"), classes=["cell_input"]))
    raw = nodes.raw("", "<noscript><math>formula</math></noscript>", format="html")
    page[0].append(raw)
    known = sphinx_extension.prose(page).astext()
    assert "Prose." in known
    assert "code" not in known
    assert "formula" not in known
    assert "code" in page.astext()  # the page itself keeps it


def test_a_summary_is_the_first_paragraph():
    text = "Title\n=====\n\n.. note:: Not this.\n\nThis, *spelled*\nout.\n\nNot that.\n"
    assert sphinx_extension.summary(doctree(text)) == "This, spelled out."
    assert sphinx_extension.summary(doctree("Title\n=====\n\n- a list\n")) == ""
    assert sphinx_extension.summary(None) == ""


def test_a_long_summary_ends_with_a_sentence_or_a_word():
    sentence = "Words, and more of them. "
    cut = sphinx_extension.summary(doctree("Title\n=====\n\n" + sentence * 20))
    assert cut.endswith("them.")
    assert 150 < len(cut) <= 200
    cut = sphinx_extension.summary(doctree("Title\n=====\n\n" + "word " * 100))
    assert cut.endswith("word …")
    assert len(cut) <= 202


def test_sources_lie_where_the_extension_says():
    assert (paths.root() / sphinx_extension.source_path("notebooks/05-agreement")).is_file()
    assert (paths.root() / sphinx_extension.source_path("measures")).is_file()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project of one notebook and one page of prose, with this book's looks."""
    root = tmp_path_factory.mktemp("project")
    ours = paths.root()
    (root / "notebooks").mkdir()
    for folder in ("_templates", "_static"):
        shutil.copytree(ours / "book" / folder, root / "book" / folder)
    for name in ("_config.yml", "book/references.bib", "requirements.txt"):
        shutil.copy2(ours / name, root / name)
    (root / "pyproject.toml").touch()
    (root / "_toc.yml").write_text(
        "format: jb-book\nroot: notebooks/01-page\n"
        "parts: [{caption: c, chapters: [{file: prose}]}]\n"
    )
    (root / "book" / "prose.md").write_text("# Prose\n\nSome words.\n")
    (root / "notebooks" / "01-page.py").write_text(textwrap.dedent(NOTEBOOK))
    return root


def test_a_term_is_explained_where_prose_first_uses_it():
    glossary = publish_doctree(
        "score of τ-b\n  The\n  whole.  See there.\n\nscore\n  A *part*.\n\nrun\n  One.\n"
    )
    for place, term in enumerate(glossary.findall(nodes.term)):
        term["ids"] = [f"term-{place}"]
    known = definitions(glossary)
    assert known == {
        "score of τ-b": ("term-0", "The whole."),
        "score": ("term-1", "A part."),
        "run": ("term-2", "One."),
    }
    page = publish_doctree(
        "A score\n=======\n\nIts ``score``, **score** and scores; it run a *score* of τ-b, a score "
        "of τ-b, `score <x>`_, sub-score, score.\n"
    )
    before = page.astext()
    link_terms(page, known, "glossary.html")
    links = [link for link in page.findall(nodes.reference) if "term" in link["classes"]]
    assert [(one.astext(), one["refuri"], one["reftitle"]) for one in links] == [
        ("score", "glossary.html#term-1", "A part."),
        ("score of τ-b", "glossary.html#term-0", "The whole."),
    ]
    assert page.astext() == before


def test_no_term_is_a_link_inside_a_link_written_as_html():
    known = {"score": ("term-1", "A part.")}
    page = publish_doctree("First score.\n")
    (paragraph,) = page.findall(nodes.paragraph)
    paragraph[:0] = [
        nodes.raw("", '<a href="x">', format="html"),
        nodes.Text("A score"),
        nodes.raw("", "</a>", format="html"),
    ]
    link_terms(page, known, "glossary.html")
    (link,) = page.findall(nodes.reference)
    assert (paragraph.index(link), paragraph[3].astext()) == (4, "First ")


def test_a_definition_is_told_without_the_keys_of_references():
    glossary = publish_doctree("score\n  One (*x*), two *y*: three. See *z*.\n")
    (term,) = glossary.findall(nodes.term)
    term["ids"] = ["term"]
    for one in list(glossary.findall(nodes.emphasis)):
        key = addnodes.pending_xref("", *one.children)
        one.parent.replace(one, key)
    assert definitions(glossary) == {"score": ("term", "One, two: three.")}


def test_no_formula_stands_in_a_definition():
    assert "$" not in (paths.book() / "glossary.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_addresses_come_and_go_with_the_environment(project, monkeypatch, capsys):
    monkeypatch.setenv("SPARSEATTN_ROOT", str(project))
    for name in ("BOOK_REPOSITORY", "BOOK_BRANCH", "BOOK_URL"):
        monkeypatch.delenv(name, raising=False)
    book = report.build().parent
    assert problems(book) == []
    read = read_pages(book)
    assert read["notebooks/01-page.html"].meta["description"] == (
        "What is asked? What is said: Prose."
    )
    assert read["prose.html"].meta["og:image"] == "card.png"
    assert (book / "card.png").read_bytes().startswith(b"\x89PNG")
    assert not any("github" in link for page in read.values() for link in page.links)
    assert not any("binder" in link or "colab" in link for link in read["prose.html"].links)
    capsys.readouterr()
    report.build()
    assert "book: unchanged" in capsys.readouterr().out

    monkeypatch.setenv("BOOK_REPOSITORY", "https://github.com/owner/name.git")
    monkeypatch.setenv("BOOK_BRANCH", "v1")
    monkeypatch.setenv("BOOK_URL", "https://owner.github.io/name")
    report.build()
    printed = capsys.readouterr().out
    assert "01-page: unchanged" in printed  # the pages change, what was computed does not
    assert "book: unchanged" not in printed
    assert problems(book) == []
    read = read_pages(book)
    notebook, prose = read["notebooks/01-page.html"], read["prose.html"]
    hub = "https://github.com/owner/name"
    binder = "https://mybinder.org/v2/gh/owner/name/v1?urlpath=lab/tree/notebooks/01-page.ipynb"
    colab = "https://colab.research.google.com/github/owner/name/blob/v1/notebooks/01-page.ipynb"
    edit = f"{hub}/edit/v1/notebooks/01-page.py"
    assert {binder, colab, hub, edit} <= set(notebook.links)
    assert f"{hub}/edit/v1/book/prose.md" in prose.links
    assert f"{hub}/issues/new?title=On%20the%20page%20Prose" in prose.links
    assert not any("binder" in link for link in prose.links)
    assert prose.meta["og:url"] == "https://owner.github.io/name/prose.html"
    assert read["index.html"].meta["og:image"] == "https://owner.github.io/name/card.png"


@pytest.mark.slow
def test_a_build_says_what_its_execution_changed(project, monkeypatch, capsys):
    monkeypatch.setenv("SPARSEATTN_ROOT", str(project))
    report.build()
    file = project / "parameters.yml"
    file.write_text("seeds: [0, 1]\n")
    capsys.readouterr()
    report.build(file)
    assert "  Seeds · SST · seeds: 1 → 2" in capsys.readouterr().out
    told = (project / "_build" / report.CHANGES).read_text(encoding="utf-8")
    assert "| Seeds · SST · seeds | 1 | 2 |" in told
    report.build(file)  # nothing executed: what changed last stays to be read
    assert (project / "_build" / report.CHANGES).read_text(encoding="utf-8") == told
