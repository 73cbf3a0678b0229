"""Two gloo workers that encode a dev sample together, against one process."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from medembed.errors import ConfigError
from medembed.training.collective import (
    AllRefused,
    agreed,
    encode_in_shares,
    from_rank_zero,
    gather,
    name_from_rank_zero,
)
from tests.tiny import SIGNS, SUBJECTS

CPU = torch.device("cpu")
TEXTS = [f"{sign} of the {subject}" for subject in SUBJECTS for sign in SIGNS[: len(subject)]][:41]


def vectors(texts: list[str], role: str) -> np.ndarray:
    """float32 [len(texts), 3] that tell texts and roles apart."""
    return np.array([[len(text), ord(text[0]), len(role)] for text in texts], np.float32).reshape(
        -1, 3
    )


def work(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    mine: list[str] = []

    def encode(texts: list[str], role: str) -> np.ndarray:
        mine.extend(texts)
        return vectors(texts, role)

    np.savez(
        f"{folder}/{rank}.npz",
        embeddings=encode_in_shares(encode, TEXTS, "document", CPU),
        one=encode_in_shares(encode, TEXTS[:1], "document", CPU),
        joined=gather(torch.tensor([[rank, 7.0]])),
        decided=from_rank_zero([0.1 + rank, rank], CPU),
        named=name_from_rank_zero(lambda: f"s3://bucket/é-{rank}", CPU) or "",
        unnamed=name_from_rank_zero(lambda: "" if rank else None, CPU) is None,
        encoded=len(mine),
    )
    dist.destroy_process_group()


def test_texts_encoded_in_shares_are_those_of_one_process_on_every_rank(tmp_path: Path):
    mp.spawn(work, args=(str(tmp_path),), nprocs=2)
    ranks = [np.load(tmp_path / f"{rank}.npz") for rank in range(2)]
    for rank in ranks:
        assert rank["embeddings"].dtype == np.float32
        assert rank["embeddings"].tolist() == vectors(TEXTS, "document").tolist()
        assert rank["one"].tolist() == vectors(TEXTS[:1], "document").tolist()
        assert rank["joined"].tolist() == [[0.0, 7.0], [1.0, 7.0]]
        assert rank["decided"].tolist() == [0.1, 0.0]
        assert str(rank["named"]) == "s3://bucket/é-0"
        assert bool(rank["unnamed"])
    assert [int(rank["encoded"]) for rank in ranks] == [22, 20], "each encodes its share alone"


def test_without_a_process_group_one_process_does_it_all():
    embeddings = encode_in_shares(vectors, TEXTS, "query", CPU)
    assert embeddings.tolist() == vectors(TEXTS, "query").tolist()
    assert from_rank_zero([0.5], CPU) == [0.5]
    assert name_from_rank_zero(lambda: "s3://bucket/é", CPU) == "s3://bucket/é"
    assert name_from_rank_zero(lambda: None, CPU) is None


def test_what_no_worker_can_do_is_refused_with_its_reason_and_an_accident_is_not_caught():
    assert agreed(lambda: 3, CPU) == 3

    def misconfigured() -> None:
        raise ConfigError("loss.guide: its vectors have 8 dimensions, but 16 are trained.")

    with pytest.raises(AllRefused) as refused:
        agreed(misconfigured, CPU)
    assert isinstance(refused.value.error, ConfigError)
    with pytest.raises(ZeroDivisionError):
        agreed(lambda: 1 // 0, CPU)
