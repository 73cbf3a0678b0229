from typing import Any

import pytest

from medembed.errors import ConfigError
from medembed.tuning.capacity import count_room
from tests.tuning.configs import make_config

TWO_GPU_NODES = [{"CPU": 16.0, "GPU": 2.0}, {"CPU": 16.0, "GPU": 2.0}]


@pytest.mark.parametrize(
    ("training", "changes", "expected"),
    [
        ({"use_gpu": True}, {}, 4),
        ({"use_gpu": True, "workers": 2}, {}, 2),
        ({"use_gpu": True, "workers": 4}, {}, 1),  # across both nodes
        ({"use_gpu": True}, {"trials_per_gpu": 3}, 12),
        ({"use_gpu": True, "cpus_per_worker": 12}, {}, 2),  # CPUs are what is short
        ({"cpus_per_worker": 4}, {}, 8),
        ({"cpus_per_worker": 4}, {"concurrent": 3}, 3),
    ],
)
def test_trials_are_packed_by_what_is_short(
    training: dict[str, Any], changes: dict[str, Any], expected: int
):
    assert count_room(make_config(training, **changes), TWO_GPU_NODES) == expected


def test_cpus_that_are_spare_are_not_counted():
    assert count_room(make_config({"cpus_per_worker": 2}), [{"CPU": 4.0}], spare_cpus=2) == 1


def test_a_trial_that_fits_nowhere_is_refused_with_the_numbers():
    with pytest.raises(
        ConfigError,
        match=r"a trial needs 5 workers of CPU 2, GPU 1 each, .* have: CPU 16, GPU 2; CPU",
    ):
        count_room(make_config({"use_gpu": True, "workers": 5, "batch_size": 32}), TWO_GPU_NODES)
    with pytest.raises(
        ConfigError, match="1 workers of CPU 3 each, but the cluster's nodes have: CPU 2;"
    ):
        count_room(make_config({"cpus_per_worker": 3}), [{"CPU": 2.0}])
    with pytest.raises(ConfigError, match="only trials of one worker can share a GPU"):
        count_room(make_config({"use_gpu": True, "workers": 2}, trials_per_gpu=2), TWO_GPU_NODES)
