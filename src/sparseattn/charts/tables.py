"""Tables and verdict badges of a page, as HTML: text escaped, the same at every execution."""

import re
from collections.abc import Mapping, Sequence
from html import escape
from numbers import Real
from textwrap import shorten
from typing import Any

import pandas as pd
from IPython.display import Markdown

from sparseattn.charts.figure import folded
from sparseattn.errors import UserError
from sparseattn.wording import FORMATS, HEADINGS, TITLES, label, signed

# How a verdict of `claims` or of `statistics.compare` is drawn (book/_static/sparseattn.css).
_BADGES = {
    "holds": "holds",
    "holds on average": "holds",
    "for": "holds",
    "passes": "holds",
    "passes so far": "holds",
    "fails": "fails",
    "same": "holds",
    "reversed": "fails",
    "reversed on average": "fails",
    "against": "fails",
    "different": "fails",
    "does not hold": "fails",
    "mixed": "mixed",
    "not reversed": "mixed",
    "negligible": "mixed",
    "unclear": "mixed",
    "undecided": "mixed",
    "too few data": "open",
    "one seed": "open",
    "not certain": "open",
    "not measured here": "open",
}

INTERVAL = "95 % interval"
_NAME = 40  # characters: what is longer is a sentence
_MANY = 8  # columns: closer together, to be seen at once
_NAMING = ("number", "seed", "lam", "alpha", "n", "k")  # numbers that say which row it is


class Table:
    """A captioned table for a page, as wide as it needs to be, scrolling inside itself.

    Besides its HTML it has its numbers and verdicts by name, as shown: they stay in the executed
    notebook, where `report.changes` finds them.
    """

    def __init__(self, markup: str, caption: str, values: Mapping[str, str] | None = None) -> None:
        self.markup, self.caption, self.values = markup, caption, dict(values or {})

    def __repr__(self) -> str:
        return f"Table: {self.caption}"

    def _repr_html_(self) -> str:
        return self.markup

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, Any]]:
        shown = {"text/html": self.markup, "text/plain": repr(self)}
        return shown, {"sparseattn": {"values": self.values}}


def table(
    frame: pd.DataFrame,
    caption: str,
    *,
    columns: str | Mapping[str, str] = "",
    titles: Mapping[str, str] | None = None,
    formats: Mapping[str, str] | None = None,
    fold: str | None = None,
    links: Mapping[str, str] | None = None,
    badges: Sequence[str] = ("verdict",),
    missing: str | None = None,
    filters: Sequence[str] = (),
) -> "Table | Markdown":
    """Return a frame as a table, a row a row; its index is not shown.

    Codes appear as people write them, missing values as "–"; every text is escaped. Columns ``low``
    and ``high``, or ``jsd_low`` and ``jsd_high``, appear as one, an interval. A UserError when a
    column is not in the frame.

    Parameters
    ----------
    caption
        One sentence above the table.
    columns
        The columns to show, in order: their names, separated by spaces, or a mapping from names
        to headings. All without.
    titles
        Headings of columns that have another here than in `wording.HEADINGS`.
    formats
        Format of a column's numbers, such as ``.3f``, where it is another than in
        `wording.FORMATS`; two decimals without, none where all are whole.
    fold
        What stands for a table that opens on demand; None shows it at once.
    links
        Of a column that is shown, the column of the addresses its values lead to; a missing
        address leads nowhere.
    badges
        Columns of verdicts.
    missing
        The sentence in place of a table without a row; without it the table is shown empty.
    filters
        Columns by whose values a reader may choose rows (``book/_static/ledger.js``), shown or not.
    """
    if frame.empty and missing is not None:
        return Markdown(missing or "<span></span>")  # nothing would show as its Python name
    if isinstance(columns, str):
        headings = HEADINGS | dict(titles or {})
        names = columns.split() or frame.columns
        columns = {name: headings.get(name) or label(name) for name in names}
    shown = dict(columns)
    leading = dict(links or {})
    absent = [name for name in (*shown, *leading.values(), *filters) if name not in frame]
    if absent:
        raise UserError(
            f"The table '{caption}' lacks the columns {', '.join(absent)}; "
            f"there are {', '.join(map(str, frame.columns))}."
        )
    # Two ends are one column: an interval.
    lows = (name for name in shown if name.endswith("low"))
    ends = {low: high for low in lows if (high := f"{low.removesuffix('low')}high") in shown}
    drawn = {
        name: INTERVAL if name in ends else title
        for name, title in shown.items()
        if name not in ends.values()
    }
    numeric = {name: pd.api.types.is_numeric_dtype(frame[name]) for name in shown}
    given = FORMATS | dict(formats or {})
    places = {name: given.get(name) or _decimals(frame[name]) for name in shown}
    for low, high in ends.items():  # an end that is whole everywhere is not a count
        form = given.get(low) or given.get(low.removesuffix("_low"))
        places[low] = places[high] = form or _decimals(pd.concat([frame[low], frame[high]]))
    right = ' class="number"'
    head = "".join(
        f'<th scope="col"{right * numeric[name]}>{escape(title)}</th>'
        for name, title in drawn.items()
    )
    body, sentences = "", False
    for row in frame[[*{*shown, *leading.values(), *filters}]].to_dict("records"):
        choices = (f' data-{name}="{escape(_text(row[name], ""))}"' for name in filters)
        body += f"<tr{''.join(choices)}>"
        for name, title in drawn.items():
            if name in ends:
                kind, content = "number", _interval(row[name], row[ends[name]], places[name])
            else:
                kind, content = _cell(row[name], places[name], numeric[name], name in badges)
            address = row.get(leading.get(name, ""))
            if isinstance(address, str):
                content = f'<a href="{escape(address)}">{content}</a>'
            sentences |= kind == "sentence"
            named = f' class="{kind}"' if kind else ""
            if filters and numeric[name] and row[name] == row[name]:
                named += f' data-sort="{row[name]:g}"'
            # The title is shown where a row becomes a card.
            body += f'<td{named} data-title="{escape(title)}">{content}</td>'
        body += "</tr>"
    kind = "dataframe cards" if sentences else "dataframe"
    kind += " dense" if len(drawn) >= _MANY else ""
    if filters:
        kind += " cards ledger-runs"
    markup = framed(caption, kind, head, body, f"table-scroll{' ledger-scroll' * bool(filters)}")
    if filters:
        markup = _filtered(frame, filters, markup)
    return Table(folded(markup, fold), caption, _values(frame, caption, shown, places, badges))


