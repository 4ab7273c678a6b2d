"""How far a sweep is, and when it will end: a bar, lines, or a line of a notebook."""

import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from tqdm import tqdm

from sparseattn.experiments.store import Kept, Wanted

LINES_EVERY = 10.0  # seconds, where the output is a file


class Progress:
    """Progress of a sweep.

    Parameters
    ----------
    specs
        The runs to compute.
    jobs
        How many are computed at once.
    earlier
        Earlier runs, from which the time is estimated until some of these are done.
    show
        False shows nothing.
    """

    def __init__(
        self, specs: Sequence[Wanted], jobs: int, earlier: Sequence[Kept[Any]], show: bool
    ) -> None:
        self.remaining, self.total, self.jobs = list(specs), len(specs), jobs
        self.start = time.monotonic()
        self.epochs: dict[Wanted, str] = {}
        self.known = [
            (kept.spec.task, kept.spec.encoder, sum(kept.manifest["seconds"].values()))
            for kept in earlier
        ]
        self.display: _Terminal | _Lines | _Notebook | None = None
        if show:
            kinds = _Notebook if _in_notebook() else _Terminal if sys.stderr.isatty() else _Lines
            self.display = kinds(self.total)
            self._update()

    def epoch(self, spec: Wanted, number: int, of: int) -> None:
        """Note that a run has finished an epoch."""
        self.epochs[spec] = f"{number}/{of}"
        self._update()

    def finish(self, spec: Wanted, seconds: float | None) -> None:
        """Note that a run has ended, and how long it took; None when it failed."""
        self.remaining.remove(spec)
        self.epochs.pop(spec, None)
        if seconds is not None:
            self.known.append((spec.task, spec.encoder, seconds))
        self._update(ended=True)

    def close(self) -> None:
        """End the display."""
        if self.display:
            self.display.close()

    def seconds_left(self) -> float | None:
        """Estimate the seconds until the end; None when nothing is known yet."""
        expected = [self._expected(spec) for spec in self.remaining]
        known = [seconds for seconds in expected if seconds is not None]
        if not known and expected:
            return None
        mean = sum(known) / len(known) if known else 0.0
        return sum(mean if one is None else one for one in expected) / self.jobs

    def _expected(self, spec: Wanted) -> float | None:
        for like in ((spec.task, spec.encoder), (spec.task,)):
            found = [one[-1] for one in self.known if one[: len(like)] == like]
            if found:
                return sum(found[-20:]) / len(found[-20:])
        return None

    def _update(self, ended: bool = False) -> None:
        if not self.display:
            return
        parts = [f"{_clock(time.monotonic() - self.start)} so far"]
        left = self.seconds_left()
        if self.remaining and left is not None:
            parts.append(f"about {_clock(left)} left")
        if self.epochs:
            parts.append("in epoch " + ", ".join(self.epochs.values()))
        self.display.update(self.total - len(self.remaining), "; ".join(parts), ended)


class _Terminal:
    def __init__(self, total: int) -> None:
        form = "{percentage:3.0f}%|{bar}| {n}/{total} runs{postfix}"
        self.bar = tqdm(total=total, bar_format=form, file=sys.stderr, dynamic_ncols=True)

    def update(self, done: int, text: str, ended: bool) -> None:
        self.bar.set_postfix_str(text, refresh=False)
        self.bar.update(done - self.bar.n)
        self.bar.refresh()

    def close(self) -> None:
        self.bar.close()


class _Lines:
    def __init__(self, total: int) -> None:
        self.total, self.printed = total, -LINES_EVERY

    def update(self, done: int, text: str, ended: bool) -> None:
        now = time.monotonic()
        if now - self.printed >= LINES_EVERY or (ended and done == self.total):
            self.printed = now
            print(f"{done}/{self.total} runs; {text}", file=sys.stderr, flush=True)

    def close(self) -> None:
        pass


class _Notebook:
    """One line, gone when all is done: a page does not keep it."""

    def __init__(self, total: int) -> None:
        from IPython import display as ipython

        self.total = total
        show: Any = ipython.display
        self.handle = show({"text/plain": ""}, raw=True, display_id=True)

    def update(self, done: int, text: str, ended: bool) -> None:
        line = f"{done}/{self.total} runs; {text}"
        self.handle.update({"text/plain": line}, raw=True)

    def close(self) -> None:
        self.handle.update({"text/plain": ""}, raw=True)


def _in_notebook() -> bool:
    if "ipykernel" not in sys.modules:
        return False
    from IPython import get_ipython

    return get_ipython() is not None


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
