import numpy as np

from medembed.search.corpus import top_k
from medembed.search.ranking import Ranking, stack
from tests.search.by_hand import draw


def test_documents_of_one_row_each_are_ranked_as_rows_are():
    """The arrays are the same, and nothing about documents is stored or sent."""
    ids = [f"d{number}" for number in range(50)]
    vectors = draw(50, seed=3)
    documents = top_k(draw(4), ids, vectors, 5, by_document=True)
    rows = top_k(draw(4), ids, vectors, 5, by_document=False)
    assert documents.owners is None
    assert documents.ids.tobytes() == rows.ids.tobytes()
    assert documents.scores.tobytes() == rows.scores.tobytes()


def test_a_ranking_is_what_its_ids_scores_and_rows_say():
    ids = np.array([["a", "b"], ["b", ""]])
    rows = np.array([["a#chunk-1", "b"], ["b", ""]])
    scores = np.array([[0.5, 0.25], [0.75, -np.inf]], np.float32)
    ranking = Ranking.of(ids, scores, rows)
    assert (ranking.ids.tolist(), ranking.row_ids.tolist()) == (ids.tolist(), rows.tolist())
    assert ranking.scores.tolist() == scores.tolist()
    plain = Ranking.of(ids, scores)
    assert (plain.owners, plain.row_ids.tolist()) == (None, ids.tolist())
    assert ranking.take(np.array([1])).row_ids.tolist() == [["b", ""]]
    both = stack([plain, ranking])
    assert both.ids.tolist() == [*ids.tolist(), *ids.tolist()]
    assert both.row_ids.tolist() == [*ids.tolist(), *rows.tolist()]
    assert both.scores.tolist() == [*scores.tolist(), *scores.tolist()]
