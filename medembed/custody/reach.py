"""Find what an erasure looks through: given folders, and all that the registry knows of."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from medembed import storage
from medembed.custody.chain import name_of
from medembed.custody.inventory import (
    RUN,
    Place,
    is_below,
    is_reached,
    plain,
    search,
    search_beside,
)
from medembed.custody.kinds import BackupManifest
from medembed.registry.catalog import all_models
from medembed.registry.models import Registry
from medembed.registry.runs import list_artifacts, model_runs
from medembed.tags import Lineage


class Page(NamedTuple):
    """A report among the artifacts of an MLflow run."""

    run_id: str
    path: str


class Reach:
    """`versions` of all models and `runs` {id: lineage} that made or measured one, with their
    `pages` in MLflow. `places` may hold rows, `backups` are the folders of backups.
    """

    def __init__(self, registry: Registry, places: Sequence[str], backups: Sequence[str]) -> None:
        """Raises StorageError for what cannot be read."""
        self.versions = all_models(registry)
        self.runs = model_runs(registry)
        self.model_name = registry.config.model_name
        self.pages: list[Page] = []
        for run_id in self.runs:
            paths = list_artifacts(registry, run_id)
            self.pages += [Page(run_id, path) for path in paths if path.endswith(".html")]
        lineages = [*(version.lineage for version in self.versions), *self.runs.values()]
        outputs = [lineage.output for lineage in lineages if lineage.output]
        roots = [*places, *backups, *filter(is_reached, outputs), *_data_of(lineages)]
        self._roots = sorted({plain(root) for root in roots})  # a folder before what lies in it
        self._searched: list[str] = []
        self._found: dict[str, Place] = {}
        for root in self._roots:
            self._search(root)
        for version in self.versions:
            self._note(search_beside(version.source))
        for uri in self._parents_of_own():
            self._search(uri)
        self.places: list[Place] = []
        self.backups = list(dict.fromkeys(map(plain, backups)))
        for uri, place in self._found.items():
            if isinstance(place.manifest, BackupManifest):
                self.backups += [uri] if uri not in self.backups else []
            elif place.kind != RUN:
                self.places.append(place)

    @property
    def made(self) -> dict[str, Lineage]:
        """{id: lineage} of the runs that made a model, those too whose versions are gone."""
        return {run_id: lineage for run_id, lineage in self.runs.items() if lineage.parent}

    def unsearched(self) -> Iterator[str]:
        """Yield lines on what could not be looked through."""
        gone = [uri for uri in self._roots if not storage.exists(uri)]
        yield from (f"{uri}: is not there any more" for uri in gone)
        for version in self.versions:
            is_ours = version.name == self.model_name or version.lineage.encoder
            dataset = version.lineage.dataset
            if is_ours and (dataset is None or dataset.uri is None):
                yield f"{name_of(version)}: where its data lies is not recorded; give it in places"
        yield from self._apart()
        for place in self._found.values():
            if place.kind == RUN:
                yield f"{place.uri}: a run that is not finished; finish it, or remove the folder"
        restored = sum(lineage.restored_run is not None for lineage in self.runs.values())
        if restored:
            yield (
                f"outputs of {restored:,} runs that were restored: they may be another registry's; "
                "give those of yours in places"
            )

    def _search(self, folder: str) -> None:
        if not is_below(folder, self._searched):
            self._searched.append(folder)
            self._note(search(folder))

    def _note(self, places: Iterable[Place]) -> None:
        for place in places:
            self._found.setdefault(plain(place.uri), place)

    def _parents_of_own(self) -> list[str]:
        """Return what the data was made from that this registry's own runs name. Manifests of what
        came from a backup name the original, which may be another registry's.
        """
        runs = self.runs.values()
        own = set(_data_of(lineage for lineage in runs if not lineage.restored_run))
        own -= set(_data_of(lineage for lineage in runs if lineage.restored_run))
        parents: list[str] = []
        for uri, place in self._found.items():
            parents += place.parents if uri in own else []
        return parents

    def _apart(self) -> Iterator[str]:
        """Yield lines on places that outputs name, and that were not searched."""
        apart: dict[str, str] = {}
        for place in self.places:
            for uri in place.parents:
                if not is_below(uri, self._searched):
                    apart.setdefault(uri, place.uri)
        for uri, by in apart.items():
            yield (
                f"{uri}, named by {by}: neither tags nor outputs of runs name it; give it "
                "in places if it is yours"
            )


def _data_of(lineages: Iterable[Lineage]) -> list[str]:
    """Return where data sets, examples and tables lie that these name."""
    places: list[str] = []
    for lineage in lineages:
        places += map(plain, lineage.data)
    return list(dict.fromkeys(places))
