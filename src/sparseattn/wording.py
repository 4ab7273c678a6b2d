"""How a sentence says names and numbers."""

import math
from collections.abc import Iterable, Sequence
from typing import SupportsFloat


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence lists them: ``SST, 20News and IMDb``."""
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def span(values: Iterable[SupportsFloat], form: str = ".2f") -> str:
    """Return the least and the greatest of some numbers, once where they read alike.

    Parameters
    ----------
    values
        The numbers; missing ones (NaN) do not count.
    form
        How to write one, such as ``.2f`` or ``.0%``: a digit before the kind.

    Returns
    -------
    str
        ``0.46 to 0.93``, with a true minus sign and no −0; ``undefined`` where there is none.
    """
    known = [number for number in map(float, values) if not math.isnan(number)]
    if not known:
        return "undefined"
    places = int(form[-2]) + 2 * (form[-1] == "%")
    # Adding zero turns −0.00 into 0.00.
    ends = [format(round(end, places) + 0.0, form) for end in (min(known), max(known))]
    return " to ".join(dict.fromkeys(end.replace("-", "−") for end in ends))
