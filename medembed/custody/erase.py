"""Documents and queries taken out of all that was made of them, and the models named that learned from them.

What was made of a data set goes first and the data set last, as it alone says which queries lose their last positive;
so the same command finishes what an interrupted one began.
"""

import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from medembed import storage
from medembed.artifact import MANIFEST, read_manifest
from medembed.custody import clean
from medembed.custody.backup import KIND as BACKUP
from medembed.custody.chain import name_of
from medembed.custody.copies import stamp_of
from medembed.custody.places import known_table, places_of
from medembed.custody.rewrite import write_manifest
from medembed.custody.spots import REPORT, TABLE, Spot, of_versions, search
from medembed.custody.wanted import Wanted, find_lost
from medembed.data.dataset import KIND as DATASET
from medembed.data.dataset import Dataset
from medembed.encoding.erase import erase_rows, find_erasable
from medembed.encoding.export import KIND as EXPORTED
from medembed.encoding.table import Table
from medembed.evaluation.files import KIND as EVALUATION
from medembed.mining.examples import KIND as EXAMPLES
from medembed.registry.catalog import all_versions, set_tags
from medembed.registry.models import Registry, Version
from medembed.registry.runs import list_artifacts, read_artifact, write_artifact

logger = logging.getLogger(__name__)

TAG = "erased"  # of a version: how many rows that it was trained on are gone, and since when
_ERASING = "erasing"  # entry of a backup's manifest: what is being changed in it
_CLEAN: dict[str, clean.Clean] = {
    DATASET: clean.clean_dataset, EXAMPLES: clean.clean_examples, EVALUATION: clean.clean_evaluation,
    EXPORTED: clean.clean_exported, REPORT: clean.clean_report,
}  # fmt: skip


@dataclass
class Erasure:
    """What there is to erase, or what was erased. `nowhere` counts ids that were found in no place;
    `unsearched` are lines on what versions name and is not there, or do not name."""

    counts: dict[str, clean.Counts] = field(default_factory=dict)
    models: list[str] = field(default_factory=list)
    nowhere: int = 0
    places: int = 0
    unsearched: list[str] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return sum(sum(found.values()) for found in self.counts.values())


