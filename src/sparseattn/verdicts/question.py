"""The question itself, asked of examinations: is attention true, and does sparsity help?

Each *test* gives a number a document; the effect of sparse attention is the difference from softmax
on the same document and seed, and attention is also held against what chance would give. Cells,
intervals and words are those of the claims (`verdicts.claims`, `verdicts.judging`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import Markdown

from sparseattn import charts
from sparseattn.attribution.explainers import EXPLAINERS
from sparseattn.data.tasks import CONTEXT, SHORTCUTS
from sparseattn.experiments.runs import Examination
from sparseattn.measures.faithfulness import SAME
from sparseattn.measures.statistics import linearised, summarise
from sparseattn.results import published, side_by_side
from sparseattn.verdicts import claims
from sparseattn.verdicts.effects import WHERE, reach
from sparseattn.verdicts.judging import judge
from sparseattn.verdicts.luck import exchanged
from sparseattn.wording import classifier_names, label, listed, sentence, signed, span

KNOWN = ("planted", CONTEXT, *SHORTCUTS)
"""Tasks whose decisive tokens are known; published beside those of the paper."""
LEARNED = 0.9
"""A classifier less accurate has not learned what was planted: it holds no truth to find."""


@dataclass(frozen=True)
class Test:
    """One thing that an explanation should do."""

    name: str  # what attention does where it passes, in a few words
    column: str  # of an examination, 0 to 1, more is better; {} stands for the measure
    chance: str | float | None  # its column, or the number; None where there is no such thing
    unit: str  # of a hundredth
    statement: str  # what is measured, in one sentence
    anchor: str  # the section of the page that shows it


ROUTES = {
    "flow_itself": "Its own state",
    "flow_context": "Other states",
    "flow_attention": "The weights",
    "effect_unattended": "From words of weight zero",
}
PEOPLE = {
    "people_auprc_attention": "Attention",
    "people_auprc_inputs_product": "Gradient · embedding",
    "people_auprc_inputs_loo": "Leave-one-out",
    "people_auprc_chance": "Chance",
    "people_auprc_ceiling": "People among themselves",
}
STUDENT = {
    "simulated_attention": "Attention",
    "simulated_inputs_gradient": "Length of the gradient",
    "simulated_inputs_product": "Gradient · embedding",
    "simulated_inputs_loo": "Leave-one-out",
    "simulated_random": "Random words",
}
SUPPORT = {
    "tau_inputs_loo": "All words, leave-one-out",
    "tau_attended_inputs_loo": "Attended words, leave-one-out",
    "tau_inputs_gradient": "All words, gradient",
    "tau_attended_inputs_gradient": "Attended words, gradient",
    "tau_scores_inputs_loo": "Scores, leave-one-out",
}
"""What figures show of the tests, from the columns of an examination: see `parts`."""
DRAWN = tuple(name for name in EXPLAINERS if not name.endswith(("_fixed", "_norm")))
"""Measures that figures show; those left out are all but the same as others."""
SMALLEST = 5.0
"""Hundredths that matter, of every test; chosen after one seed was seen, and before the others."""
TESTS = (
    Test(
        "Finds the words that decide", "evidence_auc_{}", 0.5, "points of AUC",
        "The probability that a word that truly decides is ranked above another, where that is "
        "known.",
        "truth-known",
    ),
    Test(
        "Without its words the decision falls", "without_{}", "without_random",
        "points of the possible",
        "What the decision's probability loses without the first 10 to 50 % of the words, from the "
        "least (0) to the most (1) that any order reaches.",
        "truth-faithful",
    ),
    Test(
        "Its words alone keep the decision", "only_{}", "only_random",
        "points of the possible",
        "What the decision's probability keeps with only these words, on the same scale.",
        "truth-faithful",
    ),
    Test(
        "Few words carry the effect", "effect_in_tenth", "tenth_share", "points of the effect",
        "The share of the effect of replacing words that lies on the most attended tenth of them.",
        "truth-flow",
    ),
    Test(
        "A weight on a state is one on its word", "flow_itself", None, "points of the effect",
        "The share of the effect of replacing a word that goes through its own hidden state, not "
        "through other states or through the weights.",
        "truth-flow",
    ),
    Test(
        "Its words are those with a sentiment", "sentiment_auprc_{}", "sentiment_auprc_chance",
        "points of AUPRC",
        "The area under precision and recall of the words that people call positive or negative.",
        "truth-people",
    ),
    Test(
        "Its words are those people marked", "people_auprc_{}", "people_auprc_chance",
        "points of AUPRC",
        "The same for the words that decided for people who were asked.",
        "truth-people",
    ),
    Test(
        "The decision can be told from its words", "simulated_{}", "simulated_random",
        "points of accuracy",
        "How often a student that sees the first tenth of the words decides as the classifier.",
        "truth-simulated",
    ),
)  # fmt: skip
_BETTER = {
    "holds": "better", "holds on average": "better on average", "not reversed": "no worse",
    "negligible": "no different", "does not hold": "no better", "reversed": "worse",
    "reversed on average": "worse on average",
    "mixed": "better for some and worse for others", "too few data": "not certain",
}  # fmt: skip
_BOUNDED = ("not reversed", "does not hold")
_ABOVE = {
    "holds": "better than chance", "holds on average": "better than chance on average",
    "not reversed": "no worse than chance", "negligible": "as good as chance",
    "does not hold": "no better than chance", "reversed": "worse than chance",
    "reversed on average": "worse than chance on average", "mixed": _BETTER["mixed"],
    "too few data": "not certain",
}  # fmt: skip


def recorded(tasks: Sequence[str]) -> list[published.PublishedExamination]:
    """Return the published examinations of tasks, after those of `KNOWN` where there are any."""
    return [
        one
        for task in ((*KNOWN, *tasks) if tasks else ())
        for one in published.examinations([task])
    ]


def together(live: Sequence[Examination], known: Sequence[Examination]) -> pd.DataFrame:
    """Return a page's own examinations and `recorded` ones as one frame with `derived`."""
    frame = side_by_side.of_results(live, known)
    accuracy = {one.key: one.manifest["accuracy"] for one in [*known, *live]}
    return derived(frame.assign(accuracy=frame["key"].map(accuracy)))


