import os
import signal
from pathlib import Path
from typing import Any

import pytest

from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.errors import ConfigError
from medembed.preflight import train_probe
from medembed.preflight.encode_probe import count_tokens
from medembed.preflight.resources import Resources, check_fit
from medembed.training.config import TrainingConfig


def test_tokens_are_counted_past_the_maximum_length_and_extrapolated_past_what_is_read(
    prompted_folder: Path,
):
    encoder = Encoder.load(str(prompted_folder), EncodingConfig())
    short, long = "heart " * 100, "heart " * 60_000
    assert encoder.tokenize([short]).lengths == [encoder.max_length]
    assert encoder.max_length < 100
    counts = count_tokens(encoder, ["heart", short, long, ""], "document")
    prompt = counts[3]  # "passage: " between [CLS] and [SEP]
    assert prompt > 2
    assert counts[:2] == [prompt + 1, prompt + 100]
    assert counts[2] == pytest.approx(60_000, rel=0.01)


def test_workers_fit_as_often_as_all_that_they_ask_for_is_there():
    resources = Resources(cpus=16, gpus=1, memory_bytes=0)
    assert [resources.fit(4, *asked) for asked in ((1, 0), (6, 0), (1, 0.5), (1, 2))] == [
        4,
        2,
        2,
        0,
    ]
    assert check_fit("encoding", resources, 4, 6, 0) == 2
    with pytest.raises(
        ConfigError, match="encoding: one worker asks for 1 CPUs and 2 GPUs, but Ray has 16 and 1"
    ):
        check_fit("encoding", resources, 4, 1, 2)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local")
def test_a_step_that_the_system_kills_for_its_memory_is_an_answer_and_no_error(
    monkeypatch: pytest.MonkeyPatch,
):
    def killed(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(train_probe, "time_steps", killed)
    cost = train_probe.probe_training([{}], "model", 1, TrainingConfig(cpus_per_worker=1))
    assert cost.seconds_per_step is None
