"""What the theme does not know of a page: summary, source, terms, formulas, words for search.

The summary is for previews, the formulas for where no script runs. Search knows prose, not code.
A Sphinx extension, named in ``_config.yml``. The templates in ``book/_templates`` write what this
puts into a page's context.
"""

import re
from collections.abc import Iterator, Mapping
from html import escape
from itertools import takewhile
from typing import Any
from urllib.parse import quote

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx import addnodes
from sphinx.application import Sphinx

CARD = "card.png"  # the picture of a preview (sparseattn.charts.figure.write_scripts)
_GLOSSARY = "glossary"
_EVERYDAY = ("run", "cell", "context", "flow", "claim", "evidence", "effect")
"""Terms that prose also uses in other senses: where they stand, no link is made of itself."""
_LONGEST = 200  # characters of a summary; what shows it cuts at about as many


# What docutils' MathML does not know, of what the report uses.
_TEX = {
    "gathered": "aligned", r"\dots": r"\ldots", r"\tfrac": r"\frac", r"\textstyle": "",
    r"\Bigl": "", r"\Bigr": "", r"\Big": "", r"\big": "", r"\underbrace": r"\underline",
}  # fmt: skip


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension with Sphinx."""
    app.connect("html-page-context", _describe)
    # After the theme has made its buttons (501).
    app.connect("html-page-context", _point_at_the_source, priority=600)
    app.connect("html-collect-pages", _first_page)
    app.connect("doctree-resolved", _explain_terms)
    app.connect("doctree-resolved", _set_formulas)
    app.connect("builder-inited", _search_prose)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def summary(doctree: nodes.document | None) -> str:
    """Return the first sentences of a page, as plain text of at most about 200 characters.

    The first paragraph, cut after a sentence where one ends in time, else after a word; empty when
    the page has no text of its own, or opens with no paragraph.
    """
    opening = () if doctree is None else doctree.findall(nodes.paragraph)
    text = next((p.astext() for p in opening if isinstance(p.parent, nodes.section)), "")
    text = " ".join(text.split())
    if len(text) <= _LONGEST:
        return text
    sentence = max(text.rfind(end, 0, _LONGEST) for end in (". ", "? ", "! "))
    return text[: sentence + 1] if sentence > 0 else text[:_LONGEST].rsplit(" ", 1)[0] + " …"


def mathml(tex: str, block: bool) -> str:
    """Return a formula as MathML, which browsers set by themselves; as TeX where that fails."""
    known = tex
    for unknown, known_as in _TEX.items():
        known = known.replace(unknown, known_as)
    known = re.sub(r"\\frac(\w)(\w)", r"\\frac{\1}{\2}", known)
    known = re.sub(r"(\\hat (?:\w|\\\w+))(?=[_^])", r"\1{}", known)  # else its index goes below it
    try:
        return str(tex2mathml(known, as_block=block))
    except (MathError, SyntaxError):
        return f"<code>{escape(tex)}</code>"


def definitions(glossary: nodes.document) -> dict[str, tuple[str, str]]:
    """Return what a glossary defines: term → the id of its entry, its definition in plain words."""
    found = {}
    for item in glossary.findall(nodes.definition_list_item):
        words = item[-1].findall(nodes.Text)  # those of a reference are but its key
        parts = [word for word in words if not _within(word, addnodes.pending_xref)]
        told = " ".join("".join(parts).split()).partition(" See ")[0]
        for term in item.findall(nodes.term):
            found[term.astext()] = term["ids"][0], re.sub(r" (\(\)|(?=[.,;:]))", "", told)
    return found


def link_terms(
    doctree: nodes.document, known: Mapping[str, tuple[str, str]], glossary: str
) -> None:
    """Make each glossary term, where prose first uses it, a link that shows its definition.

    But those that are `_EVERYDAY` words.
    """
    terms = [term for term in known if term not in _EVERYDAY]
    if not terms:
        return
    longest = "|".join(map(re.escape, sorted(terms, key=len, reverse=True)))
    words = re.compile(rf"(?<![\w-])({longest})(?![\w-])")
    told: set[str] = set()
    for text in list(doctree.findall(nodes.Text)):
        if not isinstance(text.parent, nodes.paragraph | nodes.emphasis):
            continue
        if _within(text, nodes.reference, nodes.title, nodes.table, nodes.caption):
            continue
        if _in_anchor(text):
            continue
        parts: list[nodes.Node] = []
        for place, part in enumerate(words.split(text.astext())):
            if place % 2 == 0 or part in told:
                parts.append(nodes.Text(part))
                continue
            told.add(part)
            entry, meaning = known[part]
            address = f"{glossary}#{entry}"
            link = nodes.reference("", part, internal=True, refuri=address, reftitle=meaning)
            parts.append(link)
            link["classes"].append("term")
        if len(parts) > 1:
            text.parent.replace(text, parts)


def _within(node: nodes.Node, *kinds: type[nodes.Element]) -> bool:
    return node.parent is not None and (
        isinstance(node.parent, kinds) or _within(node.parent, *kinds)
    )


def _in_anchor(text: nodes.Text) -> bool:
    """Tell whether a text stands between an ``<a>`` and its end that are written as HTML."""
    before = takewhile(lambda node: node is not text, text.parent.children)
    markup = "".join(node.astext() for node in before if isinstance(node, nodes.raw))
    return markup.count("<a ") > markup.count("</a>")


def _explain_terms(app: Sphinx, doctree: nodes.document, page: str) -> None:
    here = page.startswith("notebooks/") and _GLOSSARY in app.env.found_docs
    if app.builder.format == "html" and here:
        known = definitions(app.env.get_doctree(_GLOSSARY))
        link_terms(doctree, known, app.builder.get_relative_uri(page, _GLOSSARY))


def _set_formulas(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Put beside each formula, which MathJax sets, one for where no script runs."""
    if app.builder.format != "html":
        return
    for kind in (nodes.math, nodes.math_block):
        for node in list(doctree.findall(kind)):
            block = kind is nodes.math_block
            text = f"<noscript>{mathml(node.astext(), block)}</noscript>"
            after = node.parent.index(node) + 1
            node.parent.insert(after, nodes.raw("", text, format="html"))


