"""Switches off what the libraries underneath would send home."""

import os
import re

TELEMETRY_OFF = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}


def silence_telemetry() -> None:
    """Sets the opt-out of Ray, MLflow and Hugging Face for this process and those it starts.

    Call it before these libraries are imported: they read their switches then.
    """
    os.environ.update(TELEMETRY_OFF)


def without_passwords(text: str) -> str:
    """The text with user:password@ taken out of every URI in it."""
    return re.sub(r"//[^/@\s]*@", "//", text)
