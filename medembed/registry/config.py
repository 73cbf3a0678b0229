"""Where runs and models are kept."""

from pydantic import Field

from medembed.config import Config


class RegistryConfig(Config):
    """MLflow's place and the name under which models are registered."""

    workspace: str = Field(
        default="workspace", description="local folder that holds the MLflow file when no server is named"
    )
    tracking_uri: str | None = Field(
        default=None,
        description="MLflow server; null: MLFLOW_TRACKING_URI, else <workspace>/mlflow/mlflow.db for local runs",
    )
    experiment: str = Field(default="medembed", description="MLflow experiment of the runs")
    model_name: str = Field(default="medembed", description="registered model")
