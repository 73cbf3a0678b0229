"""Take documents and queries out of all that was made of them; name the models trained on them.

Data sets and tables are written anew without them; what a job makes again from the same inputs goes
whole. What was made of a data set goes first and the data set last, as it alone says which queries
lose their last positive; so the same command finishes what an interrupted one began.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from medembed import storage
from medembed.custody.backup_erasure import BackupErasure
from medembed.custody.chain import name_of
from medembed.custody.erasure_request import ErasureRequest, find_lost
from medembed.custody.inventory import FILE, FRAGMENTS, PART, REPORT, TABLE, Place, plain
from medembed.custody.kinds import LeavingManifest
from medembed.custody.learned import Learned
from medembed.custody.names import is_ours, names_in
from medembed.custody.pages import clean_page
from medembed.custody.reach import Reach
from medembed.custody.remove import remove
from medembed.custody.rewrite import erase_from_dataset
from medembed.custody.tables import erase_fragments, erase_from_table
from medembed.data.dataset import Dataset
from medembed.encoding.table import Table
from medembed.errors import StorageError
from medembed.lineage import DatasetManifest
from medembed.registry.catalog import set_tags
from medembed.registry.models import Registry
from medembed.registry.runs import read_artifact
from medembed.tags import Lineage

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Erasure:
    """What there is to erase, or what was erased, by place.

    `deleted` are outputs that go whole; of `tables` only a new version is left. `models` were
    trained on erased rows, `descendants` from these. `nowhere` counts ids that stand in no place;
    `unsearched` are lines on what was not looked through.
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
    """One erasure: where to look, and what stands there. Nothing changes before `erase`."""

    def __init__(
        self,
        request: ErasureRequest,
        registry: Registry,
        places: Sequence[str],
        backups: Sequence[str],
    ) -> None:
        """Raises StorageError for a place that is not there, or cannot be read."""
        missing = [uri for uri in places if not storage.exists(uri)]
        if missing:
            raise StorageError(f"places: {missing[0]} is not there.")
        self.registry = registry
        self.reach = Reach(registry, places, backups)
        self.backups = [BackupErasure(uri) for uri in self.reach.backups]
        self.request = replace(request, lost=_find_lost(self.reach.places, request))
        self.counts: dict[str, Counter[str]] = {}
        self.touched: list[Place] = []
        for place in self.reach.places:
            counts = self._erase(place, write=False)
            if counts:
                self.touched.append(place)
                self.counts[place.uri] = counts
        self.pages = [
            page
            for page in self.reach.pages
            if clean_page(read_artifact(registry, *page), self.request)
        ]
        rows = {uri: counts.total() for uri, counts in self.counts.items()}
        self.learned = Learned(self.touched, rows)

    def report(self) -> Erasure:
        """Return what there is to erase."""
        versions = {name_of(version): version for version in self.reach.versions}
        for backup in self.backups:
            for version in backup.versions:
                if name_of(version) not in versions:
                    versions[f"{name_of(version)} in {backup.uri}"] = version
        models = self.learned.find_models(versions, self.reach.made.values())
        pages = {f"MLflow run {page.run_id}": Counter(reports=1) for page in self.pages}
        made_again = [
            place.uri
            for place in self.touched
            if place.manifest is not None and not place.manifest.is_rewritten
        ]
        ids = self.request.documents | self.request.queries
        return Erasure(
            counts=self.counts | pages,
            deleted=made_again,
            models=models.trained,
            descendants=models.descendants,
            tables=[place.uri for place in self.touched if place.kind == TABLE],
            nowhere=len(ids - self.request.met),
            places=len(self.reach.places),
            unsearched=list(self.reach.unsearched()),
        )

    def erase(self) -> None:
        """Erase it. Raises StorageError; interrupted, the same call on what is left finishes."""
        # First the tags: what is erased tells no more who was trained on it.
        self.learned.tag(self.registry, self.reach.versions, self.reach.made)
        for backup in self.backups:
            backup.begin(self.counts, self.learned)
        datasets = []
        for place in self.touched:
            if isinstance(place.manifest, DatasetManifest):
                datasets.append(place)
            else:
                self._erase_and_log(place)
        for run_id, path in self.pages:
            page = clean_page(read_artifact(self.registry, run_id, path), self.request)
            if page is not None:
                self.registry.write_artifact(run_id, path, page)
        for place in datasets:
            self._erase_and_log(place)
        for backup in self.backups:
            backup.finish()

    def _erase_and_log(self, place: Place) -> None:
        self._erase(place, write=True)
        logger.info(
            "erased from %s %s: %s", place.kind, place.uri, describe(self.counts[place.uri])
        )

    def _erase(self, place: Place, *, write: bool) -> Counter[str]:
        """Count what there is to erase in a place; `write` erases it."""
        request = self.request
        if isinstance(place.manifest, DatasetManifest):
            return erase_from_dataset(Dataset(place.uri, place.manifest), request, write=write)
        if place.kind == TABLE:
            return erase_from_table(place.uri, request.has_row, self._move_tags, write=write)
        if place.kind == FRAGMENTS:
            return erase_fragments(place.uri, request.has_row, write=write)
        if place.kind == REPORT:
            page = clean_page(storage.read_bytes(place.uri), request)
            if page is not None and write:
                storage.write_bytes(place.uri, page)
            return Counter(reports=1) if page is not None else Counter()
        if isinstance(place.manifest, LeavingManifest):
            counts = Counter({"removals that broke off": 1})
        else:
            counts = +Counter(rows=sum(self._count_rows(uri, place) for uri in place.files))
        if write and place.kind == FILE:
            storage.delete_file(place.uri)
        elif write and counts:
            remove(place.uri)
        return counts

    def _count_rows(self, uri: str, place: Place) -> int:
        """Count rows that name what is erased; a torn file, which may hold anything, is one."""
        if not storage.exists(uri):
            return 0
        if PART.search(uri):
            return 1
        if place.kind == FILE and not is_ours(uri):
            return 0
        return sum(self.request.has_any(*names, place.dataset) for names in names_in(uri))

    def _move_tags(self, table: Table) -> None:
        """Have the versions of a table name the only version that will be left of it."""
        for version in self.reach.versions:
            named = version.lineage.table
            if named and named.uri and plain(named.uri) == plain(table.uri):
                set_tags(self.registry, version, Lineage(table=table.as_source))


def describe(counts: Mapping[str, int]) -> str:
    """Return such as "3 corpus, 2 qrels"."""
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def _find_lost(places: Sequence[Place], request: ErasureRequest) -> dict[str, frozenset[str]]:
    """Return {fingerprint of a data set: hashes of its lost queries}, of all its copies."""
    lost: dict[str, frozenset[str]] = {}
    for place in places:
        if isinstance(place.manifest, DatasetManifest):
            name = place.manifest.fingerprint
            hashes = find_lost(Dataset(place.uri, place.manifest), request)
            lost[name] = lost.get(name, frozenset()) | hashes
    return lost
