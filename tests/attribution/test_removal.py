"""Removal against whole passes; limits against every order; rankings at their best and worst."""

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from sparseattn.attribution import removal
from sparseattn.attribution.removal import (
    KINDS,
    LONG,
    ORDERS,
    RANDOM,
    Removals,
    curves,
    limits,
    rankings,
    removal_curves,
    stand_ins,
)
from sparseattn.data.words import BEGIN, END, UNKNOWN
from sparseattn.errors import UserError
from sparseattn.measures.faithfulness import SHARES, cuts, drop, faithfulness
from sparseattn.models.batches import collate
from sparseattn.models.classifier import Classifier, ModelSettings

ENCODERS = ("none", "bilstm", "transformer")
WORDS = 60


def make(encoder="bilstm", projection="sparsemax", embedding_size=10):
    torch.manual_seed(1)
    settings = ModelSettings(
        encoder=encoder, projection=projection, embedding_size=embedding_size, hidden_size=6,
    )  # fmt: skip
    classifier = Classifier(settings, WORDS)
    with torch.no_grad():  # far from uniform attention, and decisions that flip
        classifier.embedding.weight.mul_(20)
        for weight in (*classifier.alignment.parameters(), classifier.decoder.weight):
            weight.mul_(5)
    return classifier.eval()


def document(n, seed=0, words=WORDS):
    generator = torch.Generator().manual_seed(seed)
    return torch.tensor([BEGIN, *torch.randint(4, words, (n,), generator=generator).tolist(), END])


@torch.no_grad()
def logit(classifier, tokens):
    if not len(tokens):
        return classifier.decoder.bias.item()
    return classifier(collate([torch.tensor([BEGIN, *tokens, END])])).logit.item()


def subsets(n, count, seed=0):
    return np.random.default_rng(seed).random((count, n)) < 0.5


@pytest.mark.parametrize("embedding_size", [4, 30])  # fewer, and more, than there are words
@pytest.mark.parametrize("by", KINDS)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_subset_is_a_whole_pass(encoder, by, embedding_size):
    classifier, ids = make(encoder, embedding_size=embedding_size), document(9)
    tokens, others = ids[1:-1].numpy(), np.arange(4, 13) if by == "other" else None
    keep = np.concatenate([subsets(9, 40), np.eye(9, dtype=bool), np.zeros((1, 9), dtype=bool)])
    found = Removals(classifier, ids, by, others).logits(keep)
    instead = UNKNOWN if by == "unknown" else others
    expected = [
        logit(classifier, tokens[row] if by == "deletion" else np.where(row, tokens, instead))
        for row in keep
    ]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


@examples(max_examples=25)
@given(
    st.lists(st.integers(4, 6), min_size=1, max_size=9),
    st.sampled_from(ENCODERS),
    st.sampled_from([None, 1, 20_000]),
)
def test_equal_texts_get_equal_logits(tokens, encoder, memory):
    ids, keep = torch.tensor([BEGIN, *tokens, END]), subsets(len(tokens), 60)
    removals = Removals(make(encoder), ids, memory=memory)
    kept = {}
    for some in (keep[:30], keep[30:]):  # of one call or of two
        for row, value in zip(some, removals.logits(some).tolist(), strict=True):
            text = tuple(np.array(tokens)[row])
            text = tuple(sorted(text)) if encoder == "none" else text
            assert kept.setdefault(text, value) == value


def test_no_other_document_has_a_say():
    classifier, ids = make(), [document(9, 1), document(12, 2), document(9, 1)]
    rows = np.random.default_rng(0).random((3, 12))
    rows[2] = rows[0]
    found = curves(classifier, ids, {"e": rows})
    alone = curves(classifier, ids[:1], {"e": rows[:1]})
    for name in ("e", RANDOM):
        for one, whole in ((alone.without, found.without), (alone.only, found.only)):
            np.testing.assert_array_equal(whole[name][2], whole[name][0])
            np.testing.assert_array_equal(one[name][0], whole[name][0])
    np.testing.assert_array_equal(found.limits[2], found.limits[0])
    np.testing.assert_array_equal(alone.limits[0], found.limits[0])


def test_another_tokens_stand_in_for_the_rest():
    pool = np.arange(100, 200)
    drawn = stand_ins(document(30), pool)
    assert drawn.shape == (30,)
    assert np.isin(drawn, pool).all()
    np.testing.assert_array_equal(drawn, stand_ins(document(30), pool))
    assert (drawn != stand_ins(document(30, 1), pool)).any()


