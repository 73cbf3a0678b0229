"""Finds sentinels of the data outside of the data: a row's text where it must not be."""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.request import urlopen

import boto3

from tests.docs.small import BUCKETS
from tests.docs.world import SENTINEL, World

# What holds rows by its nature, beside what people brought: data sets, examples, vectors, rankings.
_HOLDS_ROWS = re.compile(r"\.(parquet|lance|arrow|safetensors|npy|txn|manifest)$|/mining\.json$")
_BROUGHT = re.compile(
    r"^(notes|medquad|landing|hospital/landing|leaflets|export|textes|depart|bad)/|"
    r"^(pairs|questions)\.jsonl$|^(ids|erase)\.txt$|^(questions|glossaire)\.csv$|"
    r"^(pairs/one|notes/one)\.jsonl$|files/|^notes\.parquet$|^(sts-train|collection)\.tsv$"
)
_AROUND = 60


def find_traces(world: World, logs: Sequence[Path], said: Mapping[str, str]) -> list[str]:
    """Return each place outside of the data that has a sentinel, with what stands around it."""
    traces = []
    for name, content in _places(world, logs, said):
        if match := SENTINEL.search(content):
            around = content[max(match.start() - _AROUND, 0) : match.end() + _AROUND]
            traces.append(f"{name}: ...{around.decode(errors='replace')}...")
    return traces


def read_metrics(url: str) -> str:
    """Return what Prometheus reads from a server, once it has counted requests."""
    for _ in range(60):
        with urlopen(f"{url}/metrics", timeout=30) as response:
            metrics = str(response.read().decode())
        if "ray_medembed_requests_total" in metrics:
            return metrics
        time.sleep(0.5)  # each process reports when it likes
    raise AssertionError("no metrics of requests after 30 s")


def _places(
    world: World, logs: Sequence[Path], said: Mapping[str, str]
) -> Iterator[tuple[str, bytes]]:
    yield from ((f"said by {name}", text.encode()) for name, text in said.items())
    for path in filter(Path.is_file, world.root.rglob("*")):
        name = str(path.relative_to(world.root))
        yield f"name of {name}", name.encode()
        if not _may_have_rows(name):
            yield name, path.read_bytes()
    for log in logs:
        for path in filter(Path.is_file, log.rglob("*")):
            yield str(path), path.read_bytes()
    client = boto3.client("s3")
    for bucket in BUCKETS:
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for entry in page.get("Contents", ()):
                name = entry["Key"]
                yield f"name of {bucket}/{name}", name.encode()
                if not _may_have_rows(name):
                    body = client.get_object(Bucket=bucket, Key=name)["Body"]
                    yield f"{bucket}/{name}", body.read()


def _may_have_rows(name: str) -> bool:
    return bool(_HOLDS_ROWS.search(name) or _BROUGHT.search(name))
