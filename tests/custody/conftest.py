"""Build worlds of registered models."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from medembed.registry.champion import make_champion
from medembed.registry.config import RegistryConfig
from medembed.registry.models import Registry, open_registry
from tests.custody.world import World

NewRegistry = Callable[[str], Registry]


@pytest.fixture(scope="module")
def two(
    empty_registry: Path, encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> World:
    """Return two models, the second retrained on a grown data set and champion; to be read only."""
    root = tmp_path_factory.mktemp("two")
    shutil.copytree(empty_registry, root / "ws")
    registry = open_registry(RegistryConfig(workspace=str(root / "ws")), on_cluster=False)
    world = World(str(root / "world"), registry, encoder_folder)
    make_champion(registry, world.add(1), None)
    make_champion(registry, world.add(2, previous=True), "1")
    return world


@pytest.fixture
def new_registry(empty_registry: Path, tmp_path: Path) -> NewRegistry:
    """Return a function that makes an empty registry in a workspace of the given name."""

    def make(name: str) -> Registry:
        shutil.copytree(empty_registry, tmp_path / name)
        return open_registry(RegistryConfig(workspace=str(tmp_path / name)), on_cluster=False)

    return make


@pytest.fixture
def world(new_registry: NewRegistry, encoder_folder: Path, tmp_path: Path) -> World:
    """Return a world without models, in a folder."""
    return World(str(tmp_path / "world"), new_registry("ws"), encoder_folder)


@pytest.fixture
def erasable(world: World) -> World:
    """Return two models; d2 alone answers q2, q3 judges it, q0 has d0 and d6, d1 two chunks."""
    world.add(1)
    world.add(2, previous=True)
    return world
