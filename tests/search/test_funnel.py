import numpy as np
import pytest

from medembed.errors import ConfigError, ModelError
from medembed.schema import document_of
from medembed.search import funnel as module
from medembed.search.corpus import top_k
from medembed.search.funnel import Funnel, funnel_search
from tests.search.by_hand import Reader, draw, draw_corpus, funnel_by_hand, listed


@pytest.mark.parametrize("chunks", [False, True])
def test_few_dimensions_choose_and_many_dimensions_rank_each_documents_best_chunk(chunks: bool):
    ids, vectors = draw_corpus(100, 16, 3, chunks=chunks)
    queries = draw(6, seed=1)
    read = Reader(ids, vectors)
    funnel = Funnel(4, 12, 9)
    ranking = funnel_search(read.shards, read, queries, 5, funnel, by_document=chunks)
    assert listed(ranking) == funnel_by_hand(queries, ids, vectors, 5, funnel)
    assert (ranking.owners is None) != chunks
    exact = top_k(queries, ids, vectors, 5, 12, by_document=chunks)
    assert listed(ranking) != listed(exact)  # nine candidates by four dimensions miss some
    everything = Funnel(4, 12, 100)
    ranking = funnel_search(read.shards, read, queries, 5, everything, by_document=chunks)
    assert listed(ranking) == listed(exact)


def test_chunks_ties_and_too_few_documents_come_out_as_by_hand(monkeypatch: pytest.MonkeyPatch):
    """Documents have one to many rows, vectors repeat, and k is above the documents."""
    generator = np.random.default_rng(5)
    owners = generator.integers(0, 12, size=100)
    ids = [
        f"d{owner}#chunk-{number}" if owner % 3 else f"w{number}"
        for number, owner in enumerate(owners)
    ]
    vectors = draw(30, seed=2)[generator.integers(0, 30, size=100)]
    queries, read, funnel = draw(5, seed=3), Reader(ids, vectors), Funnel(3, 16, 60)
    monkeypatch.setattr(module, "_CANDIDATES_AT_ONCE", 2 * funnel.candidates)
    ranking = funnel_search(read.shards, read, queries, 60, funnel, by_document=True)
    exact = top_k(queries, ids, vectors, 60, by_document=True)
    assert len({document_of(name) for name in ids}) < 60
    assert ranking.ids.tolist() == exact.ids.tolist()
    assert ranking.row_ids.tolist() == exact.row_ids.tolist()
    assert ranking.scores.tobytes() == exact.scores.tobytes()
    assert ranking.ids[0, -1] == ""


@pytest.mark.parametrize(
    ("funnel", "kind", "message"),
    [
        (Funnel(32, 64), ModelError, "found \\[32, 64\\], but the model has 16"),
        (Funnel(8, 8), ConfigError, "first_dimensions: found 8, expected fewer than the 8"),
        (
            Funnel(16, 8, 200, "binary"),
            ConfigError,
            "found 16, expected no more than the 8 that rank",
        ),
        (Funnel(4, 16, 9), ConfigError, "candidates: found 9, expected at least the k=10"),
    ],
)
def test_what_makes_no_funnel_is_refused_before_anything_starts(
    funnel: Funnel, kind: type, message: str
):
    with pytest.raises(kind, match=message):
        funnel_search([(0, 1)], lambda _: ([], draw(0)), draw(1), 10, funnel)
