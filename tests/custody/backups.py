"""Make and restore backups of a small world, and compare what two registries have."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import jobs.backup
import jobs.erase
import jobs.restore
from medembed import storage
from medembed.config import load_config
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.encoding.table import find_table
from medembed.registry.catalog import all_versions
from medembed.registry.models import Registry, Version
from medembed.registry.runs import list_artifacts, read_artifact, read_run
from tests.custody.world import World


@contextmanager
def dying(patch: pytest.MonkeyPatch, owner: Any, name: str, step: int = 1) -> Iterator[None]:
    """Let the block die at the given call of a function."""
    calls: list[int] = []
    original = getattr(owner, name)

    def die(*arguments: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == step:
            raise KeyboardInterrupt
        return original(*arguments, **named)

    with patch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(owner, name, die)
        yield


def backup(world: World, to: str, *more: str) -> dict[str, Any]:
    workspace = f"registry.workspace={world.registry.config.workspace}"
    return jobs.backup.run(load_config(jobs.backup.BackupJob, [f"to={to}", workspace, *more]))


def restore(source: str, output: str, registry: Registry) -> dict[str, Any]:
    places = [
        f"backup={source}",
        f"output={output}",
        f"registry.workspace={registry.config.workspace}",
    ]
    return jobs.restore.run(load_config(jobs.restore.RestoreJob, places))


def content(uri: str) -> dict[str, bytes]:
    return {name: storage.read_bytes(storage.join(uri, name)) for name in storage.list_files(uri)}


def vectors(version: Version) -> dict[str, Any]:
    table = find_table(version.tags["table_uri"], int(version.tags["table_version"]))
    assert table is not None
    return {name: row.tolist() for name, row in table.find([f"d{n}" for n in range(8)]).items()}


def encoded(version: Version) -> Any:
    return Encoder.load(version.source, EncodingConfig()).encode(["my heart pain"])


def check_equal(before: Registry, after: Registry, numbers: list[str]) -> None:
    """Check that both have the same versions, bytes, vectors and runs, at other places."""
    assert [version.version for version in all_versions(after, "medembed")] == numbers
    assert after.aliases("medembed") == before.aliases("medembed")
    for number in numbers:
        old, new = (registry.resolve(f"models:/medembed/{number}") for registry in (before, after))
        assert old.source != new.source
        for uri in ("dataset_uri", "examples_uri"):
            assert content(old.tags[uri]) == content(new.tags[uri])
        assert content(old.source) == content(new.source)
        assert vectors(old) == vectors(new)
        assert len(vectors(new)) == 7, "d1 has chunks"
        moved = {"dataset_uri", "examples_uri", "table_uri", "output"}
        assert {k: v for k, v in old.tags.items() if k not in moved} == {
            k: v for k, v in new.tags.items() if k not in moved
        }
        runs = [read_run(before, old.run_id), read_run(after, new.run_id)]
        for name in ("params", "metrics", "name", "status", "start", "end"):
            assert runs[0][name] == runs[1][name]
        artifacts = artifacts_of(before, old.run_id)
        assert artifacts == artifacts_of(after, new.run_id) != {}


def artifacts_of(registry: Registry, run_id: str) -> dict[str, bytes]:
    paths = list_artifacts(registry, run_id)
    return {path: read_artifact(registry, run_id, path) for path in paths}
