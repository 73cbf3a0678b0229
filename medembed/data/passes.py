"""The two passes over a source's parts with Ray Data; texts are never all in one memory.

First every part is read, cleaned and staged; then the driver, from keys alone, merges duplicates
and assigns splits; then every part is written out. Parts are cut by the source, so the data set
does not depend on how many workers there are. A source of one part needs no workers and is read
here.
"""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from medembed import storage
from medembed.artifact import NewOutput
from medembed.data.columns import complete
from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.dataset import Dataset, open_dataset, tidy
from medembed.data.duplicates import Flags, Ints
from medembed.data.files import locate
from medembed.data.finish import LINES, FinishPart, add_hashes, hash_rows
from medembed.data.grouping import Memory
from medembed.data.grown import find_standing, with_rows_left_out
from medembed.data.judgments import Staged
from medembed.data.lengths import SAMPLED, percentiles
from medembed.data.mapping import Mapping
from medembed.data.parts import Part, Source
from medembed.data.resolve import Resolved, resolve
from medembed.data.stage import PLACES_KEPT, SCHEMAS, StagePart
from medembed.errors import DataError
from medembed.lineage import DatasetManifest, Origin, TextFacts
from medembed.lineage import Source as MadeFrom
from medembed.progress import track
from medembed.schema import content_hash, fingerprint
from medembed.spread import spread

logger = logging.getLogger(__name__)

_ROWS_PER_FILE = 100_000  # of the tables that the driver writes: keys, no texts


@dataclass(frozen=True)
class Plan:
    """What goes into a data set, and where it goes. `tokenizer` is a tokenizer.json as text.

    `mappings` are those of the source's files by URI. `generation` [parts] says of a data set that
    grows which parts are newer; its manifest names what it was `grown_from`, and the landed files
    `taken`. One that `is_small` is read here: workers would take longer to start. `check` raises if
    what was read is not what was meant.
    """

    found: Source
    mappings: dict[str, Mapping | None]
    source: SourceConfig
    splits: SplitConfig
    output: str
    key: str
    tokenizer: str | None
    generation: Ints | None = None
    grown_from: MadeFrom | None = None
    taken: dict[str, str] = field(default_factory=dict)
    is_small: bool = False
    check: Callable[[], None] = lambda: None

    @property
    def mapping(self) -> Mapping | None:
        """That of the first file, which stands for all in the manifest."""
        return next(iter(self.mappings.values()), None)


def run_passes(plan: Plan, staging: str) -> Dataset:
    """Writes and commits the data set; `staging` is for this run alone. Raises DataError for what
    is wrong.
    """
    plan, staged = _read(plan, staging)
    plan.check()
    resolved = _resolve(plan, staging, staged)
    arguments = {
        "source": plan.source,
        "staging": staging,
        "output": plan.output,
        "tokenizer": plan.tokenizer,
    }
    items = [{"number": row["number"], "files": list(row["files"])} for row in staged]
    written = run_parts(
        items, FinishPart, arguments | {"every": _every(resolved)}, "write", here=plan.is_small
    )
    with NewOutput(plan.output, plan.key) as target:
        target.files += [file["name"] for row in written for file in row["files"]]
        judged = _write_table(target, "qrels", resolved.qrels)
        _write_table(target, "held_out", resolved.held_out)
        _write_table(target, "groups", resolved.groups)
        identity = [*(_total_hash(written, kind) for kind in LINES), f"{judged:064x}"]
        manifest = _describe(plan, resolved, staged, written, fingerprint(identity))
        dataset = Dataset(plan.output, target.commit(manifest))
    tidy(dataset)
    return dataset


