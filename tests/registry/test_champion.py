import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from medembed.errors import ServiceError
from medembed.registry.champion import (
    check_candidate,
    crown,
    find_previous,
    name_loss,
    read_champion,
)
from medembed.registry.config import RegistryConfig
from medembed.registry.models import Registry, Version, open_registry
from medembed.tags import Lineage


@pytest.fixture(scope="module")
def registry(empty_registry: Path, tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Three versions, none of them champion."""
    workspace = shutil.copytree(empty_registry, tmp_path_factory.mktemp("champion") / "ws")
    made = open_registry(RegistryConfig(workspace=str(workspace)), on_cluster=False)
    for number in range(3):
        made.register(
            f"/models/{number + 1}",
            params={},
            metrics={"dev_score": number / 10},
            lineage=Lineage(),
            artifacts={},
        )
    return made


def version(registry: Registry, number: int) -> Version:
    return registry.resolve(f"models:/medembed/{number}")


def test_the_former_champion_is_kept_and_going_back_twice_changes_nothing(registry: Registry):
    assert read_champion(registry, "medembed") is None
    with pytest.raises(ServiceError, match="no version to roll back to"):
        find_previous(registry, "medembed")
    seen = None
    for number in (1, 2, 2, 3):  # once more is no change
        crown(registry, version(registry, number), seen)
        seen = str(number)
    assert registry.aliases("medembed") == {"champion": "3", "previous": "2"}
    assert all(version(registry, number).lineage.promoted for number in (1, 2, 3))
    for expected in ({"champion": "2", "previous": "3"}, {"champion": "3", "previous": "2"}):
        crown(registry, find_previous(registry, "medembed"), read_champion(registry, "medembed"))
        assert registry.aliases("medembed") == expected


def test_a_champion_that_somebody_moved_meanwhile_is_left_alone(registry: Registry):
    before = registry.aliases("medembed")
    with pytest.raises(ServiceError, match="somebody else moved it"):
        crown(registry, version(registry, 1), "7")
    assert registry.aliases("medembed") == before


def test_a_candidate_that_was_refused_or_compared_with_another_champion_is_not_promoted_unasked(
    registry: Registry,
):
    def candidate(**said: str | None) -> Version:
        return Version("medembed", "9", "/models/9", "", Lineage(**said).to_tags())

    check_candidate(registry, candidate(decision="better"))  # nobody compared it
    check_candidate(registry, candidate(decision="better", compared_with="3"))
    check_candidate(
        registry, candidate(decision="better", compared_with="1", promoted="2026-01-01T00:00:00Z")
    )
    # @previous
    check_candidate(registry, replace(candidate(decision="worse", compared_with="1"), version="2"))
    check_candidate(registry, candidate(lost_elsewhere=name_loss("")))
    check_candidate(registry, candidate(lost_elsewhere=name_loss(None)))
    check_candidate(
        registry, candidate(lost_elsewhere=name_loss("It lost."), promoted="2026-01-01T00:00:00Z")
    )
    with pytest.raises(
        ServiceError, match=r"^models:/medembed/9: It lost. To promote it still: force=true"
    ):
        check_candidate(registry, candidate(lost_elsewhere=name_loss("It lost.")))
    with pytest.raises(
        ServiceError, match=r"was compared with version 1, but the champion is 3 now"
    ):
        check_candidate(registry, candidate(decision="better", compared_with="1"))
    with pytest.raises(ServiceError, match=r"its retraining said 'worse'"):
        check_candidate(registry, candidate(decision="worse", compared_with="3"))


def test_versions_are_listed_newest_first_with_their_metrics(registry: Registry):
    listed = registry.versions("medembed", 2)
    assert [(one.version.version, one.metrics["dev_score"]) for one in listed] == [
        ("3", 0.2),
        ("2", 0.1),
    ]
    assert registry.versions("other", 2) == []
