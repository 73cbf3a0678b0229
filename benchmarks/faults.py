"""`medembed encode` under kill -9: actors, nodes and drivers die at seeded random moments, then the
table is compared.

A run whose actor or node died goes on by itself; a dead driver's command runs again. Then rows,
their order and the counts must be those of a run that nothing disturbed, vectors within 1e-5, the
version tagged, no record left, and recorded work taken over. Half of the runs make a table, half
bring one up to date. Exits with 1 if any differs.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np
import pyarrow as pa

from benchmarks.fault_injection import (
    Cluster,
    Job,
    actors,
    kill_driver,
    kill_tree,
    s3_bucket,
    two_nodes,
    wait,
)
from medembed import storage
from medembed.artifact import NewOutput
from medembed.data.dataset import to_table
from medembed.encoding.lance_dataset import open_lance
from medembed.encoding.maintain import list_versions
from medembed.errors import StorageError
from medembed.lineage import DatasetManifest
from medembed.schema import CORPUS, content_hash, fingerprint
from tests.tiny import SIGNS, SUBJECTS, make_encoder

Texts = dict[str, str]  # document id -> text
ROOT = Path(__file__).parent.parent
KINDS = ("driver", "node", "actor")
ITEMS = 24  # in a run, so that there is something to keep and something to lose
_PATIENCE_S = 300.0
# The command itself, with items so small that a small corpus has many.
_ENCODE = (
    "import sys; from medembed.encoding import changes; size = int(sys.argv.pop(1)); "
    "changes.items_of = lambda rows, most: size; from jobs.encode import main; main()"
)


@dataclass(frozen=True)
class Case:
    """A corpus, of which `encoded` texts are new to the table at `base`, and the rows and counts
    that must come out.
    """

    data: str
    model: str
    encoded: int
    base: str | None = None
    rows: pa.Table | None = None
    counts: dict[str, int] | None = None

    def start(self, output: str, log: Path, environment: dict[str, str] | None = None) -> Job:
        """`medembed encode` of it; without RAY_ADDRESS in the environment in a Ray of its own."""
        command = [
            sys.executable,
            "-c",
            _ENCODE,
            str(-(-self.encoded // ITEMS)),
            f"model={self.model}",
            f"data={self.data}",
            f"output={output}",
            "encoding.workers=2",
            "encoding.backend=torch",
            "encoding.max_tokens_per_batch=64",
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
@click.option("--documents", default=12_000, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--kind", type=click.Choice(KINDS), multiple=True, default=KINDS, show_default=True)
def main(kills: int, documents: int, seed: int, kind: tuple[str, ...]) -> None:
    """Prints a line for each kill and a summary."""
    draw, start, wrong = random.Random(seed), time.monotonic(), 0
    os.environ.pop("RAY_ADDRESS", None)
    # A short folder: Ray puts socket paths below it.
    with tempfile.TemporaryDirectory(prefix="mef-", dir="/tmp") as scratch, s3_bucket() as bucket:
        cases = make_cases(Path(scratch), documents, draw)
        with two_nodes(Path(scratch), bucket) as cluster:
            print(
                f"{time.monotonic() - start:.0f} s: undisturbed tables and two nodes are there",
                flush=True,
            )
            for number, (what, moment) in enumerate(plan(kills, kind, draw, ("commit", "tag"))):
                line, faults = kill_once(
                    what, moment, cases[number // len(kind) % 2], cluster, number, draw
                )
                wrong += bool(faults)
                print(f"{number + 1:3} {line}: {'; '.join(faults) or 'same'}", flush=True)
    print(
        f"{kills} kills, {time.monotonic() - start:.0f} s: {kills - wrong} tables as if "
        f"undisturbed, {wrong} not"
    )
    sys.exit(wrong > 0)


def plan(
    kills: int, kinds: tuple[str, ...], draw: random.Random, last: tuple[str, str]
) -> list[tuple[str, float | str]]:
    """(kind, moment) of each kill: a share of the items, spread evenly over the kills of a kind.

    The last two drivers die at the instants `last`, as soon as something appears that no draw would
    meet.
    """
    found: list[tuple[str, float | str]] = []
    for number in range(kills):
        kind, turn = kinds[number % len(kinds)], number // len(kinds)
        turns = len(range(number % len(kinds), kills, len(kinds)))
        instants = (
            {turns - 2: last[0], turns - 1: last[1]} if kind == "driver" and turns > 3 else {}
        )
        found.append((kind, instants.get(turn, (turn + draw.random()) / turns)))
    return found


def kill_once(
    kind: str, moment: float | str, case: Case, cluster: Cluster, number: int, draw: random.Random
) -> tuple[str, list[str]]:
    """(what was done, what is wrong with the table then). Nodes die in the cluster; actors and
    drivers in a folder, in a Ray that their run starts for itself.
    """
    root = storage.join(cluster.bucket if kind == "node" else str(cluster.folder), f"{number:03}")
    output, log = storage.join(root, "t.lance"), cluster.folder / f"{number:03}.log"
    environment = cluster.environment if kind == "node" else {}
    if kind == "node":
        case = replace(
            case, data=copy(case.data, f"{root}/data"), model=copy(case.model, f"{root}/model")
        )
    if case.base:
        copy(case.base, output)
    versions = len(glob(output, "_versions/*.manifest"))
    job, done = case.start(output, log, environment), 0
    try:
        wait_for(moment, job, cluster.nodes[1] if kind == "node" else job, output, draw)
        is_late = job.poll() is not None
        kill(kind, job, cluster, draw)
        done, is_over = len(records(output)), False
        if kind == "driver":
            is_over = len(glob(output, "_versions/*.manifest")) > versions
            job = case.start(output, log, environment)
        if status := job.wait(_PATIENCE_S):
            faults = [f"exit status {status}: {log.read_text().splitlines()[-1]}"]
        else:
            faults = find_faults(output, case)
            faults += find_wrong_counts(output, case, done if kind == "driver" else 0, is_over)
    except subprocess.TimeoutExpired:
        status, faults = 1, [f"no end after {_PATIENCE_S:.0f} s"]
    finally:
        kill_tree(job)
    when = moment if isinstance(moment, str) else f"{moment:.0%}"
    line = f"{kind:6} {'update' if case.base else 'first':6} {when:6} after {done:2} items"
    resumed = (
        json.loads(storage.read_bytes(f"{output}/summary.json"))["resumed"] if not status else 0
    )
    return line + (", too late" if is_late else f", {resumed:5,} rows resumed"), faults


def wait_for(
    moment: float | str, job: Job, actors_of: Job, output: str, draw: random.Random
) -> None:
    """Returns at the moment, once there are actors to die."""
    wait(job, lambda: bool(actors(actors_of)))
    if isinstance(moment, str):
        pattern = {"commit": "_versions/*.manifest", "tag": "_refs/tags/*.json"}[moment]
        there = len(glob(output, pattern))
        wait(job, lambda: len(glob(output, pattern)) > there, every_s=0.0005)
    else:
        wait(job, lambda: len(records(output)) >= int(moment * (ITEMS + 1)))
        time.sleep(draw.uniform(0, 0.2))


def kill(kind: str, job: Job, cluster: Cluster, draw: random.Random) -> None:
    """kill -9 of an actor, of the second node, which another one replaces, or of the driver."""
    if kind == "driver":
        kill_driver(job)
    elif kind == "node":
        cluster.lose_node()
        cluster.add_node()
    elif found := actors(job):
        draw.choice(found).kill()


def records(output: str) -> list[str]:
    """The records of finished items."""
    return glob(output, "_staging/*/*.json")


def glob(output: str, pattern: str) -> list[str]:
    """Files of a table; none while its folders are being removed."""
    with suppress(StorageError):
        return [name for name, _, _ in storage.find_files(storage.join(output, pattern))]
    return []


def find_faults(output: str, case: Case) -> list[str]:
    """What differs from the undisturbed table."""
    faults, there, wanted = [], read_rows(output), case.rows
    assert wanted is not None
    for name in ("document_id", "content_hash"):
        if there[name].to_pylist() != wanted[name].to_pylist():
            missing, more = (
                len(set(a[name].to_pylist()) - set(b[name].to_pylist()))
                for a, b in ((wanted, there), (there, wanted))
            )
            faults.append(
                f"{there.num_rows} rows for {wanted.num_rows}, {missing} {name} missing, "
                f"{more} not expected"
            )
    if not faults and (gap := np.abs(_vectors(there) - _vectors(wanted)).max()) > 1e-5:
        faults.append(f"vectors differ by {gap:.0e}")
    if glob(output, "_staging/**"):
        faults.append(f"{len(glob(output, '_staging/**'))} files left in _staging")
    if not list_versions(output)[-1].tags:
        faults.append("the version has no tag")
    return faults


def find_wrong_counts(output: str, case: Case, recorded: int, is_over: bool) -> list[str]:
    """What is wrong in the last run's summary; it found so many items recorded, or the new version
    there already.
    """
    assert case.rows is not None
    summary = json.loads(storage.read_bytes(f"{output}/summary.json"))
    wanted = {"unchanged": case.rows.num_rows} if is_over else case.counts
    faults = [] if summary["counts"] == wanted else [f"counts {summary['counts']} for {wanted}"]
    if recorded and not is_over and not summary["resumed"]:
        faults.append("finished work was not taken over")
    return faults


def read_rows(output: str) -> pa.Table:
    """document_id, content_hash and embedding of every row, in table order."""
    return open_lance(output).to_table(columns=["document_id", "content_hash", "embedding"])


def _vectors(rows: pa.Table) -> np.ndarray:
    return np.stack(rows["embedding"].to_pylist()).astype(np.float32)


def make_cases(folder: Path, documents: int, draw: random.Random) -> list[Case]:
    """A first encode and an update of its table, with the rows of runs that nothing disturbs."""
    model = str(make_encoder(folder / "tiny"))
    # one text in 25 stands twice
    old = {f"d{n}": _text(n - (n % 25 == 24)) for n in range(documents)}
    found = []
    table = str(folder / "t.lance")
    for name, texts, base in (
        ("first", old, None),
        ("update", change(old, draw), str(folder / "base.lance")),
    ):
        if base:
            copy(table, base)
        encoded = len(set(texts.values()) - (set(old.values()) if base else set()))
        case = Case(write_data(folder / name, texts), model, encoded, base)
        if case.start(table, folder / "undisturbed.log").wait(_PATIENCE_S):
            raise SystemExit((folder / "undisturbed.log").read_text())
        counts = json.loads((folder / "t.lance/summary.json").read_text())["counts"]
        found.append(replace(case, rows=read_rows(table), counts=counts))
    return found


def _text(number: int) -> str:
    return f"{SIGNS[number % 10]} of the {SUBJECTS[number % 12]}, grade {number}"


def change(old: Texts, draw: random.Random) -> Texts:
    """2% deleted, 10% with new texts, and new documents: their own text, each other's, and one that
    others have.
    """
    new = {name: text for name, text in old.items() if draw.random() > 0.02}
    new |= {name: f"{text}, mended" for name, text in new.items() if draw.random() < 0.1}
    new |= {
        f"e{n}": f"new {SIGNS[n // 2 % 10]} of the {SUBJECTS[n // 2 % 12]}, {n // 2}"
        for n in range(len(old) // 50)
    }
    return new | {
        f"f{n}": old[name] for n, name in enumerate(draw.sample(sorted(old), len(old) // 50))
    }


def write_data(folder: Path, texts: Texts) -> str:
    """A data set with this corpus and no queries; returns its place."""
    rows = [
        {"document_id": name, "text": text, "language": "en", "content_hash": content_hash(text)}
        for name, text in texts.items()
    ]
    sizes = {}
    with NewOutput(str(folder), folder.name) as output:
        for start in range(0, len(rows), 1024):
            name = f"corpus/part-{start:07d}.parquet"
            output.write_parquet(name, to_table(rows[start : start + 1024], CORPUS))
            sizes[name] = len(rows[start : start + 1024])
        output.commit(DatasetManifest(fingerprint=fingerprint(texts), rows=sizes))
    return str(folder)


def copy(source: str, target: str) -> str:
    """Copies a folder's files, to a bucket too; returns the target."""
    for name in storage.list_files(source):
        storage.write_bytes(
            storage.join(target, name), storage.read_bytes(storage.join(source, name))
        )
    return target


if __name__ == "__main__":
    main()
