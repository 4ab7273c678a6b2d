"""What a chart shows, in words, for readers who cannot see it: its numbers, not its form."""

from collections.abc import Iterator, Sequence

import pandas as pd

from sparseattn.wording import span

_MOST = 40  # numbers a reader listens to; of more, how far they reach is said


def numbers(rows: pd.DataFrame, title: str, value: str, by: Sequence[str | None]) -> str:
    """Say the values of `tidy` rows: ``Accuracy. SST, BiLSTM: softmax 0.81, sparsemax 0.80.``

    Parameters
    ----------
    title
        What `value` is.
    by
        Columns of the names: of a panel, a row and a colour, or the last alone; None for one that
        the chart lacks. Of more than 40 numbers, each panel's and colour's reach is said.
    """
    names = _names(by)
    here = rows[rows["source"] == "here"] if "source" in rows else rows
    here = here.dropna(subset=[value])
    if len(here.groupby(names)) > _MOST:
        names = [names[0], names[-1]] if len(names) > 2 else names[-1:]
    *places, last = names
    form = _form(here[value])
    told = []
    for place, part in _parts(here, places):
        each = part.groupby(last, sort=False)[value]
        told.append(f"{place}{', '.join(f'{name} {span(some, form)}' for name, some in each)}.")
    return f"{title}. {' '.join(told)}"


def along(
    rows: pd.DataFrame, title: str, value: str, by: Sequence[str | None], over: str, at: str
) -> str:
    """Say where each line of `tidy` rows begins, is half-way and ends; the names are in `at`.

    ``Accuracy. SST, BiLSTM: 0.81 at λ = −50, 0.80 at λ = 0.6.`` Parameters as of `numbers`.
    """
    names = _names(by)
    rows = rows.dropna(subset=[value])
    form = _form(rows[value])
    if len(rows.groupby(names)) > _MOST // 2:
        return numbers(rows, title, value, by)
    told = []
    for place, line in _parts(rows, names):
        means = line.groupby([over, at])[value].mean()
        each = [f"{span([mean], form)} at {name}" for (_, name), mean in means.items()]
        shown = {0, len(each) - 1} | ({len(each) // 2} if len(each) > 4 else set())
        told.append(f"{place}{', '.join(each[at] for at in sorted(shown))}.")
    return f"{title}. {' '.join(told)}"


def _names(by: Sequence[str | None]) -> list[str]:
    return list(dict.fromkeys(name for name in by if name is not None))


def _parts(rows: pd.DataFrame, names: Sequence[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the rows of each place with its name, in the order of the chart."""
    if not names:
        yield "", rows
        return
    for place, part in rows.groupby(list(names), sort=False):
        yield f"{', '.join(map(str, place))}: ", part


def _form(values: pd.Series) -> str:
    """Return the digits that tell values of such a size apart."""
    most = values.abs().max()
    if most >= 1 and (values == values.round()).all():
        return ".0f"
    return ",.0f" if most >= 100 else ".2f" if most >= 0.1 else ".4f"
