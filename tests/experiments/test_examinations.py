import pytest
import tiny
from numpy.testing import assert_allclose, assert_array_equal

from sparseattn.errors import validate
from sparseattn.experiments.examinations import explanations
from sparseattn.experiments.specs import ExaminationSpec, examinations_of, stored_spec
from sparseattn.experiments.store import Store
from sparseattn.results import published
from sparseattn.results.frames import measurements
from sparseattn.results.publishing import publish, publishable


def examined(store, task=None, **changes):
    (spec,) = examinations_of([tiny.spec(**changes)], 4)
    return store.compute(spec, task)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("store"))


def test_an_examination_is_kept_and_found(store):
    one = examined(store)
    again = store.compute(one.spec)
    assert again.key == one.key
    assert store.get(one.key).key == one.key
    assert [kept.key for kept in store.results("examinations")] == [one.key]
    assert stored_spec(ExaminationSpec.KIND, one.manifest["spec"]) == one.spec
    assert one.manifest["base"] == store.compute(tiny.spec()).key


def test_only_the_first_documents_are_examined_and_all_are_simulated(store):
    rows = examined(store).measurements()
    assert len(rows) == 6
    assert rows["comprehensiveness_random"].notna().sum() <= 4
    assert rows["flow_itself"].notna().sum() == 4
    assert rows["simulated_attention"].isin([0.0, 1.0]).all()
    assert not any(name.startswith(("sentiment", "people", "swapped")) for name in rows)


def test_what_is_a_share_or_a_correlation_lies_within_its_bounds(store):
    rows = examined(store, projection="sparsemax").measurements()
    for name in rows:
        low = -1 if name.startswith(("tau", "raw")) else 0
        if name == "length" or name.startswith(("comprehensiveness", "sufficiency")):
            continue
        values = rows[name].dropna()
        assert values.between(low, 1 + 1e-6).all(), name


def test_the_same_bits_whatever_was_examined_before(store, tmp_path):
    first, again = examined(store), examined(Store(tmp_path))
    for name, values in first.measurements().items():
        assert_array_equal(values, again.measurements()[name], err_msg=name)


def test_without_an_encoder_nothing_flows_through_context(store):
    rows = examined(store, encoder="none").measurements()
    assert (rows["flow_context"].dropna() == 0).all()
    assert_allclose(rows["evidence_auc_attention_rollout"], rows["evidence_auc_attention"])


def test_traces_are_taken_over_as_they_are(store):
    task, run = tiny.task(), store.compute(tiny.spec())
    ids = list(run.documents(task).ids)[:3]
    taken, own = explanations(run.classifier(), ids, run.traces), explanations(
        run.classifier(), ids
    )  # fmt: skip
    assert taken.keys() == own.keys()
    for name, values in own.items():
        assert_allclose(taken[name], values, rtol=1e-4, atol=1e-6, err_msg=name)


def test_published_they_are_read_back_and_not_written_twice(store, tmp_path):
    one = examined(store)
    found = publishable(store, ["planted"], kind="examinations")
    publish([one], tmp_path)
    (again,) = published.examinations(folder=tmp_path)
    assert again.key == one.key
    assert one.key in {kept.key for kept in found}
    theirs, ours = again.measurements(), one.measurements()
    for name, values in ours.items():
        assert_allclose(theirs[name], values, rtol=1e-4, err_msg=name)
    assert publish([one], tmp_path) == []
    frame = measurements([again])
    assert frame["key"].unique().tolist() == [one.key]
    assert frame["encoder"].eq("bilstm").all()


def test_how_many_documents_is_checked():
    with pytest.raises(Exception, match="documents"):
        validate(ExaminationSpec, {"base": tiny.spec(), "documents": 0})
