"""A small world by hand, in any storage: data sets, tables, examples, evaluations, checkpoints,
registered versions.

Document d1 has two chunks; query q<n> asks for d<n>, q0 for d0 and d6 too. Each model has its own
checkpoint and table.
"""

import json
import shutil
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from safetensors.numpy import load_file, save_file

from medembed import storage
from medembed.artifact import NewOutput
from medembed.data.dataset import Dataset, open_dataset, to_table
from medembed.encoding.codec import Codec
from medembed.encoding.commit import commit_table, tag_version, write_fragment
from medembed.encoding.model_files import model_fingerprint
from medembed.encoding.table import Table, TableInfo
from medembed.evaluation.files import write_evaluation
from medembed.evaluation.result import Evaluation, Measured, Scored, Units
from medembed.lineage import (
    CheckpointManifest,
    DatasetManifest,
    EvaluationManifest,
    ExamplesManifest,
    Origin,
    Source,
)
from medembed.matryoshka import truncate
from medembed.mining.examples import Examples, open_examples
from medembed.mining.nearest import Nearest
from medembed.mining.previous_search import QuerySearch, write_search
from medembed.registry.models import Registry, Version
from medembed.schema import (
    BEST,
    CORPUS,
    EXAMPLES,
    GROUPS,
    HELD_OUT,
    QRELS,
    QUERIES,
    content_hash,
    document_of,
)
from medembed.tags import Lineage

WIDTH = 32
DOCUMENTS = 8
TEXTS = {f"d{n}": f"heart pain of kind {n}" for n in range(DOCUMENTS) if n != 1} | {
    f"d1#chunk-{n}": f"skin rash {n}" for n in range(2)
}
QUERY_TEXTS = {f"q{n}": f"my question {n}" for n in range(DOCUMENTS)}

SUSPECTS = [
    {"query_id": f"q{n}", "document": "d2" if n == 4 else "d3", "positive_id": f"d{n}"}
    for n in range(DOCUMENTS - 1)
]
REPORT = {
    "counts": {"pairs": DOCUMENTS - 1},
    "likely_false_negatives": SUSPECTS,
    "queries_with_too_few": {"count": 2, "ids": ["q2", "q3"]},
}
QUERY_GROUPS = {name: f"d{name[1:]}" for name in QUERY_TEXTS} | {"q6": "d2"}


@dataclass
class World:
    """A world lies below `root`; its first model is trained from the one in the folder `base`."""

    root: str
    registry: Registry
    base: Path
    versions: list[Version] = field(default_factory=list)

    def place(self, *parts: str) -> str:
        return storage.join(self.root, *parts)

    def add(self, number: int, *, previous: bool = False) -> Version:
        """Data set, examples, checkpoint, table, evaluation `number`, registered; its parent is the
        one before.
        """
        grown = self.grown_from(number) if previous else DatasetManifest()
        dataset = write_dataset(self.place("data", str(number)), grown)
        parent = self.versions[-1] if self.versions else None
        model = parent.source if parent else str(self.base)
        parent_encoder = parent.tags["encoder"] if parent else model_fingerprint(self.base)
        examples = write_examples(
            self.place("examples", str(number)), dataset, self.place("tables", "base.lance")
        )
        origin = Origin(
            dataset=Source(dataset.fingerprint),
            examples=Source(examples.fingerprint),
            parent=Source(parent_encoder, model),
        )
        source = self.place("models", str(number))
        encoder = write_checkpoint(source, self.base, number, origin)
        table = write_table(self.place("tables", f"{number}.lance"), dataset, encoder, number)
        write_measured(self.place("evaluations", str(number)), dataset, encoder)
        lineage = Lineage(
            job="retrain",
            dataset=dataset.as_source,
            examples=examples.as_source,
            parent=Source(parent_encoder),
            encoder=encoder,
            table=table.as_source,
            output=self.root,
        )
        version = self.registry.register(
            source,
            params={"epochs": 1},
            metrics={"ndcg@10_dim_32": 0.5 + number / 100},
            lineage=lineage,
            artifacts={
                "report.html": f"<th>q2<b>{QUERY_TEXTS['q2']}</b></th><th>q3</th>",
                "config.yaml": f"output: {self.root}\n",
            },
            history=[("train_loss", step, 1.0 / step) for step in (1, 2)],
        )
        self.versions.append(version)
        return version

    def grown_from(self, number: int) -> DatasetManifest:
        previous = open_dataset(self.place("data", str(number - 1))).as_source
        taken = {content_hash(str(number)): f"day-{number}.jsonl"}
        return DatasetManifest(origin=Origin(dataset=previous), taken=taken)


