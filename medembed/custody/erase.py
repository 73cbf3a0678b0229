"""Documents and queries taken out of all that was made of them, and the models named that learned
from them.

Data sets and tables are written anew without them; what a job makes again from the same inputs goes
whole. What was made of a data set goes first and the data set last, as it alone says which queries
lose their last positive; so the same command finishes what an interrupted one began.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from medembed import storage
from medembed.custody.chain import name_of
from medembed.custody.descent import find_descent
from medembed.custody.erasure_request import Wanted, find_lost
from medembed.custody.inventory import (
    FILE,
    FRAGMENTS,
    LEAVING,
    PART,
    REPORT,
    TABLE,
    Place,
    plain,
    queries_named,
)
from medembed.custody.names import is_ours, names_in
from medembed.custody.pages import clean_page, texts_of, today
from medembed.custody.reach import Reach
from medembed.custody.remains import count_uncommitted, erase_fragments
from medembed.custody.remove import remove
from medembed.custody.reseal import Reseal
from medembed.custody.rewrite import erase_from_dataset, recall_lost
from medembed.data.dataset import Dataset
from medembed.encoding.erase import erase_rows, find_erasable
from medembed.encoding.table import Table
from medembed.errors import StorageError
from medembed.lineage import DatasetManifest, ExamplesManifest
from medembed.registry.catalog import set_run_tags, set_tags
from medembed.registry.models import Registry
from medembed.registry.runs import read_artifact
from medembed.tags import Lineage

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Erasure:
    """What there is to erase, or what was erased, by place.

    `deleted` are outputs that go whole; of `tables` only a new version is left. `models` were
    trained on erased rows, `descendants` from these. `nowhere` counts ids that were found in no
    place; `unsearched` are lines on what was not looked through.
    """

    counts: Mapping[str, Counter[str]]
    deleted: Sequence[str]
    models: Sequence[str]
    descendants: Sequence[str]
    tables: Sequence[str]
    nowhere: int
    places: int
    unsearched: Sequence[str]

    @property
    def rows(self) -> int:
        return sum(counts.total() for counts in self.counts.values())


class Eraser:
    """One erasure: where to look, what was found there. Nothing changes before `erase`."""

    def __init__(
        self, wanted: Wanted, registry: Registry, places: Sequence[str], backups: Sequence[str]
    ) -> None:
        """Raises StorageError for a place that is not there, or in which something cannot be
        read.
        """
        missing = [uri for uri in places if not storage.exists(uri)]
        if missing:
            raise StorageError(f"places: {missing[0]} is not there.")
        self.registry = registry
        self.reach = Reach(registry, places, backups)
        self.places = self.reach.places
        self.backups = [Reseal(uri) for uri in self.reach.backups]
        self.wanted = replace(wanted, lost=self._find_lost(wanted))
        self.counts = {
            place.uri: counts
            for place in self.places
            if (counts := self._erase(place, write=False))
        }
        self.pages = self._find_pages()

    def report(self) -> Erasure:
        """What there is to erase."""
        models, descendants = self._find_models()
        touched = [place for place in self.places if place.uri in self.counts]
        return Erasure(
            counts=self.counts
            | {f"MLflow run {run_id}": Counter(reports=1) for run_id, _ in self.pages},
            deleted=[place.uri for place in touched if place.is_made_again],
            models=models,
            descendants=descendants,
            tables=[place.uri for place in touched if place.kind == TABLE],
            nowhere=len((self.wanted.documents | self.wanted.queries) - self.wanted.met),
            places=len(self.places),
            unsearched=[*self.reach.unsearched()],
        )

    def erase(self) -> None:
        """Erases it. Raises StorageError; interrupted, the same call on what is left finishes."""
        self._tag()  # first: what is erased tells no more whose it was
        for backup in self.backups:
            told = {
                one.version: told for one in backup.versions if (told := self._tell(one.lineage))
            }
            backup.begin(self.counts, told)
        todo = [place for place in self.places if place.uri in self.counts]
        self._erase_all(
            [place for place in todo if not isinstance(place.manifest, DatasetManifest)]
        )
        for run_id, path in self.pages:
            page = clean_page(read_artifact(self.registry, run_id, path), self.wanted)
            if page is not None:
                self.registry.write_artifact(run_id, path, page)
        self._erase_all([place for place in todo if isinstance(place.manifest, DatasetManifest)])
        for backup in self.backups:
            backup.finish()

    def _find_models(self) -> tuple[list[str], list[str]]:
        """(versions that were trained on erased rows, now or before; others that were trained from
        one of these).
        """
        versions = {name_of(one): one for one in self.reach.versions}
        for backup in self.backups:
            versions |= {
                f"{name_of(one)} in {backup.uri}": one
                for one in backup.versions
                if name_of(one) not in versions
            }
        lineages = [*(one.lineage for one in versions.values()), *self.reach.made.values()]
        learned = [lineage for lineage in lineages if lineage.erased or self._rows_of(lineage)]
        descent = find_descent(
            [lineage.encoder for lineage in learned if lineage.encoder], lineages
        )
        named = [name for name, one in versions.items() if one.lineage in learned]
        return named, [
            name
            for name, one in versions.items()
            if name not in named and one.lineage.encoder in descent
        ]

    def _find_lost(self, wanted: Wanted) -> dict[str, frozenset[str]]:
        """{fingerprint of a data set: its queries that lose their last positive, now or before}."""
        datasets = [
            Dataset(one.uri, one.manifest)
            for one in self.places
            if isinstance(one.manifest, DatasetManifest)
        ]
        named: Iterable[str] = ()
        if any(dataset.manifest.erased_queries for dataset in datasets):
            pages = (texts_of(read_artifact(self.registry, *page)) for page in self.reach.pages)
            named = chain.from_iterable([*map(queries_named, self.places), *pages])
        lost = recall_lost([dataset.manifest for dataset in datasets], named)
        for dataset in datasets:
            lost[dataset.fingerprint] |= find_lost(dataset, wanted)
        return lost

    def _tag(self) -> None:
        """Has versions and runs say how many rows that they were trained on are erased, and when,
        once a day.
        """
        for version in self.reach.versions:
            if told := self._tell(version.lineage):
                set_tags(self.registry, version, told)
        runs = {one.run_id for one in self.reach.versions}
        for run_id, lineage in self.reach.made.items():
            if run_id not in runs and (told := self._tell(lineage)):
                set_run_tags(self.registry, run_id, told)

    def _tell(self, lineage: Lineage) -> Lineage | None:
        """What a version is to say of its erased rows, if that has changed."""
        rows, before = self._rows_of(lineage), lineage.erased or ""
        if not rows or before.endswith(today()):
            return None
        return Lineage(erased=f"{before}; {rows:,} rows on {today()}".removeprefix("; "))

    def _erase_all(self, places: Iterable[Place]) -> None:
        for place in places:
            self._erase(place, write=True)
            logger.info(
                "erased from %s %s: %s", place.kind, place.uri, describe(self.counts[place.uri])
            )

    def _erase(self, place: Place, *, write: bool) -> Counter[str]:
        """Counts what there is to erase in a place; `write` erases it."""
        if isinstance(place.manifest, DatasetManifest):
            return erase_from_dataset(Dataset(place.uri, place.manifest), self.wanted, write=write)
        if place.kind == TABLE:
            return self._erase_from_table(place.uri, write=write)
        if place.kind == FRAGMENTS:
            return erase_fragments(place.uri, self.wanted.has_row, write=write)
        if place.kind == REPORT:
            return self._erase_page(place.uri, write=write)
        if place.kind == LEAVING:
            if write:
                remove(place.uri)
            return Counter({"removals that broke off": 1})
        counts = Counter(rows=sum(self._count_rows(uri, place) for uri in place.files))
        if write and place.kind == FILE:
            storage.delete_file(place.uri)
        elif write and +counts:
            remove(place.uri)
        return +counts

    def _count_rows(self, uri: str, place: Place) -> int:
        """Rows of a file that name what is erased; a torn file, which may hold anything, counts as
        one.
        """
        if PART.search(uri):
            return int(storage.exists(uri))
        if not storage.exists(uri) or (
            place.kind == FILE and not uri.endswith(".json") and not is_ours(uri)
        ):
            return 0
        return sum(self.wanted.has_any(*names, place.dataset) for names in names_in(uri))

    def _erase_from_table(self, uri: str, *, write: bool) -> Counter[str]:
        erasable = find_erasable(uri, self.wanted.has_row)
        counts = count_uncommitted(uri, self.wanted.has_row)
        counts.update(
            {"rows": len(erasable.rows), "old versions half removed": int(erasable.is_torn)}
        )
        if write:
            erase_rows(uri, erasable.rows, self._move_tags)
        return +counts

    def _erase_page(self, uri: str, *, write: bool) -> Counter[str]:
        """A page that names an erased document or query is replaced by one line: pages cannot be
        taken apart.
        """
        new = clean_page(storage.read_bytes(uri), self.wanted)
        if new is None:
            return Counter()
        if write:
            storage.write_bytes(uri, new)
        return Counter(reports=1)

    def _move_tags(self, table: Table) -> None:
        """Has the versions of a table name the only version that will be left of it."""
        for version in self.reach.versions:
            named = version.lineage.table
            if named and named.uri and plain(named.uri) == table.uri.rstrip("/"):
                set_tags(self.registry, version, Lineage(table=table.as_source))

    def _rows_of(self, lineage: Lineage) -> int:
        """How many rows are found in what a version was trained on, by its place or by its data
        set's fingerprint.
        """
        learned = set(map(plain, lineage.data))
        dataset = lineage.dataset.fingerprint if lineage.dataset else None
        rows = 0
        for place in self.places:
            manifest = place.manifest
            is_its_data = isinstance(manifest, DatasetManifest) and manifest.fingerprint == dataset
            is_named = (
                isinstance(manifest, DatasetManifest | ExamplesManifest)
                and place.uri.rstrip("/") in learned
            )
            if (is_its_data or is_named) and place.uri in self.counts:
                rows += self.counts[place.uri].total()
        return rows

    def _find_pages(self) -> list[tuple[str, str]]:
        """(run, path) of the reports in MLflow that name an erased id."""
        return [
            (run_id, path)
            for run_id, path in self.reach.pages
            if clean_page(read_artifact(self.registry, run_id, path), self.wanted)
        ]


def describe(counts: Mapping[str, int]) -> str:
    """ "3 corpus, 2 qrels"."""
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())