def _read(plan: Plan, staging: str) -> tuple[Plan, list[dict[str, Any]]]:
    """(the plan with all columns that rows have, what was staged of each part).

    A part with columns that the first rows lack is read again if they mean something.
    """
    items = [
        {"number": number, "part": asdict(part)} for number, part in enumerate(plan.found.parts)
    ]
    reading = {"source": plan.source, "mappings": plan.mappings, "staging": staging}
    staged = run_parts(items, StagePart, reading, "read", here=plan.is_small)
    late = {
        row["number"]: {entry["column"]: entry["line"] for entry in row["late"]}
        for row in staged
        if row["late"]
    }
    if not late:
        return plan, staged
    mappings, again = complete(plan.mappings, late, plan.found.parts, plan.source)
    for mapping in dict.fromkeys(
        mappings[uri] for uri in mappings if mappings[uri] != plan.mappings[uri]
    ):
        logger.info(
            "%s: columns came after the first rows: %s",
            plan.source.path,
            mapping and mapping.describe(),
        )
    reading["mappings"] = mappings
    todo = [item for item in items if item["number"] in again]
    anew = run_parts(todo, StagePart, reading, "read again", here=plan.is_small) if todo else []
    by_number = {row["number"]: row for row in [*staged, *anew]}
    return replace(plan, mappings=mappings), [by_number[row["number"]] for row in staged]


def remember(splits: SplitConfig) -> Memory:
    """What the data set `splits.previous` knew; nothing for None.

    Raises DataError if it has held queries back that would train or choose checkpoints now.
    """
    if splits.previous is None:
        return Memory()
    dataset = open_dataset(storage.absolute(splits.previous))
    for kind, value in dataset.hold_back.items():
        if getattr(splits.hold_back, kind) != value:
            raise DataError(
                f"splits.hold_back.{kind}: found {getattr(splits.hold_back, kind) or 'none'}, but "
                f"{dataset.uri}, from which the data grows, holds back {value}; set "
                f"splits.hold_back.{kind}={value}."
            )
    return Memory(dataset.document_ids(), dataset.query_ids(), dataset.groups())


@dataclass(frozen=True)
class _Keys:
    """The staged rows of one kind without texts: how many each staged file has, and which of them
    stand [R].
    """

    table: pa.Table
    sizes: list[int]
    stands: Flags

    def place(self, row: int, owners: list[Part]) -> str:
        """Where the n-th row that stands was read; `owners` are the parts of the staged files."""
        line = int(np.flatnonzero(self.stands)[row])
        owner = owners[int(np.searchsorted(np.cumsum(self.sizes), line, side="right"))]
        return locate(owner, self.table["line"][line].as_py())


def _resolve(plan: Plan, staging: str, staged: list[dict[str, Any]]) -> Resolved:
    """Resolves the staged keys, and leaves for every staged file a file of lines that say what
    becomes of its rows.
    """
    names = [(row["number"], name) for row in staged for name in row["files"]]
    owners = [plan.found.parts[number] for number, _ in names]
    keys = {kind: _read_keys(plan, storage.join(staging, kind), names, kind) for kind in SCHEMAS}
    places = (
        partial(keys["documents"].place, owners=owners),
        partial(keys["queries"].place, owners=owners),
    )
    resolved = resolve(
        Staged(
            **{kind: found.table.filter(pa.array(found.stands)) for kind, found in keys.items()}
        ),
        plan.splits,
        remember(plan.splits),
        None if plan.source.skip_bad_rows else places,
        is_listing=all(
            one is None or one.shape in ("classes", "documents") for one in plan.mappings.values()
        ),
    )
    lines = {"documents": resolved.documents, "queries": resolved.queries}
    for kind in LINES:
        edited = len(pc.unique(keys[kind].table["id"].filter(pa.array(~keys[kind].stands))))
        resolved.dropped.update({f"{kind[:-1]} text edited": edited} if edited else {})
        lines[kind], start = with_rows_left_out(lines[kind], keys[kind].stands), 0
        for (_, name), size in zip(names, keys[kind].sizes, strict=True):
            storage.write_parquet(
                storage.join(staging, LINES[kind], f"{name}.parquet"),
                lines[kind].slice(start, size),
            )
            start += size
    return replace(resolved, **lines)


