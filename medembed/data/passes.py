"""The two passes over a source's parts with Ray Data; texts are never all in one memory.

First every part is read, cleaned and staged; then the driver, from keys alone, merges duplicates and assigns
splits; then every part is written out. Parts are cut by the source, so the data set does not depend on how
many workers there are. A source of one part needs no workers and is read here.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from medembed import storage
from medembed.artifact import NewOutput
from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.dataset import KIND, Dataset, open_dataset
from medembed.data.files import locate
from medembed.data.finish import LINES, FinishPart, add_hashes, hash_rows
from medembed.data.grouping import Memory
from medembed.data.judgments import Staged
from medembed.data.lengths import SAMPLED, percentiles
from medembed.data.mapping import Mapping
from medembed.data.parts import Source
from medembed.data.resolve import Resolved, resolve
from medembed.data.stage import PLACES_KEPT, SCHEMAS, StagePart
from medembed.progress import track
from medembed.schema import content_hash, fingerprint
from medembed.spread import spread

STAGING = "_staging"
FOLDERS = (STAGING, "corpus", "queries", "qrels", "held_out", "groups")
_ROWS_PER_FILE = 100_000  # of the tables that the driver writes: keys, no texts


@dataclass(frozen=True)
class Plan:
    """What goes into a data set, and where it goes. `tokenizer` is a tokenizer.json as text."""

    found: Source
    mapping: Mapping | None
    source: SourceConfig
    splits: SplitConfig
    output: str
    key: str
    tokenizer: str | None


def run_passes(plan: Plan) -> Dataset:
    """Writes and commits the data set. Raises DataError for what is wrong with the source."""
    staging = storage.join(plan.output, STAGING)
    items = [{"number": number, "part": asdict(part)} for number, part in enumerate(plan.found.parts)]
    staged = run_parts(items, StagePart, {"source": plan.source, "mapping": plan.mapping, "staging": staging}, "read")
    resolved = _resolve(plan, staging, staged)
    rows = max(resolved.documents.num_rows, resolved.queries.num_rows)
    arguments = {"source": plan.source, "staging": staging, "output": plan.output, "tokenizer": plan.tokenizer}
    items = [{"number": row["number"], "files": list(row["files"])} for row in staged]
    written = run_parts(items, FinishPart, arguments | {"every": 1 + rows // SAMPLED}, "write")
    with NewOutput(plan.output, KIND, plan.key) as target:
        target.files += [file["name"] for row in written for file in row["files"]]
        judged = _write_table(target, "qrels", resolved.qrels)
        _write_table(target, "held_out", resolved.held_out)
        _write_table(target, "groups", resolved.groups)
        storage.delete_folder(staging)
        identity = [*(_total_hash(written, kind) for kind in LINES), f"{judged:064x}"]
        entries = {"fingerprint": fingerprint(identity), **_describe(plan, resolved, staged, written)}
        return Dataset(plan.output, target.commit(entries))


def remember(previous: str | None) -> Memory:
    """What the data set `splits.previous` knew; nothing for None."""
    if previous is None:
        return Memory()
    dataset = open_dataset(storage.absolute(previous))
    return Memory(dataset.document_ids(), dataset.query_ids(), dataset.groups())


def _resolve(plan: Plan, staging: str, staged: list[dict[str, Any]]) -> Resolved:
    """Resolves the staged keys, and leaves for every staged file a file of lines that say what becomes of its rows."""
    names = [(row["number"], name) for row in staged for name in row["files"]]
    tables, sizes = {}, {}
    for kind, schema in SCHEMAS.items():
        columns = [column for column in schema.names if column != "text"]
        parts = [storage.read_parquet(storage.join(staging, kind, f"{name}.parquet"), columns) for _, name in names]
        tables[kind], sizes[kind] = pa.concat_tables(parts), [part.num_rows for part in parts]

    def place_in(kind: str) -> Callable[[int], str]:
        ends = np.cumsum(sizes[kind])

        def place(row: int) -> str:
            part = plan.found.parts[names[int(np.searchsorted(ends, row, side="right"))][0]]
            return locate(part, tables[kind]["line"][row].as_py())

        return place

    places = None if plan.source.skip_bad_rows else (place_in("documents"), place_in("queries"))
    is_listing = plan.mapping is None or plan.mapping.shape in ("classes", "documents")
    memory = remember(plan.splits.previous)
    resolved = resolve(Staged(**tables), plan.splits, memory, places, is_listing=is_listing)
    for kind, lines in (("documents", resolved.documents), ("queries", resolved.queries)):
        start = 0
        for (_, name), size in zip(names, sizes[kind], strict=True):
            storage.write_parquet(storage.join(staging, LINES[kind], f"{name}.parquet"), lines.slice(start, size))
            start += size
    return resolved


def run_parts(items: list[dict[str, Any]], stage: type, arguments: dict[str, Any], label: str) -> list[dict[str, Any]]:
    """What the stage returns for every item, in the order of the items."""
    if len(items) == 1:
        return [stage(**arguments)(items[0])]
    results = ((1, row) for row in spread(items, stage, arguments, workers=None))
    return sorted(track(results, len(items), label, "parts"), key=lambda row: int(row["number"]))


def _write_table(target: NewOutput, name: str, table: pa.Table) -> int:
    """Writes a table of the driver's in files; returns the hash of its rows as a set."""
    total = 0
    for number, start in enumerate(range(0, table.num_rows, _ROWS_PER_FILE)):
        part = table.slice(start, _ROWS_PER_FILE)
        target.write_parquet(f"{name}/part-{number:05d}.parquet", part)
        if name == "qrels":
            total = add_hashes(total, hash_rows(part.to_pylist()))
    return total


