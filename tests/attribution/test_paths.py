"""Paths of effects: against interventions with whole passes, and where the answer is known."""

import numpy as np
import pytest
import torch
from networks import WORDS, document, documents, make

from sparseattn.attribution.importance import attention
from sparseattn.attribution.lstm import BLOCK
from sparseattn.attribution.paths import PATHS, path_effects, replacements
from sparseattn.attribution.transformer import LONG
from sparseattn.data.tasks import load_task
from sparseattn.data.words import BEGIN, END, MARKERS, UNKNOWN
from sparseattn.errors import UserError, validate
from sparseattn.measures.flow import flow
from sparseattn.models.batches import collate
from sparseattn.models.training import TrainingSettings, evaluate, fit

ENCODERS = ("none", "bilstm", "transformer")
PROJECTIONS = (
    {"projection": "softmax"},
    {"projection": "sparsemax"},
    {"projection": "sparsegen", "lam": 0.6},
    {"projection": "entmax"},
)


def others(ids):
    """Another word for each token."""
    return [4 + (one[1:-1] - 4 + 7) % (WORDS - 4) for one in ids]


@torch.no_grad()
def by_intervention(classifier, ids, replaced):
    """Let one thing change at a time, by whole passes: into the text, and out of the changed one.

    Of each token: the change of the logit; by its own state, by the other states, by the weights;
    by its own score alone.
    """
    batch = collate([ids])
    before, rows = classifier(batch), []
    for i, word in enumerate(replaced.tolist(), 1):
        changed = ids.clone()
        changed[i] = word
        after = classifier(collate([changed]))

        def change(start, end, states=(), weights=False, score=(), batch=batch):
            """Return the change of the logit when this much of `start` becomes that of `end`."""
            hidden = start.hidden.clone()
            hidden[:, states] = end.hidden[:, states]
            fixed = end.attention if weights else start.attention
            if score:
                scores = start.scores.clone()
                scores[:, score] = end.scores[:, score]
                fixed = classifier.projection(scores, batch.tokens)
            return (classifier.from_hidden(hidden, batch, fixed)[2] - start.logit).item()

        everywhere = [j for j in range(len(ids)) if j != i]
        mean_states = before._replace(hidden=(before.hidden + after.hidden) / 2)
        into_mean = mean_states._replace(
            logit=classifier.from_hidden(mean_states.hidden, batch, before.attention)[2]
        )
        out_of_mean = mean_states._replace(
            attention=after.attention,
            scores=after.scores,
            logit=classifier.from_hidden(mean_states.hidden, batch, after.attention)[2],
        )
        pairs = [
            {"states": [i]},
            {"states": everywhere},
            {"weights": True},
        ]
        parts = [(change(before, after, **o) - change(after, before, **o)) / 2 for o in pairs]
        own = change(into_mean, after, score=[i]) - change(out_of_mean, before, score=[i])
        rows.append([(after.logit - before.logit).item(), *parts, own / 2])
    return np.array(rows).T


@pytest.mark.parametrize("projection", PROJECTIONS, ids=str)
@pytest.mark.parametrize("alignment", ["additive", "dot"])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_parts_are_means_of_interventions_into_and_out_of_the_change(
    encoder, alignment, projection
):
    ids = documents(3, 1, 7, BLOCK, BLOCK + 1, 2 * BLOCK + 3)
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        classifier = make(encoder, alignment, dtype, **projection)
        found = path_effects(classifier, ids, others(ids))
        assert list(found) == ["total", *PATHS, "attention_itself"]
        for row, (one, words) in enumerate(zip(ids, others(ids), strict=True)):
            slow = by_intervention(classifier, one, words)
            for name, expected in zip(found, slow, strict=True):
                assert found[name].dtype == {4: np.float32, 8: np.float64}[dtype.itemsize]
                np.testing.assert_allclose(
                    found[name][row, : len(words)], expected, atol=tolerance, rtol=0
                )
                assert (found[name][row, len(words) :] == 0).all()