class Eraser:
    """One erasure: where to look, what was found there. Nothing changes before `erase`."""

    def __init__(self, wanted: Wanted, registry: Registry, places: Sequence[str], backups: Sequence[str]) -> None:
        self.registry = registry
        self.versions = all_versions(registry, registry.config.model_name)
        self.backups = {uri: read_manifest(uri, BACKUP) for uri in backups}
        folders = [*places, *backups]
        spots = [*of_versions(self.versions), *(spot for folder in folders for spot in search(folder))]
        self.spots = list({spot.uri.rstrip("/"): spot for spot in spots}.values())
        lost: dict[str, frozenset[str]] = {}
        for spot in self.spots:
            if spot.kind == DATASET:
                name = str(spot.manifest["fingerprint"])
                found = find_lost(Dataset(spot.uri, dict(spot.manifest)), wanted)
                lost[name] = lost.get(name, frozenset()) | found
        self.wanted = replace(wanted, lost=lost)
        self.found = {spot.uri: counts for spot in self.spots if (counts := self._clean(spot, write=False))}
        self.pages = self._find_pages()

    def report(self) -> Erasure:
        """What there is to erase."""
        counts = self.found | {f"MLflow run {run_id}": Counter(reports=1) for run_id, _ in self.pages}
        named = self.wanted.documents | self.wanted.queries
        models = [name_of(one) for one in self.versions if self._rows_of(one) or TAG in one.tags]
        return Erasure(counts, models, len(named - self.wanted.met), len(self.spots), [*self._find_unsearched()])

    def erase(self) -> None:
        """Erases it. Raises StorageError; interrupted, the same call on what is left finishes."""
        for version in self.versions:  # first: what is erased tells no more whose it was
            self._tag(version)
        for uri in self.backups:
            self._begin_backup(uri)
        todo = [spot for spot in self.spots if spot.uri in self.found]
        self._clean_all([spot for spot in todo if spot.kind != DATASET])
        for run_id, path in self.pages:
            page = clean.clean_page(read_artifact(self.registry, run_id, path), self.wanted)
            if page is not None:
                write_artifact(self.registry, run_id, path, page)
        self._clean_all([spot for spot in todo if spot.kind == DATASET])
        for uri in self.backups:
            self._finish_backup(uri)

    def _tag(self, version: Version) -> None:
        """Has a version say how many rows that it was trained on are erased, and when, once a day."""
        rows, today, told = self._rows_of(version), clean.today(), version.tags.get(TAG, "")
        if rows and not told.endswith(today):
            set_tags(self.registry, version, {TAG: f"{told}; {rows:,} rows on {today}".removeprefix("; ")})

    def _clean_all(self, spots: Iterable[Spot]) -> None:
        for spot in spots:
            self._clean(spot, write=True)
            logger.info("erased from %s %s: %s", spot.kind, spot.uri, describe(self.found[spot.uri]))

    def _clean(self, spot: Spot, *, write: bool) -> clean.Counts:
        if spot.kind != TABLE:
            return _CLEAN[spot.kind](spot, self.wanted, write)
        found = find_erasable(spot.uri, self.wanted.has_row)
        if write:
            erase_rows(spot.uri, found.rows, self._move_tags)
        counts = Counter({"rows": len(found.rows), "old versions half removed": int(found.is_torn)})
        return +counts

    def _move_tags(self, table: Table) -> None:
        """Has the versions of a table name the only version that will be left of it."""
        for version in self.versions:
            if same_place(places_of(version).table, table.uri):
                set_tags(self.registry, version, {"table_version": str(table.version)})

    def _rows_of(self, version: Version) -> int:
        """How many rows are found in what a version was trained on, by its place or by its data set's fingerprint."""
        places = places_of(version)
        fingerprint = version.tags.get("dataset")
        return sum(
            sum(self.found[spot.uri].values())
            for spot in self.spots
            if spot.uri in self.found
            and (
                same_place(spot.uri, places.dataset)
                or same_place(spot.uri, places.examples)
                or (spot.kind == DATASET and spot.manifest["fingerprint"] == fingerprint)
            )
        )

    def _find_unsearched(self) -> Iterator[str]:
        """What could not be looked through: places that are gone, and those that no tag names."""
        there = {spot.uri.rstrip("/") for spot in self.spots}
        named = {uri: None for one in self.versions for uri in places_of(one).data}
        for uri in named:
            if storage.absolute(uri).rstrip("/") not in there:
                yield f"{uri}: is not there any more"
        for version in self.versions:
            if places_of(version).dataset is None:
                yield f"{name_of(version)}: where its data lies is not recorded; give it in places"

    def _find_pages(self) -> list[tuple[str, str]]:
        """(run, path) of the reports in MLflow that name an erased id."""
        return [
            (run_id, path)
            for run_id in _run_ids(self.registry)
            for path in list_artifacts(self.registry, run_id)
            if path.endswith(".html") and clean.clean_page(read_artifact(self.registry, run_id, path), self.wanted)
        ]

    def _begin_backup(self, uri: str) -> None:
        """Writes into a backup what is about to change there; a backup is not restored until that is done."""
        manifest, prefix = self.backups[uri], uri.rstrip("/") + "/"
        touched = {spot.removeprefix(prefix) for spot in self.found if spot.startswith(prefix)}
        touched |= set(manifest.get(_ERASING, ()))
        if touched:
            self.backups[uri] = manifest | {_ERASING: sorted(touched)}
            write_manifest(uri, self.backups[uri])

    def _finish_backup(self, uri: str) -> None:
        """Gives the manifest the hashes of what has changed, and the numbers of the tables' versions."""
        manifest = dict(self.backups[uri])
        touched = manifest.pop(_ERASING, None)
        if touched:
            manifest["files"] = dict(_restamp(uri, manifest["files"], touched))
            manifest["versions"] = {
                number: _renumber(uri, one, touched) for number, one in manifest["versions"].items()
            }
            storage.write_bytes(storage.join(uri, MANIFEST), json.dumps(manifest, indent=1).encode())


def same_place(one: str | None, other: str | None) -> bool:
    """Whether two URIs name one place."""
    return None not in (one, other) and storage.absolute(one or "").rstrip("/") == storage.absolute(other or "").rstrip(
        "/"
    )


def describe(counts: Mapping[str, int]) -> str:
    """ "3 corpus, 2 qrels"."""
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def _run_ids(registry: Registry) -> Iterator[str]:
    experiment, token = registry.experiment_id(), None
    while True:
        page = registry.client.search_runs([experiment], max_results=200, page_token=token)
        yield from (str(run.info.run_id) for run in page)
        token = page.token
        if not token:
            return


def _restamp(uri: str, files: Mapping[str, Any], touched: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    starts = tuple(f"{name}/" for name in touched)
    pages = set(touched)
    for name, facts in files.items():
        if not name.startswith(starts) and name not in pages:
            yield name, facts
    prefix = uri.rstrip("/") + "/"
    for place in touched:
        for found, _, _ in storage.find_files(storage.join(uri, place)):
            stamp = stamp_of(found)
            yield found.removeprefix(prefix), {"hash": stamp.hash, "bytes": stamp.bytes, "modified": 0}


def _renumber(uri: str, version: Mapping[str, Any], touched: Iterable[str]) -> dict[str, Any]:
    """A version of a backup whose table has another number now."""
    folder = version["places"].get("table")
    table = known_table(storage.join(uri, folder)) if folder in set(touched) else None
    return dict(version) if table is None else {
        **version, "tags": version["tags"] | {"table_version": str(table.version)},
    }  # fmt: skip
