from pathlib import Path
from typing import get_args

import pytest
from click.testing import CliRunner

from jobs.cli import main
from jobs.train import TrainJob
from medembed.config import load_config, to_yaml
from medembed.errors import ConfigError
from medembed.schema import fingerprint
from medembed.training.config import TrainingConfig
from medembed.training.options import PRESETS, Preset, read_preset

JOB = ["model=m", "data=d", "examples=e", "output=o"]
NAMES: tuple[Preset, ...] = get_args(Preset)


def test_the_names_in_the_config_are_the_files_in_the_package():
    assert set(NAMES) == {file.stem for file in PRESETS.iterdir()}


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_is_a_config_and_its_own_keys_are_in_it(name: Preset):
    preset = read_preset(name)
    config = TrainingConfig.model_validate(preset)
    assert config.model_dump(mode="json", exclude_unset=True) == preset


def test_the_published_preset_is_the_published_recipe():
    config = load_config(TrainJob, [*JOB, "training.preset=published"]).training
    assert config.dimensions == (1024, 768, 512, 256, 128, 64)
    assert (config.batch_size, config.accumulation_steps, config.epochs) == (4, 16, 1)
    assert (config.learning_rate, config.schedule, config.warmup) == (2e-5, "cosine", 0.1)
    assert (config.select_by, config.select_dimension) == ("ndcg@10", 128)
    assert (config.prompts.query, config.prompts.document) == ("query: ", "passage: ")


def test_named_keys_win_over_the_preset_and_the_preset_over_defaults(tmp_path: Path):
    file = tmp_path / "train.yaml"
    file.write_text("training: {preset: lora, learning_rate: 5.0e-4, adapter: {rank: 8}}\n")
    config = load_config(TrainJob, [str(file), *JOB, "training.adapter.alpha=64"]).training
    assert (config.adapter.kind, config.adapter.rank, config.adapter.alpha) == ("lora", 8, 64)
    assert (config.learning_rate, config.schedule) == (5e-4, "cosine")
    assert config.batch_size == TrainingConfig().batch_size


def test_a_saved_config_is_read_back_as_it_was(tmp_path: Path):
    config = load_config(TrainJob, [*JOB, "training.preset=published", "training.batch_size=8"])
    (tmp_path / "saved.yaml").write_text(to_yaml(config))
    assert load_config(TrainJob, [str(tmp_path / "saved.yaml")]) == config


def test_a_config_that_was_written_and_read_is_the_same_to_a_fingerprint():
    """A default of 32 for a float would be 32.0 once it was read, and its run be another's."""
    config = TrainingConfig()
    assert fingerprint(
        TrainingConfig.model_validate_json(config.model_dump_json()).model_dump()
    ) == fingerprint(config.model_dump())


def test_an_unknown_preset_is_answered_with_those_there_are():
    with pytest.raises(ConfigError, match="training.preset: .*published.*quick.*large-batch.*lora"):
        load_config(TrainJob, [*JOB, "training.preset=huge"])


def test_the_help_names_the_presets():
    text = CliRunner().invoke(main, ["train", "--help"]).output
    assert "training.preset" in text
    assert all(f"{name}:" in text for name in NAMES)
