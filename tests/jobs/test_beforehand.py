"""What can be known before the first stage is told before it."""

from pathlib import Path

import pytest

from jobs.beforehand import check_outputs, check_room
from jobs.encode import EncodeJob
from jobs.mine import MineJob
from medembed.config import load_config
from medembed.encoding.config import EncodingConfig
from medembed.errors import ConfigError, MedEmbedError
from medembed.mining.config import MiningConfig
from medembed.registry.config import RegistryConfig
from medembed.training.config import TrainingConfig
from medembed.training.loss_config import LossConfig
from medembed.training.run.enough import check_settings


def test_an_output_that_is_a_file_or_below_one_is_named_by_its_key(tmp_path: Path):
    (tmp_path / "file").write_text("")
    check_outputs(EncodeJob(model="m", data="d", output=f"{tmp_path}/new/{{key}}"))
    check_outputs(EncodeJob(model="m", data="d", output="s3://bucket/new"))
    for key, places in (
        ("output", {"table": "t", "output": f"{tmp_path}/file"}),
        ("table", {"table": f"{tmp_path}/file/below", "output": "o"}),
    ):
        with pytest.raises(ConfigError, match=f"^{key}: {tmp_path}/file is a file"):
            check_outputs(MineJob(model="m", data="d", **places))


@pytest.mark.ray
def test_workers_that_this_machine_has_no_room_for_are_refused_rather_than_awaited(ray_local: None):
    check_room(EncodingConfig(workers=500), TrainingConfig(workers=(1, 500), cpus_per_worker=1))
    with pytest.raises(
        ConfigError, match=r"training: 64 workers with 1 CPUs and 0 GPUs each, but this machine has"
    ):
        check_room(training=TrainingConfig(workers=64, cpus_per_worker=1))
    with pytest.raises(ConfigError, match=r"training: 1 workers .* and 1 GPUs each, .* and 0 GPUs"):
        check_room(training=TrainingConfig(use_gpu=True))
    with pytest.raises(ConfigError, match=r"encoding: 1 workers with 1 CPUs and 0.5 GPUs each"):
        check_room(EncodingConfig(gpus_per_worker=0.5))


@pytest.mark.parametrize(
    ("training", "mining", "message"),
    [
        ({"loss": LossConfig(guide="no/guide")}, {}, "no/guide: no such folder"),
        ({}, {"second_opinion": "no/opinion"}, "no/opinion: no such folder"),
        ({"adapter": {"kind": "qlora"}}, {}, "found qlora with training.use_gpu=false"),
    ],
)
def test_what_a_later_stage_would_miss_is_told(
    training: dict[str, object], mining: dict[str, object], message: str
):
    check_settings(TrainingConfig(), MiningConfig(), "out")
    with pytest.raises(MedEmbedError, match=message):
        check_settings(
            TrainingConfig.model_validate(training), MiningConfig.model_validate(mining), "out"
        )


@pytest.mark.parametrize("name", ["acme/tiny", "a:b", "it's", "a@b", ""])
def test_a_name_that_the_registry_would_refuse_at_the_end_is_refused_at_the_start(name: str):
    with pytest.raises(ConfigError, match="model_name: String should match"):
        load_config(RegistryConfig, [f"model_name={name}"])