def badge(verdict: str) -> str:
    """Return a verdict as an HTML badge."""
    return f'<span class="verdict verdict-{_BADGES[verdict]}">{escape(verdict)}</span>'


def claims_table(verdicts: Mapping[str, pd.DataFrame], pages: Sequence[str]) -> Table:
    """Return the paper's claims with their computed verdicts, linked to the pages that judge them.

    `verdicts` are by where from (``SST, published``) those of :func:`verdicts.claims.verdicts`,
    each shown with its counts; the numbers shown are those of the first. `pages` are the notebooks
    there are; a claim whose page is not among them is not linked.
    """
    named, first = next(iter(verdicts.items()))
    rows = []
    for place, row in enumerate(first.to_dict("records")):
        page = next((name for name in pages if str(row["page"]) in name), None)
        claim = escape(str(row["claim"]))
        linked = claim
        if page:
            linked = f'<a href="{page}.html#{claim_anchor(row["number"])}">{claim}</a>'
        badges = "".join(
            f'<td data-title="{escape(source)}">{badge(str(frame["verdict"].iloc[place]))}'
            f"<br><small>{escape(str(frame['counts'].iloc[place]))}</small></td>"
            for source, frame in verdicts.items()
        )
        numbers = (
            f"<details><summary>numbers, {escape(named)}</summary>"
            f"{escape(str(row['sentence']))} {escape(str(row['paper']))}</details>"
        )
        rows.append(
            f'<tr><td>{row["number"]}</td><td class="sentence">{linked}{numbers}</td>{badges}</tr>'
        )
    caption = "The paper's claims, and what became of them here."
    head = "".join(f'<th scope="col">{escape(one)}</th>' for one in ("#", "Claim", *verdicts))
    return Table(
        framed(caption, "dataframe cards claims", head, "".join(rows)),
        caption,
        {
            f"claim {row['number']}, {source}": str(row["verdict"])
            for source, frame in verdicts.items()
            for row in frame.to_dict("records")
        },
    )


def claim_anchor(number: object) -> str:
    """Return the place of a claim on the page that judges it."""
    return f"claim-{number}"