def _read_keys(plan: Plan, folder: str, names: list[tuple[int, str]], kind: str) -> _Keys:
    columns = [column for column in SCHEMAS[kind].names if column != "text"]
    parts = [
        storage.read_parquet(storage.join(folder, f"{name}.parquet"), columns) for _, name in names
    ]
    table, sizes = pa.concat_tables(parts), [part.num_rows for part in parts]
    if plan.generation is None or kind not in LINES:
        return _Keys(table, sizes, np.ones(table.num_rows, dtype=np.bool_))
    return _Keys(
        table,
        sizes,
        find_standing(table, np.repeat(plan.generation[[number for number, _ in names]], sizes)),
    )


def run_parts(
    items: list[dict[str, Any]],
    stage: type,
    arguments: dict[str, Any],
    label: str,
    *,
    here: bool = False,
) -> list[dict[str, Any]]:
    """What the stage returns for every item, in the order of the items; `here` or by workers."""
    if here or len(items) == 1:
        work = stage(**arguments)
        return [work(item) for item in items]
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


def _every(resolved: Resolved) -> int:
    """Of so many texts the length of one is measured."""
    return 1 + max(resolved.documents.num_rows, resolved.queries.num_rows) // SAMPLED


def _is_old(plan: Plan, part: int) -> bool:
    return plan.generation is not None and plan.generation[part] == 0


def _describe(
    plan: Plan,
    resolved: Resolved,
    staged: list[dict[str, Any]],
    written: list[dict[str, Any]],
    name: str,
) -> DatasetManifest:
    """What was read, kept, left out and why, and what the texts are like; `name` is the
    fingerprint.
    """
    dropped = Counter(resolved.dropped)
    for row in staged:
        dropped.update({entry["rule"]: int(entry["count"]) for entry in row["dropped"]})
    bad_rows = [place for row in staged for place in row["bad"]]
    mapping = plan.mapping
    rows = {file["name"]: int(file["rows"]) for row in written for file in row["files"]}
    return DatasetManifest(
        origin=Origin(dataset=plan.grown_from),
        fingerprint=name,
        source=plan.source.path,
        format=plan.found.format,
        shape=mapping.shape if mapping else plan.found.format,
        columns={role: paths for role, paths in mapping.columns if paths} if mapping else {},
        licence=plan.source.licence,
        validated_by=plan.source.validated_by,
        rows_read=sum(int(row["rows"]) for row in staged if not _is_old(plan, row["number"])),
        counts=_count(plan, resolved, rows),
        splits=resolved.splits,
        held_out=resolved.held_out.num_rows,
        dropped={rule: count for rule, count in sorted(dropped.items()) if count},
        bad_rows=tuple(bad_rows[:PLACES_KEPT]),
        rows=rows,
        length_unit="words" if plan.tokenizer is None else "tokens",
        length_every=_every(resolved),
        tokenizer=None if plan.tokenizer is None else content_hash(plan.tokenizer)[:16],
        documents=_describe_texts(written, "documents"),
        queries=_describe_texts(written, "queries"),
        chunk_overlap=plan.source.chunk_overlap,
        config={"source": plan.source.model_dump(), "splits": plan.splits.model_dump()},
        taken=plan.taken,
    )


def _count(plan: Plan, resolved: Resolved, rows: dict[str, int]) -> dict[str, int]:
    """How many documents, queries and judgments were kept; of documents in chunks these too."""
    corpus = sum(count for name, count in rows.items() if name.startswith("corpus"))
    queries = sum(count for name, count in rows.items() if name.startswith("queries"))
    counts = {"documents": corpus, "queries": queries, "judgments": resolved.qrels.num_rows}
    if plan.source.chunk_words is not None:
        counts["chunks"] = corpus
        counts["documents"] = int(np.count_nonzero(resolved.documents["keep"].to_numpy()))
    return counts


def _describe_texts(written: list[dict[str, Any]], kind: str) -> TextFacts:
    languages: Counter[str] = Counter()
    lengths: list[int] = []
    for row in written:
        languages.update(
            {entry["language"]: int(entry["count"]) for entry in row[f"{kind}_languages"]}
        )
        lengths += row[f"{kind}_lengths"]
    return TextFacts(dict(languages.most_common()), percentiles(lengths))
