"""What an evaluation runs on: a data set, or a BEIR folder as it is.

Numbers on a public test collection (Thakur et al. 2021, arXiv:2104.08663) can be compared with
others' only if nothing is cleaned, merged or held out: every document is ranked, empty and repeated
ones too, and every judgment counts.
"""

import itertools
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from medembed import storage
from medembed.artifact import MANIFEST, NewOutput, find_output, place
from medembed.data.config import SourceConfig
from medembed.data.dataset import Dataset, format_counts, open_dataset, to_table
from medembed.data.files import locate, read_part
from medembed.data.finish import ROWS_PER_FILE
from medembed.data.language import detect_language
from medembed.data.mapping import beir_mapping
from medembed.data.parts import Part, find_parts
from medembed.data.passes import run_parts
from medembed.data.rows import BadRow, Record
from medembed.data.shapes import to_record
from medembed.data.stage import check_ids
from medembed.errors import DataError, StorageError
from medembed.lineage import DatasetManifest
from medembed.privacy import show_id
from medembed.schema import CORPUS, QRELS, QUERIES, content_hash, fingerprint

logger = logging.getLogger(__name__)

_SPLITS = ("test", "dev", "train")  # a query judged in several files belongs to the first of these


def open_collection(uri: str, output: str) -> Dataset:
    """The data set at `uri`. A BEIR folder becomes one at `output` first, found again if its files
    are unchanged.

    Raises StorageError or DataError if it is neither, or if a row cannot be read or an id stands
    twice.
    """
    if storage.exists(storage.join(uri, MANIFEST)):
        return open_dataset(uri)
    source = SourceConfig(path=uri, format="beir")
    try:
        found = find_parts(source)
    except (DataError, StorageError) as error:
        raise DataError(f"{error} Or give a data set made by `medembed prepare`.") from None
    key = fingerprint(["as it is", found.fingerprint])
    output = place(output, key)
    manifest = find_output(output, DatasetManifest, key)
    if manifest is not None:
        return Dataset(output, manifest)
    _remove(output)  # what a run that was killed has left
    try:
        return _copy(found.parts, source, output, key)
    except BaseException:
        _remove(output)
        raise


def _copy(parts: tuple[Part, ...], source: SourceConfig, output: str, key: str) -> Dataset:
    items = [
        {"number": number, "part": asdict(part)}
        for number, part in enumerate(_of_kind(parts, "corpus"))
    ]
    written = run_parts(items, CopyCorpus, {"source": source, "output": output}, "read")
    with NewOutput(output, key) as target:
        rows = {file["name"]: int(file["rows"]) for row in written for file in row["files"]}
        target.files += rows
        known = _document_ids(source.path, output, list(rows))
        judged = _Judged.read(_of_kind(parts, "qrels"), source)
        queries = judged.select_queries(_of_kind(parts, "queries"), source)
        qrels = judged.to_rows({row["query_id"] for row in queries})
        target.write_parquet("queries/part-00000.parquet", to_table(queries, QUERIES))
        target.write_parquet("qrels/part-00000.parquet", qrels)
        elsewhere = pc.sum(
            pc.invert(pc.is_in(qrels["document_id"], value_set=known)), min_count=0
        ).as_py()
        counts = {
            "documents": sum(rows.values()),
            "queries": len(queries),
            "judgments": qrels.num_rows,
        }
        left_out = format_counts(judged.dropped) or "nothing"
        logger.info("%s: as it is, %s; left out: %s", source.path, format_counts(counts), left_out)
        if elsewhere:
            logger.info(
                "%d judged documents are not in the corpus: never found, as trec_eval has it",
                elsewhere,
            )
        manifest = DatasetManifest(
            fingerprint=key,
            source=source.path,
            format="beir",
            counts=counts,
            rows=rows,
            splits=dict(Counter(row["split"] for row in queries)),
            dropped=dict(judged.dropped),
        )
        return Dataset(output, target.commit(manifest))


def _remove(output: str) -> None:
    storage.delete_folder(storage.join(output, "corpus"))
    storage.delete_empty_folder(output)


