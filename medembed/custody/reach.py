"""Find what an erasure looks through: given folders, and all that the registry knows of."""

from collections.abc import Iterator, Sequence

from medembed import storage
from medembed.custody.kinds import BackupManifest
from medembed.custody.places import (
    ARTIFACT,
    PAGE,
    UNFINISHED,
    Place,
    is_below,
    is_reached,
    plain,
    search,
)
from medembed.evaluation.retention.sets import FOLDER as RETENTION
from medembed.language import tr
from medembed.registry.catalog import all_versions
from medembed.registry.models import Registry
from medembed.registry.runs import list_artifacts, model_runs
from medembed.tags import Lineage


class Reach:
    """`versions` of all models, `runs` {id: lineage} that made or measured one, and those that
    `made` one. `places` may hold rows, pages in MLflow too; `backups` are the folders of backups.
    """

    def __init__(self, registry: Registry, places: Sequence[str], backups: Sequence[str]) -> None:
        """Raises StorageError for what cannot be read."""
        self.model_name = registry.config.model_name
        self.versions = all_versions(registry)
        self.runs = model_runs(registry)
        self.made: dict[str, Lineage] = {}
        own: set[str] = set()  # places of the data of this registry's own runs
        restored: set[str] = set()
        roots = [*places, *backups]
        for run_id, lineage in self.runs.items():
            if lineage.parent:
                self.made[run_id] = lineage
            data = restored if lineage.restored_run else own
            data.update(map(plain, lineage.data))
            roots += _roots_of(lineage)
        for version in self.versions:
            roots += _roots_of(version.lineage)
            # retention sets, and what was measured on them, that a training made
            beside = storage.join(version.source.rstrip("/").rpartition("/")[0], RETENTION)
            if is_reached(beside) and storage.exists(beside):
                roots.append(beside)
        self._roots = sorted(set(map(plain, roots)))  # a folder before what lies in it
        self._searched: list[str] = []
        self._places: dict[str, Place] = {}
        for root in self._roots:
            self._search(root)
        # What this registry's own data was made from. Manifests of what came from a backup name the
        # original, which may be another registry's.
        for uri in sorted((own - restored) & self._places.keys()):
            for parent in self._places[uri].origin.data:
                self._search(plain(parent))
        self.backups = list(dict.fromkeys(map(plain, backups)))
        self.places: list[Place] = []
        for uri, place in self._places.items():
            if isinstance(place.manifest, BackupManifest):
                self.backups += [uri] if uri not in self.backups else []
            elif place.kind != UNFINISHED:
                self.places.append(place)
        for run_id in self.runs:
            for path in list_artifacts(registry, run_id):
                if path.endswith(".html"):
                    self.places.append(Place(f"{ARTIFACT}{run_id}/{path}", PAGE))

    def unsearched(self) -> Iterator[str]:
        """Yield lines on what could not be looked through."""
        for uri in self._roots:
            if not storage.exists(uri):
                yield tr("{uri}: is not there any more", uri=uri)
        for version in self.versions:
            is_ours = version.name == self.model_name or version.lineage.encoder
            dataset = version.lineage.dataset
            if is_ours and (dataset is None or dataset.uri is None):
                yield tr(
                    "{reference}: where its data lies is not recorded; give it in places",
                    reference=version.reference,
                )
        apart = set(self._searched)
        for place in self._places.values():
            if place.kind == UNFINISHED:
                yield tr(
                    "{uri}: a run that is not finished; finish it, or remove the folder",
                    uri=place.uri,
                )
            for uri in map(plain, place.origin.data):
                if not is_below(uri, apart):
                    apart.add(uri)
                    yield tr(
                        "{uri}, named by {place}: neither tags nor outputs of runs name it; give "
                        "it in places if it is yours",
                        uri=uri,
                        place=place.uri,
                    )
        restored = sum(lineage.restored_run is not None for lineage in self.runs.values())
        if restored:
            yield tr(
                "outputs of {count:,} runs that were restored: they may be another registry's; "
                "give those of yours in places",
                count=restored,
            )

    def _search(self, folder: str) -> None:
        if not is_below(folder, self._searched):
            self._searched.append(folder)
            for place in search(folder):
                self._places.setdefault(plain(place.uri), place)


def _roots_of(lineage: Lineage) -> list[str]:
    """Return where the data and the output lie that a lineage names, as far as we can look."""
    if lineage.output and is_reached(lineage.output):
        return [*lineage.data, lineage.output]
    return lineage.data
