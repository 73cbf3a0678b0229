"""One pass gives what encoding all texts with sentence-transformers and looking at every pair
does.
"""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from medembed.data.dataset import Dataset
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encode import encode_corpus
from medembed.encoding.encoder import Encoder
from medembed.encoding.table import Table
from medembed.errors import DataError
from medembed.evaluation.config import EvaluationConfig
from medembed.evaluation.evaluate import BM25, Request, evaluate, evaluate_bm25
from medembed.evaluation.files import read_evaluation
from medembed.evaluation.footprint import measure_footprints
from medembed.evaluation.metrics import METRICS, Values
from medembed.evaluation.rank import score_rankings
from medembed.evaluation.result import NO_VECTORS, Evaluation
from medembed.matryoshka import truncate
from medembed.search.corpus import top_k
from tests.evaluation.small import ASKED, TEXTS, write_dataset
from tests.inline_spread import alone

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local")]
ENCODING = EncodingConfig(workers=2)
DIMENSIONS = (32, 8)
CASES = """
- {name: by text, query: heart pain, above: Pain of the heart., below: Rash of the foot.}
- {name: by id, query: skin rash, above: {id: d000}, below: {id: d017}}
- {name: both, query: ear pain, above: {id: d007}, below: Rash of the foot.}
"""