def test_rankings_break_ties_at_random_and_nothing_else():
    orders = np.stack([np.random.default_rng(seed).permutation(4) for seed in range(50)])
    found = rankings(np.array([0.0, 2.0, 0.0, 1.0]), orders)
    assert {tuple(one) for one in found} == {(1, 3, 0, 2), (1, 3, 2, 0)}
    np.testing.assert_array_equal(rankings(np.zeros(4), orders), orders)


def test_the_first_tokens_are_taken_and_kept():
    classifier, ids = make(), document(10)
    tokens, values = ids[1:-1].numpy(), np.arange(10.0)  # the last token first
    without, only = removal_curves(Removals(classifier, ids), {"e": values})
    assert without["e"].shape == (ORDERS, len(SHARES))
    for at, k in enumerate(cuts(10)):
        np.testing.assert_allclose(without["e"][:, at], logit(classifier, tokens[:-k]), rtol=1e-4)
        np.testing.assert_allclose(only["e"][:, at], logit(classifier, tokens[-k:]), rtol=1e-4)


def test_ties_throughout_are_chance():
    found = removal_curves(
        Removals(make(), document(12)), {"zero": np.zeros(12), "one": np.ones(12)}
    )
    for curve in found:
        np.testing.assert_array_equal(curve["zero"], curve[RANDOM])
        np.testing.assert_array_equal(curve["one"], curve[RANDOM])


def areas_of_all_orders(classifier, ids, by="deletion", others=None):
    """Comprehensiveness and sufficiency of every order, from a pass a text."""
    tokens, found = ids[1:-1].numpy(), []
    n, whole = len(tokens), np.array([logit(classifier, tokens)])
    instead = UNKNOWN if by == "unknown" else others
    known = {}

    def lost(keep):
        if tuple(keep) not in known:
            text = tokens[keep] if by == "deletion" else np.where(keep, tokens, instead)
            known[tuple(keep)] = float(drop(whole, np.array([logit(classifier, text)]))[0])
        return known[tuple(keep)]

    for order in permutations(range(n)):
        firsts = [np.isin(np.arange(n), order[:k]) for k in cuts(n)]
        found.append([np.mean([lost(~f) for f in firsts]), np.mean([lost(f) for f in firsts])])
    return np.array(found)


@pytest.mark.parametrize("n", [1, 2, 3, 5])
@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("by", ["deletion", "unknown"])
def test_exact_limits_are_those_of_all_orders(by, encoder, n):
    classifier, ids = make(encoder), document(n, n)
    areas = areas_of_all_orders(classifier, ids, by)
    expected = np.stack([areas.min(axis=0), areas.max(axis=0)], axis=1)
    np.testing.assert_allclose(limits(Removals(classifier, ids, by)), expected, atol=1e-6)


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("by", ["deletion", "unknown"])
def test_searches_stay_within_the_exact_limits(by, encoder, monkeypatch):
    """And the wider, the closer: a beam of all sets is exact."""
    for seed in range(5):
        removals = Removals(make(encoder), document(7, seed), by)
        (least, most), room = limits(removals).T, 1e-6
        with monkeypatch.context() as patch:
            patch.setattr(removal, "EXACT", 0)
            beam = limits(removals)
            patch.setattr(removal, "WIDTH", 1000)
            np.testing.assert_allclose(limits(removals).T, [least, most], atol=room)
            patch.setattr(removal, "LONG", 0)
            blocks = limits(removals)
        for found in (beam, blocks):
            assert (found[:, 0] >= least - room).all()
            assert (found[:, 1] <= most + room).all()
            assert (found[:, 0] <= found[:, 1]).all()


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("by", ["deletion", "unknown"])
def test_a_single_effect_is_that_of_its_set(by, kept):
    """Of one token more that is removed, or kept, in a text where some are already."""
    removals = Removals(make(), document(9), by)
    present = subsets(9, 1)[0]
    sets = np.array([present | (np.arange(9) == one) for one in np.nonzero(~present)[0]])
    expected = removals.drops(sets if kept else ~sets)
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(removal._singles(removals, present, kept), expected, atol=1e-6)


