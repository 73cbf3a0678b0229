"""Erase in a backup: its manifest says first that it is incomplete, and gets the new hashes last.

Between the two it is not restored.
"""

from collections.abc import Iterable
from dataclasses import replace

from medembed import storage
from medembed.artifact import read_manifest, write_manifest
from medembed.custody.copies import hash_file
from medembed.custody.kinds import BackupManifest, CopiedVersion, folder_of
from medembed.custody.learned import Learned
from medembed.custody.places import files_below, is_below, known, plain
from medembed.lineage import CheckpointManifest, TableManifest
from medembed.registry.models import Version
from medembed.tags import Lineage


def versions_in(backup: str) -> list[Version]:
    """Return the versions that a backup holds. Raises StorageError if no backup lies there."""
    manifest = read_manifest(backup, BackupManifest)
    versions = []
    for number, copied in manifest.versions.items():
        source = storage.join(backup, copied.folders[CheckpointManifest.role])
        versions.append(Version(manifest.name, number, source, copied.run_id, copied.tags))
    return versions


def begin(backup: str, changing: Iterable[str], learned: Learned) -> None:
    """Take out of the manifest what is about to change, and have versions tell of erased rows."""
    before = read_manifest(backup, BackupManifest)
    folder = plain(backup)
    changed = [uri for uri in changing if is_below(uri, [folder])]
    copies = dict(before.copies)
    for name in before.copies:
        if is_below(f"{folder}/{name}", changed):
            del copies[name]
    versions = dict(before.versions)
    for number, copied in versions.items():
        if note := learned.note(Lineage.from_tags(copied.tags)):
            versions[number] = replace(copied, tags=copied.tags | note.to_tags())
    is_erasing = before.is_erasing or bool(changed)
    manifest = replace(before, copies=copies, versions=versions, is_erasing=is_erasing)
    if manifest != before:
        write_manifest(backup, manifest)


def finish(backup: str) -> None:
    """Give the manifest what is there now, and the numbers of the tables' versions; what was
    deleted is in no version any more.
    """
    manifest = read_manifest(backup, BackupManifest)
    if not manifest.is_erasing:
        return
    copies = dict(manifest.copies)
    for name, file in files_below(backup).items():
        if name not in copies and folder_of(name) in manifest.folders:
            copies[name] = hash_file(file.uri)
    left = set(map(folder_of, copies))
    versions: dict[str, CopiedVersion] = {}
    for number, copied in manifest.versions.items():
        versions[number] = _renew(backup, copied, left)
    others = tuple(filter(left.__contains__, manifest.others))
    manifest = replace(manifest, copies=copies, versions=versions, others=others)
    write_manifest(backup, replace(manifest, is_erasing=False))


def _renew(backup: str, version: CopiedVersion, left: set[str]) -> CopiedVersion:
    """Return a version without the folders that are gone, and with its table's new version."""
    folders = {role: folder for role, folder in version.folders.items() if folder in left}
    tags = version.tags
    named = Lineage.from_tags(tags).table
    if named is not None and TableManifest.role in folders:
        table = known(storage.join(backup, folders[TableManifest.role]), TableManifest)
        if table is not None:
            tags = tags | Lineage(table=replace(named, version=table.version)).to_tags()
    return replace(version, folders=folders, tags=tags)
