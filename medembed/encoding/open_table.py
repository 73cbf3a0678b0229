"""Find an embedding table: by its place, by its encoder in a folder, by a version or tag."""

from medembed import artifact, storage
from medembed.encoding.lance_dataset import list_numbers, open_lance
from medembed.encoding.table import REPAIR, Table, check_encoder, find_table
from medembed.errors import StorageError
from medembed.language import tr


def find_newest(uri: str) -> Table | None:
    """Return what readers take who name no version: the last one that they may see.

    Where they may see none, it is the last one. None if there is no table.
    """
    last = find_table(uri)
    if last is None or not last.is_unseen:
        return last
    for number in reversed(list_numbers(open_lance(uri))):
        table = find_table(uri, number)
        if table is not None and not table.is_unseen:
            return table
    return last


def open_table(uri: str, version: int | str | None = None) -> Table:
    """Return the table at a version or tag, by default the newest. Raises StorageError."""
    table = None
    if storage.exists(uri):
        table = find_newest(uri) if version is None else find_table(uri, _resolve(uri, version))
    if table is None:
        raise StorageError("{uri}: no embedding table there; `medembed encode` makes one.", uri=uri)
    return table


def open_table_of(uri: str, encoder: str, version: int | None = None) -> Table:
    """Return the table at `uri`, or this encoder's in the folder `uri`; by default the newest.

    In a folder a restored table has another name than `<encoder>.lance`: there its metadata tell
    whose it is. Raises StorageError if there is none, if it is empty, if another encoder made it,
    or if several could be meant.
    """
    uri = artifact.place(uri, encoder)
    table = (
        _find_version(uri, version)
        or _find_version(storage.join(uri, f"{encoder}.lance"), version)
        or _find_below(uri, encoder, version)
    )
    if table is None:
        raise StorageError(
            "{uri}: no embedding table there, nor one of encoder {encoder} below it; make "
            "one with `medembed encode`.",
            uri=uri,
            encoder=encoder,
        )
    check_encoder(table, encoder)
    if not table.rows:
        raise StorageError(
            "{uri}: the embedding table is empty; encode a corpus into it.", uri=table.uri
        )
    _check_files(table)
    return table


def _find_version(uri: str, version: int | None) -> Table | None:
    return find_newest(uri) if version is None else find_table(uri, version)


def _find_below(uri: str, encoder: str, version: int | None) -> Table | None:
    """Return the one table of this encoder right below a folder, whatever its name."""
    manifests = storage.find_files(storage.join(uri, "*", "_versions", "*.manifest"))
    folders = {manifest.uri.rpartition("/_versions/")[0] for manifest in manifests}
    own: list[Table] = []
    for folder in sorted(folders):
        table = _find_version(folder, version)
        if table is not None and table.info.encoder == encoder:
            own.append(table)
    if len(own) > 1:
        names = ", ".join(table.uri.rpartition("/")[2] for table in own)
        raise StorageError(
            "{uri}: {count} tables of encoder {encoder} ({names}); give the path of one.",
            uri=uri,
            count=len(own),
            encoder=encoder,
            names=names,
        )
    return own[0] if own else None


def _check_files(table: Table) -> None:
    """Raise StorageError if a file of this version is gone, or has not the size that it should."""
    sizes: dict[str, int] = {}
    for stored in storage.find_files(storage.join(table.uri, "data", "*")):
        sizes[stored.uri.rpartition("/")[2]] = stored.size_bytes
    for fragment in open_lance(table.uri, table.version).get_fragments():
        for file in fragment.metadata.files:
            size = sizes.get(file.path)
            if size is None:
                raise StorageError(
                    "{uri}: data/{file}: no such file. {repair}",
                    uri=table.uri,
                    file=file.path,
                    repair=tr(REPAIR),
                )
            if file.file_size_bytes not in (None, size):
                raise StorageError(
                    "{uri}: data/{file}: found {size:,} bytes, expected {expected:,}. {repair}",
                    uri=table.uri,
                    file=file.path,
                    size=size,
                    expected=file.file_size_bytes,
                    repair=tr(REPAIR),
                )


def _resolve(uri: str, version: int | str) -> int:
    """Return a version's number. Raises StorageError for a version or tag that is not there."""
    dataset = open_lance(uri)
    numbers = list_numbers(dataset)
    tags = dataset.tags.list()
    text = str(version)
    number = int(text) if text.isdecimal() else tags.get(text, {"version": 0})["version"]
    if number not in numbers:
        known = ", ".join([*map(str, numbers), *sorted(tags)])
        raise StorageError(
            "{uri}: no version or tag {name!r}; there are {known}.", uri=uri, name=text, known=known
        )
    return int(number)
