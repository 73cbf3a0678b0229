import pytest

from medembed.errors import ConfigError
from medembed.training.config import TrainingConfig
from medembed.training.reporting import check_reporting, reporting_environment


def test_nothing_is_reported_unless_asked_for():
    assert TrainingConfig().report_to == ()
    assert reporting_environment((), "out.logs", {}) == {}


def test_a_missing_package_is_named_before_training():
    with pytest.raises(ConfigError, match="found wandb, but the package wandb is not installed; pip install wandb"):
        check_reporting(("wandb",), "out.logs")
    check_reporting(("tensorboard",), "out.logs")


def test_wandb_stays_offline_unless_its_owner_decided_otherwise():
    quiet = reporting_environment(("wandb",), "out.logs", {})
    assert quiet["WANDB_MODE"] == "offline"
    assert quiet["WANDB_DIR"] == "out.logs"
    for name in ("WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_MODE"):
        assert "WANDB_MODE" not in reporting_environment(("wandb",), "out.logs", {name: "x"})


def test_no_model_is_uploaded_and_what_the_user_set_is_left_alone():
    found = reporting_environment(("wandb", "tensorboard"), "s3://bucket/out.logs", {"WANDB_PROJECT": "mine"})
    assert found == {
        "TENSORBOARD_LOGGING_DIR": "s3://bucket/out.logs/tensorboard",
        "WANDB_WATCH": "false",
        "WANDB_LOG_MODEL": "false",
        "WANDB_MODE": "offline",
    }
