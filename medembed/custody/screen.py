"""Show what was backed up, restored, pruned or erased as lines for people."""

from collections.abc import Iterator
from dataclasses import dataclass

from medembed.custody.backup import Backup
from medembed.custody.erase import Eraser
from medembed.custody.prune import Pruning
from medembed.custody.restore import Restoration
from medembed.data.dataset import format_counts
from medembed.language import to_translate, tr
from medembed.privacy import without_passwords


@dataclass(frozen=True)
class _ErasureTexts:
    """What is said of an erasure, before or after it: of each place, of all, of outputs that go
    whole, and of tables.
    """

    place: str
    total: str
    deleted: str
    tables: str


_TO_ERASE = _ErasureTexts(
    place=to_translate("{uri}: {counts} to erase"),
    total=to_translate(
        "{rows:,} rows to erase in {places:,} places, of {searched:,} searched; {nowhere:,} of "
        "{ids:,} ids were found nowhere"
    ),
    deleted=to_translate("to be deleted whole, as their jobs make them again: {outputs}"),
    tables=to_translate(
        "of {count:,} tables only a new version will be left: servers of them must then be "
        "deployed anew, as they name one that is gone"
    ),
)
_ERASED = _ErasureTexts(
    place=to_translate("{uri}: {counts} erased"),
    total=to_translate(
        "{rows:,} rows erased in {places:,} places, of {searched:,} searched; {nowhere:,} of "
        "{ids:,} ids were found nowhere"
    ),
    deleted=to_translate("deleted whole, as their jobs make them again: {outputs}"),
    tables=to_translate(
        "of {count:,} tables only a new version is left: servers of them must then be deployed "
        "anew, as they name one that is gone"
    ),
)


def describe_backup(backup: Backup) -> Iterator[str]:
    """Yield lines on what cannot be read, then on what the backup has."""
    for line in backup.gone:
        yield tr("cannot be read now, and not backed up: {line}", line=line)
    for line in backup.held:
        yield tr("cannot be read now; what an earlier backup has of it stays: {line}", line=line)
    manifest = backup.manifest
    yield tr(
        "{uri}: {versions} versions of models:/{name} in {files:,} files, {size}; {new_files:,} "
        "files, {new_size} of them new",
        uri=without_passwords(backup.uri),
        versions=len(manifest.versions),
        name=manifest.name,
        files=len(manifest.copies),
        size=_mebibytes(backup.size_bytes),
        new_files=len(backup.new),
        new_size=_mebibytes(backup.new_size_bytes),
    )


def describe_restoration(restoration: Restoration) -> Iterator[str]:
    """Yield a line on what was registered and copied."""
    manifest = restoration.manifest
    aliases: list[str] = []
    for alias, number in sorted(manifest.aliases.items()):
        aliases.append(tr("@{alias} is {number}", alias=alias, number=number))
    yield tr(
        "models:/{name}: {versions} versions registered ({aliases}); {files:,} files, {size}, all "
        "hashes right, in {output}",
        name=manifest.name,
        versions=len(manifest.versions),
        aliases=", ".join(aliases) or tr("no alias"),
        files=len(restoration.files),
        size=_mebibytes(restoration.size_bytes),
        output=without_passwords(restoration.output),
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
        yield tr("{name} has been given an alias meanwhile: it stays", name=name)
    total = to_translate("{count} versions removed, {size}; {left} stay")
    if is_dry:
        total = to_translate("{count} versions would go, {size}; {left} stay")
    freed = _mebibytes(sum(pruning.sizes.values()))
    yield tr(total, count=len(pruning.gone), size=freed, left=pruning.left)
    if is_dry and pruning.gone:
        yield tr("nothing has changed; dry_run=false removes them for good")


def describe_erasure(eraser: Eraser, *, is_dry: bool) -> Iterator[str]:
    """Yield lines on what goes, or went, from where, and on what it means for models and
    servers.
    """
    texts = _TO_ERASE if is_dry else _ERASED
    for uri, counts in eraser.counts.items():
        yield tr(texts.place, uri=uri, counts=format_counts(counts))
    for line in eraser.unsearched:
        yield tr("not searched: {line}", line=line)
    yield tr(
        texts.total,
        rows=eraser.rows,
        places=len(eraser.counts),
        searched=len(eraser.reach.places),
        nowhere=eraser.nowhere,
        ids=len(eraser.request.ids),
    )
    if eraser.deleted:
        yield tr(texts.deleted, outputs=", ".join(eraser.deleted))
    if eraser.models.trained:
        yield tr(
            "trained on erased rows, now or before: {models}: retrain or delete them",
            models=", ".join(eraser.models.trained),
        )
    if eraser.models.descendants:
        yield tr(
            "descends from such a model: {models}: retrain or delete these too",
            models=", ".join(eraser.models.descendants),
        )
    if eraser.tables:
        yield tr(texts.tables, count=len(eraser.tables))
    if is_dry:
        yield tr("nothing has changed; dry_run=false erases for good")


def _mebibytes(size: int) -> str:
    return tr("{size:,.1f} MiB", size=size / 2**20)
