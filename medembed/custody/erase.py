"""Documents and queries taken out of all that was made of them, and the models named that learned from them.

What was made of a data set goes first and the data set last, as it alone says which queries lose their last positive;
so the same command finishes what an interrupted one began.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from medembed import storage
from medembed.custody import clean, files
from medembed.custody.backup import KIND as BACKUP
from medembed.custody.chain import name_of
from medembed.custody.descent import find_descent
from medembed.custody.known import Known
from medembed.custody.pages import clean_page
from medembed.custody.places import data_places, places_of
from medembed.custody.remember import recall
from medembed.custody.reseal import Reseal
from medembed.custody.rewrite import today
from medembed.custody.spots import (
    FILE,
    FRAGMENTS,
    REPORT,
    RUN,
    TABLE,
    Spot,
    is_below,
    named_in,
    search,
    search_beside,
)
from medembed.custody.wanted import Wanted, find_lost
from medembed.data.dataset import KIND as DATASET
from medembed.data.dataset import Dataset
from medembed.encoding.erase import erase_rows, find_erasable
from medembed.encoding.export import KIND as EXPORTED
from medembed.encoding.table import Table
from medembed.errors import StorageError
from medembed.evaluation.files import KIND as EVALUATION
from medembed.mining.examples import KIND as EXAMPLES
from medembed.registry.catalog import set_tags
from medembed.registry.models import Registry
from medembed.registry.runs import read_artifact, write_artifact

logger = logging.getLogger(__name__)

TAG = "erased"  # of a version: how many rows that it was trained on are gone, and since when
_CLEAN: dict[str, clean.Clean] = {
    DATASET: clean.clean_dataset, EXAMPLES: clean.clean_examples, EVALUATION: clean.clean_evaluation,
    EXPORTED: clean.clean_exported, REPORT: clean.clean_report, FILE: files.clean_file,
    FRAGMENTS: files.clean_fragments,
}  # fmt: skip


@dataclass(frozen=True)
class Erasure:
    """What there is to erase, or what was erased, by place. `models` were trained on it, `descendants` from these; of
    `tables` only a new version is left; `nowhere` counts ids that were found in no place; `unsearched` are lines on
    what was not looked through."""

    counts: Mapping[str, clean.Counts]
    models: Sequence[str]
    descendants: Sequence[str]
    tables: Sequence[str]
    nowhere: int
    places: int
    unsearched: Sequence[str]

    @property
    def rows(self) -> int:
        return sum(sum(found.values()) for found in self.counts.values())


class Eraser:
    """One erasure: where to look, what was found there. Nothing changes before `erase`."""

    def __init__(self, wanted: Wanted, registry: Registry, places: Sequence[str], backups: Sequence[str]) -> None:
        """Raises StorageError for a place that is not there, or in which something cannot be read."""
        missing = [uri for uri in places if not storage.exists(uri)]
        if missing:
            raise StorageError(f"places: {missing[0]} is not there.")
        self.registry, self.known = registry, Known(registry)
        self.searched = list(
            dict.fromkeys(uri.rstrip("/") for uri in (*places, *backups, *self.known.outputs, *self.known.places))
        )
        found = self._search()
        inside = [uri for uri, spot in found.items() if spot.kind == BACKUP]
        self.backups = [Reseal(uri) for uri in dict.fromkeys([*(uri.rstrip("/") for uri in backups), *inside])]
        self.runs = [spot.uri for spot in found.values() if spot.kind == RUN]
        self.spots = [spot for spot in found.values() if spot.kind not in (RUN, BACKUP)]
        self.wanted = replace(wanted, lost=self._find_lost(wanted))
        self.found = {spot.uri: counts for spot in self.spots if (counts := self._clean(spot, write=False))}
        self.pages = self._find_pages()

    def report(self) -> Erasure:
        """What there is to erase."""
        counts = self.found | {f"MLflow run {run_id}": Counter(reports=1) for run_id, _ in self.pages}
        named = self.wanted.documents | self.wanted.queries
        models, descendants = self._find_models()
        return Erasure(
            counts, models, descendants,
            tables=[spot.uri for spot in self.spots if spot.kind == TABLE and spot.uri in self.found],
            nowhere=len(named - self.wanted.met), places=len(self.spots), unsearched=[*self._find_unsearched()],
        )  # fmt: skip

    def erase(self) -> None:
        """Erases it. Raises StorageError; interrupted, the same call on what is left finishes."""
        self._tag()  # first: what is erased tells no more whose it was
        for backup in self.backups:
            told = {one.version: {TAG: told} for one in backup.versions if (told := self._told(one.tags))}
            backup.begin(self.found, told)
        todo = [spot for spot in self.spots if spot.uri in self.found]
        self._clean_all([spot for spot in todo if spot.kind != DATASET])
        for run_id, path in self.pages:
            page = clean_page(read_artifact(self.registry, run_id, path), self.wanted)
            if page is not None:
                write_artifact(self.registry, run_id, path, page)
        self._clean_all([spot for spot in todo if spot.kind == DATASET])
        for backup in self.backups:
            backup.finish()

    def _find_models(self) -> tuple[list[str], list[str]]:
        """(versions that were trained on erased rows, now or before; others that were trained from one of these)."""
        versions = {name_of(one): one for one in self.known.versions}
        for backup in self.backups:
            versions |= {
                f"{name_of(one)} in {backup.uri}": one for one in backup.versions if name_of(one) not in versions
            }
        lineage = [*(one.tags for one in versions.values()), *self.known.made.values()]
        learned = [tags for tags in lineage if TAG in tags or self._rows_of(tags)]
        descent = find_descent([tags["encoder"] for tags in learned if "encoder" in tags], lineage)
        named = [name for name, one in versions.items() if one.tags in learned]
        return named, [
            name for name, one in versions.items() if name not in named and one.tags.get("encoder") in descent
        ]

    def _search(self) -> dict[str, Spot]:
        """{URI: place}: in all folders, beside checkpoints, and what the registry's own data was made from."""
        found: dict[str, Spot] = {}

        def note(spots: Iterable[Spot]) -> None:
            found.update({spot.uri.rstrip("/"): spot for spot in spots})

        for folder in self.searched:
            if not is_below(folder, [other for other in self.searched if other != folder]):
                note(search(folder))
        for version in self.known.versions:
            note(search_beside(version.source))
        own = self.known.own
        for uri in [uri for place, spot in found.items() if place in own for uri in named_in(spot)]:
            if not is_below(uri, self.searched):
                note(search(uri))
                self.searched.append(uri)
        return found

    def _find_lost(self, wanted: Wanted) -> dict[str, frozenset[str]]:
        """{fingerprint of a data set: its queries that lose their last positive, now or before}."""
        lost = recall(self.spots, (read_artifact(self.registry, *page) for page in self.known.pages))
        for spot in self.spots:
            if spot.kind == DATASET:
                name = str(spot.manifest["fingerprint"])
                found = find_lost(Dataset(spot.uri, dict(spot.manifest)), wanted)
                lost[name] = lost.get(name, frozenset()) | found
        return lost

    def _tag(self) -> None:
        """Has versions and runs say how many rows that they were trained on are erased, and when, once a day."""
        for version in self.known.versions:
            told = self._told(version.tags)
            if told:
                set_tags(self.registry, version, {TAG: told})
        runs = {one.run_id for one in self.known.versions}
        for run_id, tags in self.known.made.items():
            told = self._told(tags)
            if told and run_id not in runs:
                self.registry.client.set_tag(run_id, TAG, told)

    def _told(self, tags: Mapping[str, str]) -> str | None:
        """What the tag is to say, if it has changed."""
        rows, before = self._rows_of(tags), tags.get(TAG, "")
        is_new = rows and not before.endswith(today())
        return f"{before}; {rows:,} rows on {today()}".removeprefix("; ") if is_new else None

    def _clean_all(self, spots: Iterable[Spot]) -> None:
        for spot in spots:
            self._clean(spot, write=True)
            logger.info("erased from %s %s: %s", spot.kind, spot.uri, describe(self.found[spot.uri]))

    def _clean(self, spot: Spot, *, write: bool) -> clean.Counts:
        if spot.kind != TABLE:
            return _CLEAN[spot.kind](spot, self.wanted, write)
        found = find_erasable(spot.uri, self.wanted.has_row)
        counts = files.count_uncommitted(spot.uri, self.wanted)
        counts.update({"rows": len(found.rows), "old versions half removed": int(found.is_torn)})
        if write:
            erase_rows(spot.uri, found.rows, self._move_tags)
        return +counts

    def _move_tags(self, table: Table) -> None:
        """Has the versions of a table name the only version that will be left of it."""
        for version in self.known.versions:
            named = places_of(version).table
            if named and storage.absolute(named).rstrip("/") == table.uri.rstrip("/"):
                set_tags(self.registry, version, {"table_version": str(table.version)})

    def _rows_of(self, tags: Mapping[str, str]) -> int:
        """How many rows are found in what a version was trained on, by its place or by its data set's fingerprint."""
        learned = {storage.absolute(uri).rstrip("/") for uri in data_places(tags)}
        return sum(
            sum(self.found[spot.uri].values())
            for spot in self.spots
            if spot.uri in self.found
            and (
                (spot.kind in (DATASET, EXAMPLES) and spot.uri.rstrip("/") in learned)
                or (spot.kind == DATASET and spot.manifest["fingerprint"] == tags.get("dataset"))
            )
        )

    def _find_unsearched(self) -> Iterator[str]:
        """What could not be looked through: places that are gone, those that no tag names, runs that are not over."""
        named = {storage.absolute(uri).rstrip("/"): None for one in self.known.versions for uri in places_of(one).data}
        there = {spot.uri.rstrip("/") for spot in self.spots}
        yield from (f"{uri}: is not there any more" for uri in named if uri not in there)
        gone = [uri for uri in self.searched if uri not in named and not storage.exists(uri)]
        if gone:
            more = f" and {len(gone) - 1:,} more" if len(gone) > 1 else ""
            yield f"{gone[0]}{more}, which runs name: not there any more"
        for version in self.known.versions:
            is_ours = version.name == self.registry.config.model_name or "encoder" in version.tags
            if is_ours and places_of(version).dataset is None:
                yield f"{name_of(version)}: where its data lies is not recorded; give it in places"
        apart = {uri: spot.uri for spot in self.spots for uri in named_in(spot) if not is_below(uri, self.searched)}
        for uri, by in apart.items():
            yield f"{uri}, named by {by}: neither tags nor outputs of runs name it; give it in places if it is yours"
        yield from (f"{uri}: a run that is not finished; finish it, or remove the folder" for uri in self.runs)
        if self.known.elsewhere:
            yield (
                f"outputs of {self.known.elsewhere:,} runs that were restored: they may be another registry's; give "
                "those of yours in places"
            )

    def _find_pages(self) -> list[tuple[str, str]]:
        """(run, path) of the reports in MLflow that name an erased id."""
        return [
            (run_id, path)
            for run_id, path in self.known.pages
            if clean_page(read_artifact(self.registry, run_id, path), self.wanted)
        ]


def describe(counts: Mapping[str, int]) -> str:
    """ "3 corpus, 2 qrels"."""
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())
