"""Canaries: each fails when a private part of a library that a training uses has moved."""

import json
from pathlib import Path

from ray import PlacementGroupID
from ray.train.torch import TorchTrainer
from ray.train.v2._internal import constants
from ray.train.v2._internal.execution.checkpoint import checkpoint_manager
from ray.util.placement_group import PlacementGroup

from medembed.training.run.private_ray_train import SNAPSHOT, TrainerWithoutCleaner
from tests.training.small import CONFIG, start


def test_ray_trains_cleaner_is_the_only_callback_that_is_left_out():
    def made(trainer: type[TorchTrainer]) -> set[str]:
        return {type(each).__name__ for each in trainer(lambda: None)._create_default_callbacks()}

    assert made(TorchTrainer) - made(TrainerWithoutCleaner) == {"PlacementGroupCleanerCallback"}


def test_ray_trains_list_of_checkpoints_has_the_name_and_the_fields_that_are_read():
    assert constants.CHECKPOINT_MANAGER_SNAPSHOT_FILENAME == SNAPSHOT
    state = checkpoint_manager._CheckpointManagerState
    assert "latest_checkpoint_result" in json.loads(json.dumps(state.schema()))["properties"]
    fields = checkpoint_manager._TrainingResultState.schema()["properties"]
    assert {"checkpoint_dir_name", "metrics"} <= fields.keys()


def test_a_placement_group_is_known_again_by_its_hex_name():
    group = PlacementGroup(PlacementGroupID.from_random())
    again = PlacementGroup(PlacementGroupID(bytes.fromhex(group.id.hex())))
    assert again.id == group.id


def test_the_trainer_still_has_the_parts_that_are_overridden(encoder_folder: Path, tmp_path: Path):
    config = CONFIG.model_copy(update={"max_length": 9})
    trainer = start(encoder_folder, config, tmp_path)
    stock = type(trainer).__mro__[1]
    for name in ("_save", "_load_from_checkpoint", "_load_rng_state", "add_model_card_callback"):
        assert callable(getattr(stock, name)), name
    assert trainer.create_scheduler(6, trainer.create_optimizer()).lr_lambdas
    batch = next(iter(trainer.get_train_dataloader()))
    assert batch["positive_input_ids"].shape[1] == 9
