import socket
from pathlib import Path

import pytest
import wandb

from medembed.errors import ConfigError
from medembed.training.config import TrainingConfig
from medembed.training.run import reporting
from medembed.training.run.reporting import check_reporting, finish_reporting, reporting_environment
from tests.training.small import CONFIG, make_examples, start


def test_a_missing_package_is_named_before_training(monkeypatch: pytest.MonkeyPatch):
    check_reporting(("tensorboard", "wandb"), "out.logs")
    monkeypatch.setitem(reporting._PACKAGES, "wandb", ("wandb_of_nobody",))
    with pytest.raises(
        ConfigError,
        match="found wandb, but the package wandb_of_nobody is not installed; pip install",
    ):
        check_reporting(("wandb",), "out.logs")


def test_nothing_is_reported_unless_asked_for_and_wandb_stays_offline_unless_its_owner_decided():
    assert TrainingConfig().report_to == ()
    assert reporting_environment((), "out.logs", {}) == {}
    quiet = reporting_environment(("wandb",), "out.logs", {})
    assert quiet["WANDB_DIR"] == "out.logs"
    for name in ("WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_MODE"):
        decided = reporting_environment(("wandb",), "out.logs", {name: "x"})
        assert quiet["WANDB_MODE"] == "offline"
        assert "WANDB_MODE" not in decided


def test_no_model_is_uploaded_and_what_the_user_set_is_left_alone():
    tools = ("wandb", "tensorboard")
    environment = {"WANDB_PROJECT": "mine"}
    assert reporting_environment(tools, "s3://bucket/out.logs", environment) == {
        "TENSORBOARD_LOGGING_DIR": "s3://bucket/out.logs/tensorboard",
        "WANDB_WATCH": "false",
        "WANDB_LOG_MODEL": "false",
        "WANDB_CONSOLE": "off",
        "WANDB_DISABLE_CODE": "true",
        "WANDB_DISABLE_GIT": "true",
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_MODE": "offline",
    }


def test_a_training_leaves_its_numbers_for_wandb_but_no_text_and_sends_nothing(
    encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    logs = tmp_path / "out.logs"
    logs.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as home:
        for name, value in reporting_environment(("wandb",), str(logs), {}).items():
            monkeypatch.setenv(name, value)
        # where it would send to
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{home.getsockname()[1]}")
        config = CONFIG.model_copy(update={"report_to": ("wandb",)})
        start(encoder_folder, config, tmp_path / "scratch", steps=2).train()
        finish_reporting(("wandb",))
        assert wandb.run is None
        wandb.teardown()
        home.settimeout(0.1)
        with pytest.raises(TimeoutError):
            home.accept()
    left = b"".join(path.read_bytes() for path in logs.rglob("*") if path.is_file())
    assert left.count(b"train/loss/32") >= 2
    for row in make_examples():
        for text in (row["query"], row["positive"], *row["negatives"]):
            assert text.encode() not in left