def departures_table(departures: pd.DataFrame) -> Table:
    """Return `verdicts.departures.as_frame` as a table, by part; on a phone each is a card."""
    body = ""
    for part, rows in departures.groupby("part", sort=False):
        body += f'<tr><th colspan="4" scope="rowgroup">{str(part).capitalize()}</th></tr>'
        for row in rows.to_dict("records"):
            body += (
                f"<tr><td>{escape(row['what'])}</td>"
                f'<td data-title="The paper">{escape(row["paper"])}</td>'
                f'<td data-title="Here">{escape(row["here"])}</td>'
                f'<td data-title="Why">{escape(row["why"])}'
                f"<p><em>Effect:</em> {escape(row['effect'])}</p></td></tr>"
            )
    caption = "Every departure, and every choice the paper leaves open."
    heads = ("What", "The paper", "Here", "Why, and to what effect")
    head = "".join(f'<th scope="col">{title}</th>' for title in heads)
    return Table(
        f'<table class="dataframe departures"><caption>{caption}</caption><thead><tr>{head}</tr>'
        f"</thead><tbody>{body}</tbody></table>",
        caption,
    )


def framed(caption: str, kind: str, head: str, body: str, scroll: str = "table-scroll") -> str:
    """Return a table of some classes that scrolls in itself, focusable for a keyboard to do so."""
    return (
        f'<div class="{scroll}" tabindex="0" role="region" aria-label="{escape(caption)}">'
        f'<table class="{kind}"><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _filtered(frame: pd.DataFrame, filters: Sequence[str], markup: str) -> str:
    menus = ""
    for name in filters:
        texts = [_text(value, "") for value in frame[name]]
        menus += menu(name, TITLES.get(name, name), dict(zip(texts, texts, strict=True)))
    return (
        '<div class="ledger"><form class="ledger-choice" role="search" aria-label="Choose rows" '
        f'hidden>{menus}<span class="ledger-buttons"><button type="reset">Show all</button></span>'
        f'</form><p class="ledger-count" role="status" data-of="numbers">{len(frame)} numbers.</p>'
        f"{markup}</div>"
    )


def menu(name: str, title: str, choices: Mapping[str, str]) -> str:
    """Return what a reader chooses rows by: all, or one of the values, shown in words."""
    options = "".join(
        f'<option value="{escape(value)}">{escape(words)}</option>'
        for value, words in choices.items()
    )
    return (
        f'<label>{escape(title)} <select name="{name}"><option value="">all</option>{options}'
        "</select></label>"
    )


def _decimals(column: pd.Series) -> str:
    whole = pd.api.types.is_numeric_dtype(column) and (column.dropna() % 1 == 0).all()
    return ",.0f" if whole else ",.2f"


def _text(value: object, form: str) -> str:
    """Return what a cell says."""
    if value is None or value is pd.NA or value != value:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Real):
        return signed(value, form)
    return label(value)


def _cell(value: object, form: str, numeric: bool, verdict: bool) -> tuple[str, str]:
    """Return a cell's class and its content."""
    text = _text(value, form)
    if text == "–":
        return "number" if numeric else "", text
    if isinstance(value, Real) and not isinstance(value, bool):
        return "number", text
    if verdict and text in _BADGES:
        return "", badge(text)
    shown = escape(text).replace(" = ", "&nbsp;=&nbsp;")
    if len(text) > _NAME:
        return "sentence", shown
    # A name breaks at its commas: "Transformer, | scaled dot".
    return "name", re.sub(r"(?<!,) ", "&nbsp;", shown) if ", " in shown else shown


def _interval(low: object, high: object, form: str) -> str:
    ends = [_text(end, form) for end in (low, high)]
    return "–" if "–" in ends else f"[{', '.join(ends)}]"


def _values(
    frame: pd.DataFrame,
    caption: str,
    shown: Mapping[str, str],
    places: Mapping[str, str],
    badges: Sequence[str],
) -> dict[str, str]:
    """Return a table's numbers and verdicts, each named by caption, row and column."""
    values: dict[str, str] = {}
    table_name = shorten(caption.partition(". ")[0].rstrip("."), 60, placeholder=" …")
    for row in frame[list(shown)].to_dict("records"):
        texts = {name: _text(value, places[name]) for name, value in row.items()}
        found = {
            name
            for name, value in row.items()
            if (name in badges and texts[name] in _BADGES)
            or (isinstance(value, Real) and name not in _NAMING)
        }
        rest = (text for name, text in texts.items() if name not in found)
        named = [text for text in rest if text not in ("", "–") and len(text) <= _NAME]
        for name in shown:
            if name in found:
                key = " · ".join([table_name, *named, shown[name]])
                same = sum(other == key or other.startswith(f"{key} (") for other in values)
                values[f"{key} ({same + 1})" if same else key] = texts[name]
    return values
