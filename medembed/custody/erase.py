"""Take documents and queries out of all that was made of them; name the models trained on them.

Data sets and tables are written anew without them; what a job makes again from the same inputs goes
whole. What was made of a data set goes first and the data set last, as it alone says which queries
lose their last positive; so the same command finishes what an interrupted one began.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import starmap

from medembed import storage
from medembed.custody import backup_erasure
from medembed.custody.erasure_request import ErasureRequest
from medembed.custody.kinds import LeavingManifest
from medembed.custody.learned import Learned
from medembed.custody.names import PART, names_in
from medembed.custody.pages import clean_page
from medembed.custody.places import ARTIFACT, FILE, FRAGMENTS, PAGE, Place, plain, remove
from medembed.custody.reach import Reach
from medembed.data.dataset import Dataset
from medembed.data.erase import erase_from_dataset, find_lost
from medembed.encoding.erase_leftovers import erase_fragments, erase_from_table
from medembed.encoding.table import Table
from medembed.errors import StorageError
from medembed.language import to_translate, tr
from medembed.lineage import DatasetManifest, TableManifest
from medembed.registry.catalog import set_run_tags, set_tags
from medembed.registry.models import Registry, Version
from medembed.registry.runs import read_artifact
from medembed.tags import Lineage


class Eraser:
    """One erasure: what there is to erase, by place. Nothing changes before `erase`.

    counts: {place: what of it goes}
    deleted: outputs that go whole
    tables: those of which only a new version is left
    models: versions that were trained on erased rows, and those trained from these
    nowhere: how many ids stand in no place
    unsearched: lines on what was not looked through
    """

    def __init__(
        self,
        request: ErasureRequest,
        registry: Registry,
        places: Sequence[str],
        backups: Sequence[str],
    ) -> None:
        """Raises StorageError for a place that is not there, or cannot be read."""
        for uri in places:
            if not storage.exists(uri):
                raise StorageError("places: {uri} is not there.", uri=uri)
        self.registry = registry
        self.reach = Reach(registry, places, backups)
        self.request = replace(request, lost=_find_lost(self.reach.places, request))
        self.counts: dict[str, Counter[str]] = {}
        self.touched: list[Place] = []
        self.deleted: list[str] = []
        self.tables: list[str] = []
        for place in self.reach.places:
            counts = self._erase(place, write=False)
            if not counts:
                continue
            self.touched.append(place)
            self.counts[place.uri] = counts
            if place.kind == TableManifest.kind:
                self.tables.append(place.uri)
            elif place.manifest is not None and place.manifest.on_erasure == "delete":
                self.deleted.append(place.uri)
        self.nowhere = len(request.ids - self.request.met)
        self.unsearched = list(self.reach.unsearched())
        self._learned = Learned(self._rows_of_sources())
        self.models = self._learned.find_models(self._versions(), self.reach.made.values())

    @property
    def rows(self) -> int:
        return sum(map(Counter.total, self.counts.values()))

    def erase(self) -> None:
        """Erase it. Raises StorageError; interrupted, the same call on what is left finishes."""
        # First the tags: what is erased tells no more who was trained on it.
        self._tag()
        for backup in self.reach.backups:
            backup_erasure.begin(backup, self.counts, self._learned)
        for place in sorted(self.touched, key=lambda place: place.kind == DatasetManifest.kind):
            self._erase(place, write=True)
        for backup in self.reach.backups:
            backup_erasure.finish(backup)

    def _erase(self, place: Place, *, write: bool) -> Counter[str]:
        """Count what there is to erase in a place; `write` erases it."""
        request = self.request
        if isinstance(place.manifest, DatasetManifest):
            dataset = Dataset(place.uri, place.manifest)
            is_query = partial(request.has_query, dataset=dataset.fingerprint)
            lost = request.lost[dataset.fingerprint]
            return erase_from_dataset(dataset, request.has_row, is_query, lost, write=write)
        if place.kind == TableManifest.kind:
            return erase_from_table(place.uri, request.has_row, self._move_tags, write=write)
        if place.kind == FRAGMENTS:
            return erase_fragments(place.uri, request.has_row, write=write)
        if place.kind == PAGE:
            return self._erase_page(place.uri, write=write)
        assert place.manifest is None or place.manifest.on_erasure == "delete"
        if isinstance(place.manifest, LeavingManifest):
            counts = Counter({to_translate("removals that broke off"): 1})
        else:
            counts = Counter()
            for uri in place.files:
                counts["rows"] += self._count_rows(uri, place)
            counts = +counts  # without zeros
        if write and place.kind == FILE:
            storage.delete_file(place.uri)
        elif write and counts:
            remove(place.uri)
        return counts

    def _count_rows(self, uri: str, place: Place) -> int:
        """Count rows that name what is erased; a torn file, which may hold anything, is one."""
        if PART.search(uri):
            return 1
        if not storage.exists(uri):
            return 0
        dataset = place.origin.dataset
        has_any = partial(self.request.has_any, dataset=dataset.fingerprint if dataset else None)
        return sum(starmap(has_any, names_in(uri)))

    def _erase_page(self, uri: str, *, write: bool) -> Counter[str]:
        """Replace a page that shows an erased id, as it cannot be taken apart."""
        run_id, _, path = uri.removeprefix(ARTIFACT).partition("/")
        if uri.startswith(ARTIFACT):
            page = read_artifact(self.registry, run_id, path)
            replace_page = partial(self.registry.write_artifact, run_id, path)
        else:
            page = storage.read_bytes(uri)
            replace_page = partial(storage.write_bytes, uri)
        cleaned = clean_page(page, self.request)
        if cleaned is not None and write:
            replace_page(cleaned)
        return Counter() if cleaned is None else Counter(reports=1)

    def _move_tags(self, table: Table) -> None:
        """Have the versions of a table name the only version that will be left of it."""
        for version in self.reach.versions:
            named = version.lineage.table
            if named and named.uri and plain(named.uri) == plain(table.uri):
                set_tags(self.registry, version, Lineage(table=table.as_source))

    def _rows_of_sources(self) -> dict[str, int]:
        """Return {fingerprint by which lineages name an output: erased rows}; copies count once."""
        rows: dict[str, int] = {}
        for place in self.touched:
            if place.manifest is not None and place.manifest.role is not None:
                name = place.manifest.identity
                rows[name] = max(rows.get(name, 0), self.counts[place.uri].total())
        return rows

    def _versions(self) -> dict[str, Version]:
        """Return {name: version} of the registry, and of what only a backup has."""
        versions: dict[str, Version] = {}
        for version in self.reach.versions:
            versions[version.reference] = version
        for backup in self.reach.backups:
            for version in backup_erasure.versions_in(backup):
                if version.reference not in versions:
                    place = {"reference": version.reference, "backup": backup}
                    versions[tr("{reference} in {backup}", **place)] = version
        return versions

    def _tag(self) -> None:
        """Have versions, and runs whose versions are gone, tell of their erased rows."""
        others = dict(self.reach.made)
        for version in self.reach.versions:
            others.pop(version.run_id, None)
            if note := self._learned.note(version.lineage):
                set_tags(self.registry, version, note)
        for run_id, lineage in others.items():
            if note := self._learned.note(lineage):
                set_run_tags(self.registry, run_id, note)


def _find_lost(places: Sequence[Place], request: ErasureRequest) -> dict[str, frozenset[str]]:
    """Return {fingerprint of a data set: hashes of its lost queries}, of all its copies."""
    lost: dict[str, frozenset[str]] = {}
    for place in places:
        if isinstance(place.manifest, DatasetManifest):
            name = place.manifest.fingerprint
            hashes = find_lost(Dataset(place.uri, place.manifest), request.has_row)
            lost[name] = lost.get(name, frozenset()) | hashes
    return lost
