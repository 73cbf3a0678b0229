"""Draw documents and training pairs by a hash of ids, in one pass over the corpus."""

import heapq
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from medembed import storage
from medembed.data.dataset import Dataset
from medembed.mining.pairs import Pair
from medembed.progress import track
from medembed.schema import content_hash, document_of

Row = tuple[str, str]  # (row id, text)
CorpusRow = tuple[str, str, str | None]  # (row id, text, class)


@dataclass(frozen=True)
class CorpusSample:
    """What one pass over the corpus kept and counted.

    `forced` are the rows of documents that were asked for by id, `drawn` those of documents that a
    hash chose among all others, `extra` one row of each document that training pairs need.
    `documents` counts whole documents.
    """

    forced: tuple[Row, ...]
    drawn: tuple[Row, ...]
    extra: dict[str, Row]
    documents: int
    rows: int
    labelled: int

    @property
    def row_ids(self) -> list[str]:
        """The ids of the forced rows, then of the drawn ones."""
        return [row_id for row_id, _ in (*self.forced, *self.drawn)]

    @property
    def texts(self) -> list[str]:
        """The texts of the same rows."""
        return [text for _, text in (*self.forced, *self.drawn)]

    @property
    def drawn_documents(self) -> int:
        return len(set(map(document_of, self.row_ids[len(self.forced) :])))

    @property
    def unseen(self) -> int:
        """Documents that are in neither `forced` nor `drawn`."""
        return self.documents - len(set(map(document_of, self.row_ids)))


def read_corpus(
    dataset: Dataset, forced: Collection[str], extra: Collection[str], size: int
) -> CorpusSample:
    """Draw the sample in one pass, with the rows that are kept and one file in memory."""
    files = dataset.corpus_files()
    rows = track(_read_files(files), sum(count for _, count in files), "read corpus", "rows")
    return draw_corpus(rows, dataset.manifest.document_count, forced, extra, size)


def draw_corpus(
    rows: Iterable[CorpusRow],
    documents: int,
    forced: Collection[str],
    extra: Collection[str],
    size: int,
) -> CorpusSample:
    """Draw all rows of `forced` documents, and of others by their hash, `size` documents in all.

    At least half of `size` is drawn. `documents` is how many the rows belong to; in whatever order
    they come, the same documents are drawn.
    """
    room = max(size - len(forced), size // 2)
    kept: dict[str, list[Row]] = {}
    # of what is drawn, negated hashes: the next to go comes first
    largest: list[tuple[int, str]] = []
    asked: list[Row] = []
    needed: dict[str, Row] = {}
    count = labelled = 0
    for row_id, text, label in rows:
        name = document_of(row_id)
        row = (row_id, text)
        count += 1
        labelled += label is not None
        if name in extra:
            needed[name] = min(needed.get(name, row), row)
        if name in forced:
            asked.append(row)
        elif name in kept:
            kept[name].append(row)
        else:
            heapq.heappush(largest, (-int(content_hash(name), 16), name))
            kept[name] = [row]
            if len(largest) > room:
                kept.pop(heapq.heappop(largest)[1])
    drawn: list[Row] = []
    for _, name in sorted(largest, reverse=True):
        drawn += sorted(kept[name])
    return CorpusSample(tuple(sorted(asked)), tuple(drawn), needed, documents, count, labelled)


def make_examples(
    pairs: Sequence[Pair], corpus: CorpusSample, negatives: int
) -> list[dict[str, Any]]:
    """Return examples, as training reads them, of pairs whose positive is in `corpus.extra`.

    Negatives are drawn documents in turn: for time and memory it does not matter how hard they are.
    """
    others = corpus.drawn or corpus.forced
    examples: list[dict[str, Any]] = []
    for pair in pairs:
        if pair.positive_id not in corpus.extra:
            continue
        start = len(examples) * negatives
        negative_ids: list[str] = []
        negative_texts: list[str] = []
        for number in range(start, start + negatives if others else start):
            name, negative = others[number % len(others)]
            negative_ids.append(name)
            negative_texts.append(negative)
        row_id, text = corpus.extra[pair.positive_id]
        examples.append(
            {
                "query": pair.query,
                "positive_id": row_id,
                "positive": text,
                "negative_ids": negative_ids,
                "negatives": negative_texts,
            }
        )
    return examples


def _read_files(files: Sequence[tuple[str, int]]) -> Iterator[tuple[int, CorpusRow]]:
    for uri, _ in files:
        table = storage.read_parquet(uri).select(["document_id", "text", "label"])
        for row in zip(*table.to_pydict().values(), strict=True):
            yield 1, row
