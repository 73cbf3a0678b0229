"""`medembed encode` after kill -9 of its driver and of a node; benchmarks/faults.py does it at many moments."""

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.faults import Case, copy, find_faults, records, write_data
from benchmarks.killing import actors, kill_driver, kill_tree, two_nodes, wait
from medembed import storage
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.encoding.table import find_table
from medembed.schema import content_hash

pytestmark = pytest.mark.ray
_END_S = 240


@pytest.fixture(scope="module")
def case(encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """3,000 documents, and their rows from an encoder in this process."""
    texts = {f"d{n}": f"heart pain, grade {n}" for n in range(3000)}
    vectors = Encoder.load(str(encoder_folder), EncodingConfig()).encode(list(texts.values()))
    rows = pa.table({
        "document_id": list(texts), "content_hash": [content_hash(text) for text in texts.values()],
        "embedding": list(vectors.astype(np.float32)),
    })  # fmt: skip
    data = write_data(tmp_path_factory.mktemp("kills") / "data", texts)
    return Case(data, str(encoder_folder), len(texts), rows=rows)


def test_a_command_whose_driver_was_killed_goes_on_where_it_was_and_gives_the_same_table(case: Case, tmp_path: Path):
    output = str(tmp_path / "t.lance")
    job = case.start(output, tmp_path / "log")
    try:
        wait(job, lambda: bool(records(output)))
        assert job.poll() is None, (tmp_path / "log").read_text()
        kill_driver(job)
        assert records(output)
        assert find_table(output) is None
        job = case.start(output, tmp_path / "log")
        assert job.wait(_END_S) == 0, (tmp_path / "log").read_text()
    finally:
        kill_tree(job)
    assert json.loads((tmp_path / "t.lance/summary.json").read_text())["resumed"] > 0
    assert find_faults(output, case) == []


def test_a_run_that_loses_a_node_ends_on_the_others_with_the_same_table(case: Case, bucket: str, tmp_path: Path):
    output = storage.join(bucket, "t.lance")
    case = replace(case, data=copy(case.data, f"{bucket}/data"), model=copy(case.model, f"{bucket}/model"))
    with TemporaryDirectory(prefix="mek-", dir="/tmp") as short, two_nodes(Path(short), bucket) as cluster:
        job = case.start(output, tmp_path / "log", cluster.environment)
        try:
            wait(job, lambda: bool(records(output) and actors(cluster.nodes[1])))
            assert job.poll() is None, (tmp_path / "log").read_text()
            cluster.lose_node()
            assert job.wait(_END_S) == 0, (tmp_path / "log").read_text()
        finally:
            kill_tree(job)
    assert find_faults(output, case) == []
