"""The world that the docs take for granted, made small: a tiny model, data with a sentinel in every
field, buckets.
"""

import csv
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.serving import Running
from medembed import storage
from medembed.registry.config import RegistryConfig
from medembed.registry.models import open_registry
from medembed.tags import Lineage
from tests.cross import make_cross_encoder
from tests.docs.pages import ROOT
from tests.docs.small import BUCKETS, SMALL, SUBSTITUTIONS
from tests.evaluation.test_retention_sets import write_set
from tests.tiny import SIGNS, SUBJECTS

SENTINEL = re.compile(rb"SENTINEL-\d+")


@dataclass
class World:
    """A folder where commands are typed, and what stands in them for the docs' names."""

    root: Path
    url: str = "http://nowhere:8000"
    dashboard: str = "http://nowhere:8265"
    server: Running | None = None
    _numbers: Iterator[int] = field(default_factory=count)
    _opened: ExitStack = field(default_factory=ExitStack)

    def sentinel(self) -> str:
        """Return a word that no other field has."""
        return f"SENTINEL-{next(self._numbers)}"

    def until_the_end(self, resource: AbstractContextManager[Running]) -> Running:
        """Enters a context that `close` leaves."""
        return self._opened.enter_context(resource)

    def close(self) -> None:
        """Ends what was started in it."""
        self._opened.close()

    def server_scratch(self) -> Path:
        """Where the server's own Ray keeps its logs."""
        assert self.server is not None, "no server was started"
        return self.server.scratch()

    def settle(self, text: str) -> str:
        """Replace what the docs name by what stands for it here."""
        for name, value in SUBSTITUTIONS.items():
            if name in text:
                text = text.replace(name, self._fill(value))
        return text

    def small(self, job: str, given: list[str]) -> list[str]:
        """Return the keys of SMALL that are not among the given arguments, and fit them."""
        typed = {argument.partition("=")[0] for argument in given}
        if "encoding.precision=int8" in given:
            typed.add("encoding.backend")  # only OpenVINO computes int8
        missing = {key: value for key, value in SMALL.get(job, {}).items() if key not in typed}
        return [f"{key}={self._fill(value)}" for key, value in missing.items()]

    def _fill(self, value: str) -> str:
        if value == "{encoder}":
            return newest(self.root / "workspace/tables").stem
        if value == "{checkpoint}":
            return newest(self.root / "workspace/mine/models").name
        for name in ("root", "url", "dashboard"):
            value = value.replace(f"{{{name}}}", str(getattr(self, name)))
        return value


def newest(folder: Path) -> Path:
    """Return the entry of a folder that was made last."""
    return max(folder.iterdir(), key=lambda path: path.stat().st_mtime)


def make_world(root: Path, model: Path, registry: Path) -> World:
    """Make the world; `registry` is a workspace with an empty MLflow file."""
    world = World(root)
    shutil.copytree(model, root / "models/tiny")
    make_cross_encoder(root / "models/cross", model)
    for name in ("workspace", "elsewhere", "new"):
        shutil.copytree(registry, root / name)
    config = RegistryConfig(workspace=str(root / "workspace"), model_name="cardio")
    cardio = open_registry(config, on_cluster=False)
    tiny = f"{root}/models/tiny"
    version = cardio.register(tiny, params={}, metrics={}, lineage=Lineage(), artifacts={})
    cardio.set_alias(version)
    for name in ("serve", "deploy", "docs", "cluster.yaml", "pyproject.toml"):
        (root / name).symlink_to(ROOT / name)
    (root / "jobs").mkdir()
    for path in (ROOT / "jobs").glob("*.yaml"):
        (root / "jobs" / path.name).write_text(world.settle(path.read_text()))
    _write_texts(world)
    _write_french(world)
    _write_buckets(root)
    (root / "etc").mkdir()
    (root / "etc/keys").write_text(f"{sha256(b'a-key').hexdigest()} cardiology\n")
    # docs/retraining.md: the server's folder of tables is that of the retrainings
    (root / "workspace/tables").mkdir(parents=True)
    (root / "hospital/medembed").mkdir(parents=True)
    (root / "hospital/medembed/tables").symlink_to(root / "workspace/tables")
    landing = {"path": f"{root}/hospital/landing"}
    (root / "etc/retrain.yaml").write_text(
        json.dumps({"output": f"{root}/hospital/medembed", "source": landing})
    )
    return world


