from pathlib import Path

import pytest

from medembed.mining.pairs import Pair
from medembed.preflight.sample import draw_corpus, make_examples, read_corpus
from medembed.schema import content_hash
from tests.preflight.small import DOCUMENTS, write_small

NAMES = [f"d{number}" for number in range(50)]
ROWS = [
    (f"{name}#chunk-{piece}", f"text {piece} of {name}", "x" if name == "d0" else None)
    for name in NAMES
    for piece in range(3)
]


def test_the_documents_with_the_smallest_hashes_are_drawn_whole_beside_those_asked_for():
    corpus = draw_corpus(ROWS, 50, {"d7", "d8"}, set(), 12)
    smallest = sorted(set(NAMES) - {"d7", "d8"}, key=content_hash)[:10]
    assert [row_id for row_id, _ in corpus.forced] == [
        f"d{n}#chunk-{piece}" for n in (7, 8) for piece in range(3)
    ]
    assert [row_id for row_id, _ in corpus.drawn] == [
        f"{name}#chunk-{piece}" for name in smallest for piece in range(3)
    ]
    assert (
        corpus.documents,
        corpus.rows,
        corpus.labelled,
        corpus.drawn_documents,
        corpus.unseen,
    ) == (50, 150, 3, 10, 38)


def test_the_order_of_rows_changes_nothing_even_if_chunks_lie_apart():
    apart = ROWS[2::3] + ROWS[1::3] + ROWS[0::3]
    assert draw_corpus(apart, 50, {"d7"}, {"d9"}, 12) == draw_corpus(ROWS, 50, {"d7"}, {"d9"}, 12)


def test_half_of_the_sample_is_drawn_however_many_are_asked_for():
    assert draw_corpus(ROWS, 50, set(NAMES[:30]), set(), 20).drawn_documents == 10


def test_reading_a_data_set_file_by_file_keeps_its_texts(tmp_path: Path):
    corpus = read_corpus(write_small(tmp_path / "data"), {"d1"}, {"d2"}, 60)
    assert dict((*corpus.forced, *corpus.drawn)) == DOCUMENTS
    assert (corpus.extra, corpus.rows) == ({"d2": ("d2", DOCUMENTS["d2"])}, 60)


def test_a_document_s_language_is_that_of_its_rows(tmp_path: Path):
    dataset = write_small(tmp_path / "data")
    assert dataset.languages_of({"d1", "d59", "absent"}) == {
        "d1": "en",
        "d59": "en",
        "absent": "und",
    }


@pytest.mark.parametrize("negatives", [0, 2])
def test_examples_have_as_many_negatives_as_asked(negatives: int):
    corpus = draw_corpus(ROWS, 50, set(), {"d9"}, 20)
    pairs = [Pair("q1", "text of q1", "d9"), Pair("q2", "text of q2", "absent")]
    (example,) = make_examples(pairs, corpus, negatives)
    assert (example["query"], example["positive_id"], example["positive"]) == (
        "text of q1",
        "d9#chunk-0",
        "text 0 of d9",
    )
    assert list(zip(example["negative_ids"], example["negatives"], strict=True)) == list(
        corpus.drawn[:negatives]
    )
