"""Change an embedding table: workers write unseen fragments, the driver commits them at once."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from medembed import schema
from medembed.codes import Ranges
from medembed.encoding.codec import TYPES, Codec
from medembed.encoding.lance_dataset import (
    explained,
    is_conflict,
    lance_options,
    open_lance,
    reason_of,
)
from medembed.encoding.table import (
    DATASET_PROPERTY,
    METADATA_KEY,
    RANGES_KEY,
    UNSEEN_PROPERTY,
    Table,
    TableInfo,
    among,
    find_table,
)
from medembed.errors import StorageError
from medembed.language import tr


def write_fragment(uri: str, corpus: pa.Table, vectors: pa.FixedSizeListArray) -> str:
    """Write one uncommitted fragment; return its description for `commit_table`.

    `corpus` has columns document_id and content_hash; `vectors` come from a `Codec`.
    """
    from lance.fragment import write_fragments

    columns = [
        corpus["document_id"].combine_chunks(),
        corpus["content_hash"].combine_chunks(),
        vectors,
    ]
    names = schema.embeddings(vectors.type.list_size, vectors.type.value_type)
    # a full disk, a bucket that is gone
    with explained(uri, tr("cannot write vectors"), tr("The table is unchanged.")):
        fragments = write_fragments(
            pa.Table.from_arrays(columns, schema=names),
            uri,
            mode="append",
            storage_options=lance_options(uri),
        )
    return json.dumps([json.dumps(fragment.to_json()) for fragment in fragments])


def commit_table(
    uri: str,
    fragments: Sequence[str],
    info: TableInfo,
    *,
    ranges: Ranges | None = None,
    base: Table | None = None,
    dead: Iterable[tuple[int, Sequence[str]]] = (),
    is_unseen: bool = False,
) -> Table:
    """Commit a version: what `base` has without the rows `dead`, then these fragments.

    One that `is_unseen` is found by its number alone. `dead` are (place of a fragment in the base,
    ids of rows). Of a base all of `info` but the data set stays. Raises StorageError, and changes
    nothing, if another run has committed since `base`.
    """
    import lance

    new: list[Any] = []
    for described in fragments:
        new += map(lance.FragmentMetadata.from_json, json.loads(described))
    operation = _replace(new, info, ranges) if base is None else _update(base, new, dead)
    newest = find_table(uri)
    seen = base.version if base else 0
    properties = {DATASET_PROPERTY: info.dataset} | ({UNSEEN_PROPERTY: "true"} if is_unseen else {})
    transaction = lance.Transaction(seen, operation, transaction_properties=properties)
    overtaken = StorageError(
        "{uri}: another run has changed the table since version {seen}; this one changed "
        "nothing: run again.",
        uri=uri,
        seen=seen,
    )
    # Lance lets an overwrite go over versions that it has not seen.
    if seen != (newest.version if newest else 0):
        raise overtaken
    try:
        dataset = lance.LanceDataset.commit(
            uri, transaction, max_retries=0, storage_options=lance_options(uri)
        )
    except (OSError, RuntimeError) as error:
        if is_conflict(error):
            raise overtaken from None
        raise StorageError(
            "{uri}: cannot commit: {reason} The table is unchanged.",
            uri=uri,
            reason=reason_of(error),
        ) from None
    return Table(uri, dataset.version, dataset.count_rows(), info, is_unseen)


def show(table: Table) -> Table:
    """Return the last version as all may see it: itself, or one more that is the same."""
    if not table.is_unseen:
        return table
    shown = commit_table(table.uri, [], table.info, base=table)
    tag_version(shown)
    return shown


def tag_version(table: Table, *, is_new: bool = True) -> None:
    """Tag the version with data set and encoder; an old one only if none has that tag."""
    dataset = open_lance(table.uri)
    name = re.sub(r"[^\w.-]", "-", f"{table.info.dataset}.{table.info.encoder}")
    with explained(table.uri, tr("cannot tag the version")):
        if name not in dataset.tags.list():
            dataset.tags.create(name, table.version)
        elif is_new:
            dataset.tags.update(name, table.version)


def _replace(new: list[Any], info: TableInfo, ranges: Ranges | None) -> Any:
    """Return the operation that makes a table of these fragments alone."""
    import lance

    facts = asdict(info)
    del facts["dataset"]
    metadata = {METADATA_KEY: json.dumps(facts).encode()}
    metadata |= {RANGES_KEY: json.dumps(ranges.to_json()).encode()} if ranges else {}
    size = Codec(info.width, info.storage).size
    columns = schema.embeddings(size, TYPES[info.storage]).with_metadata(metadata)
    return lance.LanceOperation.Overwrite(columns, new)


def _update(base: Table, new: list[Any], dead: Iterable[tuple[int, Sequence[str]]]) -> Any:
    """Return the operation that takes these rows from the base and adds fragments.

    The first fragment is always among those touched: Lance joins two updates that touch different
    ones, each of which may hold the same new document. So they conflict.
    """
    import lance

    there = open_lance(base.uri, base.version).get_fragments()
    gone: list[int] = []
    touched = {0: there[0].metadata} if there else {}
    for number, ids in dead:
        left = there[number].delete(among(ids)) if len(ids) < there[number].count_rows() else None
        if left is None:
            gone.append(there[number].fragment_id)
            touched.pop(number, None)
        else:
            touched[number] = left
    return lance.LanceOperation.Update(
        removed_fragment_ids=gone, updated_fragments=list(touched.values()), new_fragments=new
    )
