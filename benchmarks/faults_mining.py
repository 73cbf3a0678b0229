"""`medembed mine` under kill -9: actors, nodes and drivers die at seeded random moments, then
examples are compared.

A run whose actor or node died goes on by itself; a dead driver's command runs again. Then every
file but the figure must have the bytes of a run that nothing disturbed, recorded lists must not be
searched again, and no record may be left. Exits with 1 if any differs.
"""

import os
import random
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import click
import numpy as np

from benchmarks.fault_injection import (
    Cluster,
    Job,
    actors,
    kill,
    kill_tree,
    s3_bucket,
    two_nodes,
    wait,
)
from benchmarks.fault_run import (
    Kill,
    Outcome,
    copy,
    finish,
    glob,
    plan,
    report,
    run_undisturbed,
    start,
)
from medembed import storage
from medembed.artifact import NewOutput
from medembed.data.dataset import open_dataset, to_table
from medembed.encoding.model_files import model_fingerprint
from medembed.errors import StorageError
from medembed.lineage import DatasetManifest
from medembed.mining.examples import open_examples
from medembed.schema import CORPUS, QRELS, QUERIES, content_hash
from medembed.search import plan as search_plan
from medembed.search import shards
from medembed.search.lists import Lists
from tests.tables import write_table
from tests.tiny import SIGNS, SUBJECTS, WIDTH, make_encoder

KINDS = ("driver", "node", "actor")
STRIPES = 24
BLOCKS = 2
ITEMS = STRIPES * BLOCKS
SETTINGS = {"negatives": 4, "window": 50, "margin": None}
_LEAF = re.compile(r"/search-\w+-\d+-(\d+)-(\d+)\.npz$")


def mine_in_small_items() -> None:
    """Run `medembed mine` with items so small that a small corpus has many; print how many of them
    are left to do.
    """
    from jobs.mine import main

    todo = Lists.todo

    def print_todo(lists: Lists) -> list[dict[str, int]]:
        items = todo(lists)
        print("items left:", len(items), flush=True)
        return items

    queries_per_block = int(sys.argv.pop(1))
    scores_per_item = int(sys.argv.pop(1))
    with (
        patch.object(shards, "_ROWS_HERE", 0),
        patch.object(search_plan, "_QUERIES_PER_BLOCK", queries_per_block),
        patch.object(search_plan, "_SCORES_PER_ITEM", scores_per_item),
        patch.object(Lists, "todo", print_todo),
    ):
        main()


