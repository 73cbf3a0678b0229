"""What an evaluation runs on: a data set, or a BEIR folder as it is.

Numbers on a public test collection (Thakur et al. 2021, arXiv:2104.08663) can be compared with
others' only if nothing is cleaned, merged or held out: every document is ranked, empty and repeated
ones too, and every judgment counts.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from medembed import storage
from medembed.artifact import MANIFEST, NewOutput, find_output, place
from medembed.data.build import run_parts
from medembed.data.config import SourceConfig
from medembed.data.dataset import Dataset, format_counts, open_dataset, to_table
from medembed.data.formats.beir import BEIR, beir_mapping
from medembed.data.formats.format import Part
from medembed.data.language import Guess, guess_language, know_language, settle_column
from medembed.data.parse import parse_part
from medembed.data.parts import find_parts, locate
from medembed.data.rows import BadRow, Record
from medembed.data.write_pass import ROWS_PER_FILE, in_blocks
from medembed.errors import DataError, StorageError
from medembed.language import to_translate, tr
from medembed.lineage import DatasetManifest
from medembed.privacy import show_id
from medembed.schema import CORPUS, QRELS, QUERIES, content_hash, fingerprint

logger = logging.getLogger(__name__)

_SPLITS = ("test", "dev", "train")  # a query judged in several files belongs to the first of these
Grades = dict[str, dict[str, float]]  # {query_id: {document_id: score}}


def open_collection(uri: str, output: str) -> Dataset:
    """Return the data set at `uri`; a BEIR folder becomes one at `output` first.

    Raises StorageError or DataError if it is neither, or if a row cannot be read or an id stands
    twice.
    """
    if storage.exists(storage.join(uri, MANIFEST)):
        return open_dataset(uri)
    source = SourceConfig(path=uri, format="beir")
    try:
        cut_source = find_parts(source)
    except (DataError, StorageError) as error:
        raise DataError(
            "{fault} Or give a data set made by `medembed prepare`.", fault=error
        ) from None
    key = fingerprint(["as it is", cut_source.fingerprint])
    output = place(output, key)
    manifest = find_output(output, DatasetManifest, key)
    if manifest is not None:
        return Dataset(output, manifest)
    _remove(output)  # what a run that was killed has left
    try:
        return _copy(cut_source.parts, source, output, key)
    except BaseException:
        _remove(output)
        raise


def _remove(output: str) -> None:
    storage.delete_folder(storage.join(output, "corpus"))
    storage.delete_empty_folder(output)


def _copy(parts: Sequence[Part], source: SourceConfig, output: str, key: str) -> Dataset:
    corpus = [part for part in parts if part.kind == "corpus"]
    items = [{"number": number, "part": asdict(part)} for number, part in enumerate(corpus)]
    written = run_parts(items, CopyCorpus, {"source": source, "output": output}, tr("read"))
    with NewOutput(output, key) as target:
        rows: dict[str, int] = {}
        for row in written:
            rows.update({file["name"]: int(file["rows"]) for file in row["files"]})
        target.files += rows
        known = _document_ids(source.path, output, list(rows))
        dropped: Counter[str] = Counter()
        judged = _read_judgments(parts, source)
        queries = _select_queries(parts, source, judged, dropped)
        qrels = _select_judgments(judged, {row["query_id"] for row in queries}, dropped)
        target.write_parquet("queries/part-00000.parquet", to_table(queries, QUERIES))
        target.write_parquet("qrels/part-00000.parquet", qrels)
        counts = {
            "documents": sum(rows.values()),
            "queries": len(queries),
            "judgments": qrels.num_rows,
        }
        logger.info(
            tr(
                "{path}: as it is, {counts}; left out: {left_out}",
                path=source.path,
                counts=format_counts(counts),
                left_out=format_counts(dropped) or tr("nothing"),
            )
        )
        is_there = pc.is_in(qrels["document_id"], value_set=known)
        elsewhere = qrels.num_rows - (pc.sum(is_there).as_py() or 0)
        if elsewhere:
            logger.info(
                tr(
                    "{count} judged documents are not in the corpus: they count as not found",
                    count=elsewhere,
                )
            )
        manifest = DatasetManifest(
            fingerprint=key,
            source=source.path,
            format=BEIR.name,
            counts=counts,
            rows=rows,
            splits=dict(Counter(row["split"] for row in queries)),
            dropped=dict(dropped),
        )
        return Dataset(output, target.commit(manifest))


class CopyCorpus:
    """Turns {number, part} into {number, files: [{name, rows}]}, corpus files of our schema.

    A text is title and text joined by a space, and stripped, as BEIR's own loader has it.
    """

    def __init__(self, source: SourceConfig, output: str) -> None:
        self.source = source
        self.output = output

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        files: list[dict[str, Any]] = []
        for block in in_blocks(self._rows(Part(**item["part"])), ROWS_PER_FILE):
            name = f"corpus/part-{item['number']:05d}-{len(files):05d}.parquet"
            storage.write_parquet(storage.join(self.output, name), to_table(block, CORPUS))
            files.append({"name": name, "rows": len(block)})
        return {"number": item["number"], "files": files}

    def _rows(self, part: Part) -> Iterator[dict[str, Any]]:
        for _, record in _read(part, self.source):
            (document,) = record.documents
            text = document.text.strip()
            yield {
                "document_id": document.document_id,
                "text": text,
                "language": document.language,
                "content_hash": content_hash(text),
            }


def _read(part: Part, source: SourceConfig) -> Iterator[tuple[int, Record]]:
    """Yield the records of a BEIR file's part with their lines. Raises DataError for a bad row."""
    for line, record in parse_part(part, source, beir_mapping(part.kind, source)):
        if isinstance(record, BadRow):
            raise DataError(
                "{place}: {fault} Fix it: a test collection is read whole.",
                place=locate(part, line),
                fault=record.fault,
            )
        yield line, record


