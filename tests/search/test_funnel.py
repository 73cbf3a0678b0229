import numpy as np
import pytest

from medembed.errors import ConfigError, ModelError
from medembed.matryoshka import truncate
from medembed.schema import document_of
from medembed.search import funnel as module
from medembed.search.corpus import top_k
from medembed.search.funnel import Funnel, funnel_search
from tests.search.by_hand import Reader, draw, funnel_by_hand, listed


def test_few_dimensions_choose_and_many_dimensions_rank():
    ids, vectors, queries = [f"d{number:03d}" for number in range(100)], draw(100), draw(6, seed=1)
    read, funnel = Reader(ids, vectors), Funnel(4, 12, 9)
    exact = top_k(queries, ids, vectors, 5, 12)
    ranking = funnel_search(read.shards, read, queries, 5, funnel)
    assert listed(ranking) == funnel_by_hand(queries, ids, vectors, 5, funnel)
    assert listed(ranking) != listed(exact)  # nine candidates by four dimensions miss some
    assert ranking.owners is None
    everything = funnel_search(read.shards, read, queries, 5, Funnel(4, 12, 100))
    assert everything.ids.tolist() == exact.ids.tolist()
    assert everything.scores.tobytes() == exact.scores.tobytes()


def test_a_document_is_nominated_by_one_chunk_and_ranked_by_its_best_one_wherever_it_lies():
    ids = ["a#chunk-0", "b", "c#chunk-0", "a#chunk-1", "c#chunk-1", "d", "e"]
    rows = np.array(
        [
            [0.9, -0.4, 0.2],
            [0.8, 0.6, 0.0],
            [0.7, 0.1, 0.7],
            [0.6, 0.0, 0.8],
            [0.6, 0.0, 0.8],
            [0.0, 1.0, 0.0],
            [-1.0, 0.0, 0.0],
        ],
        dtype=np.float32,
    )
    read = Reader(ids, truncate(rows, 3), (3, 2, 2))
    query = truncate(np.array([[0.6, 0.0, 0.8]], dtype=np.float32), 3)
    found = funnel_search(read.shards, read, query, 4, Funnel(2, 3, 4), by_document=True)
    # By 2 dimensions: a and c 1.0 (their second chunks), b 0.8, d 0.0. By 3: a and c tie at 1.0.
    assert found.ids.tolist() == [["a", "c", "b", "d"]]
    assert found.row_ids.tolist() == [["a#chunk-1", "c#chunk-1", "b", "d"]]
    assert np.allclose(found.scores, [[1.0, 1.0, 0.48, 0.0]], atol=1e-6)


def test_chunks_ties_and_too_few_documents_come_out_as_by_hand(monkeypatch: pytest.MonkeyPatch):
    """Queries in parts of two, repeated vectors, documents of one to many rows, k above the
    documents.
    """
    generator = np.random.default_rng(5)
    owners = generator.integers(0, 12, size=100)
    ids = [
        f"d{owner}#chunk-{number}" if owner % 3 else f"w{number}"
        for number, owner in enumerate(owners)
    ]
    vectors = draw(30, seed=2)[generator.integers(0, 30, size=100)]
    queries, read, funnel = draw(5, seed=3), Reader(ids, vectors), Funnel(3, 16, 60)
    monkeypatch.setattr(module, "_CANDIDATES_AT_ONCE", 2 * funnel.candidates)
    found = funnel_search(read.shards, read, queries, 60, funnel, by_document=True)
    exact = top_k(queries, ids, vectors, 60, by_document=True)
    assert len({document_of(name) for name in ids}) < 60
    assert found.ids.tolist() == exact.ids.tolist()
    assert found.row_ids.tolist() == exact.row_ids.tolist()
    assert found.scores.tobytes() == exact.scores.tobytes()
    assert found.ids[0, -1] == ""


@pytest.mark.parametrize(
    ("funnel", "kind", "message"),
    [
        (Funnel(32, 64), ModelError, "found \\[32, 64\\], but the model has 16"),
        (Funnel(8, 8), ConfigError, "first_dimensions: found 8, expected fewer than the 8"),
        (Funnel(4, 16, 9), ConfigError, "candidates: found 9, expected at least the k=10"),
    ],
)
def test_what_makes_no_funnel_is_refused_before_anything_starts(
    funnel: Funnel, kind: type, message: str
):
    with pytest.raises(kind, match=message):
        funnel_search([(0, 1)], lambda _: ([], draw(0)), draw(1), 10, funnel)