def _total_hash(written: list[dict[str, Any]], kind: str) -> str:
    total = 0
    for row in written:
        total = add_hashes(total, int(row[f"{kind}_hash"], 16))
    return f"{total:064x}"


def _describe(
    plan: Plan, resolved: Resolved, staged: list[dict[str, Any]], written: list[dict[str, Any]]
) -> dict[str, Any]:
    """The manifest's entries: what was read, kept, left out and why, and what the texts are like."""
    dropped = Counter(resolved.dropped)
    for row in staged:
        dropped.update({entry["rule"]: int(entry["count"]) for entry in row["dropped"]})
    sizes = {file["name"]: int(file["rows"]) for row in written for file in row["files"]}
    unit = "words" if plan.tokenizer is None else "tokens"
    rows = {folder: sum(n for name, n in sizes.items() if name.startswith(folder)) for folder in ("corpus", "queries")}
    entries: dict[str, Any] = {
        "source": plan.source.path,
        "format": plan.found.format,
        "shape": plan.mapping.shape if plan.mapping else plan.found.format,
        "columns": {role: paths for role, paths in plan.mapping.columns if paths} if plan.mapping else {},
        "licence": plan.source.licence,
        "validated_by": plan.source.validated_by,
        "rows_read": sum(int(row["rows"]) for row in staged),
        "counts": {"documents": rows["corpus"], "queries": rows["queries"], "judgments": resolved.qrels.num_rows},
        "splits": resolved.splits,
        "held_out": resolved.held_out.num_rows,
        "dropped": {rule: count for rule, count in sorted(dropped.items()) if count},
        "bad_rows": [place for row in staged for place in row["bad"]][:PLACES_KEPT],
        "rows": sizes,
        "lengths": {"unit": unit},
        "config": {"source": plan.source.model_dump(), "splits": plan.splits.model_dump()},
    }
    for kind in LINES:
        languages: Counter[str] = Counter()
        for row in written:
            languages.update({entry["language"]: int(entry["count"]) for entry in row[f"{kind}_languages"]})
        entries.setdefault("languages", {})[kind] = dict(languages.most_common())
        entries["lengths"][kind] = percentiles([n for row in written for n in row[f"{kind}_lengths"]])
    if plan.tokenizer is not None:
        entries["lengths"]["tokenizer"] = content_hash(plan.tokenizer)[:16]
    if plan.source.chunk_words is not None:
        entries["counts"]["chunks"] = rows["corpus"]
        entries["counts"]["documents"] = int(np.count_nonzero(resolved.documents["keep"].to_numpy()))
    return entries
