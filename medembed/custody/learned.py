"""Name the models that were trained on erased rows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from medembed.artifact import today
from medembed.registry.models import Version
from medembed.tags import Lineage


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

    def find_models(
        self, versions: Mapping[str, Version], runs: Iterable[Lineage]
    ) -> tuple[list[str], list[str]]:
        """Return the names of those of {name: version} that were trained on erased rows, now or
        before, and of those trained from one of them; `runs` tell of models between that are gone.
        """
        lineages = [version.lineage for version in versions.values()] + list(runs)
        learned = [lineage for lineage in lineages if lineage.erased or self._count(lineage)]
        family = find_family((each.encoder for each in learned if each.encoder), lineages)
        trained = [name for name, version in versions.items() if version.lineage in learned]
        descendants = [
            name
            for name, version in versions.items()
            if version.lineage.encoder in family and name not in trained
        ]
        return trained, descendants

    def _count(self, lineage: Lineage) -> int:
        # not those of a table, which no model is trained on
        sources = (lineage.dataset, lineage.examples)
        return sum(self.rows.get(source.fingerprint, 0) for source in sources if source)


def find_family(encoders: Iterable[str], lineages: Sequence[Lineage]) -> set[str]:
    """Return these encoders, and those that were trained from them, in any number of steps."""
    family = set(encoders)
    while True:
        children = {
            lineage.encoder
            for lineage in lineages
            if lineage.encoder and lineage.parent and lineage.parent.fingerprint in family
        }
        if children <= family:
            return family
        family |= children
