"""Name and tag the models that were trained on erased rows."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from medembed.custody.chain import find_descendants
from medembed.custody.inventory import Place
from medembed.custody.pages import today
from medembed.lineage import DatasetManifest, ExamplesManifest
from medembed.registry.catalog import set_run_tags, set_tags
from medembed.registry.models import Registry, Version
from medembed.tags import Lineage


class Models(NamedTuple):
    """Names of versions that were `trained` on erased rows, now or before, and of others that were
    trained from one of these.
    """

    trained: list[str]
    descendants: list[str]


class Learned:
    """How many erased rows there are of each data set and examples, by the fingerprint by which
    lineages name them; copies count once.
    """

    def __init__(self, touched: Sequence[Place], rows: Mapping[str, int]) -> None:
        self.rows: dict[str, int] = {}
        for place in touched:
            if isinstance(place.manifest, DatasetManifest | ExamplesManifest):
                name = place.manifest.identity
                self.rows[name] = max(self.rows.get(name, 0), rows[place.uri])

    def note(self, lineage: Lineage) -> Lineage | None:
        """Return what a model is to say of its erased rows, once a day; None if nothing."""
        rows = self._count(lineage)
        before = lineage.erased or ""
        if not rows or before.endswith(today()):
            return None
        return Lineage(erased=f"{before}; {rows:,} rows on {today()}".removeprefix("; "))

    def tag(
        self, registry: Registry, versions: Sequence[Version], runs: Mapping[str, Lineage]
    ) -> None:
        """Have versions, and runs whose versions are gone, tell of their erased rows."""
        for version in versions:
            if note := self.note(version.lineage):
                set_tags(registry, version, note)
        registered = {version.run_id for version in versions}
        for run_id, lineage in runs.items():
            if run_id not in registered and (note := self.note(lineage)):
                set_run_tags(registry, run_id, note)

    def find_models(self, versions: Mapping[str, Version], runs: Iterable[Lineage]) -> Models:
        """Find them among {name: version}; `runs` tell of models between that are gone."""
        lineages = [version.lineage for version in versions.values()] + list(runs)
        learned = [lineage for lineage in lineages if lineage.erased or self._count(lineage)]
        encoders = [lineage.encoder for lineage in learned if lineage.encoder]
        heirs = find_descendants(encoders, lineages)
        models = Models([], [])
        for name, version in versions.items():
            if version.lineage in learned:
                models.trained.append(name)
            elif version.lineage.encoder in heirs:
                models.descendants.append(name)
        return models

    def _count(self, lineage: Lineage) -> int:
        sources = (lineage.dataset, lineage.examples)
        return sum(self.rows.get(source.fingerprint, 0) for source in sources if source)
