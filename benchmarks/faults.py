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
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import click
import numpy as np
import pyarrow as pa

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
from medembed.data.dataset import to_table
from medembed.encoding import changes
from medembed.encoding.lance_dataset import open_lance
from medembed.encoding.maintain import list_versions
from medembed.lineage import DatasetManifest
from medembed.schema import CORPUS, content_hash, fingerprint
from tests.tiny import SIGNS, SUBJECTS, make_encoder

Texts = dict[str, str]  # document id -> text
KINDS = ("driver", "node", "actor")
ITEMS = 24  # in a run, so that there is something to keep and something to lose


def encode_in_small_items() -> None:
    """Run `medembed encode` with items so small that a small corpus has many."""
    from jobs.encode import main

    size = int(sys.argv.pop(1))
    with patch.object(changes, "items_of", lambda rows, most: size):
        main()


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
        """Start `medembed encode` of it."""
        command = [
            "-c",
            "from benchmarks.faults import encode_in_small_items; encode_in_small_items()",
            str(-(-self.encoded // ITEMS)),
            f"model={self.model}",
            f"data={self.data}",
            f"output={output}",
            "encoding.workers=2",
            "encoding.backend=torch",
            "encoding.max_tokens_per_batch=64",
        ]
        return start(command, log, environment)


@click.command()
@click.option("--kills", default=20, show_default=True)
@click.option("--documents", default=12_000, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--kind", type=click.Choice(KINDS), multiple=True, default=KINDS, show_default=True)
def main(kills: int, documents: int, seed: int, kind: tuple[str, ...]) -> None:
    """Prints a line for each kill and a summary."""
    draw = random.Random(seed)
    os.environ.pop("RAY_ADDRESS", None)
    # A short folder: Ray puts socket paths below it.
    with tempfile.TemporaryDirectory(prefix="mef-", dir="/tmp") as scratch, s3_bucket() as bucket:
        cases = make_cases(Path(scratch), documents, draw)
        with two_nodes(Path(scratch), bucket) as cluster:
            planned = plan(kills, kind, draw, ("commit", "tag"))
            report(kill_all(planned, cases, len(kind), cluster, draw))


def kill_all(
    planned: Sequence[Kill],
    cases: Sequence[Case],
    kinds: int,
    cluster: Cluster,
    draw: random.Random,
) -> Iterator[Outcome]:
    """Disturb each case in turn; each kind of kill meets each case."""
    for number, planned_kill in enumerate(planned):
        case = cases[number // kinds % len(cases)]
        yield kill_once(planned_kill, case, cluster, f"{number:03}", draw)


def kill_once(
    planned: Kill, case: Case, cluster: Cluster, name: str, draw: random.Random
) -> Outcome:
    """Disturb one run. Nodes die in the cluster; actors and drivers in a Ray that their run starts
    for itself.
    """
    on_cluster = planned.kind == "node"
    root = storage.join(cluster.bucket if on_cluster else str(cluster.folder), name)
    output = storage.join(root, "t.lance")
    log = cluster.folder / f"{name}.log"
    environment = cluster.environment if on_cluster else {}
    if on_cluster:
        data = copy(case.data, f"{root}/data")
        case = replace(case, data=data, model=copy(case.model, f"{root}/model"))
    if case.base:
        copy(case.base, output)
    versions = len(glob(output, "_versions/*.manifest"))
    is_over = False
    job = case.start(output, log, environment)
    try:
        wait_for(planned.moment, job, cluster.nodes[1] if on_cluster else job, output, draw)
        is_late = job.poll() is not None
        kill(planned.kind, job, cluster, draw)
        done = len(records(output))
        if planned.kind == "driver":
            is_over = len(glob(output, "_versions/*.manifest")) > versions
            job = case.start(output, log, environment)
        faults = finish(job, log)
    finally:
        kill_tree(job)
    update = "update" if case.base else "first"
    line = f"{planned.kind:6} {update:6} {planned.when():6} after {done:2} items"
    if faults:
        return Outcome(line, faults)
    summary = json.loads(storage.read_bytes(f"{output}/summary.json"))
    recorded = done if planned.kind == "driver" and not is_over else 0
    faults = find_faults(output, case) + find_wrong_counts(summary, case, recorded, is_over)
    return Outcome(
        line + (", too late" if is_late else f", {summary['resumed']:5,} rows resumed"), faults
    )


def wait_for(
    moment: float | str, job: Job, actors_of: Job, output: str, draw: random.Random
) -> None:
    """Return at the moment, once there are actors to die."""
    wait(job, lambda: bool(actors(actors_of)))
    if isinstance(moment, str):
        pattern = {"commit": "_versions/*.manifest", "tag": "_refs/tags/*.json"}[moment]
        there = len(glob(output, pattern))
        wait(job, lambda: len(glob(output, pattern)) > there, every_s=0.0005)
    else:
        wait(job, lambda: len(records(output)) >= int(moment * (ITEMS + 1)))
        time.sleep(draw.uniform(0, 0.2))


def records(output: str) -> list[str]:
    """Return the records of finished items."""
    return glob(output, "_staging/*/*.json")


def find_faults(output: str, case: Case) -> list[str]:
    """Return what differs from the undisturbed table."""
    rows = read_rows(output)
    expected = case.rows
    assert expected is not None
    faults = []
    for name in ("document_id", "content_hash"):
        values = rows[name].to_pylist()
        expected_values = expected[name].to_pylist()
        if values != expected_values:
            missing = len(set(expected_values) - set(values))
            more = len(set(values) - set(expected_values))
            faults.append(
                f"{rows.num_rows} rows for {expected.num_rows}, {missing} {name} missing, "
                f"{more} not expected"
            )
    if not faults and (gap := np.abs(_vectors(rows) - _vectors(expected)).max()) > 1e-5:
        faults.append(f"vectors differ by {gap:.0e}")
    if left := glob(output, "_staging/**"):
        faults.append(f"{len(left)} files left in _staging")
    if not list_versions(output)[-1].tags:
        faults.append("the version has no tag")
    return faults


def find_wrong_counts(
    summary: dict[str, object], case: Case, recorded: int, is_over: bool
) -> list[str]:
    """Return what is wrong in the last run's summary, given the items that were recorded before it
    and whether the new version was there already.
    """
    assert case.rows is not None
    expected = {"unchanged": case.rows.num_rows} if is_over else case.counts
    faults = []
    if summary["counts"] != expected:
        faults.append(f"counts {summary['counts']} for {expected}")
    if recorded and not summary["resumed"]:
        faults.append("finished work was not taken over")
    return faults


def read_rows(output: str) -> pa.Table:
    """Return document_id, content_hash and embedding of every row, in table order."""
    return open_lance(output).to_table(columns=["document_id", "content_hash", "embedding"])


def _vectors(rows: pa.Table) -> np.ndarray:
    return np.stack(rows["embedding"].to_pylist()).astype(np.float32)


def make_cases(folder: Path, documents: int, draw: random.Random) -> list[Case]:
    """Make a first encode and an update of its table, each with the rows of an undisturbed run."""
    model = str(make_encoder(folder / "tiny"))
    table = str(folder / "t.lance")
    # One text in 25 stands twice.
    old = {f"d{n}": _text(n - (n % 25 == 24)) for n in range(documents)}
    new = change(old, draw)
    first = Case(write_data(folder / "first", old), model, len(set(old.values())))
    first = _with_result(first, table)
    base = copy(table, str(folder / "base.lance"))
    changed = len(set(new.values()) - set(old.values()))
    update = Case(write_data(folder / "update", new), model, changed, base)
    return [first, _with_result(update, table)]


def _with_result(case: Case, table: str) -> Case:
    log = Path(table).with_name("undisturbed.log")
    run_undisturbed(case.start(table, log), log)
    counts = json.loads(Path(table, "summary.json").read_text())["counts"]
    return replace(case, rows=read_rows(table), counts=counts)


def _text(number: int) -> str:
    return f"{SIGNS[number % 10]} of the {SUBJECTS[number % 12]}, grade {number}"


def change(old: Texts, draw: random.Random) -> Texts:
    """Delete 2% of the texts, change 10%, and add documents: with a text of their own, with each
    other's, and with one that others have.
    """
    new = {name: text for name, text in old.items() if draw.random() > 0.02}
    for name, text in new.items():
        if draw.random() < 0.1:
            new[name] = f"{text}, mended"
    for number in range(len(old) // 50):
        new[f"e{number}"] = f"new {_text(number // 2)}"
    for number, name in enumerate(draw.sample(sorted(old), len(old) // 50)):
        new[f"f{number}"] = old[name]
    return new


def write_data(folder: Path, texts: Texts) -> str:
    """Write a data set with this corpus and no queries; return its URI."""
    rows = []
    for name, text in texts.items():
        row = {"document_id": name, "text": text, "language": "en"}
        rows.append(row | {"content_hash": content_hash(text)})
    sizes = {}
    with NewOutput(str(folder), folder.name) as output:
        for start_row in range(0, len(rows), 1024):
            name = f"corpus/part-{start_row:07d}.parquet"
            part = rows[start_row : start_row + 1024]
            output.write_parquet(name, to_table(part, CORPUS))
            sizes[name] = len(part)
        output.commit(DatasetManifest(fingerprint=fingerprint(texts), rows=sizes))
    return str(folder)


if __name__ == "__main__":
    main()
