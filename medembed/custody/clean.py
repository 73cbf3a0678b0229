"""Erased ids taken out of one place: data set, examples, evaluation, exported vectors, table, report.

Each function counts what there is to remove, {what: rows}, and removes it if `write`.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from medembed import storage
from medembed.custody.pages import clean_page, without_ids
from medembed.custody.remember import add_lost
from medembed.custody.rewrite import (
    ERASED,
    Rewrite,
    arrow_bytes,
    finish,
    is_unfinished,
    read_json,
    read_table,
    today,
    write_manifest,
)
from medembed.custody.spots import Spot
from medembed.custody.wanted import Wanted
from medembed.schema import document_of

Counts = Counter[str]
Clean = Callable[[Spot, Wanted, bool], Counts]


def clean_dataset(spot: Spot, wanted: Wanted, write: bool) -> Counts:
    """Documents, judgments of them, and queries that are named or left without a positive."""
    gone = wanted.queries_of(spot.manifest["fingerprint"])
    documents: set[str] = set()
    splits: Counts = Counter()

    def change(folder: str, table: pa.Table, counts: Counts) -> pa.Table:
        if folder == "corpus":
            new = wanted.without_rows(table)
            documents.update(map(document_of, table["document_id"].to_pylist()))
            documents.difference_update(map(document_of, new["document_id"].to_pylist()))
            return new
        if folder == "queries":
            new = wanted.without_queries(table, "query_id", gone)
            splits.update(Counter(table["split"].to_pylist()) - Counter(new["split"].to_pylist()))
            return _rename_groups(new, wanted, counts)
        if folder in ("qrels", "held_out"):
            return wanted.without_rows(wanted.without_queries(table, "query_id", gone))
        return table

    def describe(manifest: Mapping[str, Any], counts: Counts) -> dict[str, Any]:
        less = {"queries": counts["queries"], "judgments": counts["qrels"], "chunks": counts["corpus"]}
        less["documents"] = len(documents)
        return {
            "counts": {name: count - less.get(name, 0) for name, count in manifest.get("counts", {}).items()},
            "splits": {name: count - splits[name] for name, count in manifest.get("splits", {}).items()},
            "held_out": manifest.get("held_out", 0) - counts["held_out"],
            **add_lost(manifest, gone - wanted.queries),
        }

    return _rewrite_tables(spot, change, write, describe)


def clean_examples(spot: Spot, wanted: Wanted, write: bool) -> Counts:
    """Examples of erased positives and queries, erased negatives in others, and what the search remembers of both."""
    gone = wanted.queries_of(spot.manifest.get("dataset", ""))

    def change(folder: str, table: pa.Table, counts: Counts) -> pa.Table:
        table = wanted.without_queries(table, "query_id", gone)
        if folder == "nearest":
            return _drop_from_lists(table, "rows", ("rows", "scores"), wanted, counts)
        table = wanted.without_rows(table, "positive_id")
        if "negative_id" in table.column_names:
            return wanted.without_rows(table, "negative_id")
        names = tuple(name for name in table.column_names if name.startswith("negative"))
        return _drop_from_lists(table, "negative_ids", names, wanted, counts)

    return _clean_json(spot, wanted, gone, write) + _rewrite_tables(spot, change, write, _count_examples)


def clean_exported(spot: Spot, wanted: Wanted, write: bool) -> Counts:
    """Vectors of erased documents."""
    return _rewrite_tables(
        spot,
        lambda _, table, __: wanted.without_rows(table),
        write,
        lambda manifest, counts: {"rows": manifest["rows"] - counts["vectors"]},
    )


def clean_evaluation(spot: Spot, wanted: Wanted, write: bool) -> Counts:
    """Values of erased queries, texts and pairs, and erased documents among those found first. Means stay.

    Written in place, file by file: readers know them by name, and each is whole by itself.
    """
    gone, counts = wanted.queries_of(spot.manifest.get("dataset", "")), Counts()
    for name in spot.manifest["files"]:
        if not name.endswith(".parquet"):
            continue
        table = storage.read_parquet(storage.join(spot.uri, name))
        before = counts.copy()
        new = _clean_measured(name, table, gone, wanted, counts)
        counts["values"] += table.num_rows - new.num_rows
        if write and +counts != before:
            storage.write_parquet(storage.join(spot.uri, name), new)
    if write and +counts:
        write_manifest(spot.uri, {**spot.manifest, ERASED: _erased(spot.manifest, counts)})
    return +counts


def clean_report(spot: Spot, wanted: Wanted, write: bool) -> Counts:
    """A page that names an erased document or query is replaced by one line: pages cannot be taken apart."""
    page = storage.read_bytes(spot.uri)
    new = clean_page(page, wanted)
    if new is None:
        return Counts()
    if write:
        storage.write_bytes(spot.uri, new)
    return Counts(reports=1)


def _clean_json(spot: Spot, wanted: Wanted, gone: frozenset[str], write: bool) -> Counts:
    """Entries of an output's JSON files, written in place: readers know them by name."""
    counts = Counts()
    for name in spot.manifest["files"]:
        if name.endswith(".json"):
            uri, before = storage.join(spot.uri, name), counts.copy()
            left = without_ids(read_json(uri), wanted, gone, counts)
            if write and +counts != before:
                storage.write_bytes(uri, json.dumps(left, indent=2, ensure_ascii=False).encode())
    return counts


