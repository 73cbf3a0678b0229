"""Name the models that were trained on erased rows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from medembed.artifact import today
from medembed.registry.models import Version
from medembed.tags import Lineage


@dataclass(frozen=True)
class TaughtModels:
    """Names of the versions that were `trained` on erased rows, now or before, and of their
    `descendants`.
    """

    trained: list[str]
    descendants: list[str]


@dataclass(frozen=True)
class Learned:
    """How many erased `rows` each output has that lineages name, by fingerprint."""

    rows: Mapping[str, int]

    def note(self, lineage: Lineage) -> Lineage | None:
        """Return what a model is to say of its erased rows, once a day; None if nothing."""
        rows = self._count(lineage)
        before = lineage.erased or ""
        if not rows or before.endswith(today()):
            return None
        return Lineage(erased=f"{before}; {rows:,} rows on {today()}".removeprefix("; "))

    def find_models(self, versions: Mapping[str, Version], runs: Iterable[Lineage]) -> TaughtModels:
        """Name those of {name: version} that erased rows have taught; `runs` tell of models between
        that are gone.
        """
        lineages = list(runs)
        trained: list[str] = []
        for name, version in versions.items():
            lineages.append(version.lineage)
            if self._is_taught(version.lineage):
                trained.append(name)
        encoders = {lineage.encoder for lineage in filter(self._is_taught, lineages)}
        family = find_family(filter(None, encoders), lineages)
        descendants: list[str] = []
        for name, version in versions.items():
            if version.lineage.encoder in family and name not in trained:
                descendants.append(name)
        return TaughtModels(trained, descendants)

    def _is_taught(self, lineage: Lineage) -> bool:
        return bool(lineage.erased or self._count(lineage))

    def _count(self, lineage: Lineage) -> int:
        rows = 0
        # not those of a table, which no model is trained on
        for source in (lineage.dataset, lineage.examples):
            if source:
                rows += self.rows.get(source.fingerprint, 0)
        return rows


def find_family(encoders: Iterable[str], lineages: Sequence[Lineage]) -> set[str]:
    """Return these encoders, and those that were trained from them or taught by them, in any number
    of steps.
    """
    family = set(encoders)
    size = 0
    while size < len(family):
        size = len(family)
        for lineage in lineages:
            models = {model.fingerprint for model in (lineage.parent, lineage.teacher) if model}
            if lineage.encoder and models & family:
                family.add(lineage.encoder)
    return family
