"""The canonical data set on storage: corpus, queries and qrels as Parquet beside a manifest."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from medembed import storage
from medembed.artifact import read_manifest
from medembed.errors import DataError
from medembed.facts import TextFacts
from medembed.language import to_translate, tr
from medembed.lineage import DatasetManifest, Source
from medembed.schema import (
    CHUNK_MARK,
    CORPUS,
    GROUPS,
    HELD_OUT,
    QRELS,
    QUERIES,
    UNDETERMINED,
    document_of,
)

STAGING = "_staging"
FOLDERS = (STAGING, "corpus", "queries", "qrels", "held_out", "groups")
_BAD_ROWS_SHOWN = 3
_LANGUAGES_SHOWN = 4


@dataclass(frozen=True)
class Dataset:
    """A finished data set: where it lies and what its manifest says."""

    uri: str
    manifest: DatasetManifest

    @property
    def fingerprint(self) -> str:
        return self.manifest.fingerprint

    @property
    def as_source(self) -> Source:
        """Return this data set, as what is made of it names it."""
        return Source(self.fingerprint, self.uri)

    @property
    def hold_back(self) -> dict[str, str]:
        """Return {"tag" or "language": which} of the queries that were held back from training."""
        kinds = self.manifest.config.get("splits", {}).get("hold_back", {})
        return {kind: value for kind, value in kinds.items() if value is not None}

    def corpus_files(self) -> list[tuple[str, int]]:
        """Return (URI, number of rows) of the corpus files, in corpus order."""
        rows = self.manifest.rows
        return [
            (storage.join(self.uri, name), rows[name])
            for name in sorted(rows)
            if name.startswith("corpus/")
        ]

    def corpus(self) -> pa.Table:
        """Return all documents, columns `schema.CORPUS`."""
        return self._read("corpus/", CORPUS)

    def keys(self) -> pa.Table:
        """Return corpus rows without texts: document_id and content_hash."""
        return self._read("corpus/", CORPUS, ["document_id", "content_hash"])

    def texts_of(self, row_ids: Sequence[str]) -> dict[str, str]:
        """Return {row id: text} of these corpus rows; files are read one by one."""
        wanted = pa.array(sorted(set(row_ids)), pa.string())
        texts: dict[str, str] = {}
        for rows in self._files("corpus/", CORPUS, ["document_id", "text"]):
            kept = rows.filter(pc.is_in(rows["document_id"], value_set=wanted))
            ids = kept["document_id"].to_pylist()
            texts |= dict(zip(ids, kept["text"].to_pylist(), strict=True))
        return texts

    def languages_of(self, documents: Collection[str]) -> dict[str, str]:
        """Return {document: its language}, "und" for one that has none or is not there."""
        languages = dict.fromkeys(documents, UNDETERMINED)
        for rows in self._files("corpus/", CORPUS, ["document_id", "language"]):
            for row_id, language in zip(*rows.to_pydict().values(), strict=True):
                name = document_of(row_id)
                if name in languages and language is not None:
                    languages[name] = language
        return languages

    def queries(self, split: str | None = None, tag: str | None = None) -> pa.Table:
        """Return queries of a split and with a tag, None for any; columns `schema.QUERIES`."""
        table = self._read("queries/", QUERIES)
        keep = [
            split in (None, row["split"]) and (tag is None or tag in row["tags"])
            for row in table.select(["split", "tags"]).to_pylist()
        ]
        return table.filter(pa.array(keep, pa.bool_()))

    def qrels(self) -> dict[str, dict[str, float]]:
        """Return query_id -> {document_id: score}."""
        return self._judgments("qrels/", QRELS)

    def judgments(self, query_ids: pa.Array) -> pa.Table:
        """Return the judgments of these queries, columns `schema.QRELS`, sorted."""
        parts = [
            table.filter(pc.is_in(table["query_id"], value_set=query_ids))
            for table in self._files("qrels/", QRELS)
        ]
        return pa.concat_tables(parts).sort_by(
            [("query_id", "ascending"), ("document_id", "ascending")]
        )

    def labels(self) -> pa.Table:
        """Return corpus rows that have a class: document_id, language, label, split."""
        columns = ["document_id", "language", "label", "split"]
        return pa.concat_tables(
            part.filter(part["label"].is_valid())
            for part in self._files("corpus/", CORPUS, columns)
        )

    def held_out(self) -> dict[str, dict[str, float]]:
        """Return query_id -> {document_id: score} of the judgments that no split may use."""
        return self._judgments("held_out/", HELD_OUT)

    def _judgments(self, folder: str, schema: pa.Schema) -> dict[str, dict[str, float]]:
        judged: dict[str, dict[str, float]] = {}
        for row in self._read(folder, schema).to_pylist():
            judged.setdefault(row["query_id"], {})[row["document_id"]] = row["score"]
        return judged

    def document_ids(self) -> pa.Array:
        """Return distinct ids of all documents, strings; chunks taken together."""
        rows = self._read("corpus/", CORPUS, ["document_id"])["document_id"]
        return pc.unique(pc.list_element(pc.split_pattern(rows, CHUNK_MARK), 0))

    def query_ids(self) -> pa.Array:
        """Return ids of all queries, strings."""
        return self._read("queries/", QUERIES, ["query_id"])["query_id"].combine_chunks()

    def groups(self) -> pa.Table:
        """Return the memory of splits, columns `schema.GROUPS`."""
        return self._read("groups/", GROUPS)

    def _read(
        self, folder: str, schema: pa.Schema, columns: Sequence[str] | None = None
    ) -> pa.Table:
        return pa.concat_tables(self._files(folder, schema, columns))

    def _files(
        self, folder: str, schema: pa.Schema, columns: Sequence[str] | None = None
    ) -> Iterator[pa.Table]:
        """Yield an empty table, so that there is one, then each file of the folder."""
        yield schema.empty_table().select(columns or schema.names)
        for name in self.manifest.files:
            if name.startswith(folder):
                yield storage.read_parquet(storage.join(self.uri, name), columns)


def open_dataset(uri: str) -> Dataset:
    """Return the data set at `uri`. Raises StorageError if there is no finished one."""
    return Dataset(uri, read_manifest(uri, DatasetManifest))


def leftovers(dataset: Dataset) -> set[str]:
    """Return the names of files that finished or killed runs have left in the folders."""
    left = set(storage.list_files(dataset.uri)).difference(dataset.manifest.files)
    return {name for name in left if name.partition("/")[0] in FOLDERS}


def tidy(dataset: Dataset) -> None:
    """Remove the leftovers."""
    left = leftovers(dataset)
    for name in left:
        storage.delete_file(storage.join(dataset.uri, name))
    if any(name.startswith(f"{STAGING}/") for name in left):
        storage.delete_folder(storage.join(dataset.uri, STAGING))


def require_queries(
    dataset: Dataset, wanted: Sequence[tuple[str | None, str | None]], use: str
) -> None:
    """Raise DataError if a `wanted` (split, tag) has no query; the message `use` says for what."""
    for split, tag in wanted:
        if not dataset.queries(split, tag).num_rows:
            tagged = tr(" with tag {tag}", tag=tag) if tag else ""
            raise DataError(
                "{uri}: no {split} query{tagged}, but {use}; add some, enlarge "
                "splits.dev or splits.test, or measure on another evaluation.split.",
                uri=dataset.uri,
                split=split,
                tagged=tagged,
                use=tr(use),
            )


def describe(dataset: Dataset) -> list[str]:
    """Return lines for people: what was kept, what was left out, what the texts are like."""
    about = dataset.manifest
    splits = format_counts(about.splits)
    lines = [
        tr(
            "data set {name}: read {rows:,} rows, kept {counts}{splits}",
            name=dataset.fingerprint,
            rows=about.rows_read,
            counts=format_counts(about.counts),
            splits=tr(" (queries: {splits})", splits=splits) if splits else "",
        ),
        tr("left out: {rules}", rules=format_rules(about.dropped)),
    ]
    for kind, texts in (("documents", about.documents), ("queries", about.queries)):
        if texts.languages:
            lines.append(_describe_texts(tr(kind), texts, about))
    if about.held_out:
        message = to_translate(
            "held out of all splits: {count:,} judgments, listed by id in held_out/"
        )
        lines.append(tr(message, count=about.held_out))
    lines += [tr("malformed: {fault}", fault=fault) for fault in about.bad_rows[:_BAD_ROWS_SHOWN]]
    return lines


def _describe_texts(kind: str, texts: TextFacts, about: DatasetManifest) -> str:
    every = about.length_every
    return tr(
        "{kind}: {languages}; {unit} p50 {p50:,}, p95 {p95:,}, longest {longest:,}{sampled}",
        kind=kind,
        languages=_format_languages(texts.languages),
        unit=tr(about.length_unit),
        p50=texts.lengths[50],
        p95=texts.lengths[95],
        longest=texts.lengths[100],
        sampled=tr(" of every {every}th text", every=every) if every > 1 else "",
    )


def _format_languages(counts: dict[str, int]) -> str:
    shown = dict(list(counts.items())[:_LANGUAGES_SHOWN])
    rest = sum(counts.values()) - sum(shown.values())
    return format_counts(shown | ({to_translate("in others"): rest} if rest else {}))


def format_counts(counts: dict[str, int]) -> str:
    """Return {"documents": 1200} as "1,200 documents", joined by commas, with the names' `tr`."""
    named = (tr("{count:,} {name}", count=count, name=tr(name)) for name, count in counts.items())
    return ", ".join(named)


def format_rules(dropped: dict[str, int]) -> str:
    """Return {"row repeated": 3} as "3: row repeated", joined by commas; or that it is nothing."""
    rules = [tr("{count:,}: {rule}", count=n, rule=tr(rule)) for rule, n in dropped.items()]
    return ", ".join(rules) or tr("nothing")


def to_table(rows: Sequence[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """Return rows as a table of this schema."""
    return pa.Table.from_pylist(list(rows), schema=schema)