@dataclass(frozen=True)
class Case:
    """A data set of so many documents and queries, its table, the model that makes the queries'
    vectors; and the files that must come out, {name: bytes}.
    """

    data: str
    table: str
    model: str
    documents: int
    queries: int
    files: dict[str, bytes]

    @property
    def sizes(self) -> tuple[int, int]:
        """Return the queries in a block and the scores in an item that make ITEMS."""
        of_block = -(-self.queries // BLOCKS)
        return of_block, of_block * self.documents // STRIPES

    def start(self, output: str, log: Path, environment: dict[str, str] | None = None) -> Job:
        """Start `medembed mine` of it."""
        command = [
            "-c",
            "from benchmarks.faults_mining import mine_in_small_items; mine_in_small_items()",
            *map(str, self.sizes),
            f"model={self.model}",
            f"data={self.data}",
            f"table={self.table}",
            f"output={output}",
            "encoding.workers=2",
        ]
        for name, value in SETTINGS.items():
            command.append(f"mining.{name}={'null' if value is None else value}")
        return start(command, log, environment)


@click.command()
@click.option("--kills", default=20, show_default=True)
@click.option("--documents", default=24_000, show_default=True)
@click.option("--queries", default=1000, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--kind", type=click.Choice(KINDS), multiple=True, default=KINDS, show_default=True)
def main(kills: int, documents: int, queries: int, seed: int, kind: tuple[str, ...]) -> None:
    """Prints a line for each kill and a summary."""
    draw = random.Random(seed)
    os.environ.pop("RAY_ADDRESS", None)
    # A short folder: Ray puts socket paths below it.
    with tempfile.TemporaryDirectory(prefix="mef-", dir="/tmp") as scratch, s3_bucket() as bucket:
        folder = Path(scratch)
        local = make_case(folder, make_encoder(folder / "tiny"), documents, queries)
        local = with_result(local, folder)
        remote = replace(
            local,
            data=copy(local.data, f"{bucket}/data"),
            table=copy(local.table, f"{bucket}/table"),
            model=copy(local.model, f"{bucket}/model"),
        )
        with two_nodes(folder, bucket) as cluster:
            planned = plan(kills, kind, draw, ("examples", "manifest"))
            report(kill_all(planned, local, remote, cluster, draw))


def kill_all(
    planned: Sequence[Kill], local: Case, remote: Case, cluster: Cluster, draw: random.Random
) -> Iterator[Outcome]:
    """Disturb a run for each kill; nodes read from the bucket."""
    for number, planned_kill in enumerate(planned):
        case = remote if planned_kill.kind == "node" else local
        yield kill_once(planned_kill, case, cluster, f"{number:03}", draw)


def kill_once(
    planned: Kill, case: Case, cluster: Cluster, name: str, draw: random.Random
) -> Outcome:
    """Disturb one run. Nodes die in the cluster; actors and drivers in a Ray that their run starts
    for itself.
    """
    on_cluster = planned.kind == "node"
    root = storage.join(cluster.bucket if on_cluster else str(cluster.folder), name)
    output = storage.join(root, "out")
    log = cluster.folder / f"{name}.log"
    environment = cluster.environment if on_cluster else {}
    is_over = False
    job = case.start(output, log, environment)
    try:
        wait_for(planned.moment, job, cluster.nodes[1] if on_cluster else job, output, draw)
        is_late = job.poll() is not None
        kill(planned.kind, job, cluster, draw)
        done = len(leaves(output))
        if planned.kind == "driver":
            is_over = bool(glob(output, "manifest.json"))
            job = case.start(output, log, environment)
        faults = finish(job, log)
    finally:
        kill_tree(job)
    if not faults:
        faults = find_faults(output, case)
        if planned.kind == "driver" and not is_over and items_left(log)[-1] != ITEMS - done:
            faults.append(f"{items_left(log)[-1]} items searched, {done} of {ITEMS} were recorded")
    late = ", too late" if is_late else ""
    return Outcome(f"{planned.kind:6} {planned.when():8} after {done:2} items{late}", faults)


def wait_for(
    moment: float | str, job: Job, actors_of: Job, output: str, draw: random.Random
) -> None:
    """Returns at the moment: when such a share of the items is done, and there are actors to die;
    or when the first examples or the manifest appear.
    """
    if isinstance(moment, str):
        pattern = {"examples": "part-*.parquet", "manifest": "manifest.json"}[moment]
        wait(job, lambda: bool(glob(output, pattern)), every_s=0.0005)
    else:
        wait(job, lambda: bool(actors(actors_of)) and len(leaves(output)) >= int(moment * ITEMS))
        time.sleep(draw.uniform(0, 0.05))


def leaves(output: str) -> list[str]:
    """Return the records of finished items, without those of merged lists."""
    names = []
    for name in records(output):
        match = _LEAF.search(name)
        if match and int(match[2]) == int(match[1]) + 1:
            names.append(name)
    return names


def records(output: str) -> list[str]:
    """Return all that a run has recorded for the next one."""
    root, _, name = output.rpartition("/")
    return glob(root, f"{name}.run-*/*")


def items_left(log: Path) -> list[int]:
    """Return how many items each run had to do, if it came to the search."""
    return [int(count) for count in re.findall(r"items left: (\d+)", log.read_text())]


def find_faults(output: str, case: Case) -> list[str]:
    """Return what differs from the undisturbed examples."""
    try:
        files = read_files(output)
    except StorageError as error:
        return [str(error)]
    names = sorted(files.keys() | case.files.keys())
    faults = [f"{name} differs" for name in names if files.get(name) != case.files.get(name)]
    listed = [*open_examples(output).manifest.files, "manifest.json", "summary.json"]
    if more := set(glob(output, "**")) - {storage.join(output, name) for name in listed}:
        faults.append(f"{len(more)} files more")
    if left := records(output):
        faults.append(f"{len(left)} records left")
    return faults


def read_files(output: str) -> dict[str, bytes]:
    """Return {name: bytes} of what the manifest lists, without the figure."""
    names = [name for name in open_examples(output).manifest.files if not name.endswith(".png")]
    return {name: storage.read_bytes(storage.join(output, name)) for name in names}


def with_result(case: Case, folder: Path) -> Case:
    """Return the case with the files of a run that nobody kills."""
    output = str(folder / "undisturbed")
    log = folder / "undisturbed.log"
    run_undisturbed(case.start(output, log), log)
    assert items_left(log) == [ITEMS], f"{items_left(log)} items, expected {ITEMS}"
    return replace(case, files=read_files(output))


def make_case(folder: Path, model: Path, documents: int, queries: int) -> Case:
    """Make a data set with a positive for each query, and a table of made-up vectors in as many
    fragments as stripes.
    """
    corpus = []
    for n in range(documents):
        text = f"{SIGNS[n % 10]} of the {SUBJECTS[n % 12]}, grade {n}"
        hashed = content_hash(text)
        corpus.append(
            {"document_id": f"d{n}", "text": text, "language": "en", "content_hash": hashed}
        )
    asked = []
    judged = []
    for n in range(queries):
        row = {"query_id": f"q{n}", "text": f"{SUBJECTS[n % 12]} {SIGNS[n % 10]} {n}"}
        asked.append(row | {"language": "en", "tags": [], "group_id": f"q{n}", "split": "train"})
        judged.append({"query_id": f"q{n}", "document_id": f"d{n}", "score": 1.0})
    tables = {
        "queries/part-0.parquet": to_table(asked, QUERIES),
        "qrels/part-0.parquet": to_table(judged, QRELS),
    }
    size = -(-documents // STRIPES)
    for first in range(0, documents, size):
        part = to_table(corpus[first : first + size], CORPUS)
        tables[f"corpus/part-{first:07d}.parquet"] = part
    with NewOutput(str(folder / "data"), "faults") as output:
        for name, table in tables.items():
            output.write_parquet(name, table)
        rows_of = {name: len(table) for name, table in tables.items()}
        output.commit(DatasetManifest(fingerprint="faults", rows=rows_of))
    vectors = np.random.default_rng(0).standard_normal((documents, WIDTH), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    dataset = open_dataset(str(folder / "data"))
    embeddings = write_table(folder / "t.lance", dataset, vectors, encoder=model_fingerprint(model))
    return Case(dataset.uri, embeddings.uri, str(model), documents, queries, {})


if __name__ == "__main__":
    main()
