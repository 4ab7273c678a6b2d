from collections import Counter

import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from sparseattn.data import planted
from sparseattn.data.planted import PlantedOptions, generate
from sparseattn.errors import UserError, validate

SETTINGS = [
    PlantedOptions(documents=(300, 20, 20)),
    PlantedOptions(documents=(300, 20, 20), context=True, length=(12, 40)),
    PlantedOptions(documents=(300, 20, 20), cues=2, distractors=5, length=(8, 8)),
    PlantedOptions(documents=(300, 20, 20), context=True, cues=1, distractors=0, length=(4, 9)),
]


def polarity(words, evidence, context):
    """The label, worked out anew from the decisive words alone."""
    decisive = [word for word, yes in zip(words, evidence, strict=True) if yes]
    total, sign = 0, 1
    for word in decisive:
        if word in planted.AFFIRMERS or word in planted.NEGATORS:
            assert context
            sign = -1 if word in planted.NEGATORS else 1
        else:
            total += sign * (1 if word in planted.POSITIVE else -1)
            sign = 1
    return int(total > 0)


@pytest.mark.parametrize("options", SETTINGS)
def test_evidence_decides_the_label(options):
    for documents in generate(options).values():
        for words, label, evidence in documents:
            assert options.length[0] <= len(words) == len(evidence) <= options.length[1]
            assert sum(evidence) == options.cues * (2 if options.context else 1)
            assert polarity(words, evidence, options.context) == label


@pytest.mark.parametrize("options", SETTINGS)
def test_counts_of_words_are_as_set(options):
    for words, _, _ in generate(options)["train"]:
        kinds = Counter(
            name
            for word in words
            for name in ("POSITIVE", "NEGATIVE", "AFFIRMERS", "NEGATORS", "DISTRACTORS")
            if word in getattr(planted, name)
        )
        modifiers = options.cues if options.context else 0
        assert kinds["POSITIVE"] + kinds["NEGATIVE"] == options.cues
        assert kinds["AFFIRMERS"] == kinds["NEGATORS"] == modifiers
        assert kinds["DISTRACTORS"] == options.distractors


def test_modifiers_stand_right_before_their_cue():
    for words, _, evidence in generate(SETTINGS[1])["train"]:
        for i, word in enumerate(words):
            if word in planted.POSITIVE or word in planted.NEGATIVE:
                assert words[i - 1] in planted.AFFIRMERS + planted.NEGATORS
                assert evidence[i - 1]


def test_classes_are_balanced_and_words_known_once():
    for documents in generate(PlantedOptions(context=True)).values():
        assert sum(d.label for d in documents) * 2 == len(documents)
    assert len(set(planted.WORDS)) == len(planted.WORDS)


@pytest.mark.parametrize("context", [False, True])
def test_a_bag_of_words_suffices_only_without_context(context):
    documents = generate(PlantedOptions(context=context, documents=(3000, 2, 2000)))
    bags = CountVectorizer(token_pattern=r"\S+")
    train = bags.fit_transform(" ".join(d.words) for d in documents["train"])
    test = bags.transform(" ".join(d.words) for d in documents["test"])
    model = LogisticRegression(max_iter=2000).fit(train, [d.label for d in documents["train"]])
    accuracy = model.score(test, [d.label for d in documents["test"]])
    if context:  # chance, within three standard errors
        assert abs(accuracy - 0.5) < 3 * 0.5 / 2000**0.5
    else:
        assert accuracy > 0.98


def test_distractors_are_as_common_in_one_class_as_in_the_other():
    documents = generate(PlantedOptions(documents=(4000, 2, 2)))["train"]
    counts = [Counter(), Counter()]
    for words, label, _ in documents:
        counts[label].update(w for w in words if w in planted.DISTRACTORS)
    share = [counts[1][w] / (counts[0][w] + counts[1][w]) for w in planted.DISTRACTORS]
    assert all(abs(s - 0.5) < 4 * 0.5 / 1000**0.5 for s in share)


def test_noise_flips_that_share_of_labels_and_nothing_else():
    clean, noisy = (
        generate(PlantedOptions(documents=(4000, 2, 2), noise=noise))["train"] for noise in (0, 0.2)
    )
    assert [d.words for d in clean] == [d.words for d in noisy]
    flipped = sum(a.label != b.label for a, b in zip(clean, noisy, strict=True)) / 4000
    assert abs(flipped - 0.2) < 4 * (0.2 * 0.8 / 4000) ** 0.5


def test_more_documents_extend_the_same_ones_and_seeds_differ():
    few, many = (generate(PlantedOptions(documents=(n, 10, 10))) for n in (10, 20))
    assert many["train"][:10] == few["train"]
    assert many["test"] == few["test"] != few["dev"]
    assert generate(PlantedOptions(documents=(10, 10, 10), seed=1)) != few


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": [5, 30]}, "6 <= fewest"),
        ({"length": [30, 12]}, "fewest <= most"),
        ({"context": True, "cues": 4}, "take 16"),
        ({"documents": [10, 10, 1]}, "at least 2"),
        ({"noise": 0.5}, "less than 0.5"),
        ({"seed": -1}, "greater than or equal to 0"),
        ({"cues": "3"}, "valid integer"),
        ({"length": [12.5, 30]}, "integer"),
        ({"lenght": [12, 30]}, "Did you mean 'length'"),
    ],
)
def test_impossible_settings_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        validate(PlantedOptions, options)