def derived(frame: pd.DataFrame) -> pd.DataFrame:
    """Add what tests are of, and leave out truths that were not learned.

    ``without_E`` and ``only_E`` are the comprehensiveness and sufficiency of each measure E, texts
    weighted by what any order can change in them: of one that none changes, where attention comes
    between the least and the most is noise. ``effect_in_tenth`` is the effect on the most attended
    tenth of the words, ``tenth_share`` what it is by chance. What begins with ``evidence_`` is
    missing of classifiers whose ``accuracy`` is below `LEARNED`.
    """
    if frame.empty:
        return frame
    truths = [name for name in frame if name.startswith("evidence_")]
    frame = frame.assign(
        **{name: frame[name].where(frame["accuracy"] >= LEARNED) for name in truths},
        **_weighted(frame, "comprehensiveness", "without"),
        **_weighted(frame, "sufficiency", "only"),
    )
    return frame.assign(
        effect_in_tenth=1 - frame["effect_beyond_tenth"],
        tenth_share=1 - frame["beyond_tenth_share"],
    )


def _weighted(frame: pd.DataFrame, of: str, name: str) -> dict[str, pd.Series]:
    ends = [f"{of}_least", f"{of}_most"]
    measures = [one for one in frame if one.startswith(f"{of}_") and one not in ends]
    if not measures:
        return {}
    room = frame[ends[1]] - frame[ends[0]]
    room = room.where(room > SAME, 0.0)
    return {one.replace(of, name): linearised(frame[one], room, frame["key"]) for one in measures}


def unplanted(frame: pd.DataFrame) -> pd.DataFrame:
    """Leave the tasks whose decisive tokens are known, but where there is no other."""
    known = frame["task"].isin(KNOWN)
    return frame if known.all() else frame[~known]


def cells(frame: pd.DataFrame, chance: bool = False) -> pd.DataFrame:
    """Return the effects of the tests on `together`, a row a cell: `claims.EFFECT` and ``test``.

    Sparsemax less softmax; with `chance`, attention under sparsemax less what chance would give.
    """
    parts = [
        claims.by_cell(effect, SMALLEST, test.unit).assign(test=test.name)
        for test, effect in _effects(frame, chance)
    ]
    return claims.stacked(parts, [*claims.EFFECT, "test"])


def _effects(frame: pd.DataFrame, chance: bool = False) -> Iterator[tuple[Test, pd.Series]]:
    """Yield the tests that were measured, and the effects of each, a number a `claims.KEYS`."""
    for test, of in _asked(frame):
        column = test.column.format("attention")
        if not chance:
            both = claims.pairs(of, [column])
            yield test, 100 * (both[column] - both[f"{column}_even"])
        elif test.chance is not None:
            above = of.assign(effect=of[column] - of["chance"])
            yield test, 100 * claims.pairs(above, ["effect"])["effect"]