@pytest.mark.parametrize("encoder", ENCODERS)
def test_parts_add_up_to_the_change(encoder):
    classifier, ids = make(encoder, projection="sparsemax"), documents(30, 8)
    found = path_effects(classifier, ids, others(ids))
    assert abs(found["total"]).max() > 1e-3
    np.testing.assert_allclose(sum(found[path] for path in PATHS), found["total"], atol=1e-14)


@pytest.mark.parametrize("memory", [1, 10**5])
def test_a_long_document_in_chunks(memory):
    classifier, ids = make("transformer"), documents(LONG)
    found = path_effects(classifier, ids, others(ids), memory=memory)
    whole = path_effects(classifier, ids, others(ids))
    for name, expected in whole.items():
        np.testing.assert_allclose(found[name], expected, atol=1e-12)


@pytest.mark.parametrize("projection", PROJECTIONS, ids=str)
def test_with_no_encoder_there_is_no_context(projection):
    ids = documents(20, 5)
    for dtype in (torch.float32, torch.float64):
        classifier = make("none", dtype=dtype, **projection)
        found = path_effects(classifier, ids, others(ids))
        assert (found["context"] == 0).all()
        assert (found["attention"] == found["attention_itself"]).all()
        assert (found["itself"] != 0).any()


@pytest.mark.parametrize("encoder", ENCODERS)
def test_under_uniform_weights_nothing_flows_through_attention(encoder):
    classifier, ids = make(encoder, dtype=torch.float32), documents(20, 5)
    with torch.no_grad():
        for weight in classifier.alignment.parameters():
            weight.zero_()
    found = path_effects(classifier, ids, others(ids))
    assert (found["attention"] == 0).all()
    assert (found["attention_itself"] == 0).all()
    assert (found["itself"] != 0).any()


def test_without_memory_a_bilstm_has_no_context():
    classifier, ids = make(), documents(20)
    size = classifier.encoder.size // 2
    with torch.no_grad():
        for lstm in (classifier.encoder.forwards, classifier.encoder.backwards):
            lstm.weight_hh_l0.zero_()
            lstm.weight_ih_l0[size : 2 * size] = 0
            lstm.bias_ih_l0[size : 2 * size] = -100  # the gate that forgets
    found = path_effects(classifier, ids, others(ids))
    np.testing.assert_allclose(found["context"], 0, atol=1e-14)
    assert abs(found["itself"]).max() > 1e-3


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_word_replaced_by_itself_has_no_effect(encoder):
    classifier, ids = make(encoder, dtype=torch.float32), documents(20, 5)
    for part in path_effects(classifier, ids, [one[1:-1] for one in ids]).values():
        assert (part == 0).all()


@pytest.mark.parametrize("encoder", ENCODERS)
def test_equal_texts_have_equal_bits(encoder):
    classifier, ids = make(encoder, dtype=torch.float32), documents(9, 17)
    replaced = others(ids)
    order = [1, 0, 1]
    found = path_effects(classifier, [ids[d] for d in order], [replaced[d] for d in order])
    for name, part in path_effects(classifier, ids, replaced).items():
        np.testing.assert_array_equal(found[name], part[order])


def test_a_word_that_is_not_attended_reaches_the_logit_by_others_or_by_its_own_score():
    ids = documents(*[15] * 10)
    for encoder in ENCODERS:
        classifier = make(encoder, projection="sparsemax")
        found = path_effects(classifier, ids, others(ids))
        unattended = attention(classifier, ids) == 0
        part = {name: abs(one[unattended]).max() for name, one in found.items()}
        assert part["attention"] > 1e-3
        if encoder == "none":  # what it has itself, it has by a weight that it gains
            gained = found["attention_itself"][unattended] != 0
            assert (found["itself"][unattended][~gained] == 0).all()
            assert (found["total"][unattended][~gained] == 0).all()
            assert not gained.all()
        else:
            assert part["context"] > 1e-3


