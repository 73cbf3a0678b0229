from dataclasses import replace

import numpy as np
import pytest

from medembed.preflight.encode_probe import EncodedSample
from medembed.preflight.quality import ALL, survey
from medembed.preflight.queries import QuerySample, Slice
from medembed.preflight.sample import CorpusSample

DOCUMENTS = 24
NAMES = tuple(f"d{number:02d}" for number in range(DOCUMENTS))
CORPUS = CorpusSample(tuple((name, "") for name in NAMES), (), {}, DOCUMENTS, DOCUMENTS, 0)


def encoded() -> EncodedSample:
    """60 queries: the first 40 find d00 at any width; the last 20 ask for d23, which needs the last
    dimension.
    """
    documents = np.zeros((DOCUMENTS, 4), dtype=np.float32)
    documents[:, 0] = 1
    documents[0] = [0, 1, 0, 0]
    documents[23] = [0.6, 0, 0, 0.8]
    easy, hard = [0, 1, 0, 0], [0.6, 0, 0, 0.8]
    return EncodedSample(8, np.array([easy] * 40 + [hard] * 20, dtype=np.float32), documents)


def queries() -> QuerySample:
    names = tuple(map(str, range(60)))
    positives = tuple({"d00": 1.0} if number < 40 else {"d23": 1.0} for number in range(60))
    slices = (Slice("fr -> en", tuple(range(40, 60))), Slice("tag lay", (0, 1, 40, 41)))
    languages = dict.fromkeys(NAMES, "en")
    return QuerySample(
        names, names, names, positives, languages, core=60, slices=slices, few={"tag rare": 3}
    )


def test_recall_is_told_at_each_dimension_for_all_queries_and_each_slice():
    found = survey(encoded(), queries(), CORPUS, [2])
    assert [(cell.name, cell.dimension, cell.queries) for cell in found.cells] == [
        (ALL, 4, 60),
        ("fr -> en", 4, 20),
        ("tag lay", 4, 4),
        (ALL, 2, 60),
        ("fr -> en", 2, 20),
        ("tag lay", 2, 4),
    ]
    assert [cell.recall.value for cell in found.cells] == pytest.approx([1, 1, 1, 40 / 60, 0, 0.5])
    assert found.few == {"tag rare": 3}
    (kept,) = found.kept
    assert (kept.dimension, kept.share.value) == (2, pytest.approx(2 / 3))
    assert 0.45 < kept.share.low < 2 / 3 < kept.share.high < 0.9
    for cell in found.cells:
        assert cell.sure.low <= cell.recall.low <= cell.recall.high <= cell.sure.high
    worst = found.cells[4]
    assert (worst.recall.high, worst.sure.high) == (
        pytest.approx(0.1611, abs=1e-4),
        pytest.approx(0.2657, abs=1e-4),
    )


def test_the_mean_is_that_of_the_fair_sample_and_not_of_queries_added_for_a_slice():
    fair = replace(queries(), core=40)
    found = survey(encoded(), fair, CORPUS, [2])
    assert [cell.recall.value for cell in found.cells if cell.name == ALL] == [1.0, 1.0]
    assert found.ndcg == 1.0
    assert found.kept[0].share.value == 1.0
    assert found.cells[4].recall.value == 0.0, "the slice has its own"


def test_an_answer_in_another_language_does_not_count_in_a_pair_of_languages():
    base = queries()
    both = tuple({"d00": 1.0, "d23": 1.0} for _ in base.ids)
    languages = base.languages | {"d00": "fr"}
    lines = tuple(range(40))
    slices = (
        Slice("fr -> fr", lines, "fr"),
        Slice("fr -> en", lines, "en"),
        Slice("language fr", lines),
    )
    asked = replace(base, positives=both, languages=languages, slices=slices)
    found = survey(encoded(), asked, CORPUS, [2])
    at_two = {cell.name: cell.recall.value for cell in found.cells if cell.dimension == 2}
    assert (at_two["fr -> fr"], at_two["fr -> en"], at_two["language fr"]) == (1.0, 0.0, 0.5)


def test_documents_before_a_positive_are_counted_with_all_dimensions_over_the_fair_sample():
    names = ["d00"] * 30 + ["d01"] * 10 + ["d23"] * 10 + ["d01"] * 10
    asked = replace(queries(), positives=tuple({name: 1.0} for name in names), core=50)
    found = survey(encoded(), asked, CORPUS, [2]).outranked
    assert found is not None
    assert found.value == pytest.approx(10 * (1 / 23) / 50), (
        "d00 alone is before d01, for 10 of 50 queries"
    )
    assert 0 < found.low < found.value < found.high < 0.03


def test_what_a_dimension_keeps_is_not_told_of_a_few_groups_or_of_nothing():
    few = replace(queries(), groups=("g",) * 60)
    assert survey(encoded(), few, CORPUS, [2]).kept == ()
    assert survey(encoded(), few, CORPUS, [2]).outranked is None
    unfound = replace(queries(), positives=tuple({"absent": 1.0} for _ in range(60)))
    assert survey(encoded(), unfound, CORPUS, [2]).kept == ()