def write_dataset(uri: str, grown: DatasetManifest = DatasetManifest()) -> Dataset:  # noqa: B008 (frozen)
    """Write a data set; `grown` says what it grew from."""
    shared = {"language": "en", "split": "train"}
    corpus = []
    for name, text in TEXTS.items():
        corpus.append(
            {"document_id": name, "text": text, "content_hash": content_hash(text)} | shared
        )
    queries = []
    for name, text in QUERY_TEXTS.items():
        group = QUERY_GROUPS[name]
        queries.append({"query_id": name, "text": text, "tags": [], "group_id": group} | shared)
    pairs = [(f"q{n}", f"d{n}", 1.0) for n in range(DOCUMENTS - 1)]
    pairs += [("q0", "d6", 1.0), ("q3", "d2", 0.0)]
    judgment = ("query_id", "document_id", "score")
    qrels = [dict(zip(judgment, pair, strict=True)) for pair in pairs]
    held = [dict(zip(judgment, ("q7", "d7", 1.0), strict=True)) | {"reason": "two splits"}]
    tables = {
        "corpus/part-00000-00000.parquet": to_table(corpus[:4], CORPUS),
        "corpus/part-00000-00001.parquet": to_table(corpus[4:], CORPUS),
        "queries/part-00000-00000.parquet": to_table(queries, QUERIES),
        "qrels/part-00000.parquet": to_table(qrels, QRELS),
        "held_out/part-00000.parquet": to_table(held, HELD_OUT),
        "groups/part-00000.parquet": to_table([{"name": "document:abc", "split": "train"}], GROUPS),
    }
    with NewOutput(uri, f"by hand {uri}") as output:
        for name, table in tables.items():
            output.write_parquet(name, table)
        counts = {"documents": DOCUMENTS, "queries": DOCUMENTS, "judgments": len(qrels)}
        manifest = replace(
            grown,
            fingerprint=content_hash(uri)[:16],
            counts=counts | {"chunks": len(corpus)},
            splits={"train": DOCUMENTS},
            rows={name: tables[name].num_rows for name in list(tables)[:3]},
            held_out=1,
        )
        output.commit(manifest)
    return open_dataset(uri)


def write_results(uri: str, queries: list[str], rows: list[str]) -> None:
    """Write the results of a search: the best row of each query."""
    columns = {
        "query_id": queries,
        "rank": [1] * len(rows),
        "document_id": [document_of(row) for row in rows],
        "row_id": rows,
        "score": [0.9] * len(rows),
    }
    storage.write_parquet(uri, pa.table(columns))


def write_table(uri: str, dataset: Dataset, encoder: str, seed: int) -> Table:
    """Write two versions: the first lacks the rows of the second corpus file."""
    drawn = np.random.default_rng(seed).normal(size=(len(TEXTS), WIDTH)).astype(np.float32)
    vectors = truncate(drawn, WIDTH)
    corpus = dataset.corpus()
    info = TableInfo(encoder, dataset.fingerprint, WIDTH, (WIDTH, 8), "", 48)
    table = None
    for rows in (slice(0, 4), slice(4, len(TEXTS))):
        part = corpus.slice(rows.start, rows.stop - rows.start)
        fragment = write_fragment(uri, part, Codec(WIDTH).write(vectors[rows]))
        table = commit_table(uri, [fragment], info, base=table)
        tag_version(table)
    assert table
    return table