def pairs(world: World, numbers: range) -> list[dict[str, Any]]:
    """Return questions and answers that a tiny model can learn; each field has a sentinel, and every
    third id is a text.
    """
    rows = []
    for number in numbers:
        subject = SUBJECTS[number % len(SUBJECTS)]
        sign = SIGNS[number // len(SUBJECTS) % len(SIGNS)]
        is_text = number % 3 == 0
        rows.append(
            {
                "query_id": f"{world.sentinel()} asked by Mrs Muster" if is_text else f"q{number}",
                "question": f"my {subject} {sign} {world.sentinel()}",
                "document_id": f"{world.sentinel()} about Mrs Muster" if is_text else f"d{number}",
                "answer": f"{sign.capitalize()} that affects the {subject}, {world.sentinel()}.",
                "group_id": f"{world.sentinel()} Muster, born 1956-03-02",
            }
        )
    return rows


def write_csv(
    path: Path, rows: list[dict[str, Any]], *, encoding: str = "utf-8", delimiter: str = ","
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding=encoding) as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_tsv(path: Path, rows: list[list[str]]) -> None:
    path.write_text("".join("\t".join(cells) + "\n" for cells in rows))


def _write_texts(world: World) -> None:
    root = world.root
    remark = f"{world.sentinel()} says Mrs Muster, born 1956-03-02, of ward 7"
    for name, numbers in (("a", range(60)), ("b", range(60, 120))):
        write_csv(
            root / f"notes/{name}.csv",
            [row | {remark: world.sentinel()} for row in pairs(world, numbers)],
        )
    write_lines(root / "pairs.jsonl", pairs(world, range(60)))
    write_lines(
        root / "questions.jsonl",
        [{"query_id": row["query_id"], "query": row["question"]} for row in pairs(world, range(6))],
    )
    for folder in ("landing", "hospital/landing"):
        file = root / folder / "drop.jsonl"
        write_lines(file, pairs(world, range(120, 180)))
        # a file that has just changed would be left for the next call
        os.utime(file, (time.time() - 3600,) * 2)
    notes = []
    for row in pairs(world, range(20)):
        note = {"note_id": row["document_id"], "title": world.sentinel(), "body": row["answer"]}
        notes.append(note)
    pq.write_table(pa.Table.from_pylist(notes), root / "notes.parquet")
    asked = pairs(world, range(60))
    write_set(
        root / "retained",
        [(f"q{n}", row["question"], row["answer"]) for n, row in enumerate(asked[:24])],
    )
    write_tsv(
        root / "sts-train.tsv",
        [["a", "b", "c", "d", "4.0", row["question"], row["answer"]] for row in asked],
    )
    write_tsv(
        root / "collection.tsv", [[str(number), row["answer"]] for number, row in enumerate(asked)]
    )
    (root / "leaflets").mkdir()
    for number, row in enumerate(asked):
        leaflet = f"# {row['question']}\n\n{row['answer']}\n"
        (root / f"leaflets/{number}.md").write_text(leaflet)
    documents = [{"id": row["document_id"], "text": row["answer"]} for row in asked]
    questions = [{name: row[name] for name in ("question", "document_id")} for row in asked]
    write_csv(root / "export/documents.csv", documents)
    write_csv(root / "export/questions.csv", questions)
    for name in ("ids.txt", "erase.txt"):
        (root / name).write_text(f"d1\n{world.sentinel()} about Mrs Muster\n")


def _write_french(world: World) -> None:
    """Write tables as a French Excel saves them, a folder of texts, and files joined by an id."""
    excel = {"encoding": "cp1252", "delimiter": ";"}
    asked = pairs(world, range(180))
    questions = []
    for row in asked[:120]:
        questions.append(
            {
                "question": row["question"].replace("my ", "mon "),
                "réponse": row["answer"],
                "patient": row["group_id"],
                "service": "cardiologie" if len(questions) % 2 else "néphrologie",
            }
        )
    write_csv(world.root / "questions.csv", questions, **excel)
    glossary = [{"libellé": row["question"], "anglais": row["answer"]} for row in asked[120:]]
    write_csv(world.root / "glossaire.csv", glossary, **excel)
    (world.root / "textes").mkdir()
    for number, row in enumerate(asked[:60]):
        text = f"{row['question']}\n\n{row['answer']}\n"
        (world.root / f"textes/{number}.txt").write_text(text)
    documents = [{"id": row["document_id"], "texte": row["answer"]} for row in asked[:60]]
    write_csv(world.root / "depart/documents.csv", documents, **excel)
    joined = []
    for row in asked[:60]:
        joined.append({"question": row["question"], "id_document": row["document_id"]})
    write_csv(world.root / "depart/questions.csv", joined, **excel)


def _write_buckets(root: Path) -> None:
    for name in BUCKETS:
        boto3.client("s3").create_bucket(Bucket=name)
    storage.write_bytes("s3://bucket/pairs/one.jsonl", (root / "pairs.jsonl").read_bytes())
    texts = [json.loads(line) for line in (root / "pairs.jsonl").read_text().splitlines()]
    notes = [{"document_id": row["document_id"], "text": row["answer"]} for row in texts]
    storage.write_bytes(
        "s3://bucket/notes/one.jsonl", "".join(json.dumps(row) + "\n" for row in notes).encode()
    )
    for path in filter(Path.is_file, (root / "models/tiny").rglob("*")):
        for name in ("other", "derma"):
            storage.write_bytes(
                f"s3://bucket/{name}/{path.relative_to(root / 'models/tiny')}", path.read_bytes()
            )
