"""What Lance says only in private, as seen in pylance 14.0: errors that its texts alone tell apart,
and which data set a version comes from.

Everything else in the room uses Lance's public classes. `tests/encoding/test_lance_dataset.py`
fails when one of these texts changes.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from medembed import storage
from medembed.errors import StorageError, first_line

# Of Lance's own code, behind its message.
_SOURCE_LINE = re.compile(r", /\S+:\d+:\d+$")


def open_lance(uri: str, version: int | None = None) -> Any:
    """Return the Lance data set at `uri`, by default its newest version. Raises StorageError."""
    import lance

    try:
        return lance.dataset(uri, version=version, storage_options=lance_options(uri))
    except (ValueError, OSError) as error:
        raise StorageError(
            "{uri}: cannot open the embedding table: {reason}", uri=uri, reason=reason_of(error)
        ) from None


def lance_options(uri: str) -> dict[str, str]:
    """Return the `storage_options` that Lance needs beyond the credentials that it reads itself."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if storage.scheme(uri) != "s3" or not endpoint:
        return {}
    options = {"endpoint": endpoint, "allow_http": str(endpoint.startswith("http://")).lower()}
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return options | ({"region": region} if region else {})


@contextmanager
def explained(uri: str, fault: str, advice: str = "") -> Iterator[None]:
    """Turn Lance's errors inside into a StorageError that says what could not be done, and why."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        raise StorageError(
            "{uri}: {fault}: {reason}",
            uri=uri,
            fault=fault,
            reason=f"{reason_of(error)} {advice}".rstrip(),
        ) from None


def reason_of(error: Exception) -> str:
    """Return the first line of an error as a sentence, without the place in Lance's sources."""
    return _SOURCE_LINE.sub("", first_line(error)).rstrip(".") + "."


def is_conflict(error: Exception) -> bool:
    """Return whether a commit failed because another run had committed.

    Lance has a class for it. But a first commit at a place where there is a table by now fails with
    a plain OSError about a version 0, which Lance then looks for.
    """
    from lance.commit import CommitConflictError

    return isinstance(error, CommitConflictError) or "/0.manifest" in str(error)


def list_numbers(dataset: Any) -> list[int]:
    """Return the numbers of all versions of a data set, rising."""
    return sorted(entry["version"] for entry in dataset.versions())


def read_properties(dataset: Any, key: str) -> dict[str, str]:
    """Return the properties of the last commit up to this version that has `key`.

    After a rollback that is the commit it went back to. Compactions and indexes commit by
    themselves, without properties. Empty if the commit's record is gone.
    """
    import lance

    version = dataset.version
    while version > 0:
        try:
            transaction = dataset.read_transaction(version)
        # Lance 14.0 cannot read the record of a compaction that moved an index.
        except TypeError:
            version -= 1
            continue
        except (OSError, ValueError, RuntimeError) as error:
            # Any other reason must end here: else who may see the version would be a guess.
            if "not found" in str(error).lower():
                return {}
            raise StorageError(
                "{uri}: cannot read the record of version {version}: {reason}",
                uri=dataset.uri,
                version=version,
                reason=reason_of(error),
            ) from None
        if transaction is None:
            return {}
        if key in transaction.transaction_properties:
            return dict(transaction.transaction_properties)
        is_rollback = isinstance(transaction.operation, lance.LanceOperation.Restore)
        version = transaction.operation.version if is_rollback else version - 1
    return {}


class FragmentFiles(NamedTuple):
    """Names of a fragment's data files, and of its deletions, "" without any."""

    data: str
    deletions: str


def files_of(fragment: Any) -> FragmentFiles:
    """Return the names of a fragment's files.

    Lance draws these names by chance for each write: the same names mean the same rows.
    """
    files = " ".join(file.path for file in fragment.metadata.files)
    deletions = fragment.metadata.deletion_file
    deleted = f"{deletions.read_version}-{deletions.id}" if deletions else ""
    return FragmentFiles(files, deleted)
