"""Say which documents and queries are to be erased. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from medembed.data.erase import hash_query
from medembed.schema import document_of


@dataclass(frozen=True)
class ErasureRequest:
    """Ids to erase. `lost` {fingerprint of a data set: hashes of its queries that are left without
    a positive, now or since an earlier erasure}. `met` collects the ids that stand anywhere.
    """

    documents: frozenset[str]
    queries: frozenset[str] = frozenset()
    lost: Mapping[str, frozenset[str]] = field(default_factory=dict)
    met: set[str] = field(default_factory=set)

    @property
    def ids(self) -> frozenset[str]:
        """All ids that were asked for."""
        return self.documents | self.queries

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
        for name in self.lost.keys() & {dataset} or self.lost.keys():
            if self.lost[name] and hash_query(name, query_id) in self.lost[name]:
                return True
        return False

    def has_any(
        self, documents: Iterable[str], queries: Iterable[str], dataset: str | None
    ) -> bool:
        """Return whether any of these is among them."""
        # all are asked, so that all are noted as met
        erased = list(map(self.has_row, documents))
        erased += [self.has_query(name, dataset) for name in queries]
        return any(erased)
