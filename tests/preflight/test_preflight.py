import json
import logging
from pathlib import Path

import numpy as np
import pytest

from jobs.preflight import PreflightJob, run
from medembed.data.dataset import Dataset
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.evaluation.metrics import ndcg, recall
from tests.preflight.small import DOCUMENTS, write_small

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local")]


def job(dataset: Dataset, model: Path, output: Path, workers: int = 2) -> PreflightJob:
    return PreflightJob.model_validate(
        {
            "model": str(model),
            "data": dataset.uri,
            "output": str(output),
            "preflight": {"train_steps": 2},
            "encoding": {"workers": workers},
            "training": {"batch_size": 8, "cpus_per_worker": 1},
        }
    )


def test_a_data_set_is_measured_as_a_full_evaluation_would_and_no_text_leaves_it(
    encoder_folder: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
):
    caplog.set_level(logging.INFO)
    dataset = write_small(tmp_path / "data")
    found = run(job(dataset, encoder_folder, tmp_path / "out"))
    lines = found.pop("lines")

    queries = dataset.queries("dev").to_pylist()
    encoder = Encoder.load(str(encoder_folder), EncodingConfig())
    names = sorted(DOCUMENTS)
    qrels = dataset.qrels()
    asked = encoder.encode([row["text"] for row in queries], "query")
    scores = asked @ encoder.encode([DOCUMENTS[name] for name in names]).T
    grades = []
    for row, scored in zip(queries, scores, strict=True):
        ranked = [names[number] for number in np.argsort(-scored, kind="stable")]
        grades.append([qrels[row["query_id"]].get(name, 0.0) for name in ranked])
    judged = [list(qrels[row["query_id"]].values()) for row in queries]
    survey = found["survey"]
    mean = recall(np.array(grades), judged, 10).mean()
    assert survey["cells"][0]["recall"]["value"] == pytest.approx(mean)
    assert survey["ndcg"] == pytest.approx(ndcg(np.array(grades), judged, 10).mean())
    assert [(cell["name"], cell["dimension"]) for cell in survey["cells"]] == [
        ("all queries", encoder.width)
    ]
    assert survey["few"] == {"others": 12}, "six English and six French queries"
    assert lines[0].startswith("DO NOT")
    assert found["data"]["pairs"] == found["train"]["examples"] == 42
    assert found["train"]["steps"] == 5
    assert found["train"]["seconds_per_step"] > 0
    assert found["encode"]["seconds"] > 0
    assert 2**27 < found["encode"]["memory_bytes"] < 2**34, "torch alone takes more than 128 MiB"
    assert [cut["max_length"] for cut in found["cuts"]] == [48, 128, 256, 512]
    assert any(
        "training would refuse [384, 256, 128, 64]" in " ".join(warning.split())
        for warning in found["warnings"]
    )

    shown = capfd.readouterr()
    everything = "\n".join([*lines, json.dumps(found), shown.out, shown.err, caplog.text])
    assert "timing 2 steps" in everything
    texts = {*DOCUMENTS.values(), *(row["text"] for row in dataset.queries().to_pylist())}
    assert not [text for text in texts if text in everything]
    assert not [word for word in ("heart", "tremor", "affects") if word in everything]


def test_documents_without_a_query_or_a_pair_get_an_answer_too(
    encoder_folder: Path, tmp_path: Path
):
    dataset = write_small(tmp_path / "data", has_queries=False)
    found = run(job(dataset, encoder_folder, tmp_path / "out", workers=1))
    assert found["verdict"]["answer"] == "do not"
    assert "60 texts have a class and no query asks for any" in found["warnings"][0]
    assert (found["survey"], found["train"]["seconds"]) == (None, None)
    assert found["encode"]["rows_per_s"] > 0
