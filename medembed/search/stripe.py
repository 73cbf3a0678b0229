"""Search a stripe of the corpus for a block of queries, on a worker or in this process."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

from medembed.errors import DataError
from medembed.search.corpus import Pairs, SortedCorpus, score_pairs, search_corpus
from medembed.search.float64_scores import Vectors, unit_rows
from medembed.search.lists import Answer, Lists, parents
from medembed.search.multiply import Library, NumpyMatrix, TorchMatrix

Shard = TypeVar("Shard")
ReadShard = Callable[[Shard], tuple[list[str], Vectors]]


class Block(NamedTuple):
    """Consecutive queries float32 [n, D], the number of the first, and their pairs."""

    start: int
    queries: Vectors
    pairs: Pairs


class SearchStripe:
    """Finds the best lists of {block, stripe}, records them and merges what can be merged.

    Gives {block, stripe, lists}, the last packed if nothing is recorded.
    """

    def __init__(
        self, read: ReadShard[Any], lists: Lists, blocks: Callable[[int], Block], device: str | None
    ) -> None:
        self.read = read
        self.lists = lists
        self.blocks = blocks
        self.library: Library = (
            NumpyMatrix if device is None else partial(TorchMatrix, device=device)
        )
        self.shards: Sequence[Any] | None = None  # those of `corpus`, the part that was read last
        self.corpus: SortedCorpus | None = None

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        block = int(item["block"])
        stripe = int(item["stripe"])
        packed = b""
        if not self.lists.has(block, stripe, stripe + 1):
            packed = self.lists.keep(
                block, stripe, stripe + 1, self._find(self.blocks(block), stripe)
            )
        if self.lists.records is not None:
            self._climb(block, stripe)
        return {"block": block, "stripe": stripe, "lists": packed}

    def _find(self, block: Block, stripe: int) -> Answer:
        asked = self.lists.asked
        queries = {dimension: prepare(block, dimension) for dimension in asked.dimensions}
        best: Answer | None = None
        for shards in self.lists.plan.stripes[stripe]:
            corpus = self._read(shards)
            rankings = {}
            pairs = {}
            for dimension, rows in queries.items():
                pairs[dimension] = score_pairs(rows, corpus, block.pairs)
                if asked.k:
                    worst = None if best is None else best.rankings[dimension]
                    rankings[dimension] = search_corpus(
                        rows, corpus, asked.k, worst=worst, library=self.library
                    )
            answer = Answer(block.start, block.start + len(block.queries), rankings, pairs)
            best = answer if best is None else self.lists.merge(best, answer)
        assert best is not None, "a stripe has shards"
        return best

    def _climb(self, block: int, stripe: int) -> None:
        """Merge while the other half is there; of two workers at least one sees both."""
        for first, last in parents(stripe, len(self.lists.plan.stripes)):
            middle = (first + last) // 2
            if not (self.lists.has(block, first, middle) and self.lists.has(block, middle, last)):
                return
            if not self.lists.has(block, first, last):
                self.lists.keep(block, first, last, self.lists.read(block, first, last))

    def _read(self, shards: Sequence[Any]) -> SortedCorpus:
        """Return a part of the corpus; the last one read is kept for the next item."""
        if self.corpus is None or self.shards is not shards:
            self.corpus = None  # two at a time are too many
            asked = self.lists.asked
            parts = map(self.read, shards)
            self.corpus = SortedCorpus.of(parts, asked.dimensions, by_document=asked.by_document)
            self.shards = shards
        return self.corpus


def prepare(block: Block, dimensions: int) -> Vectors:
    """Return unit rows of a block's queries [n, D]. Raises DataError for one of no use."""
    rows, useless = unit_rows(block.queries, dimensions)
    if len(useless):
        raise DataError(
            "query {number}: its embedding is not finite or has no length, expected finite "
            "numbers; encode it again.",
            number=block.start + int(useless[0]),
        )
    return rows