def write_examples(uri: str, dataset: Dataset, table: str) -> Examples:
    """Write query q<n> with its positive and two negatives, and what the search remembers."""
    rows, ids = [], list(TEXTS)
    for n in range(DOCUMENTS - 1):
        positive = "d1#chunk-0" if n == 1 else f"d{n}"
        negatives = [name for name in ids if name != positive][n % 3 : n % 3 + 2]
        rows.append(
            {
                "query_id": f"q{n}",
                "query": QUERY_TEXTS[f"q{n}"],
                "positive_id": positive,
                "positive": TEXTS[positive],
                "negative_ids": negatives,
                "negatives": [TEXTS[name] for name in negatives],
                "positive_score": 0.9,
                "negative_scores": [0.5, 0.4],
                "negative_ranks": [0, None],
                "negative_judged": [False, True],
            }
        )
    vectors = np.random.default_rng(1).normal(size=(len(QUERY_TEXTS), WIDTH)).astype(np.float32)
    near = [Nearest(ids[:5], ids[:5], np.linspace(0.9, 0.5, 5), False) for _ in QUERY_TEXTS]
    with NewOutput(uri, content_hash(uri)[:16]) as output:
        write_search(QUERY_TEXTS, QuerySearch(vectors, near), output)
        output.write_parquet("part-00000.parquet", to_table(rows, EXAMPLES))
        output.write_bytes("mining.json", json.dumps(REPORT).encode())
        output.commit(
            ExamplesManifest(
                origin=Origin(dataset=dataset.as_source, table=Source("base", table, 1)),
                counts={"pairs": len(rows), "examples": len(rows)},
            )
        )
    return open_examples(uri)


def write_checkpoint(uri: str, base: Path, seed: int, origin: Origin) -> str:
    """The base model with weights that a seed has moved a little; returns its encoder's
    fingerprint.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "model")
        shutil.copytree(base, folder)
        for path in folder.rglob("*.safetensors"):
            moved = np.float32(1 + seed / 1000)
            save_file({name: value * moved for name, value in load_file(path).items()}, path)
        encoder = model_fingerprint(folder)
        (folder / "medembed.json").write_text(json.dumps({"dimensions": [WIDTH, 8]}))
        with NewOutput(uri, encoder) as output:
            for path in sorted(path for path in folder.rglob("*") if path.is_file()):
                output.write_bytes(str(path.relative_to(folder)), path.read_bytes())
            manifest = CheckpointManifest(
                origin=origin,
                fingerprint=encoder,
                dimensions=(WIDTH, 8),
                dev={"score": 0.5, "step": 3},
            )
            output.commit(manifest)
    return encoder


def write_measured(uri: str, dataset: Dataset, encoder: str) -> None:
    """Write an evaluation of all queries, three labelled documents and two scored pairs."""

    def units(names: list[str], groups: list[str]) -> Units:
        return Units(tuple(names), tuple(groups), ("en",) * len(names), ((),) * len(names))

    def measured(about: Units) -> Measured:
        values = np.linspace(0, 1, len(about.ids))
        return Measured(about, {WIDTH: {"ndcg@10": values}}, {}, {})

    queries = units(list(QUERY_TEXTS), list(QUERY_GROUPS.values()))
    pairs = units(["q2\td2", "q3\td3", "q4\td4"], ["q2", "q3", "q4"])
    result = Evaluation(
        "m",
        uri,
        encoder,
        measured(queries),
        measured(units(["d2", "d3", "d4"], ["d2", "d3", "d4"])),
        Scored(pairs, np.array([0.1, 0.5, 0.9]), {WIDTH: np.array([0.2, 0.4, 0.8])}),
    )
    lists = {"document_ids": ["d2", "d3", "d1"], "scores": [0.9, 0.8, 0.7]}
    best = [{"query_id": name, "dimension": WIDTH} | lists for name in QUERY_TEXTS]
    with NewOutput(uri, content_hash(uri)[:16]) as output:
        write_evaluation(output, result, [pa.Table.from_pylist(best, schema=BEST)])
        output.commit(EvaluationManifest(origin=Origin(dataset=dataset.as_source), encoder=encoder))
