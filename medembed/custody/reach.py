"""Where an erasure looks: in given folders and in all that the registry knows of; and where it
cannot look.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

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
from medembed.lineage import BackupManifest
from medembed.registry.catalog import all_models
from medembed.registry.models import Registry
from medembed.registry.runs import list_artifacts, model_runs
from medembed.tags import Lineage


class Reach:
    """`versions` of all models and `runs` {id: lineage} that made or measured one; `pages` [(run,
    path)] in MLflow.

    `places` may hold rows, `unfinished` are folders of runs that are not over, `backups` those of
    backups.
    """

    def __init__(self, registry: Registry, places: Sequence[str], backups: Sequence[str]) -> None:
        """Raises StorageError for what cannot be read."""
        self.versions, self.runs = all_models(registry), model_runs(registry)
        self.model_name = registry.config.model_name
        files = (
            (run_id, path) for run_id in self.runs for path in list_artifacts(registry, run_id)
        )
        self.pages = [(run_id, path) for run_id, path in files if path.endswith(".html")]
        lineages = [*(version.lineage for version in self.versions), *self.runs.values()]
        outputs = [one.output for one in lineages if one.output and is_reached(one.output)]
        known = [*map(plain, outputs), *_data_of(lineages)]
        self.searched = list(dict.fromkeys(uri.rstrip("/") for uri in (*places, *backups, *known)))
        found = self._search()
        inside = [uri for uri, place in found.items() if isinstance(place.manifest, BackupManifest)]
        self.backups = list(dict.fromkeys([*(uri.rstrip("/") for uri in backups), *inside]))
        self.unfinished = [place.uri for place in found.values() if place.kind == RUN]
        self.places = [
            place for uri, place in found.items() if place.kind != RUN and uri not in inside
        ]

    @property
    def made(self) -> dict[str, Lineage]:
        """{id: lineage} of the runs that made a model, those too whose versions are gone."""
        return {run_id: lineage for run_id, lineage in self.runs.items() if lineage.parent}

    def unsearched(self) -> Iterator[str]:
        """What could not be looked through: places that are gone, those that no tag names, runs
        that are not over.
        """
        named = _data_of(version.lineage for version in self.versions)
        there = {place.uri.rstrip("/") for place in self.places}
        yield from (f"{uri}: is not there any more" for uri in named if uri not in there)
        gone = [uri for uri in self.searched if uri not in named and not storage.exists(uri)]
        if gone:
            more = f" and {len(gone) - 1:,} more" if len(gone) > 1 else ""
            yield f"{gone[0]}{more}, which runs name: not there any more"
        for version in self.versions:
            is_ours = version.name == self.model_name or version.lineage.encoder
            if is_ours and (version.lineage.dataset is None or version.lineage.dataset.uri is None):
                yield f"{name_of(version)}: where its data lies is not recorded; give it in places"
        yield from self._apart()
        yield from (
            f"{uri}: a run that is not finished; finish it, or remove the folder"
            for uri in self.unfinished
        )
        restored = sum(lineage.restored_run is not None for lineage in self.runs.values())
        if restored:
            yield (
                f"outputs of {restored:,} runs that were restored: they may be another registry's; "
                "give those of yours in places"
            )

    def _search(self) -> dict[str, Place]:
        """{URI: place}: in all folders, beside checkpoints, and what the registry's own data was
        made from.
        """
        found: dict[str, Place] = {}

        def note(places: Iterable[Place]) -> None:
            found.update({place.uri.rstrip("/"): place for place in places})

        for folder in self.searched:
            if not is_below(folder, [other for other in self.searched if other != folder]):
                note(search(folder))
        for version in self.versions:
            note(search_beside(version.source))
        own = self._own()
        of_own = [place for uri, place in found.items() if uri in own]
        for uri in chain.from_iterable(place.named for place in of_own):
            if not is_below(uri, self.searched):
                note(search(uri))
                self.searched.append(uri)
        return found

    def _own(self) -> set[str]:
        """Data that this registry's runs made, and not such as came from a backup: its manifests
        name the original.
        """
        restored = [lineage for lineage in self.runs.values() if lineage.restored_run]
        own = [lineage for lineage in self.runs.values() if not lineage.restored_run]
        return set(_data_of(own)).difference(_data_of(restored))

    def _apart(self) -> Iterator[str]:
        """Places that outputs name, and that were not searched."""
        apart: dict[str, str] = {}
        for place in self.places:
            for uri in place.named:
                if not is_below(uri, self.searched):
                    apart.setdefault(uri, place.uri)
        for uri, by in apart.items():
            yield (
                f"{uri}, named by {by}: neither tags nor outputs of runs name it; give it "
                "in places if it is yours"
            )


def _data_of(lineages: Iterable[Lineage]) -> list[str]:
    """Data sets, examples and tables that these name."""
    return list(
        dict.fromkeys(map(plain, chain.from_iterable(lineage.data for lineage in lineages)))
    )
