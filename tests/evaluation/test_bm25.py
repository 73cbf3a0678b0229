import logging
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medembed import storage
from medembed.evaluation.bm25 import K1, B, bm25_fingerprint, rank_bm25
from medembed.schema import document_of

CORPUS = {
    "d1": "aspirin relieves pain pain",
    "d2": "Aspirin thins the blood",
    "d3": "the blood carries oxygen to the tissues of the body",
    "d4": "la douleur est soulagée",
    "d5": "vitamin C",
}
WORDS = ["heart", "pain", "blood", "fièvre", "c", "rash"]


def write(folder: Path, corpus: dict[str, str], *, files: int = 1) -> list[tuple[str, int]]:
    rows = [{"document_id": name, "text": text} for name, text in corpus.items()]
    parts = [rows[number::files] for number in range(files)]
    schema = pa.schema([("document_id", pa.string()), ("text", pa.string())])
    written = [(str(folder / f"{number}.parquet"), len(part)) for number, part in enumerate(parts)]
    for (uri, _), part in zip(written, parts, strict=True):
        storage.write_parquet(uri, pa.Table.from_pylist(part, schema=schema))
    return written


def textbook(corpus: dict[str, str], query: str) -> list[tuple[str, float]]:
    """BM25 in float64, by the formula: every document that shares a word, best first."""
    texts = {name: text.casefold().split() for name, text in corpus.items()}
    mean = sum(len(words) for words in texts.values()) / len(texts)
    scores: dict[str, float] = {}
    for name, words in texts.items():
        counts, score = Counter(words), 0.0
        for word in query.casefold().split():
            having = sum(word in other for other in texts.values())
            idf = math.log(1 + (len(texts) - having + 0.5) / (having + 0.5))
            score += idf * counts[word] / (counts[word] + K1 * (1 - B + B * len(words) / mean))
        document = document_of(name)
        scores[document] = max(scores.get(document, 0.0), score)
    return sorted(
        ((name, score) for name, score in scores.items() if score > 0),
        key=lambda row: (-row[1], row[0]),
    )


def listed(ids: np.ndarray, scores: np.ndarray) -> list[tuple[str, float]]:
    return [
        (name, score) for name, score in zip(ids.tolist(), scores.tolist(), strict=True) if name
    ]


def test_scores_and_order_are_those_of_the_formula(tmp_path):
    queries = ["aspirin pain", "the BLOOD", "blood blood oxygen", "douleur soulagée", "C"]
    ranking = rank_bm25(write(tmp_path, CORPUS), queries, 3)
    assert (ranking.ids.shape, ranking.owners) == ((5, 3), None)
    for number, query in enumerate(queries):
        expected = textbook(CORPUS, query)[:3]
        best = listed(ranking.ids[number], ranking.scores[number])
        assert [name for name, _ in best] == [name for name, _ in expected]
        assert [score for _, score in best] == pytest.approx(
            [score for _, score in expected], rel=1e-6
        )


def test_documents_without_a_word_of_the_query_are_not_retrieved_however_large_k(tmp_path):
    ranking = rank_bm25(write(tmp_path, CORPUS), ["oxygen", "", "zebra", "zebra pain"], 9)
    assert [row[0] for row in ranking.ids.tolist()] == ["d3", "", "", "d1"]
    assert (ranking.ids[:, 1:] == "").all()
    assert np.isneginf(ranking.scores[ranking.ids == ""]).all()


def test_equal_scores_come_in_order_of_document_ids_also_where_k_cuts_them(tmp_path):
    names = [f"d{number}" for number in range(60)]
    corpus = dict.fromkeys(names[::-1], "heart rash") | {"d7": "rash", "d0": "heart rash fever"}
    ranking = rank_bm25(write(tmp_path, corpus), ["rash"], 40)
    assert ranking.ids.tolist() == [["d7", *sorted(set(names) - {"d0", "d7"})[:39]]]
    assert len(set(ranking.scores[0].tolist())) == 2


def test_a_document_scores_as_its_best_chunk_which_is_named(tmp_path):
    corpus = {
        "d7#chunk-0": "rash",
        "d8": "heart rash heart",
        "d7#chunk-2": "heart",
        "d7#chunk-1": "heart",
        "d9": "no",
    }
    ranking = rank_bm25(write(tmp_path, corpus), ["heart", "rash"], 5)
    for number, query in enumerate(["heart", "rash"]):
        expected = textbook(corpus, query)
        assert listed(ranking.ids[number], ranking.scores[number]) == [
            (name, pytest.approx(score, rel=1e-6)) for name, score in expected
        ]
    assert ranking.row_ids.tolist() == [
        ["d7#chunk-1", "d8", "", "", ""],
        ["d7#chunk-0", "d8", "", "", ""],
    ]


@given(
    texts=st.lists(st.lists(st.sampled_from(WORDS), max_size=5), min_size=1, max_size=8),
    query=st.lists(st.sampled_from([*WORDS, "unknown"]), max_size=3),
    files=st.integers(min_value=1, max_value=4),
)
def test_how_rows_are_spread_over_files_changes_nothing(tmp_path_factory, texts, query, files):
    corpus = {
        f"d{number // 2}#chunk-{number % 2}": " ".join(words) for number, words in enumerate(texts)
    }
    folder = tmp_path_factory.mktemp("corpus")
    one = rank_bm25(write(folder, corpus), [" ".join(query)], 3)
    many = rank_bm25(write(folder, corpus, files=files), [" ".join(query)], 3)
    assert [column.tolist() for column in (one.ids, one.scores, one.row_ids)] == [
        column.tolist() for column in (many.ids, many.scores, many.row_ids)
    ]


def test_accents_are_compared_in_one_form_and_kept(tmp_path):
    corpus = {"d1": "une fie\u0300vre", "d2": "une fievre"}
    assert rank_bm25(write(tmp_path, corpus), ["FIÈVRE"], 2).ids.tolist() == [["d1", ""]]


def test_a_corpus_without_words_or_documents_finds_nothing(tmp_path):
    for corpus in ({}, {"d1": "", "d2": " -- "}):
        ranking = rank_bm25(write(tmp_path, corpus), ["heart"], 2)
        assert ranking.ids.tolist() == [["", ""]]
    assert rank_bm25(write(tmp_path, CORPUS), [], 2).ids.shape == (0, 2)


def test_nothing_is_printed_or_logged(tmp_path, capfd, caplog):
    with caplog.at_level(logging.DEBUG):
        rank_bm25(write(tmp_path, CORPUS), ["aspirin", ""], 2)
    assert (capfd.readouterr(), caplog.records) == (("", ""), [])


def test_the_fingerprint_changes_with_a_parameter_or_the_library(monkeypatch):
    names = [bm25_fingerprint()]
    monkeypatch.setattr("medembed.evaluation.bm25.K1", 1.2)
    names.append(bm25_fingerprint())
    monkeypatch.setattr("medembed.evaluation.bm25.version", lambda name: "0.0")
    names.append(bm25_fingerprint())
    assert len(set(names)) == 3