def _read_judgments(parts: Sequence[Part], source: SourceConfig) -> dict[str, Grades]:
    """Return {split: its judgments}."""
    judged: dict[str, Grades] = {split: {} for split in _SPLITS}
    for part in parts:
        if part.kind != "qrels":
            continue
        for _, record in _read(part, source):
            for row in record.qrels:
                of_split = judged[row.split or _SPLITS[0]]
                of_split.setdefault(row.query_id, {})[row.document_id] = row.score
    return judged


def _select_queries(
    parts: Sequence[Part], source: SourceConfig, judged: dict[str, Grades], dropped: Counter[str]
) -> list[dict[str, Any]]:
    """Return the judged queries, columns `schema.QUERIES`, each a group of its own."""
    rows: list[dict[str, Any]] = []
    guesses: list[Guess] = []
    seen: set[str] = set()
    for part in parts:
        if part.kind != "queries":
            continue
        for line, record in _read(part, source):
            (query,) = record.queries
            name = str(query.query_id)
            if name in seen:
                raise DataError(
                    "{place}: query id {name!r} stands twice; ids name one text each.",
                    place=locate(part, line),
                    name=show_id(name),
                )
            seen.add(name)
            split = next((split for split in _SPLITS if name in judged[split]), None)
            if split is None:
                dropped[to_translate("queries without a judgment")] += 1
                continue
            text = " ".join(query.text.split())
            known = query.language
            guesses.append(know_language(text, known) if known else guess_language(text))
            rows.append(
                {
                    "query_id": name,
                    "text": query.text,
                    "tags": list(query.tags),
                    "group_id": name,
                    "split": split,
                }
            )
    for row, language in zip(rows, settle_column(guesses), strict=True):
        row["language"] = language
    return rows


def _select_judgments(
    judged: dict[str, Grades], query_ids: set[str], dropped: Counter[str]
) -> pa.Table:
    """Return the judgments of these queries in their split, columns `schema.QRELS`."""
    seen: set[str] = set()
    rows: list[dict[str, Any]] = []
    for split in _SPLITS:
        for query_id, grades in judged[split].items():
            if query_id in seen:
                dropped[to_translate("judgments of another split's query")] += len(grades)
            elif query_id not in query_ids:
                dropped[to_translate("judgments of an unknown query")] += len(grades)
            else:
                seen.add(query_id)
                for name, score in grades.items():
                    rows.append({"query_id": query_id, "document_id": name, "score": score})
    return to_table(rows, QRELS)


def _document_ids(uri: str, output: str, files: Sequence[str]) -> pa.Array:
    """Return all document ids. Raises DataError if there is none, or one stands twice."""
    chunks: list[pa.Array] = []
    for name in files:
        table = storage.read_parquet(storage.join(output, name), ["document_id"])
        chunks += table["document_id"].chunks
    if not chunks:
        raise DataError("{uri}: corpus.jsonl is empty; expected a document a line.", uri=uri)
    ids = pa.concat_arrays(chunks)
    if pc.count_distinct(ids).as_py() < len(ids):
        counted = pc.value_counts(ids)
        repeated = counted.filter(pc.greater(counted.field("counts"), 1)).field("values")
        raise DataError(
            "{uri}: {count} document ids of corpus.jsonl stand more than once, e.g. "
            "{name!r}; ids name one text each.",
            uri=uri,
            count=len(repeated),
            name=show_id(min(repeated.to_pylist())),
        )
    return ids
