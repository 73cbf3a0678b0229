"""Where runs and models are kept, and how the next command says so."""

import shlex

from pydantic import Field

from medembed.config import Config
from medembed.privacy import without_passwords


class RegistryConfig(Config):
    """MLflow's place and the name under which models are registered."""

    workspace: str = Field(
        default="workspace",
        description="local folder that holds the MLflow file when no server is named",
    )
    tracking_uri: str | None = Field(
        default=None,
        description="MLflow server; null: MLFLOW_TRACKING_URI, else <workspace>/mlflow/mlflow.db "
        "for local runs",
    )
    experiment: str = Field(default="medembed", description="MLflow experiment of the runs")
    model_name: str = Field(
        default="medembed", pattern=r"^[^/:@'\"]+$", description="registered model, without / : @"
    )


def command(registry: RegistryConfig, *arguments: str) -> str:
    """Return `medembed ...` to print: it runs as it stands, with the registry of this config.

    Only a password is masked; MLFLOW_TRACKING_URI keeps it out of configs.
    """
    words = list(arguments)
    for name, field in type(registry).model_fields.items():
        value = getattr(registry, name)
        if value != field.default:
            words.append(f"registry.{name}={value}")
    return shlex.join(["medembed", *map(without_passwords, words)])
