"""`medembed mine` under kill -9: actors, nodes and drivers die at seeded random moments, then
examples are compared.

A run whose actor or node died goes on by itself; a dead driver's command runs again. Then every
file but the figure must have the bytes of a run that nothing disturbed, recorded lists must not be
searched again, and no record may be left. Exits with 1 if any differs.
"""

import os
import random
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np

from benchmarks.fault_injection import Cluster, Job, actors, kill_tree, s3_bucket, two_nodes, wait
from benchmarks.faults import KINDS, ROOT, copy, glob, kill, plan
from medembed import storage
from medembed.artifact import NewOutput
from medembed.data.dataset import open_dataset, to_table
from medembed.encoding.model_files import model_fingerprint
from medembed.errors import StorageError
from medembed.lineage import DatasetManifest
from medembed.mining.examples import open_examples
from medembed.schema import CORPUS, QRELS, QUERIES, content_hash
from tests.tables import write_table
from tests.tiny import SIGNS, SUBJECTS, WIDTH, make_encoder

STRIPES, BLOCKS = 24, 2
ITEMS = STRIPES * BLOCKS
SETTINGS = {"negatives": 4, "window": 50, "margin": None}
_PATIENCE_S = 300.0
_LEAF = re.compile(r"/search-\w+-\d+-(\d+)-(\d+)\.npz$")
# The command itself, with items so small that a small corpus has many; it says how many of them it
# still has to do.
_MINE = """
import sys
from medembed.search import lists, plan, shards
shards._ROWS_HERE = 0
plan._QUERIES_PER_BLOCK, plan._SCORES_PER_ITEM = int(sys.argv.pop(1)), int(sys.argv.pop(1))
todo = lists.Lists.todo
def say(searched):
    items = todo(searched)
    print("items left:", len(items), flush=True)
    return items
lists.Lists.todo = say
from jobs.mine import main
main()
"""


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
        """(queries in a block, scores in an item) that make ITEMS."""
        of_block = -(-self.queries // BLOCKS)
        return of_block, of_block * self.documents // STRIPES

    def start(self, output: str, log: Path, environment: dict[str, str] | None = None) -> Job:
        """`medembed mine` of it; without RAY_ADDRESS in the environment in a Ray of its own."""
        settings = [
            f"mining.{name}={'null' if value is None else value}"
            for name, value in SETTINGS.items()
        ]
        command = [
            sys.executable,
            "-c",
            _MINE,
            *map(str, self.sizes),
            f"model={self.model}",
            f"data={self.data}",
            f"table={self.table}",
            f"output={output}",
            "encoding.workers=2",
            *settings,
        ]
        with open(log, "ab") as stream:
            return subprocess.Popen(
                command,
                cwd=ROOT,
                env=os.environ | (environment or {}),
                stdout=stream,
                stderr=stream,
            )


@click.command()
@click.option("--kills", default=20, show_default=True)
@click.option("--documents", default=24_000, show_default=True)
@click.option("--queries", default=1000, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--kind", type=click.Choice(KINDS), multiple=True, default=KINDS, show_default=True)
def main(kills: int, documents: int, queries: int, seed: int, kind: tuple[str, ...]) -> None:
    """Prints a line for each kill and a summary."""
    draw, start, wrong = random.Random(seed), time.monotonic(), 0
    os.environ.pop("RAY_ADDRESS", None)
    # A short folder: Ray puts socket paths below it.
    with tempfile.TemporaryDirectory(prefix="mef-", dir="/tmp") as scratch, s3_bucket() as bucket:
        case = run_undisturbed(
            make_case(Path(scratch), make_encoder(Path(scratch) / "tiny"), documents, queries)
        )
        places = {
            name: copy(getattr(case, name), f"{bucket}/{name}")
            for name in ("data", "table", "model")
        }
        with two_nodes(Path(scratch), bucket) as cluster:
            print(
                f"{time.monotonic() - start:.0f} s: undisturbed examples and two nodes are there",
                flush=True,
            )
            for number, (what, moment) in enumerate(
                plan(kills, kind, draw, ("examples", "manifest"))
            ):
                there = replace(case, **places) if what == "node" else case
                line, faults = kill_once(what, moment, there, cluster, number, draw)
                wrong += bool(faults)
                print(f"{number + 1:3} {line}: {'; '.join(faults) or 'same'}", flush=True)
    print(
        f"{kills} kills, {time.monotonic() - start:.0f} s: {kills - wrong} examples as if "
        f"undisturbed, {wrong} not"
    )
    sys.exit(wrong > 0)


def kill_once(
    kind: str, moment: float | str, case: Case, cluster: Cluster, number: int, draw: random.Random
) -> tuple[str, list[str]]:
    """(what was done, what is wrong with the examples then). Nodes die in the cluster; actors and
    drivers in a folder, in a Ray that their run starts for itself.
    """
    root = storage.join(cluster.bucket if kind == "node" else str(cluster.folder), f"{number:03}")
    output, log = storage.join(root, "out"), cluster.folder / f"{number:03}.log"
    environment = cluster.environment if kind == "node" else {}
    job, done, is_over = case.start(output, log, environment), 0, False
    try:
        wait_for(moment, job, cluster.nodes[1] if kind == "node" else job, output, draw)
        is_late = job.poll() is not None
        kill(kind, job, cluster, draw)
        done = len(leaves(output))
        if kind == "driver":
            is_over = bool(glob(output, "manifest.json"))
            job = case.start(output, log, environment)
        if status := job.wait(_PATIENCE_S):
            faults = [f"exit status {status}: {log.read_text().splitlines()[-1]}"]
        else:
            faults = find_faults(output, case)
            if kind == "driver" and not is_over and items_left(log)[-1] != ITEMS - done:
                faults.append(
                    f"{items_left(log)[-1]} items done again, though {done} of {ITEMS} were "
                    "recorded"
                )
    except subprocess.TimeoutExpired:
        faults = [f"no end after {_PATIENCE_S:.0f} s"]
    finally:
        kill_tree(job)
    when = moment if isinstance(moment, str) else f"{moment:.0%}"
    return f"{kind:6} {when:8} after {done:2} items" + (", too late" if is_late else ""), faults


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
    """The records of finished items; not those of lists that were put together."""
    found = ((name, _LEAF.search(name)) for name in records(output))
    return [name for name, match in found if match and int(match[2]) == int(match[1]) + 1]


def records(output: str) -> list[str]:
    """All that a run has recorded for the next one."""
    root, _, name = output.rpartition("/")
    return glob(root, f"{name}.run-*/*")


def items_left(log: Path) -> list[int]:
    """How many items each run had to do, as far as it came to the search."""
    return [int(count) for count in re.findall(r"items left: (\d+)", log.read_text())]


def find_faults(output: str, case: Case) -> list[str]:
    """What differs from the undisturbed examples."""
    try:
        there = read_files(output)
    except StorageError as error:
        return [str(error)]
    names = sorted(there.keys() | case.files.keys())
    faults = [f"{name} differs" for name in names if there.get(name) != case.files.get(name)]
    known = {
        storage.join(output, name)
        for name in [*open_examples(output).manifest.files, "manifest.json"]
    }
    more = set(glob(output, "**")) - known - {storage.join(output, "summary.json")}
    faults += [
        f"{len(found)} files {where}"
        for where, found in (("more", more), ("in the records", records(output)))
        if found
    ]
    return faults


def read_files(output: str) -> dict[str, bytes]:
    """{name: bytes} of what the manifest lists, the figure left out."""
    names = [name for name in open_examples(output).manifest.files if not name.endswith(".png")]
    return {name: storage.read_bytes(storage.join(output, name)) for name in names}


def run_undisturbed(case: Case) -> Case:
    """The case with the files of a run that nobody kills."""
    output, log = (
        str(Path(case.data).parent / "undisturbed"),
        Path(case.data).parent / "undisturbed.log",
    )
    if case.start(output, log).wait(_PATIENCE_S):
        raise SystemExit(log.read_text())
    assert items_left(log) == [ITEMS], f"{items_left(log)} items, expected {ITEMS}"
    return replace(case, files=read_files(output))


def make_case(folder: Path, model: Path, documents: int, queries: int) -> Case:
    """A data set with a positive for each query, and a table of made-up vectors in as many
    fragments as stripes.
    """
    texts = {
        f"d{n}": f"{SIGNS[n % 10]} of the {SUBJECTS[n % 12]}, grade {n}" for n in range(documents)
    }
    asked = {f"q{n}": f"{SUBJECTS[n % 12]} {SIGNS[n % 10]} {n}" for n in range(queries)}
    tables = {
        "queries/part-0.parquet": to_table(
            [
                {
                    "query_id": name,
                    "text": text,
                    "language": "en",
                    "tags": [],
                    "group_id": name,
                    "split": "train",
                }
                for name, text in asked.items()
            ],
            QUERIES,
        ),
        "qrels/part-0.parquet": to_table(
            [{"query_id": name, "document_id": f"d{name[1:]}", "score": 1.0} for name in asked],
            QRELS,
        ),
    }
    rows = [
        {"document_id": name, "text": text, "language": "en", "content_hash": content_hash(text)}
        for name, text in texts.items()
    ]
    size = -(-documents // STRIPES)
    for start in range(0, documents, size):
        tables[f"corpus/part-{start:07d}.parquet"] = to_table(rows[start : start + size], CORPUS)
    with NewOutput(str(folder / "data"), "faults") as output:
        for name, table in tables.items():
            output.write_parquet(name, table)
        rows_of = {name: len(table) for name, table in tables.items()}
        output.commit(DatasetManifest(fingerprint="faults", rows=rows_of))
    vectors = np.random.default_rng(0).standard_normal((documents, WIDTH), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    dataset = open_dataset(str(folder / "data"))
    table = write_table(folder / "t.lance", dataset, vectors, encoder=model_fingerprint(model))
    return Case(dataset.uri, table.uri, str(model), documents, queries, {})


if __name__ == "__main__":
    main()
