"""Our Matryoshka loss against stock MatryoshkaLoss over MultipleNegativesRankingLoss, forward and backward."""

from collections.abc import Callable

import torch
from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss, MultipleNegativesRankingLoss

from benchmarks.paired import compare
from medembed.training.losses import matryoshka_info_nce

WIDTH = 1024
DIMENSIONS = [1024, 768, 512, 256, 128, 64]


class Fixed(torch.nn.Module):
    """Stands in for a model: hands out embeddings that are there already, so that the loss alone is timed."""

    def get_embedding_dimension(self) -> int:
        return WIDTH

    def forward(self, features: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return features


def ours(queries: torch.Tensor, documents: torch.Tensor) -> Callable[[], object]:
    targets = torch.arange(len(queries))
    masked = torch.zeros(len(queries), len(documents), dtype=torch.bool)

    def step() -> None:
        loss = matryoshka_info_nce(
            queries, documents, targets, masked, dimensions=DIMENSIONS, weights=[1.0] * 6, temperature=0.05
        )
        loss.backward()

    return step


def theirs(queries: torch.Tensor, documents: torch.Tensor) -> Callable[[], object]:
    model = Fixed()
    loss = MatryoshkaLoss(model, MultipleNegativesRankingLoss(model), DIMENSIONS)

    def step() -> None:
        loss([{"sentence_embedding": queries}, {"sentence_embedding": documents}], torch.zeros(len(queries))).backward()

    return step


def main() -> None:
    for batch in (256, 1024):
        inputs = [torch.randn(batch, WIDTH, requires_grad=True) for _ in range(2)]
        compare(f"loss at batch {batch}, 6 dimensions, width {WIDTH}", ours(*inputs), theirs(*inputs))


if __name__ == "__main__":
    main()