@pytest.mark.parametrize("n", [20, LONG + 5])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_chance_lies_within_what_is_searched(encoder, n):
    removals = Removals(make(encoder), document(n))
    found = limits(removals)
    curve = removal_curves(removals, {})
    for (least, most), one in zip(found, curve, strict=True):
        chance = drop(removals.whole, one[RANDOM]).mean(axis=1)
        assert least <= chance.min() + 1e-9
        assert chance.max() <= most + 1e-9
        assert least < most


@pytest.mark.parametrize("n", [6, 15, LONG + 10])
def test_an_oracle_is_best_and_its_reverse_worst(n):
    """A bag of words: the same weight everywhere, so each token's value is what it gives."""
    classifier = make("none", "softmax")
    with torch.no_grad():
        for weight in classifier.alignment.parameters():
            weight.zero_()
        ids = torch.cat(
            [torch.tensor([BEGIN]), 4 + torch.randperm(WORDS - 4)[:n], torch.tensor([END])]
        )
        values = classifier.embedding(ids[1:-1]) @ classifier.decoder.weight[0]
    order = values if logit(classifier, ids[1:-1].numpy()) > 0 else -values
    rows = {"oracle": order[None].numpy(), "reverse": -order[None].numpy()}
    columns = faithfulness(curves(classifier, [ids], rows))
    for name in ("comprehensiveness", "sufficiency"):
        assert columns[f"{name}_oracle"] == pytest.approx(1, abs=1e-4)
        assert columns[f"{name}_reverse"] == pytest.approx(0, abs=1e-4)
        assert 0.1 < columns[f"{name}_random"] < 0.9
    assert columns["flip_oracle"] <= columns["flip_random"] <= columns["flip_reverse"]


@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_order_lies_between_exact_limits(encoder):
    classifier, ids = make(encoder), [document(4)] * 24
    rows = np.array(list(permutations(range(4))), dtype=np.float64)
    found = faithfulness(curves(classifier, ids, {"e": rows}))
    for name in ("comprehensiveness_e", "sufficiency_e"):
        assert found[name].min() == pytest.approx(0, abs=1e-6)
        assert found[name].max() == pytest.approx(1, abs=1e-6)
        # Random orders lie near the mean of all orders, each of which is as likely.
        chance = found[name.replace("_e", "_random")][0]
        assert abs(chance - found[name].mean()) < 3 * found[name].std() / np.sqrt(ORDERS)


def test_short_and_undefined_documents():
    classifier = make()
    ids = [torch.tensor([BEGIN, END]), document(1), document(2), document(4)]
    rows = np.zeros((4, 4))
    rows[3, 1] = np.nan
    found = curves(classifier, ids, {"e": rows})
    columns = faithfulness(found)
    assert found.logit[0] == classifier.decoder.bias.item()
    assert np.isnan([column[0] for column in columns.values()]).all()
    for name in ("comprehensiveness_e", "sufficiency_e", "comprehensiveness_random"):
        assert np.isnan(columns[name][1])  # one token: no order
    assert not np.isnan(columns["flip_e"][1:3]).any()
    for name in ("comprehensiveness", "sufficiency", "flip"):
        assert np.isnan(columns[f"{name}_e"][3])
        assert not np.isnan(columns[f"{name}_random"][2:]).any()
    for column in curves(classifier, [], {"e": np.zeros((0, 0))}).without.values():
        assert column.shape == (0, ORDERS, len(SHARES))


def test_words_of_other_documents_are_drawn_for_each_document():
    classifier, ids, pool = make(), [document(6), document(4, 1)], np.arange(10, 40)
    found = curves(classifier, ids, {}, "other", pool, limited=False)
    for row, one in enumerate(ids):
        removals = Removals(classifier, one, "other", stand_ins(one, pool))
        for every, alone in zip(
            (found.without, found.only), removal_curves(removals, {}), strict=True
        ):
            np.testing.assert_array_equal(every[RANDOM][row], alone[RANDOM])


def test_wrong_kinds_are_answered():
    classifier, ids = make(), document(3)
    with pytest.raises(UserError, match=r"'by' was 'delete'.*Did you mean 'deletion'"):
        Removals(classifier, ids, "delete")
    for by, others in (("other", None), ("other", np.array([4])), ("deletion", np.array([4] * 3))):
        with pytest.raises(UserError, match=r"'other' needs one token for each"):
            Removals(classifier, ids, by, others)
    with pytest.raises(UserError, match=r"'other' needs a pool"):
        curves(classifier, [ids], {}, "other")