def prose(doctree: nodes.document) -> nodes.document:
    """Return a page as search should know it: without code, and each formula once."""
    copy: nodes.document = doctree.deepcopy()
    for node in list(copy.findall(nodes.Element)):
        code = "cell_input" in node.get("classes", ())
        again = isinstance(node, nodes.raw) and node.astext().startswith("<noscript>")
        if (code or again) and node.parent is not None:
            node.parent.remove(node)
    return copy


def _search_prose(app: Sphinx) -> None:
    if app.builder.format != "html":
        return
    index = app.builder.index_page  # type: ignore[attr-defined]

    def index_prose(pagename: str, doctree: nodes.document, title: str) -> None:
        index(pagename, prose(doctree), title)

    app.builder.index_page = index_prose  # type: ignore[attr-defined]


def source_path(page: str) -> str:
    """Return where a page is written in the repository: ``notebooks/05-agreement.py``."""
    return f"{page}.py" if page.startswith("notebooks/") else f"book/{page}.md"


def _describe(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    base = app.config.html_baseurl
    context["summary"] = summary(doctree) or app.config.html_context["site_summary"]
    context["card"] = base + CARD if base else context["pathto"](CARD, 1)
    context["address"] = f"{base}{page}.html" if base else ""
    pdf = app.config.html_context.get("pdf")
    if pdf and page == app.config.root_doc:
        link = f'<a href="{context["pathto"](pdf, 1)}">The whole book as one PDF</a>'
        context["body"] = f'{context["body"]}<p class="book-printed">{link}</p>'


def _point_at_the_source(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    # The book is assembled elsewhere: pages of book/ move up, notebooks come executed.
    for group in context.get("header_buttons", ()):
        for button in group.get("buttons", ()):
            if button.get("label") == "source-edit-button":
                start = button["url"].partition("/edit/")[0]
                branch = app.config.html_theme_options["repository_branch"]
                button["url"] = f"{start}/edit/{branch}/{quote(source_path(page))}"
            elif button.get("label") == "source-issues-button":
                title = quote(f"On the page {context.get('title', page)}")
                button["url"] = button["url"].partition("?")[0] + f"?title={title}"


def _first_page(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield ``index.html``, which leads to the first page and has a preview of its own."""
    yield "index", {"title": app.config.html_title, "first": app.config.root_doc}, "first.html"
