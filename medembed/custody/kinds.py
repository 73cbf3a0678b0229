"""List all kinds of outputs, with those that only custody writes: backups and half removed ones."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from medembed import artifact
from medembed.lineage import (
    CheckpointManifest,
    DatasetManifest,
    EvaluationManifest,
    ExamplesManifest,
    ExportManifest,
    Manifest,
    StartManifest,
)

Part = Literal["checkpoint", "dataset", "examples", "table"]


@dataclass(frozen=True)
class Copied:
    """A file in a backup: `schema.content_hash`, size, and when its original changed, in ns."""

    hash: str
    bytes: int
    modified: int = 0


@dataclass(frozen=True)
class CopiedRun:
    """An MLflow run in a backup: the file with its facts, and {artifact: its copy}, by name."""

    facts: str
    artifacts: dict[str, str]


@dataclass(frozen=True)
class CopiedVersion:
    """A registered version in a backup, and {part: its name there} of what it consists of."""

    run_id: str
    tags: dict[str, str]
    parts: dict[Part, str]
    run: CopiedRun | None = None


@dataclass(frozen=True, kw_only=True)
class BackupManifest(Manifest):
    """A backup of the registered model `name`.

    `copies` are its files by name. `folders` {part: folder} say where the newest copy of a part
    lies, for all versions that have it. `tables` are parts, and `runs` runs, that no version names.
    `erasing` are the folders in which an erasure is not finished.
    """

    kind: ClassVar[str] = "backup"
    is_rewritten: ClassVar[bool] = True

    name: str = ""
    aliases: dict[str, str] = field(default_factory=dict)
    versions: dict[str, CopiedVersion] = field(default_factory=dict)
    folders: dict[str, str] = field(default_factory=dict)
    tables: tuple[str, ...] = ()
    runs: tuple[CopiedRun, ...] = ()
    copies: dict[str, Copied] = field(default_factory=dict)
    erasing: tuple[str, ...] | None = None

    @property
    def names(self) -> Collection[str]:
        """The names of all its files."""
        return self.copies


@dataclass(frozen=True, kw_only=True)
class LeavingManifest(Manifest):
    """An output or a table that is being removed: its `files` are what is to go."""

    kind: ClassVar[str] = "half removed"


KINDS: tuple[type[Manifest], ...] = (
    DatasetManifest,
    ExamplesManifest,
    EvaluationManifest,
    ExportManifest,
    StartManifest,
    CheckpointManifest,
    BackupManifest,
    LeavingManifest,
)


def read_any(uri: str) -> Manifest | None:
    """Return the manifest of whatever output lies there. Raises StorageError for damage."""
    return artifact.read_one_of(uri, KINDS)
