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
    """`medembed ...` to print: it runs as it stands, with the registry that this config names.

    Only a password is masked; MLFLOW_TRACKING_URI keeps it out of configs.
    """
    names = type(registry).model_fields
    changed = {
        name: getattr(registry, name)
        for name, field in names.items()
        if getattr(registry, name) != field.default
    }
    own = [f"registry.{name}={value}" for name, value in changed.items()]
    return shlex.join(["medembed", *map(without_passwords, [*arguments, *own])])
