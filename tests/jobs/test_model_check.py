"""Models that a job's config names are looked at before Ray starts."""

import shutil
from pathlib import Path

import pytest

from jobs.beforehand import check_models
from jobs.cli import job_config
from medembed.config import load_config
from medembed.errors import ModelError
from medembed.registry.config import RegistryConfig
from medembed.registry.models import open_registry
from medembed.tags import Lineage
from medembed.uris import list_models

# The keys of each job that name a model, and what else it needs.
NAMED = {
    "encode": ("model", "data=d", "output=o"),
    "mine": ("mining.second_opinion", "model={good}", "data=d", "table=t", "output=o"),
    "train": (
        "training.loss.guide",
        "model={good}",
        "data=d",
        "output=o",
    ),
    "distill": ("student", "teacher={good}", "data=d"),
    "evaluate": ("baseline", "model={good}", "data=d", "output=o"),
    "search": ("model", "table=t", "query=q"),
    "preflight": ("model", "data=d"),
    "tune": (
        "model",
        "search.training.learning_rate={{choice: [1e-4, 2e-5]}}",
        "data=d",
        "output=o",
    ),
    "finetune": ("model", "source.path=p", "output=o"),
    "table": ("model", "action=verify", "table=t", "data=d"),
    "prepare": ("tokenizer", "source.path=p", "output=o"),
}


@pytest.mark.parametrize("job", NAMED)
def test_a_pointer_of_git_lfs_is_named_with_its_key(job: str, encoder_folder: Path, tmp_path: Path):
    key, *others = NAMED[job]
    (tmp_path / "modules.json").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9\n"
    )
    given = [other.format(good=encoder_folder) for other in others]
    config = load_config(job_config(job), [f"{key}={tmp_path}", *given])
    assert (key, str(tmp_path)) in list_models(config)
    with pytest.raises(ModelError, match=f"^{key}: {tmp_path}: modules.json: a Git LFS pointer"):
        check_models(config)


def test_a_registered_version_whose_folder_is_gone_is_named(empty_registry: Path, tmp_path: Path):
    workspace = shutil.copytree(empty_registry, tmp_path / "ws")
    place = RegistryConfig(workspace=str(workspace), model_name="m")
    registry = open_registry(place, on_cluster=False)
    registry.register(
        str(tmp_path / "gone"), params={}, metrics={}, lineage=Lineage(), artifacts={}
    )
    arguments = ["model=models:/m/1", "data=d", "output=o", f"registry.workspace={workspace}"]
    with pytest.raises(ModelError, match=f"^model: models:/m/1: {tmp_path}/gone: no such folder"):
        check_models(load_config(job_config("encode"), arguments))