@pytest.fixture(scope="module")
def measured(
    tmp_path_factory: pytest.TempPathFactory, encoder_folder: Path
) -> tuple[Dataset, Table, Evaluation, dict[str, np.ndarray]]:
    """(data set, table, evaluation at DIMENSIONS, unit vectors of every text by id)."""
    root = tmp_path_factory.mktemp("measured")
    dataset, model = write_dataset(root / "data"), str(encoder_folder)
    (root / "cases.yaml").write_text(CASES)
    config = EvaluationConfig(dimensions=DIMENSIONS, must_rank=str(root / "cases.yaml"))
    with alone(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("medembed.encoding.changes.items_of", lambda rows, most: 4)
        table = encode_corpus(
            dataset.corpus_files(), dataset.fingerprint, model, str(root / "table.lance"), ENCODING
        )
        result = evaluate(
            dataset, table, model, str(root / "evaluation"), config, ENCODING, name="tiny"
        )
    encoder = Encoder.load(model, EncodingConfig())
    texts = {
        **TEXTS,
        **ASKED,
        **{text: text for text in ("heart pain", "skin rash", "ear pain")},
        **{text: text for text in ("Pain of the heart.", "Rash of the foot.")},
    }
    return (
        dataset,
        table,
        result,
        dict(zip(texts, encoder.encode(list(texts.values())), strict=True)),
    )


def cosines(vectors: dict[str, np.ndarray], pairs: list[tuple[str, str]], dimension: int) -> Values:
    left, right = (
        truncate(np.stack([vectors[pair[side]] for pair in pairs]), dimension) for side in (0, 1)
    )
    return (left.astype(float) * right).sum(axis=1)


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_every_metric_is_that_of_all_documents_ranked(measured, dimension: int):
    dataset, _, result, vectors = measured
    qrels = dataset.qrels()
    ids = [name for name in ASKED if any(grade > 0 for grade in qrels[name].values())]
    assert list(result.queries.units.ids) == ids
    assert len(ids) == 22
    asked, documents = (np.stack([vectors[name] for name in names]) for names in (ids, TEXTS))
    ranking = top_k(asked, list(TEXTS), documents, 100, dimension)
    expected = score_rankings({1: ranking}, ids, qrels, (1, 3, 5, 10, 100))
    for name, values in expected[1].items():
        assert result.queries.values[dimension][name] == pytest.approx(values, nan_ok=True), name
    assert result.metrics[dimension]["ndcg@10"] == pytest.approx(expected[1]["ndcg@10"].mean())
    triplets = [
        (query, positive, negative)
        for query, grades in qrels.items()
        for positive, high in grades.items()
        for negative, low in grades.items()
        if high > 0 >= low
    ]
    high = cosines(vectors, [(query, positive) for query, positive, _ in triplets], dimension)
    low = cosines(vectors, [(query, negative) for query, _, negative in triplets], dimension)
    assert result.metrics[dimension]["triplet_accuracy"] == pytest.approx((high > low).mean())
    assert result.queries.cosines[dimension]["positive"][0] == pytest.approx(
        cosines(vectors, [("q00", next(iter(qrels["q00"])))], dimension)[0]
    )


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_scored_pairs_correlate_as_scipy_says(measured, dimension: int):
    dataset, _, result, vectors = measured
    rows = [
        row
        for row in dataset.judgments(pa.array(list(ASKED))).to_pylist()
        if row["similarity"] is not None
    ]
    computed = cosines(vectors, [(row["query_id"], row["document_id"]) for row in rows], dimension)
    given = [row["similarity"] for row in rows]
    assert result.metrics[dimension]["spearman"] == pytest.approx(
        stats.spearmanr(given, computed)[0], abs=1e-6
    )
    assert result.metrics[dimension]["pearson"] == pytest.approx(
        stats.pearsonr(given, computed)[0], abs=1e-6
    )


def test_means_are_also_per_language_and_tag(measured):
    _, _, result, _ = measured
    french = np.array([name == "fr -> en" for name in result.queries.units.languages])
    slices = result.slices()
    # the last French query has a similarity and no positive, whose language would be named
    languages = {name for kind, name in slices if kind == "language"}
    assert languages == {"en -> en", "fr -> en", "fr"}
    assert (
        slices["language", "fr -> en"][8]["ndcg@10"]
        == result.queries.values[8]["ndcg@10"][french].mean()
    )
    lay = np.array(["lay" in tags for tags in result.queries.units.tags])
    assert slices["tag", "lay"][32]["recall@5"] == result.queries.values[32]["recall@5"][lay].mean()


def test_must_rank_cases_are_judged_by_text_and_by_document_id(measured):
    _, _, result, vectors = measured
    above = [("heart pain", "Pain of the heart."), ("skin rash", "d000"), ("ear pain", "d007")]
    below = [
        ("heart pain", "Rash of the foot."),
        ("skin rash", "d017"),
        ("ear pain", "Rash of the foot."),
    ]
    for dimension in DIMENSIONS:
        margins = cosines(vectors, above, dimension) - cosines(vectors, below, dimension)
        assert [one.margin for one in result.must_rank[dimension]] == pytest.approx(
            margins, abs=1e-6
        )
    assert [one.name for one in result.must_rank[8]] == ["by text", "by id", "both"]


def test_labelled_texts_are_classified_by_training_texts(measured):
    _, _, result, vectors = measured
    train = [name for n, name in enumerate(TEXTS) if n % 4]
    for line, name in enumerate(result.documents.units.ids):
        scores = cosines(vectors, [(name, other) for other in train], 32)
        nearest = [train[place][-1] for place in np.argsort(-scores)[:5]]
        voted = max(nearest, key=lambda label: (nearest.count(label), -nearest.index(label)))
        assert result.documents.values[32]["knn_accuracy"][line] == (voted == name[-1])


def test_it_is_found_again_as_it_was_written_and_json_has_the_means(measured):
    _, _, result, _ = measured
    again = read_evaluation(result.uri, "tiny")
    assert again.metrics == result.metrics
    assert again.slices() == result.slices()
    assert again.must_rank == result.must_rank
    assert again.queries.units == result.queries.units
    assert np.array_equal(
        again.queries.cosines[8]["other"], result.queries.cosines[8]["other"], equal_nan=True
    )
    written = json.loads((Path(result.uri) / "metrics.json").read_text())
    assert written["8"] == result.metrics[8]
    best = pa.parquet.read_table(Path(result.uri) / "best.parquet").to_pylist()
    # it has no positive and no scored pair
    assert {row["query_id"] for row in best} == ASKED.keys() - {"q22"}
    assert [len(row["document_ids"]) for row in best] == [10] * 2 * 23


@pytest.mark.usefixtures("no_actors")
def test_how_fragments_are_dealt_to_workers_and_queries_to_blocks_changes_nothing(
    measured, encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    dataset, table, result, _ = measured
    assert len(table.shards()) == 15
    monkeypatch.setattr("medembed.search.shards._ROWS_HERE", 0)
    monkeypatch.setattr("medembed.search.plan._QUERIES_PER_BLOCK", 7)
    monkeypatch.setattr("medembed.search.plan._FEWEST_QUERIES", 2)
    monkeypatch.setattr("medembed.search.plan._SCORES_PER_ITEM", 100)
    config, fewer = EvaluationConfig(dimensions=DIMENSIONS), EncodingConfig(workers=1)
    other = evaluate(dataset, table, str(encoder_folder), str(tmp_path), config, fewer)
    for dimension in DIMENSIONS:
        for name, values in result.queries.values[dimension].items():
            assert np.array_equal(other.queries.values[dimension][name], values, equal_nan=True), (
                name
            )
        assert np.array_equal(other.pairs.cosines[dimension], result.pairs.cosines[dimension])


@pytest.mark.usefixtures("no_actors")
def test_a_run_that_dies_after_its_search_does_not_search_again(
    measured, encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    dataset, table, result, _ = measured
    monkeypatch.setattr("medembed.search.shards._ROWS_HERE", 0)
    config = EvaluationConfig(dimensions=DIMENSIONS)
    arguments = (dataset, table, str(encoder_folder), str(tmp_path / "out"), config, ENCODING)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("medembed.evaluation.evaluate.write_evaluation", die)
        evaluate(*arguments)
    with monkeypatch.context() as patch:
        patch.setattr("medembed.evaluation.measure.read_shard", die)
        again = evaluate(*arguments)
    assert (
        again.queries.values[8]["ndcg@10"].tolist() == result.queries.values[8]["ndcg@10"].tolist()
    )
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_each_type_of_numbers_is_measured_on_the_same_queries(
    measured, encoder_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    dataset, table, result, _ = measured
    config = EvaluationConfig(dimensions=DIMENSIONS, bootstrap_samples=100)
    with alone():
        footprints = measure_footprints(dataset, table, str(encoder_folder), config, ENCODING)
        monkeypatch.setattr("medembed.evaluation.footprint._MOST_ROWS", 59)
        nothing = measure_footprints(dataset, table, str(encoder_folder), config, ENCODING)
    assert nothing is None
    assert (footprints.objective, footprints.queries, footprints.rows) == ("ndcg@10", 22, 60)
    sizes = {(each.dimension, each.numbers): each.size_bytes for each in footprints.options}
    assert list(sizes.values()) == [128, 32, 4, 36, 32, 8, 1, 9]
    quality = {(each.dimension, each.numbers): each.quality for each in footprints.options}
    for dimension in DIMENSIONS:
        exact = result.metrics[dimension]["ndcg@10"]
        assert quality[dimension, "float32"] == pytest.approx(exact)
        assert quality[dimension, "binary+int8"] == quality[dimension, "int8"]
        assert quality[dimension, "int8"] == pytest.approx(exact, abs=0.05)
    assert all(each.milliseconds > 0 for each in footprints.options)


def test_bm25_is_measured_on_the_same_queries_and_has_no_dimension(measured, tmp_path: Path):
    dataset, _, result, _ = measured
    floor = evaluate_bm25(dataset, str(tmp_path / "{key}"), EvaluationConfig())
    assert floor.queries.units == result.queries.units
    assert list(floor.metrics) == [NO_VECTORS]
    assert (
        floor.metrics[NO_VECTORS]["ndcg@10"]
        == evaluate_bm25(dataset, str(tmp_path / "{key}"), EvaluationConfig()).metrics[NO_VECTORS][
            "ndcg@10"
        ]
    )
    assert floor.name == BM25


def test_a_new_metric_is_measured_rather_than_missed_in_what_was_kept(
    measured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    dataset, table, _, _ = measured
    request = Request(dataset, table, "", EvaluationConfig(), ENCODING, (), DIMENSIONS)
    place = str(tmp_path / "{key}")
    key = request.key
    assert "hits@10" not in evaluate_bm25(dataset, place, EvaluationConfig()).metrics[NO_VECTORS]
    monkeypatch.setitem(METRICS, "hits", METRICS["accuracy"])
    assert request.key != key
    assert "hits@10" in evaluate_bm25(dataset, place, EvaluationConfig()).metrics[NO_VECTORS]


@pytest.mark.usefixtures("no_actors")
def test_nothing_to_measure_is_an_error_that_says_what_was_looked_for(
    measured, encoder_folder: Path, tmp_path: Path
):
    dataset, table, _, _ = measured
    with pytest.raises(DataError, match="split=dev and tag=None no query has a positive"):
        evaluate(
            dataset,
            table,
            str(encoder_folder),
            str(tmp_path),
            EvaluationConfig(split="dev"),
            ENCODING,
        )
    (tmp_path / "cases.yaml").write_text(
        "- {query: heart pain, above: {id: nowhere}, below: Rash.}"
    )
    config = EvaluationConfig(must_rank=str(tmp_path / "cases.yaml"))
    with pytest.raises(DataError, match="'nowhere' is not in the corpus"):
        evaluate(dataset, table, str(encoder_folder), str(tmp_path / "x"), config, ENCODING)
