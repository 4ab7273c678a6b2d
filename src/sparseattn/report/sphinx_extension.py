"""What the theme does not know of a page: its summary for previews, and where its source lies.

A Sphinx extension, named in ``_config.yml``. The templates in ``book/_templates`` write what this
puts into a page's context.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from docutils import nodes
from sphinx.application import Sphinx

CARD = "card.png"  # the picture of a preview (sparseattn.charts.figure.write_scripts)
_LONGEST = 200  # characters of a summary; what shows it cuts at about as many


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension with Sphinx."""
    app.connect("html-page-context", _describe)
    # After the theme has made its buttons (501).
    app.connect("html-page-context", _point_at_the_source, priority=600)
    app.connect("html-collect-pages", _first_page)
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