def _rewrite_tables(
    spot: Spot,
    change: Callable[[str, pa.Table, Counts], pa.Table],
    write: bool,
    describe: Callable[[Mapping[str, Any], Counts], dict[str, Any]],
) -> Counts:
    """Changes every table of an output, by the folder that it lies in, and swaps them in together."""
    manifest: Mapping[str, Any] = spot.manifest
    counts = Counts()
    if write and is_unfinished(manifest):
        manifest = finish(spot.uri, manifest)
    target = Rewrite(spot.uri, manifest)
    for name in manifest["files"]:
        folder = name.partition("/")[0] if "/" in name else "examples"
        if not name.endswith((".parquet", ".arrow")) or folder == "groups":
            continue
        table = read_table(storage.join(spot.uri, name))
        before = counts.copy()
        new = change(folder, table, counts)
        counts[folder] += table.num_rows - new.num_rows
        if +counts == before:
            continue
        if write and name.endswith(".arrow"):
            target.replace_bytes(name, arrow_bytes(new))
        elif write:
            target.replace(name, new)
    if write and target.new:
        target.commit(describe(manifest, counts) | {ERASED: _erased(manifest, counts)})
    if not write and is_unfinished(manifest):
        counts["files that an interrupted erasure left"] += 1
    return +counts


def _count_examples(manifest: Mapping[str, Any], counts: Counts) -> dict[str, Any]:
    """The counts of the manifest less the rows that went; what mining left out, and why, stays as it was."""
    names = {"examples"} | ({"pairs"} if manifest["config"].get("format", "lists") == "lists" else set())
    return {
        "counts": {
            name: count - (counts["examples"] if name in names else 0) for name, count in manifest["counts"].items()
        }
    }


def _clean_measured(name: str, table: pa.Table, gone: frozenset[str], wanted: Wanted, counts: Counts) -> pa.Table:
    if name == "best.parquet":
        table = wanted.without_queries(table, "query_id", gone)
        return _drop_from_lists(table, "document_ids", ("document_ids", "scores"), wanted, counts)
    if name == "documents.parquet":
        return _rename_groups(wanted.without_rows(table, "id"), wanted, counts)
    if name == "queries.parquet":
        return _rename_groups(wanted.without_queries(table, "id", gone), wanted, counts)
    if name == "pairs.parquet":  # query and document, joined by a tab
        keep = [
            query not in gone and not wanted.has_row(document)
            for query, _, document in (one.partition("\t") for one in table["id"].to_pylist())
        ]
        return _rename_groups(table.filter(pa.array(keep, pa.bool_())), wanted, counts)
    return table


def _rename_groups(table: pa.Table, wanted: Wanted, counts: Counts) -> pa.Table:
    """The table with another name for each group that bears an erased document's id."""
    names = table["group_id"].to_pylist()
    renamed = [wanted.group(one) for one in names]
    counts["group names"] += sum(one != other for one, other in zip(names, renamed, strict=True))
    place = table.column_names.index("group_id")
    return table.set_column(place, table.schema.field(place), pa.array(renamed, pa.string()))


def _drop_from_lists(table: pa.Table, ids: str, columns: tuple[str, ...], wanted: Wanted, counts: Counts) -> pa.Table:
    """The table with erased ids taken out of a column of lists, and their entries out of the columns beside it."""
    keeps = [[not wanted.has_row(one) for one in row or ()] for row in table[ids].to_pylist()]
    counts["entries of lists"] += sum(not all(keep) for keep in keeps)
    for name in columns:
        place = table.column_names.index(name)
        rows = [
            None if row is None else [one for one, stays in zip(row, keep, strict=True) if stays]
            for row, keep in zip(table[name].to_pylist(), keeps, strict=True)
        ]
        table = table.set_column(place, table.schema.field(place), pa.array(rows, table.schema.field(place).type))
    return table


def _erased(manifest: Mapping[str, Any], counts: Counts) -> dict[str, Any]:
    before = manifest.get(ERASED, {"rows": 0})["rows"]
    return {"rows": before + sum(counts.values()), "date": today()}
