"""Switches off what the libraries underneath would send home, and closes what is written to other users."""

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


def close_files() -> None:
    """Has this process, and those it starts, make files that their owner alone reads: they may hold patients' texts.

    A folder with a default ACL (`setfacl -d`) says otherwise for all that is made in it; folders and files that are
    there keep their mode.
    """
    os.umask(0o077)


def without_passwords(text: str) -> str:
    """The text with user:password@ taken out of every URI in it."""
    return re.sub(r"//[^/@\s]*@", "//", text)
