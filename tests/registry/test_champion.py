import shutil
from pathlib import Path

import pytest

from medembed.errors import ServiceError
from medembed.registry.catalog import list_versions
from medembed.registry.champion import (
    check_candidate,
    find_previous,
    make_champion,
    name_loss,
    read_champion,
)
from medembed.registry.config import RegistryConfig
from medembed.registry.models import Registry, Version, open_registry
from medembed.tags import Lineage


@pytest.fixture(scope="module")
def registry(empty_registry: Path, tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Return a registry of three versions without a champion."""
    workspace = shutil.copytree(empty_registry, tmp_path_factory.mktemp("champion") / "ws")
    registry = open_registry(RegistryConfig(workspace=str(workspace)), on_cluster=False)
    for number in range(3):
        registry.register(
            f"/models/{number + 1}",
            params={},
            metrics={"dev_score": number / 10},
            lineage=Lineage(),
            artifacts={},
        )
    return registry


def version(registry: Registry, number: int) -> Version:
    return registry.resolve(f"models:/medembed/{number}")


def test_the_former_champion_is_kept_and_going_back_twice_changes_nothing(registry: Registry):
    assert read_champion(registry, "medembed") is None
    with pytest.raises(ServiceError, match="no version to roll back to"):
        find_previous(registry, "medembed")
    seen = None
    for number in (1, 2, 2, 3):  # once more is no change
        make_champion(registry, version(registry, number), seen)
        seen = str(number)
    assert registry.aliases("medembed") == {"champion": "3", "previous": "2"}
    assert all(version(registry, number).lineage.promoted for number in (1, 2, 3))
    for expected in ({"champion": "2", "previous": "3"}, {"champion": "3", "previous": "2"}):
        former = find_previous(registry, "medembed")
        make_champion(registry, former, read_champion(registry, "medembed"))
        assert registry.aliases("medembed") == expected


def test_a_champion_that_somebody_moved_meanwhile_is_left_alone(registry: Registry):
    before = registry.aliases("medembed")
    with pytest.raises(ServiceError, match="somebody else moved it"):
        make_champion(registry, version(registry, 1), "7")
    assert registry.aliases("medembed") == before


def candidate(number: str = "9", **lineage: str | None) -> Version:
    return Version("medembed", number, "/models/9", "", Lineage(**lineage).to_tags())


@pytest.mark.parametrize(
    "allowed",
    [
        candidate(decision="better"),  # nobody compared it
        candidate(decision="better", compared_with="3"),
        candidate(decision="better", compared_with="1", promoted="2026-01-01T00:00:00Z"),
        candidate("2", decision="worse", compared_with="1"),  # @previous
        candidate(lost_elsewhere=name_loss("")),
        candidate(lost_elsewhere=name_loss(None)),
        candidate(lost_elsewhere=name_loss("It lost."), promoted="2026-01-01T00:00:00Z"),
    ],
)
def test_a_candidate_may_replace_the_champion_that_it_was_compared_with(
    registry: Registry, allowed: Version
):
    assert check_candidate(registry, allowed) == "3"


@pytest.mark.parametrize(
    ("refused", "says"),
    [
        (
            candidate(lost_elsewhere=name_loss("It lost.")),
            "^models:/medembed/9: It lost. To promote it still: force=true",
        ),
        (
            candidate(decision="better", compared_with="1"),
            "was compared with version 1, but the champion is 3 now",
        ),
        (candidate(decision="worse", compared_with="3"), "its retraining said 'worse'"),
    ],
)
def test_a_candidate_that_was_refused_or_compared_with_another_champion_is_not_promoted_unasked(
    registry: Registry, refused: Version, says: str
):
    with pytest.raises(ServiceError, match=says):
        check_candidate(registry, refused)


def test_versions_are_listed_newest_first_with_their_metrics(registry: Registry):
    listed = list_versions(registry, "medembed", 2)
    assert [(entry.version.version, entry.metrics["dev_score"]) for entry in listed] == [
        ("3", 0.2),
        ("2", 0.1),
    ]
    assert list_versions(registry, "other", 2) == []
