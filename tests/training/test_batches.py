import torch

from medembed.training.batches import NO_DOCUMENT, to_columns
from medembed.training.losses import known_positives

EXAMPLES = [
    {"query": "q1", "positive_id": "a", "positive": "A", "negative_ids": ["b"], "negatives": ["B"]},
    {"query": "q2", "positive_id": "b", "positive": "B", "negative_ids": [], "negatives": []},
    {"query": "q1", "positive_id": "c", "positive": "C", "negative_ids": ["a"], "negatives": ["A"]},
]


def test_columns_are_texts_behind_their_prompts_in_the_trainers_order():
    columns = to_columns(EXAMPLES, "query: ", "passage: ")
    assert list(columns) == ["query", "positive", "negative_0", "label"]
    assert columns["query"] == ["query: q1", "query: q2", "query: q1"]
    assert columns["negative_0"] == ["passage: B", "", "passage: A"]


def test_labels_give_one_number_to_one_text_and_mark_missing_negatives():
    labels = to_columns(EXAMPLES, "", "")["label"]
    assert labels[0][0] == labels[2][0] != labels[1][0]
    assert labels[0][2] == labels[1][1]
    assert labels[0][1] == labels[2][2]
    assert labels[1][2] == NO_DOCUMENT


def test_examples_without_any_negative_have_two_text_columns():
    assert list(to_columns([EXAMPLES[1]], "", "")) == ["query", "positive", "label"]


def test_another_chunk_of_a_positive_document_is_masked_in_the_batch():
    examples = [
        {"query": "q1", "positive_id": "a#chunk-0", "positive": "A", "negative_ids": ["c#chunk-1"], "negatives": ["C"]},
        {"query": "q2", "positive_id": "b", "positive": "B", "negative_ids": ["a#chunk-3"], "negatives": ["A3"]},
    ]
    ids = torch.tensor(to_columns(examples, "", "")["label"])
    masked = known_positives(ids[:, 0], ids[:, 1], ids[:, 1:].T.reshape(-1), ids[:, 0], torch.arange(2))
    # Documents of the batch, in order: a#chunk-0, b, c#chunk-1, a#chunk-3.
    assert masked.tolist() == [[False, False, False, True], [False, False, False, False]]