def trained(context):
    """A BiLSTM that decides one cue, which a modifier before it may negate, or a plain one."""
    options = {"context": context, "documents": [3000 if context else 600, 100, 60]}
    task = load_task("planted", {**options, "cues": 1, "distractors": 1, "length": [6, 10]})
    settings = {"epochs": 12 if context else 4, "embedding_size": 16, "hidden_size": 16}
    settings |= {"learning_rate": 0.01, "device": "cpu"}
    classifier = fit(validate(TrainingSettings, settings), task).classifier.eval()
    assert evaluate(classifier, task.test)["accuracy"] > 0.95
    return classifier, task


@pytest.mark.slow
def test_where_context_decides_effects_flow_through_it():
    """Of the decisive words; that the same words decide by themselves is the comparison."""
    share = {}
    for context in (True, False):
        classifier, task = trained(context)
        ids = list(task.test.ids)
        parts = path_effects(classifier, ids, replacements(ids)[0])
        for row, evidence in enumerate(task.test.evidence):
            for part in parts.values():
                part[row, : len(evidence)] *= evidence.numpy()
        found = flow(parts, attention(classifier, ids), task.test.lengths)
        share[context] = np.nanmean(found["flow_context"])
    assert share[True] > share[False] + 0.05
    assert share[True] > 0.5


def test_replacements_are_other_words_of_other_texts():
    ids = documents(8, 1, 12, 30)
    for drawn in replacements(ids, 3):
        for row, (one, words) in enumerate(zip(ids, drawn, strict=True)):
            pool = torch.cat([other[1:-1] for d, other in enumerate(ids) if d != row])
            assert len(words) == len(one) - 2
            assert torch.isin(words, pool).all()
            assert (words != one[1:-1]).all()
            assert not torch.isin(words, torch.tensor([0, BEGIN, END])).any()
    assert [MARKERS[i] for i in (0, BEGIN, END)] == ["<pad>", "<begin>", "<end>"]


def test_replacements_follow_from_the_content():
    ids = documents(8, 5, 12, 30, 6)
    drawn = replacements(ids, 2)
    assert not all(map(torch.equal, *drawn))  # another draw is another
    assert all(map(torch.equal, drawn[0], replacements(ids)[0]))
    order = [3, 1, 1, 0, 4, 2]  # nor do order and repeated texts matter
    for one, words in zip(order, replacements([ids[d] for d in order])[0], strict=True):
        assert torch.equal(words, drawn[0][one])


def test_another_text_changes_few_replacements():
    ids = documents(*[50] * 20)
    before, after = replacements(ids[:19])[0], replacements(ids)[0]
    changed = torch.cat([a != b for a, b in zip(before, after[:19], strict=True)])
    assert 0 < changed.double().mean() < 0.1  # 1 in 20 of 950, give or take 0.7 %
    added = torch.cat(after[:19])[changed]
    assert torch.isin(added, ids[19]).all()


def test_all_other_texts_and_places_are_drawn_alike():
    """A text of unlike words draws from four texts; counted against a binomial spread."""
    first = document(*range(200, 1200))
    ids = [first, document(10, 11), document(12, 13, 14, 15), document(16), document(17, 18)]
    words = replacements(ids)[0][0].numpy()
    for text, places in (((10, 11), 2), ((12, 13, 14, 15), 4), ((16,), 1), ((17, 18), 2)):
        for word in text:
            expected = 1000 / 4 / places
            assert abs((words == word).sum() - expected) < 4 * expected**0.5


def test_a_text_of_one_word_is_passed_over_by_that_word():
    same, other = document(9, 9), document(9, 30, 9)
    assert replacements([same, other])[0][0].tolist() == [30, 30]
    assert replacements([same, other])[0][1].tolist()[::2] == [9, 9]  # there is no other
    assert replacements([same, document(UNKNOWN)])[0][1].tolist() == [9]


def test_wrong_input_is_said():
    same = documents(4)[0]
    with pytest.raises(UserError, match=r"two different texts.*got 1\. Give more"):
        replacements([same, same, document()])
    with pytest.raises(UserError, match="4 tokens and 3 replacements"):
        path_effects(make(), [same], [same[1:-2]])
    assert replacements([]) == [[]]
    assert path_effects(make(), [document()], [same[1:1]])["total"].shape == (1, 0)
