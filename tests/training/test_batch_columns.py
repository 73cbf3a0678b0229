import torch

from medembed.training.losses.positive_mask import find_positives
from medembed.training.rows.batch_columns import (
    NO_DOCUMENT,
    known_pairs,
    to_columns,
    to_triplets,
)

EXAMPLES = [
    {"query": "q1", "positive_id": "a", "positive": "A", "negative_ids": ["b"], "negatives": ["B"]},
    {"query": "q2", "positive_id": "b", "positive": "B", "negative_ids": [], "negatives": []},
    {"query": "q1", "positive_id": "c", "positive": "C", "negative_ids": ["a"], "negatives": ["A"]},
]


def test_columns_are_texts_in_the_trainers_order_and_ids_that_tell_alike_ones():
    columns = to_columns(EXAMPLES)
    assert list(columns) == ["query", "positive", "negative_0", "label"]
    assert columns["query"] == ["q1", "q2", "q1"]
    assert columns["negative_0"] == ["B", "", "A"]
    first, second, third = columns["label"]
    assert first[0] == third[0] != second[0]
    assert first[2] == second[1]
    assert first[1] == third[2]
    assert second[2] == NO_DOCUMENT
    assert list(to_columns([EXAMPLES[1]])) == ["query", "positive", "label"]


def test_positives_that_no_example_pairs_with_the_query_are_known_by_the_judgments():
    rows = [row | {"query_id": row["query"]} for row in EXAMPLES]
    labels = to_columns(rows)["label"]
    q1, a = labels[0][:2]
    q2, b = labels[1][:2]
    named = {(row[0], row[1]) for row in labels}
    qrels = {"q2": {"a": 1.0, "b": 1.0, "nowhere": 1.0}, "q1": {"b": 0.0}, "q3": {"a": 1.0}}
    assert set(known_pairs(rows, qrels)) == named | {(q2, a)}
    assert (q1, b) not in known_pairs(rows, qrels), "judged not relevant"


def test_a_querys_own_text_is_no_negative_of_it():
    fr, en = "A15#text-fr", "A15#text-en"
    rows = [
        {"query_id": fr, "query": "Rougeole", "positive_id": en, "positive": "Measles"},
        {"query_id": en, "query": "Measles", "positive_id": fr, "positive": "Rougeole"},
    ]
    rows = [row | {"negative_ids": [], "negatives": []} for row in rows]
    (french, english), (measles, rougeole) = to_columns(rows)["label"]
    everything = {(query, name) for query in (french, measles) for name in (english, rougeole)}
    assert set(known_pairs(rows, {})) == everything


def test_another_chunk_of_a_positive_document_is_masked_in_the_batch():
    examples = [
        EXAMPLES[0] | {"positive_id": "a#chunk-0", "negative_ids": ["c#chunk-1"]},
        EXAMPLES[1] | {"negative_ids": ["a#chunk-3"], "negatives": ["A3"]},
    ]
    ids = torch.tensor(to_columns(examples)["label"])
    masked = find_positives(
        ids[:, 0], ids[:, 1:].T.reshape(-1), ids[:, :2], torch.arange(2)
    ).of_rows(0, 2)
    # Documents of the batch, in order: a#chunk-0, b, c#chunk-1, a#chunk-3.
    assert masked is not None
    assert masked.tolist() == [[False, False, False, True], [False, False, False, False]]


def test_triplets_have_a_row_for_each_negative():
    assert to_triplets(EXAMPLES) == {
        "query": ["q1", "q1"],
        "positive": ["A", "C"],
        "negative": ["B", "A"],
        "label": [0, 0],
    }