class CopyCorpus:
    """Turns {number, part} into {number, files: [{name, rows}]}: corpus rows in files of our
    schema.

    A text is title and text joined by a space, and stripped, as BEIR's own loader has it.
    """

    def __init__(self, source: SourceConfig, output: str) -> None:
        self.source, self.output = source, output

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        files: list[dict[str, Any]] = []
        documents = (
            one
            for _, record in read_records(Part(**item["part"]), self.source)
            for one in record.documents
        )
        rows = (
            {
                "document_id": one.document_id,
                "text": one.text.strip(),
                "language": one.language,
                "content_hash": content_hash(one.text.strip()),
            }
            for one in documents
        )
        while block := list(itertools.islice(rows, ROWS_PER_FILE)):
            name = f"corpus/part-{item['number']:05d}-{len(files):05d}.parquet"
            storage.write_parquet(storage.join(self.output, name), to_table(block, CORPUS))
            files.append({"name": name, "rows": len(block)})
        return {"number": item["number"], "files": files}


def read_records(part: Part, source: SourceConfig) -> Iterator[tuple[int, Record]]:
    """The records of a BEIR file's part with their lines. Raises DataError for a row that is
    none.
    """
    mapping = beir_mapping(part.kind, source)
    for line, fields in read_part(part, source):
        try:
            if isinstance(fields, BadRow):
                raise ValueError(fields.fault)
            record = to_record(fields, mapping, source, part.split)
            check_ids(record)
        except ValueError as fault:
            raise DataError(
                f"{locate(part, line)}: {fault} Fix it: a test collection is read whole."
            ) from None
        yield line, record


@dataclass
class _Judged:
    """The judgments of each split, {split: {query_id: {document_id: score}}}, and what was left
    out, counted.
    """

    splits: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)

    @classmethod
    def read(cls, parts: list[Part], source: SourceConfig) -> "_Judged":
        judged = cls()
        for part in parts:
            for _, record in read_records(part, source):
                for row in record.qrels:
                    of_split = judged.splits.setdefault(row.split or _SPLITS[0], {})
                    of_split.setdefault(row.query_id, {})[row.document_id] = row.score
        return judged

    def select_queries(self, parts: list[Part], source: SourceConfig) -> list[dict[str, Any]]:
        """The judged queries, columns `schema.QUERIES`, each a group of its own."""
        rows: list[dict[str, Any]] = []
        seen: set[str] = set()
        for part in parts:
            for line, record in read_records(part, source):
                (query,) = record.queries
                name = str(query.query_id)
                if name in seen:
                    raise DataError(
                        f"{locate(part, line)}: query id {show_id(name)!r} stands twice; ids "
                        "name one text each."
                    )
                seen.add(name)
                split = next(
                    (split for split in _SPLITS if name in self.splits.get(split, {})), None
                )
                if split is None:
                    self.dropped["queries without a judgment"] += 1
                    continue
                language = query.language or detect_language(" ".join(query.text.split()))
                rows.append(
                    {
                        "query_id": name,
                        "text": query.text,
                        "language": language,
                        "tags": list(query.tags),
                        "group_id": name,
                        "split": split,
                    }
                )
        return rows

    def to_rows(self, query_ids: set[str]) -> pa.Table:
        """The judgments of these queries in their split, columns `schema.QRELS`."""
        seen: set[str] = set()
        rows: list[dict[str, Any]] = []
        for split in _SPLITS:
            for query_id, grades in self.splits.get(split, {}).items():
                if query_id not in query_ids or query_id in seen:
                    kind = "of another split's query" if query_id in seen else "of an unknown query"
                    self.dropped[f"judgments {kind}"] += len(grades)
                    continue
                seen.add(query_id)
                rows += [
                    {"query_id": query_id, "document_id": name, "score": score}
                    for name, score in grades.items()
                ]
        return to_table(rows, QRELS)


def _of_kind(parts: tuple[Part, ...], kind: str) -> list[Part]:
    return [part for part in parts if part.kind == kind]


def _document_ids(uri: str, output: str, files: list[str]) -> pa.Array:
    """All document ids. Raises DataError if there is none, or one stands twice."""
    columns = [
        storage.read_parquet(storage.join(output, name), ["document_id"])["document_id"]
        for name in files
    ]
    if not columns:
        raise DataError(f"{uri}: corpus.jsonl is empty; expected a document a line.")
    ids = pa.concat_arrays([chunk for column in columns for chunk in column.chunks])
    if pc.count_distinct(ids).as_py() < len(ids):
        counted = pc.value_counts(ids)
        repeated = counted.filter(pc.greater(counted.field("counts"), 1)).field("values")
        raise DataError(
            f"{uri}: {len(repeated)} document ids of corpus.jsonl stand more than once, e.g. "
            f"{show_id(min(repeated.to_pylist()))!r}; ids name one text each."
        )
    return ids