def _asked(frame: pd.DataFrame) -> Iterator[tuple[Test, pd.DataFrame]]:
    """Yield the tests that were measured, and the rows of each with what ``chance`` would give."""
    real = unplanted(frame)
    for test in TESTS:
        # Where the truth was planted it is asked for; the other tests are of texts as people write.
        of = frame if test.anchor == "truth-known" else real
        if test.column.format("attention") in of:
            level = of[test.chance] if isinstance(test.chance, str) else test.chance or np.nan
            yield test, of.assign(chance=level)


def by_luck(frame: pd.DataFrame) -> str:
    """Say how often so many tests would come out so if projections did not matter; see `luck`."""
    found = exchanged({test.name: one for test, one in _effects(frame)}, SMALLEST)
    told = [
        f"{side} in {(found[side] >= found[side][0]).mean():.0%} of cases"
        for side in found
        if found[side][0]
    ]
    if not told:
        return ""
    return (
        "By luck alone, were the two projections alike, as many tests or more would come out "
        f"{listed(told)}."
    )


def verdicts(effects: pd.DataFrame) -> pd.DataFrame:
    """Judge each test on some cells, one row each: ``test``, ``unit``, ``smallest``, the judgement.

    See `verdicts.judging.judge`; tests without a cell are left out.
    """
    rows = [
        {
            "test": test.name,
            "unit": test.unit,
            "smallest": SMALLEST,
            "anchor": test.anchor,
            "statement": test.statement,
            **judge(effects[effects["test"] == test.name], SMALLEST),
        }
        for test in TESTS
        if (effects["test"] == test.name).any()
    ]
    return pd.DataFrame(rows)


def with_one_less(effects: pd.DataFrame) -> pd.DataFrame:
    """Return `verdicts` with what they become without one classifier: ``one_less``, in words."""
    found = verdicts(effects)
    told = []
    for test in found.get("test", []):
        of = effects[effects["test"] == test]
        several = of.index[of["seeds"] > 1]
        words = [judge(of.drop(index=one), SMALLEST)["verdict"] for one in several]
        counts = pd.Series(words, dtype=object).map(_BETTER).value_counts()
        told.append("; ".join(f"{word} in {count}" for word, count in counts.items()) or None)
    return found.assign(one_less=told)


