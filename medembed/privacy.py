"""Keep in a job what must not leave it: telemetry, passwords, ids that are texts, open files."""

import hashlib
import os
import re
import stat
from pathlib import Path

from medembed.errors import ConfigError
from medembed.schema import CHUNK_MARK

TELEMETRY_OFF = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}


# Codes, numbers, hashes, addresses: what people give things for names. A sentence has spaces.
_ID = re.compile(r"[\w.:/#@%+~|=?&*()\[\]-]{0,64}")


def silence_telemetry() -> None:
    """Set the opt-out of Ray, MLflow and Hugging Face for this process and those it starts.

    Call it before these libraries are imported: they read their switches then.
    """
    os.environ.update(TELEMETRY_OFF)


def close_files() -> None:
    """Have this process, and those it starts, make files that their owner alone reads.

    They may hold patients' texts. A folder with a default ACL (`setfacl -d`) says otherwise for all
    that is made in it; folders and files that are there keep their mode.
    """
    os.umask(0o077)


def own_folder(folder: Path) -> None:
    """Make a folder that this user alone may enter.

    Raises ConfigError for another user's, or a link.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise ConfigError(
            "{folder}: found a link or another user's folder, expected one of your own; name "
            "another.",
            folder=folder,
        )
    folder.chmod(0o700)


def check_secret(file: Path) -> None:
    """Raise ConfigError for a secret's file, if it is there and other users can read it."""
    file = file.resolve()
    if not file.is_file():
        return
    is_reached = all(folder.stat().st_mode & stat.S_IXOTH for folder in file.parents)
    if is_reached and file.stat().st_mode & stat.S_IROTH:
        raise ConfigError(
            "{file}: every user of this machine can read this secret; chmod 600 it, or make "
            "a new one.",
            file=file,
        )


def without_passwords(text: str) -> str:
    """Return the text with user:password@ taken out of every URI in it."""
    return re.sub(r"//[^/@\s]*@", "//", text)


def show_id(name: str) -> str:
    """Return an id as a message or a report names it: itself, or a hash of one that may be a text.

    Whoever has the data finds the row: the hash is the first 12 digits of the id's SHA-256, for a
    chunk that of its document's id. Shown once more it stays as it is.
    """
    if _ID.fullmatch(name):
        return name
    document, mark, chunk = name.partition(CHUNK_MARK)
    hashed = hashlib.sha256(document.encode()).hexdigest()[:12]
    return f"sha256:{hashed}{mark}{show_id(chunk) if mark else ''}"
