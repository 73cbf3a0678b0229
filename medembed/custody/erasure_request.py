"""Which documents and queries are to be erased, and what is erased with them. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from medembed.data.dataset import Dataset
from medembed.schema import content_hash, document_of


@dataclass(frozen=True)
class Wanted:
    """Ids to erase; `lost` {fingerprint of a data set: its queries that are left without a
    positive}.

    `met` collects those that were found anywhere.
    """

    documents: frozenset[str]
    queries: frozenset[str] = frozenset()
    lost: Mapping[str, frozenset[str]] = field(default_factory=dict)
    met: set[str] = field(default_factory=set)

    def has_row(self, row_id: str | None) -> bool:
        """Whether a document, or the chunk of one, is among them."""
        if row_id is None:
            return False
        for name in (row_id, document_of(row_id)):
            if name in self.documents:
                self.met.add(name)
                return True
        return False

    def has_query(self, query_id: str, dataset: str | None) -> bool:
        """Whether a query of a data set is among them, or lost; of one that is not known, whether
        any has lost it.
        """
        if query_id in self.queries:
            self.met.add(query_id)
            return True
        return query_id in self.queries_of(dataset)

    def has_any(
        self, documents: Iterable[str], queries: Iterable[str], dataset: str | None
    ) -> bool:
        """Whether any of these is among them."""
        # no `any`: all are noted as met
        erased = [name for name in documents if self.has_row(name)]
        erased += [name for name in queries if self.has_query(name, dataset)]
        return bool(erased)

    def queries_of(self, dataset: str | None) -> frozenset[str]:
        """Queries to erase from what was made of a data set; of one that is not known, those of
        all.
        """
        if dataset is not None and dataset in self.lost:
            return self.queries | self.lost[dataset]
        return self.queries.union(*self.lost.values())

    def group(self, name: str | None) -> str | None:
        """The name of a group of queries, which is the id of one of its documents; another if that
        is erased.
        """
        return (
            f"erased-{content_hash(name)[:12]}" if name is not None and self.has_row(name) else name
        )

    def without_queries(self, table: pa.Table, dataset: str) -> pa.Table:
        """The rows of other queries."""
        return table.filter(
            pa.array(
                [not self.has_query(one, dataset) for one in table["query_id"].to_pylist()],
                pa.bool_(),
            )
        )

    def without_rows(self, table: pa.Table) -> pa.Table:
        """The rows of other documents."""
        return table.filter(
            pa.array(
                [not self.has_row(one) for one in table["document_id"].to_pylist()], pa.bool_()
            )
        )


def find_lost(dataset: Dataset, wanted: Wanted) -> frozenset[str]:
    """Queries of a data set all of whose positives are erased, or all of whose judgments."""
    left: dict[str, list[float]] = {}
    touched: dict[str, bool] = {}
    for judged in (dataset.qrels(), dataset.held_out()):
        for query_id, scores in judged.items():
            for document_id, score in scores.items():
                if wanted.has_row(document_id):
                    touched[query_id] = touched.get(query_id, False) or score > 0
                else:
                    left.setdefault(query_id, []).append(score)
    return frozenset(
        query_id
        for query_id, lost_positive in touched.items()
        if not left.get(query_id) or (lost_positive and max(left[query_id]) <= 0)
    )