def rows(
    effects: pd.DataFrame, page: str, chance: bool = False
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return `cells` and their means for `charts.forest`, a row a test; a click leads to `page`."""
    found = verdicts(effects)
    if len(found):
        words = found["verdict"].replace(_ABOVE if chance else _BETTER)
        address = page + ".html#" + found["anchor"]
        found = found.assign(row=found["test"], verdict=words, page=address)
    return effects.assign(row=effects["test"]), found


def figure(
    effects: pd.DataFrame,
    page: str,
    chance: bool = False,
    each: str = "classifier and task",
    fold: str | None = None,
    of: str = "",
) -> charts.Figure | Markdown:
    """Draw `cells` and their means, against softmax or chance; `of` other classifiers, if named."""
    sides, name = ("worse", "better"), "better"
    caption = (
        f"Sparsemax against softmax: the effect of each test on every {each}, in units of the "
        "smallest effect that would matter (5 points). Right of the grey band sparse attention is "
        "the better explanation, left of it the worse, if the point's interval excludes zero."
    )
    if chance:
        sides, name = ("below chance", "above it"), "above-chance"
        caption = (
            "Sparsemax attention against chance, in the same units: right of the grey band it is "
            "better than a random order of the words, if the point's interval excludes zero."
        )
    if of:
        name, caption = f"{name}-{of.replace(' ', '-')}", f"{of.capitalize()}. {caption}"
    return charts.show(
        charts.forest,
        *rows(effects, page, chance),
        sides=sides,
        name=name,
        caption=caption,
        missing=f"This needs {'' if chance else 'softmax and '}a sparse projection.",
        fold=fold,
    )


def answer(frame: pd.DataFrame) -> str:
    """Return as Markdown whether sparse attention is the better explanation, and one at all.

    `frame` is from `together`.
    """
    better, above = (cells(frame, chance) for chance in (False, True))
    return in_words(verdicts(better), verdicts(above), f"{judged_on(better)} {by_luck(frame)}")


def in_words(better: pd.DataFrame, above: pd.DataFrame, more: str = "") -> str:
    """Tell `verdicts` of `cells` against softmax, and against chance; `more` after the first."""
    if better.empty:
        return "**No answer here**: this needs softmax and a sparse projection."
    words, total = better["verdict"].str.removesuffix(" on average"), len(better)
    counts = words.value_counts()
    gains, unknown = counts.get("holds", 0), counts.get("too few data", 0)
    against = counts.reindex(["negligible", "does not hold", "reversed"]).sum()
    start = f"In {gains or 'none'} of {total} tests"
    if gains == total:
        start = "Yes"
    elif not gains and against and 2 * (unknown + counts.get("not reversed", 0)) <= total:
        start = "No"
    elif not gains and 2 * unknown > total:
        start = "Not certain"
    rest = [
        f"{word} in {counts[one]}"
        for one, word in {**_BETTER, "mixed": "mixed"}.items()
        if one in counts and one != "holds" and (len(counts) > 1 or start.startswith("In"))
    ]
    told = "; ".join([start, *rest])
    bounded = [_BETTER[one] for one in _BOUNDED if one in counts]
    meant = (
        f" {sentence(listed(bounded))}: if at all, on average by less than the {SMALLEST:g} points "
        "that would matter."
    ) * bool(bounded)
    return (
        f"**Is sparse attention the better explanation? {told}.** Sparsemax against softmax, over "
        f"{total} tests: {said(better)}.{meant} {more.strip()}\n\n**Is it one at all?** Sparsemax "
        f"attention against chance, over the {len(above)} tests that have one: "
        f"{said(above, chance=True)}."
    )


def judged_on(effects: pd.DataFrame) -> str:
    """Say on which tasks tests are judged, by `cells`, and which do not count, having one seed."""
    several = effects["seeds"] > 1
    tasks = effects[several].groupby("test", sort=False)["origin"].unique()
    told: list[str] = []
    alike = tasks.groupby(tasks.map(tuple), sort=False)
    for where, tests in sorted(alike, key=lambda one: len(one[1])):  # most last: "the others"
        few = len(tests) < len(tasks) / 2
        of = (
            f"*{'; '.join(map(within, tests.index))}* on " if few else "the others on " * bool(told)
        )
        told.append(f"{of}{listed(list(where))}{' alone' if len(where) == 1 else ''}")
    single = sorted(set(effects["origin"]) - set(effects["origin"][several]))
    if single:
        told.append(f"{listed(single)}, of one seed, does not count")
    return f"Judged on the texts of: {'; '.join(told)}." if several.any() else ""


def attained(frame: pd.DataFrame) -> pd.DataFrame:
    """Return what attention attains in each test, beside chance and leave-one-out, a row a test.

    ``test``, ``softmax``, ``sparsemax``, ``chance`` and ``loo``, from 0 to 1: means over cells, of
    those with several seeds if there are any; missing where there is no such thing.
    """
    rows = []
    for test, of in _asked(frame):
        own, best = (test.column.format(name) for name in ("attention", "inputs_loo"))
        of = of.assign(loo=of.get(best) if own != best else np.nan)
        both = claims.pairs(of, [own, "chance", "loo"]).dropna(subset=[own, f"{own}_even"])
        seeds = both.reset_index().groupby(claims.CELL)["seed"].nunique()
        means = both.groupby(claims.CELL).mean()[(seeds > 1) | (seeds == seeds.max())].mean()
        if len(both):
            attention = {"softmax": means[f"{own}_even"], "sparsemax": means[own]}
            rows.append({"test": test.name, **attention, **means[["chance", "loo"]]})
    return pd.DataFrame(rows, columns=["test", "softmax", "sparsemax", "chance", "loo"])


def reached(found: pd.DataFrame) -> str:
    """Say how much of the way from chance to leave-one-out sparsemax's attention comes.

    `found` is from `attained`; tests in which leave-one-out is no better than chance do not count.
    """
    found = found[found["loo"] > found["chance"]]
    way = (found["sparsemax"] - found["chance"]) / (found["loo"] - found["chance"])
    if way.empty:
        return ""
    ends = {within(found["test"][place]): way[place] for place in (way.idxmin(), way.idxmax())}
    told = [f"{signed(share, '.0%')} ({test})" for test, share in ends.items()]
    count = f"the {len(way)} tests that leave-one-out can take too" if len(way) > 1 else "one test"
    return (
        "**How good is it?** Of the way from chance to leave-one-out, sparsemax's attention comes "
        f"{' to '.join(told)}, over {count}."
    )


def said(found: pd.DataFrame, chance: bool = False) -> str:
    """Tell `verdicts` of `cells`: how many tests came out how, and by how much where one can say.

    What most tests say is told by their number, the others by name.
    """
    told = []
    for word, name in (_ABOVE if chance else _BETTER).items():
        some = found[found["verdict"] == word] if len(found) else found
        if some.empty:
            continue
        sized = word != "too few data" and some["value"].notna().all()
        together = f"{span(some['value'], '+z.1f')} points" if sized else ""
        if len(some) > max(1, len(found) / 2):
            more = f"by {together}" * bool(together)
        elif word in _BOUNDED:
            more = f"{'; '.join(map(within, some['test']))}: {together}"
        else:
            more = "; ".join(
                within(one["test"]) + (_size(one, not chance) if sized else "")
                for one in some.to_dict("records")
            )
        told.append(f"*{name}* in {len(some)}" + f" ({more})" * bool(more))
    return "; ".join(told) or "nothing was measured"


def _size(row: dict[str, Any], sure: bool) -> str:
    value = signed(row["value"], "+z.1f")
    known = sure and pd.notna(row["low"])
    ends = f" [{span([row['low'], row['high']], '.1f')}]" if known else ""
    return f": {value}{ends} {row['unit'].split()[0]}"


def within(name: str) -> str:
    """Return a test's name as it stands within a sentence."""
    return name[0].lower() + name[1:]


def levels(
    frame: pd.DataFrame, column: str, by: Sequence[str], names: Sequence[str] = tuple(EXPLAINERS)
) -> pd.DataFrame:
    """Summarise one test of several measures of importance, and of what chance would give.

    `column` has ``{}`` for the measure; measures that no row has are left out. As from
    `measures.statistics.summarise`, a cell for each of the columns `by`, with ``shown``, the
    measure in words.
    """
    return _summed(frame, by, {column.format(name): measure_name(name) for name in names})


def parts(frame: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    """Summarise columns, whose names in words are the values, by classifier and projection.

    In ``part``, and in ``shown`` with the task where there are several.
    """
    if frame.empty:
        return frame
    named = frame.assign(classifier=classifier_names(frame))
    found = _summed(named, [*WHERE, "projection", "sparsity"], names)
    if found.empty:
        return found
    found = found.assign(part=found["shown"])
    if len(set(found["origin"])) == 1:
        return found
    return found.assign(shown=found["shown"] + " (" + found["origin"] + ")")


def _summed(frame: pd.DataFrame, by: Sequence[str], names: Mapping[str, str]) -> pd.DataFrame:
    """Summarise those columns that some row has, cell by cell; ``shown`` are their names."""
    known = [one for one in names if one in frame and frame[one].notna().any()]
    if not known:
        return pd.DataFrame()
    pooled = side_by_side.pooled(frame.dropna(subset=known, how="all"), by, known)
    found = summarise(pooled, by, known).dropna(subset=["mean"])
    return found.assign(shown=found["quantity"].map(names))


def left_out(frame: pd.DataFrame) -> str:
    """Say how much of all effect comes from words whose weight is exactly zero."""
    sparse = unplanted(frame[frame["projection"] == "sparsemax"]) if len(frame) else frame
    if sparse.empty or "effect_unattended" not in sparse:
        return ""
    means = sparse.assign(classifier=classifier_names(sparse)).groupby(WHERE, sort=False)[
        ["effect_unattended", "unattended_share", "flow_context"]
    ].mean()  # fmt: skip
    where = means.index.get_level_values("origin")
    return (
        f"Under sparsemax, {span(means['unattended_share'], '.0%')} of the words have a weight of "
        f"exactly zero, and {span(means['effect_unattended'], '.0%')} of all effect comes from "
        f"them ({len(means)} classifiers, {listed(list(dict.fromkeys(where)))}): "
        "what is zero on a state is not zero on its word. "
        f"{span(means['flow_context'], '.0%')} of the effect goes through the states of other "
        "words."
    )


def within_support(found: pd.DataFrame) -> str:
    """Say in how many classifiers attended words agree more than all do: `parts` of `SUPPORT`."""
    if found.empty:
        return ""
    wide = found.pivot_table("mean", WHERE, "quantity", sort=False)
    told = []
    for kind in ("loo", "gradient"):
        more = wide[f"tau_attended_inputs_{kind}"] - wide[f"tau_inputs_{kind}"]
        told.append(
            f"by {label(kind)} τ-b is higher among the attended words in {(more > 0).sum()} of "
            f"{more.notna().sum()} classifiers, and lower in {(more < 0).sum()}"
        )
    means = reach(found, "part", of="Kendall's τ-b")
    return f"{sentence('; '.join(told))}.\n\n{means}"


def measure_name(name: str) -> str:
    """Return a measure of importance in words: ``Gradient · embedding``."""
    return sentence(label(name.removeprefix("inputs_")))
