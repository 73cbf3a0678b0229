"""Where a sentinel of the data may stand after all the work, and where it does: a row's text
outside of the data.
"""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.request import urlopen

import boto3

from tests.docs.world import BUCKETS, SENTINEL, World

# What holds rows by its nature, beside what people brought: data sets, examples, vectors, rankings.
_HOLDS_ROWS = re.compile(r"\.(parquet|lance|arrow|safetensors|npy|txn|manifest)$|/mining\.json$")
_BROUGHT = re.compile(
    r"^(notes|medquad|landing|hospital/landing|bad)/|^(pairs|questions)\.jsonl$|^(ids|erase)\.txt$|"
    r"^(pairs/one|notes/one)\.jsonl$|files/|^notes\.parquet$|^(sts-train|collection)\.tsv$"
)
_AROUND = 60


def find_traces(world: World, logs: Sequence[Path], said: Mapping[str, str]) -> list[str]:
    """Each place outside of the data that has a sentinel, with what stands around it."""
    return [
        trace for name, content in _places(world, logs, said) for trace in _traces(name, content)
    ]


def read_metrics(url: str) -> str:
    """What Prometheus would be told by the nodes of a server's Ray."""
    for _ in range(60):
        metrics = _scrape(f"{url}/metrics")
        if "ray_medembed_requests_total" in metrics:
            return metrics
        time.sleep(0.5)  # each process reports when it likes
    raise AssertionError("no metrics of requests after 30 s")


def _scrape(address: str) -> str:
    with urlopen(address, timeout=30) as response:
        return str(response.read().decode())


def _places(
    world: World, logs: Sequence[Path], said: Mapping[str, str]
) -> Iterator[tuple[str, bytes]]:
    yield from ((f"said by {name}", text.encode()) for name, text in said.items())
    for path in filter(Path.is_file, world.root.rglob("*")):
        name = str(path.relative_to(world.root))
        yield f"name of {name}", name.encode()
        if not _HOLDS_ROWS.search(name) and not _BROUGHT.search(name):
            yield name, path.read_bytes()
    for log in logs:
        for path in filter(Path.is_file, (log).rglob("*")):
            yield str(path), path.read_bytes()
    client = boto3.client("s3")
    for bucket in BUCKETS:
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for entry in page.get("Contents", ()):
                name = entry["Key"]
                yield f"name of {bucket}/{name}", name.encode()
                if not _HOLDS_ROWS.search(name) and not _BROUGHT.search(name):
                    yield (
                        f"{bucket}/{name}",
                        client.get_object(Bucket=bucket, Key=name)["Body"].read(),
                    )


def _traces(name: str, content: bytes) -> Iterator[str]:
    match = SENTINEL.search(content)
    if match:
        around = content[max(match.start() - _AROUND, 0) : match.end() + _AROUND]
        yield f"{name}: ...{around.decode(errors='replace')}..."
