"""Record, merge and read the best lists of a search in stripes of corpus, blocks of queries."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from medembed.records import Arrays, Records, pack
from medembed.search.plan import SearchPlan
from medembed.search.ranking import Ranking, merge

_BEST = "best"
_PAIR = "pair"


@dataclass(frozen=True)
class Asked:
    """What is searched: the `k` best rows or documents at each dimension, 0 for pairs alone."""

    k: int
    dimensions: tuple[int, ...]
    by_document: bool


@dataclass(frozen=True)
class Answer:
    """What the queries from `start` to `stop` found at each dimension: best lists and pairs.

    The pairs are a ranking [P, 1], whose score is the pair's; its place is empty if the corpus
    lacks the document.
    """

    start: int
    stop: int
    rankings: Mapping[int, Ranking]
    pairs: Mapping[int, Ranking]


@dataclass(frozen=True)
class Lists:
    """Best lists of the search `name`: of a block of queries in the stripes [first, last).

    Without `records` nothing is kept of them.
    """

    records: Records | None
    name: str
    plan: SearchPlan
    asked: Asked

    def has(self, block: int, first: int, last: int, names: set[str] | None = None) -> bool:
        """Return whether they are recorded; `names` are those of all records, if known."""
        if self.records is None:
            return False
        name = self._name(block, first, last)
        return self.records.has(name) if names is None else name in names

    def keep(self, block: int, first: int, last: int, answer: Answer) -> bytes:
        """Record the lists. Return them packed where nothing is recorded."""
        arrays = _to_arrays(answer)
        if self.records is None:
            return pack(arrays)
        self.records.write(self._name(block, first, last), arrays)
        return b""

    def read(self, block: int, first: int, last: int) -> Answer:
        """Return those of the stripes together, merged here as far as nobody has done so."""
        assert self.records is not None
        if last - first > 1 and not self.has(block, first, last):
            middle = (first + last) // 2
            return self.merge(self.read(block, first, middle), self.read(block, middle, last))
        return self.unpacked(block, self.records.read(self._name(block, first, last)))

    def unpacked(self, block: int, arrays: Arrays) -> Answer:
        """Return the lists of a block that `keep` has made these arrays of."""
        start, stop = self.plan.blocks[block]
        return Answer(start, stop, _rankings(arrays, _BEST), _rankings(arrays, _PAIR))

    def merge(self, first: Answer, second: Answer) -> Answer:
        """Return what the same queries found in two parts of the corpus together."""
        rankings = {}
        for dimension, ranking in first.rankings.items():
            best = second.rankings[dimension]
            rankings[dimension] = merge(
                ranking, best, self.asked.k, by_document=self.asked.by_document
            )
        pairs = {}
        for dimension, ranking in first.pairs.items():
            pairs[dimension] = merge(ranking, second.pairs[dimension], 1, by_document=False)
        return Answer(first.start, first.stop, rankings, pairs)

    def todo(self) -> list[dict[str, int]]:
        """Return {block, stripe} of what neither is recorded nor part of what is."""
        names = self.records.names() if self.records else set()
        stripes = len(self.plan.stripes)
        items = []
        for block in range(len(self.plan.blocks)):
            for stripe in range(stripes):
                nodes = [(stripe, stripe + 1), *parents(stripe, stripes)]
                if not any(self.has(block, *node, names) for node in nodes):
                    items.append({"block": block, "stripe": stripe})
        return items

    def _name(self, block: int, first: int, last: int) -> str:
        return f"{self.name}-{block:06d}-{first:06d}-{last:06d}"


def parents(stripe: int, stripes: int) -> list[tuple[int, int]]:
    """Return the nodes [first, last) above a stripe, up to the root; children are halves."""
    first = 0
    last = stripes
    above = []
    while last - first > 1:
        above.append((first, last))
        middle = (first + last) // 2
        first, last = (first, middle) if stripe < middle else (middle, last)
    return above[::-1]


def _to_arrays(answer: Answer) -> dict[str, Any]:
    """Return the arrays of all rankings, named by kind, dimension and field."""
    arrays = {}
    for kind, rankings in ((_BEST, answer.rankings), (_PAIR, answer.pairs)):
        for dimension, ranking in rankings.items():
            for field, array in ranking.to_arrays().items():
                arrays[f"{kind} {dimension} {field}"] = array
    return arrays


def _rankings(arrays: Arrays, wanted: str) -> dict[int, Ranking]:
    """Return the rankings of a kind by dimension."""
    fields: dict[int, dict[str, Any]] = {}
    for name, array in arrays.items():
        kind, dimension, field = name.split()
        if kind == wanted:
            fields.setdefault(int(dimension), {})[field] = array
    return {dimension: Ranking(**values) for dimension, values in fields.items()}
