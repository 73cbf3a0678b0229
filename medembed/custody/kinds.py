"""What only custody writes: manifests of backups and of what is being removed."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from medembed.errors import StorageError
from medembed.language import to_translate
from medembed.lineage import KINDS, Manifest

RUN = "run"  # what a backup has of a version beside its outputs
RUNS = "runs"  # the folder of these, and what is in one
FACTS = "run.json"
ARTIFACTS = "artifacts/"
# {role: kind} of outputs that a backup has, and their folders
BACKED_UP = {kind.role: kind for kind in KINDS if kind.role and kind.folder}
FOLDERS = tuple(kind.folder for kind in KINDS if kind.folder)
OURS = (RUNS, *FOLDERS)


def folder_of(name: str) -> str:
    """Return the folder in a backup of a file there."""
    return "/".join(name.split("/")[:2])


def is_of_run(name: str) -> bool:
    """Return whether a folder or file in a backup is of a run."""
    return name.startswith(f"{RUNS}/")


@dataclass(frozen=True)
class Copied:
    """A file in a backup: `schema.content_hash` and size."""

    hash: str
    bytes: int


def size_of(copies: Iterable[Copied]) -> int:
    """Return how many bytes these files have together."""
    return sum(copied.bytes for copied in copies)


@dataclass(frozen=True)
class CopiedVersion:
    """A registered version in a backup; `folders` {role of an output, or RUN: its folder there}."""

    run_id: str
    tags: dict[str, str]
    folders: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class BackupManifest(Manifest):
    """A backup of the registered model `name`.

    `copies` are its files by name; `others` the folders that no version names, of tables and runs.
    While it `is_erasing`, the copies lack what is being changed.
    """

    kind = to_translate("backup")
    on_erasure = "rewrite"

    name: str = ""
    aliases: dict[str, str] = field(default_factory=dict)
    versions: dict[str, CopiedVersion] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    copies: dict[str, Copied] = field(default_factory=dict)
    is_erasing: bool = False

    @property
    def names(self) -> Collection[str]:
        """The names of all its files."""
        return self.copies

    @property
    def folders(self) -> set[str]:
        """The folders that versions name, and the others."""
        folders = set(self.others)
        for version in self.versions.values():
            folders.update(version.folders.values())
        return folders

    def check_whole(self, uri: str) -> None:
        """Raises StorageError while an erasure in this backup, at `uri`, is not finished."""
        if self.is_erasing:
            raise StorageError(
                "{uri}: an erasure in this backup was interrupted; run the same medembed erase "
                "again.",
                uri=uri,
            )


@dataclass(frozen=True, kw_only=True)
class LeavingManifest(Manifest):
    """An output or a table that is being removed: its `files` are what is to go."""

    kind = to_translate("half removed")


ALL_KINDS = (*KINDS, BackupManifest, LeavingManifest)
