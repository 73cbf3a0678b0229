"""Worlds of registered models."""

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
    """Two models, the second retrained from the first on a grown data set; the second is champion.
    To be read only.
    """
    root = tmp_path_factory.mktemp("two")
    shutil.copytree(empty_registry, root / "ws")
    registry = open_registry(RegistryConfig(workspace=str(root / "ws")), on_cluster=False)
    world = World(str(root / "world"), registry, encoder_folder)
    make_champion(registry, world.add(1), None)
    make_champion(registry, world.add(2, previous=True), "1")
    return world


@pytest.fixture
def new_registry(empty_registry: Path, tmp_path: Path) -> NewRegistry:
    """new_registry(name) -> an empty registry in a workspace of this name."""

    def make(name: str) -> Registry:
        shutil.copytree(empty_registry, tmp_path / name)
        return open_registry(RegistryConfig(workspace=str(tmp_path / name)), on_cluster=False)

    return make


@pytest.fixture
def world(new_registry: NewRegistry, encoder_folder: Path, tmp_path: Path) -> World:
    """A world without models, in a folder."""
    return World(str(tmp_path / "world"), new_registry("ws"), encoder_folder)


@pytest.fixture
def erasable(world: World) -> World:
    """Two models; d2 is the only positive of q2 and judged for q3, q0 asks for d0 and d6, d1 has
    two chunks.
    """
    world.add(1)
    world.add(2, previous=True)
    return world
