"""Prepare Weights & Biases and TensorBoard if a run asks; nothing is sent by default."""

import importlib.util
import os
from collections.abc import Mapping

from medembed import storage
from medembed.errors import ConfigError

_PACKAGES = {"wandb": ("wandb",), "tensorboard": ("tensorboard", "tensorboardX")}
# Where one of these is set, its owner has decided where Weights & Biases sends things.
_DECIDED = ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_DISABLED")
# Numbers alone: no model, no source code or uncommitted change, nothing that a worker prints, no
# crash report.
_NUMBERS_ALONE = {
    "WANDB_WATCH": "false",
    "WANDB_LOG_MODEL": "false",
    "WANDB_CONSOLE": "off",
    "WANDB_DISABLE_CODE": "true",
    "WANDB_DISABLE_GIT": "true",
    "WANDB_ERROR_REPORTING": "false",
}


def check_reporting(report_to: tuple[str, ...], folder: str) -> None:
    """Raise ConfigError if a package is missing, or its files would stay behind on a node's disk.

    `folder` is where a tool's files go; on an object store only tools that write there, or online,
    are of use.
    """
    for tool in report_to:
        if not any(importlib.util.find_spec(package) for package in _PACKAGES[tool]):
            raise ConfigError(
                "training.report_to: found {tool}, but the package {package} is not installed; "
                "pip install {package}, or leave it out.",
                tool=tool,
                package=_PACKAGES[tool][0],
            )
        if tool == "wandb" and not storage.is_local(folder) and not _is_decided(os.environ):
            raise ConfigError(
                "training.report_to: found wandb offline with an output on an object store, where "
                "its files would stay on a node's disk; set WANDB_API_KEY on the nodes, or leave "
                "it out."
            )


def reporting_environment(
    report_to: tuple[str, ...], folder: str, environment: Mapping[str, str]
) -> dict[str, str]:
    """Return what a worker's environment lacks so that the tools write below `folder`.

    If nobody decided otherwise, they send nothing.
    """
    variables: dict[str, str] = {}
    if "tensorboard" in report_to:
        variables["TENSORBOARD_LOGGING_DIR"] = storage.join(folder, "tensorboard")
    if "wandb" in report_to:
        variables |= _NUMBERS_ALONE | {"WANDB_PROJECT": "medembed"}
        if storage.is_local(folder):
            # else its logs go to the home folder
            variables |= {"WANDB_DIR": folder, "WANDB_CACHE_DIR": folder}
        if not _is_decided(environment):
            variables["WANDB_MODE"] = "offline"
    return {name: value for name, value in variables.items() if name not in environment}


def prepare_reporting(report_to: tuple[str, ...], folder: str) -> None:
    """Set this worker's environment for the trainer's own callbacks."""
    os.environ.update(reporting_environment(report_to, folder, os.environ))
    if report_to and storage.is_local(folder):
        os.makedirs(folder, exist_ok=True)


def finish_reporting(report_to: tuple[str, ...]) -> None:
    """End this worker's run, so that its last steps are there: Ray ends workers at once."""
    if "wandb" in report_to:
        import wandb

        wandb.finish()


def _is_decided(environment: Mapping[str, str]) -> bool:
    return any(environment.get(name) for name in _DECIDED)
