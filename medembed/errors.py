"""Errors that a caller can handle: one line on where, what was found and expected, what to do."""

from medembed.language import tr


class MedEmbedError(Exception):
    """Something outside the code is wrong; a job prints the message and exits with status 2.

    The message is English with {names}, which the values replace; it is shown in the user's
    language.
    """

    def __init__(self, message: str, /, **values: object) -> None:
        super().__init__(tr(message, **values))


class ConfigError(MedEmbedError):
    """A key is unknown, missing or out of bounds."""


class DataError(MedEmbedError):
    """A source, row or data set is not what it should be. Never quotes a row's text."""


class StorageError(MedEmbedError):
    """A URI cannot be read or written, or holds something else."""


class ModelError(MedEmbedError):
    """A model folder, dimension or fingerprint is not usable."""


class ServiceError(MedEmbedError):
    """A port, cluster or tracking server cannot be used."""


class TrainingError(MedEmbedError):
    """Training stopped before it had a usable checkpoint."""


class WorkersLost(TrainingError):
    """Workers died, failed, or found no room too often; run again to go on from a checkpoint."""


def find_known(error: BaseException | None) -> MedEmbedError | None:
    """Return the MedEmbedError behind an error, also where Ray wrapped it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, MedEmbedError):
            return error
        seen.add(id(error))
        error = getattr(error, "cause", None) or error.__cause__
    return None


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, or its class where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]
