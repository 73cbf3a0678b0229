"""`medembed prune` removes what nobody needs, and keeps what a kept version names."""

from typing import Any

import pytest

import jobs.prune
import medembed.custody.prune
from medembed import storage
from medembed.config import load_config
from medembed.errors import ServiceError
from medembed.lineage import Source
from medembed.registry.catalog import all_versions, set_tags
from medembed.registry.models import Registry
from medembed.tags import Lineage
from tests.custody.backups import dying
from tests.custody.world import World


def prune(world: World, *more: str, dry_run: bool = False) -> dict[str, Any]:
    arguments = [
        f"registry.workspace={world.registry.config.workspace}",
        f"dry_run={dry_run}",
        *more,
    ]
    return jobs.prune.run(load_config(jobs.prune.PruneJob, arguments))


def numbers(world: World) -> list[str]:
    return [version.version for version in all_versions(world.registry, "medembed")]


def there(world: World, kind: str) -> set[str]:
    """Return the numbers of what lies in a folder of the world."""
    names = storage.list_files(world.place(kind))
    return {name.partition("/")[0].removesuffix(".lance") for name in names}


@pytest.fixture
def five(world: World) -> World:
    """Return five models, each trained from the one before; the third is champion."""
    for number in range(1, 6):
        world.add(number)
    world.registry.set_alias(world.versions[2])
    return world


def test_what_goes_is_named_with_sizes_and_only_goes_when_told(five: World):
    before = {
        kind: there(five, kind) for kind in ("models", "tables", "evaluations", "data", "examples")
    }
    done = prune(five, "keep=1", dry_run=True)
    assert done["versions"] == ["models:/medembed/1"], (
        "2 is the champion's parent, 4 the newest one's"
    )
    assert done["lines"][0].startswith("models:/medembed/1, 0.")
    for kind, name in (("models", "1"), ("evaluations", "1"), ("tables", "1.lance")):
        assert any(line.startswith(f"  {five.place(kind, name)}, ") for line in done["lines"])
    assert done["lines"][-1] == "nothing has changed; dry_run=false removes them for good"
    assert {kind: there(five, kind) for kind in before} == before
    assert numbers(five) == ["5", "4", "3", "2", "1"]

    assert prune(five, "keep=1")["versions"] == ["models:/medembed/1"]
    assert numbers(five) == ["5", "4", "3", "2"]
    for kind, names in before.items():
        left = {"2", "3", "4", "5"} if kind in ("models", "tables", "evaluations") else names
        assert there(five, kind) == left, kind
    assert prune(five, "keep=1")["versions"] == []


def test_what_a_kept_version_names_stays_whosoever_it_was(world: World):
    for number in (1, 2, 3):
        world.add(number)
    first, _, last = world.versions
    set_tags(
        world.registry, last, Lineage(table=first.lineage.table, examples=first.lineage.examples)
    )
    world.registry.client.create_model_version("medembed", source=first.source, run_id=None)
    done = prune(world, "keep=2")
    assert done["versions"] == ["models:/medembed/1"]
    assert "1" in there(world, "models"), "version 4 has the same checkpoint"
    assert "1" in there(world, "tables")
    assert "1" in there(world, "evaluations"), "version 4 is the same encoder"


@pytest.mark.parametrize("step", [4, 20])
def test_after_a_death_the_same_command_finishes(
    step: int, world: World, monkeypatch: pytest.MonkeyPatch
):
    for number in (1, 2, 3):
        world.add(number)
    with dying(monkeypatch, storage, "delete_file", step):
        prune(world, "keep=1")
    assert numbers(world) == ["3", "2", "1"], (
        "the entry goes last, so that what is left is found again"
    )
    assert prune(world, "keep=1")["versions"] == ["models:/medembed/1"]
    assert numbers(world) == ["3", "2"]
    for kind in ("models", "tables", "evaluations"):
        assert there(world, kind) == {"2", "3"}


def test_a_version_that_is_given_an_alias_meanwhile_stays_with_all_that_it_names(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    for number in range(1, 5):
        world.add(number)
    first, second, *_ = world.versions
    set_tags(world.registry, second, Lineage(table=first.lineage.table))
    original = medembed.custody.prune.find_leaving

    def promoted_meanwhile(*arguments: Any) -> Any:
        pruning = original(*arguments)
        world.registry.set_alias(second)
        return pruning

    monkeypatch.setattr(medembed.custody.prune, "find_leaving", promoted_meanwhile)
    done = prune(world, "keep=1")
    assert done["versions"] == ["models:/medembed/1"]
    assert "models:/medembed/2 has been given an alias meanwhile: it stays" in done["lines"]
    assert there(world, "models") == {"2", "3", "4"}
    assert "1" in there(world, "tables")


def test_what_versions_of_another_model_need_stays(world: World):
    for number in range(1, 5):
        world.add(number)
    first, second, *_ = world.versions
    other = Registry(
        world.registry.tracking_uri,
        world.registry.config.model_copy(update={"model_name": "other"}),
    )
    lineage = Lineage(
        parent=Source(str(first.lineage.encoder)), encoder="child", table=second.lineage.table
    )
    other.register(str(world.base), params={}, metrics={}, lineage=lineage, artifacts={})
    assert prune(world, "keep=1")["versions"] == ["models:/medembed/2"], (
        "1 is the parent of another model's"
    )
    assert there(world, "models") == {"1", "3", "4"}
    assert "2" in there(world, "tables"), "which another model's version names"


def test_versions_that_are_named_stay(five: World):
    assert prune(five, "keep=1", "keep_versions=[1]")["versions"] == []
    with pytest.raises(
        ServiceError, match=r"keep_versions: models:/medembed/9 is not in the registry"
    ):
        prune(five, "keep=1", "keep_versions=[9]")


def test_a_model_from_elsewhere_loses_its_entry_and_keeps_its_folder(world: World):
    world.add(1)
    world.registry.client.create_model_version("medembed", source=str(world.base), run_id=None)
    world.add(2)
    world.add(3)
    before = storage.list_files(str(world.base))
    done = prune(world, "keep=1", dry_run=False)
    assert "models:/medembed/2" in done["versions"]
    assert f"  its checkpoint {world.base} was not made here: it stays" in done["lines"]
    assert storage.list_files(str(world.base)) == before


def test_what_others_put_into_a_folder_that_goes_stays_there(world: World):
    for number in (1, 2, 3):
        world.add(number)
    notes = world.place("evaluations/1/notes.txt")
    storage.write_bytes(notes, b"mine")
    again = world.registry.register(
        world.place("models/gone"),
        params={},
        metrics={},
        lineage=world.versions[0].lineage,
        artifacts={},
    )
    world.add(4)
    assert f"models:/medembed/{again.version}" in prune(world, "keep=1")["versions"], (
        "of the same encoder"
    )
    assert storage.list_files(world.place("evaluations/1")) == ["notes.txt"]
