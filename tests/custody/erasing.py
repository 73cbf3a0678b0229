"""Erase in a small world, and look at what its folders show."""

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

import jobs.erase
from medembed import storage
from medembed.config import load_config
from medembed.encoding.table import open_lance
from tests.custody.world import QUERY_TEXTS, TEXTS, World


def erase(world: World, *more: str, dry_run: bool = False) -> dict[str, Any]:
    arguments = [
        f"registry.workspace={world.registry.config.workspace}",
        f"dry_run={dry_run}",
        *more,
    ]
    return jobs.erase.run(load_config(jobs.erase.EraseJob, arguments))


def tables_below(folder: str) -> Iterator[tuple[str, pa.Table]]:
    """Yield every Parquet and Arrow file, and every version of every embedding table, as rows."""
    for uri, _, _ in storage.find_files(folder):
        if uri.endswith(".parquet"):
            yield uri, storage.read_parquet(uri)
        elif uri.endswith(".arrow") and "/_deletions/" not in uri:
            yield uri, pa.ipc.open_file(pa.BufferReader(storage.read_bytes(uri))).read_all()
    manifests = [uri for uri, _, _ in storage.find_files(folder) if "/_versions/" in uri]
    for uri in {uri.partition("/_versions/")[0] for uri in manifests}:
        for entry in open_lance(uri).versions():
            rows = open_lance(uri, entry["version"])
            yield uri, rows.to_table(columns=["document_id", "content_hash"])


def naming(folder: str, *names: str) -> list[str]:
    """Return the places below a folder that name one of these ids or texts."""
    words = [word for name in names for word in (json.dumps(name), f'"{name}#')]
    texts = [(uri, json.dumps(table.to_pylist())) for uri, table in tables_below(folder)]
    texts += [
        (uri, storage.read_bytes(uri).decode())
        for uri, _, _ in storage.find_files(folder)
        if _is_report(uri)
    ]
    return [uri for uri, text in texts if any(word in text for word in words)]


def _is_report(uri: str) -> bool:
    return uri.endswith("mining.json")


def state(folder: str) -> dict[str, float]:
    return {uri: modified for uri, _, modified in storage.find_files(folder)}


GONE = (
    "d2",
    "d1",
    "q1",
    "q2",
    "q5",
    TEXTS["d2"],
    TEXTS["d1#chunk-0"],
    QUERY_TEXTS["q2"],
    QUERY_TEXTS["q5"],
)
ASKED = ("document_ids=[d1,d2,nobody]", "query_ids=[q5]")
