"""Say which documents and queries are to be erased, and which queries are lost with them. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from medembed.data.dataset import Dataset
from medembed.privacy import show_id
from medembed.schema import content_hash, document_of


@dataclass(frozen=True)
class ErasureRequest:
    """Ids to erase. `lost` {fingerprint of a data set: hashes of its queries that are left without
    a positive, now or since an earlier erasure}. `met` collects the ids that stand anywhere.
    """

    documents: frozenset[str]
    queries: frozenset[str] = frozenset()
    lost: Mapping[str, frozenset[str]] = field(default_factory=dict)
    met: set[str] = field(default_factory=set)

    def has_row(self, row_id: str | None) -> bool:
        """Return whether a document, or the chunk of one, is among them."""
        if row_id is None:
            return False
        for name in (row_id, document_of(row_id)):
            if name in self.documents:
                self.met.add(name)
                return True
        return False

    def has_query(self, query_id: str, dataset: str | None) -> bool:
        """Return whether a query is among them, or lost to its data set; to any for None."""
        if query_id in self.queries:
            self.met.add(query_id)
            return True
        datasets: Iterable[str] = self.lost
        if dataset is not None and dataset in self.lost:
            datasets = (dataset,)
        return any(
            bool(self.lost[name]) and hash_query(name, query_id) in self.lost[name]
            for name in datasets
        )

    def has_any(
        self, documents: Iterable[str], queries: Iterable[str], dataset: str | None
    ) -> bool:
        """Return whether any of these is among them."""
        # no `any`: all are noted as met
        erased = [name for name in documents if self.has_row(name)]
        erased += [name for name in queries if self.has_query(name, dataset)]
        return bool(erased)


def find_lost(dataset: Dataset, request: ErasureRequest) -> frozenset[str]:
    """Return hashes of the queries that a data set has lost: those that its manifest remembers, and
    those all of whose positives, or all of whose judgments, are to be erased.
    """
    left: dict[str, list[float]] = {}
    touched: dict[str, bool] = {}
    for judged in (dataset.qrels(), dataset.held_out()):
        for query_id, scores in judged.items():
            for document_id, score in scores.items():
                if request.has_row(document_id):
                    touched[query_id] = touched.get(query_id, False) or score > 0
                else:
                    left.setdefault(query_id, []).append(score)
    lost = set(dataset.manifest.erased_queries)
    for query_id, lost_positive in touched.items():
        if not left.get(query_id) or (lost_positive and max(left[query_id]) <= 0):
            lost.add(hash_query(dataset.fingerprint, query_id))
    return frozenset(lost)


def hash_query(dataset: str, query_id: str) -> str:
    """Return the hash by which a data set remembers a query that it has lost, so that what is found
    only later loses it too.

    The hash is one way, but whoever guesses the id can confirm it. A page may name the id, or a
    hash of it: both give the same.
    """
    return content_hash(f"{dataset}\n{show_id(query_id)}")[:16]
