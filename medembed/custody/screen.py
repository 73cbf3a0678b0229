"""Show what was backed up, restored, pruned or erased as lines for people."""

from collections.abc import Iterator

from medembed.custody.backup import Backup
from medembed.custody.erase import Eraser
from medembed.custody.prune import Pruning
from medembed.custody.restore import Restoration
from medembed.data.dataset import format_counts
from medembed.privacy import without_passwords


def describe_backup(backup: Backup) -> Iterator[str]:
    """Yield lines on what cannot be read, then on what the backup has."""
    for line in backup.gone:
        yield f"cannot be read now, and not backed up: {line}"
    for line in backup.held:
        yield f"cannot be read now; what an earlier backup has of it stays: {line}"
    manifest = backup.manifest
    size = _mebibytes(backup.size_bytes)
    yield (
        f"{without_passwords(backup.uri)}: {len(manifest.versions)} versions of "
        f"models:/{manifest.name} in {len(manifest.copies):,} files, {size}; "
        f"{len(backup.new):,} files, {_mebibytes(backup.new_size_bytes)} of them new"
    )


def describe_restoration(restoration: Restoration) -> Iterator[str]:
    """Yield a line on what was registered and copied."""
    manifest = restoration.manifest
    aliases = [f"@{alias} is {number}" for alias, number in sorted(manifest.aliases.items())]
    yield (
        f"models:/{manifest.name}: {len(manifest.versions)} versions registered "
        f"({', '.join(aliases) or 'no alias'}); {len(restoration.files):,} files, "
        f"{_mebibytes(restoration.size_bytes)}, all hashes right, in "
        f"{without_passwords(restoration.output)}"
    )


def describe_pruning(pruning: Pruning, *, is_dry: bool) -> Iterator[str]:
    """Yield lines on the versions that go, or went, and on those that stay."""
    for leaving in pruning.gone:
        yield f"{leaving.version.reference}, {_mebibytes(sum(leaving.sizes.values()))}"
        for uri, size in leaving.sizes.items():
            yield f"  {uri}, {_mebibytes(size)}"
        for note in leaving.notes:
            yield f"  {note}"
    for name in pruning.stayed:
        yield f"{name} has been given an alias meanwhile: it stays"
    verb = "would go" if is_dry else "removed"
    total = _mebibytes(sum(pruning.sizes.values()))
    yield f"{len(pruning.gone)} versions {verb}, {total}; {pruning.left} stay"
    if is_dry and pruning.gone:
        yield "nothing has changed; dry_run=false removes them for good"


def describe_erasure(eraser: Eraser, *, is_dry: bool) -> Iterator[str]:
    """Yield lines on what goes, or went, from where, and on what it means for models and
    servers.
    """
    verb = "to erase" if is_dry else "erased"
    for uri, counts in eraser.counts.items():
        yield f"{uri}: {format_counts(counts)} {verb}"
    for line in eraser.unsearched:
        yield f"not searched: {line}"
    yield (
        f"{eraser.rows:,} rows {verb} in {len(eraser.counts):,} places, of "
        f"{len(eraser.reach.places):,} searched; {eraser.nowhere:,} of "
        f"{len(eraser.request.ids):,} ids were found nowhere"
    )
    if eraser.deleted:
        deleted = "to be deleted" if is_dry else "deleted"
        yield f"{deleted} whole, as their jobs make them again: {', '.join(eraser.deleted)}"
    if eraser.models.trained:
        yield (
            f"trained on erased rows, now or before: {', '.join(eraser.models.trained)}: retrain "
            "or delete them"
        )
    if eraser.models.descendants:
        yield (
            f"descends from such a model: {', '.join(eraser.models.descendants)}: retrain or "
            "delete these too"
        )
    if eraser.tables:
        yield (
            f"of {len(eraser.tables):,} tables only a new version "
            f"{'will be' if is_dry else 'is'} left: servers of them must then be deployed "
            "anew, as they name one that is gone"
        )
    if is_dry:
        yield "nothing has changed; dry_run=false erases for good"


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"
