"""`medembed models` lists what is registered."""

from pathlib import Path

from jobs.models import ModelsJob, run
from medembed.registry.config import RegistryConfig
from medembed.registry.models import open_registry
from medembed.tags import Lineage


def test_a_version_without_a_run_is_listed_without_scores(tmp_path: Path):
    config = RegistryConfig(workspace=str(tmp_path))
    registry = open_registry(config, on_cluster=False)
    registry.register(
        "/a", params={}, metrics={"dev_ndcg@10/64": 0.5}, lineage=Lineage(), artifacts={}
    )
    foreign = registry.client.create_model_version(config.model_name, source="/b", run_id=None)
    lines = run(ModelsJob(registry=config))["lines"]
    assert lines[1].split()[:1] == [str(foreign.version)]
    assert len(lines[1].split()) == 3, "number, date and time"
    assert lines[2].endswith("ndcg_10 at 64: 0.500")
