"""What the registry remembers of retrainings: which files were tried with which outcome, and what
was mined.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from medembed.encoding.table import Table
from medembed.errors import MedEmbedError
from medembed.mining.examples import open_examples
from medembed.mining.previous_search import describe_search
from medembed.registry.catalog import find_versions
from medembed.registry.champion import PREVIOUS, REFUSED
from medembed.registry.models import Registry, Version
from medembed.registry.runs import find_artifact
from medembed.retraining.champion import Champion
from medembed.retraining.config import RetrainConfig
from medembed.retraining.landing import Landing
from medembed.schema import fingerprint
from medembed.tags import NONE, Lineage

KIND = "retrain"
CANDIDATE = "candidate"  # alias of the newest one that has passed
PASSED = ("better", "forced")
FILES = "files.json"
# What changes no result, or only whether one is put in place.
_PLACES: Any = {
    "output": True,
    "promote": True,
    "settle_s": True,
    "retake": True,
    "registry": True,
    "encoding": True,
    "source": {"path"},
    "gate": {"force", "reason"},
}


@dataclass(frozen=True)
class Attempt:
    """These files on top of this champion with this config."""

    key: str
    compared_with: str

    @classmethod
    def of(cls, config: RetrainConfig, champion: Champion, landing: Landing) -> "Attempt":
        known = champion.dataset.fingerprint if champion.dataset else None
        files = sorted(file.content for file in landing.new)
        settings = config.model_dump(
            mode="json", include=set(RetrainConfig.model_fields), exclude=_PLACES
        )
        key = fingerprint([champion.encoder, known, files, settings])
        return cls(key, champion.number or NONE)


def find_earlier(registry: Registry, attempt: Attempt) -> Version | None:
    """The version of the same attempt, if it was refused, or promoted and replaced since: somebody
    rolled it back.
    """
    previous = registry.aliases(registry.config.model_name).get(PREVIOUS)
    for version in find_versions(registry, Lineage(job=KIND, attempt=attempt.key)):
        lineage = version.lineage
        if lineage.decision in REFUSED or lineage.promoted or version.version == previous:
            return version
    return None


def find_worse(registry: Registry) -> Iterator[str]:
    """Ids of the runs of surely worse candidates; their versions may have been pruned."""
    return registry.find_runs(Lineage(job=KIND, decision="worse").to_tags())


def set_aside(registry: Registry) -> set[str]:
    """Content hashes of files that a surely worse candidate was trained on."""
    aside: set[str] = set()
    for run_id in find_worse(registry):
        listed = find_artifact(registry, run_id, FILES)
        aside |= set(json.loads(listed)) if listed else set()
    return aside


def find_mined(registry: Registry, table: Table, config: RetrainConfig) -> str | None:
    """The newest examples that were mined from this table with the same model, whose search can be
    remembered.
    """
    searched = describe_search(table, config.mining.dimensions or table.info.width)
    for version in find_versions(registry, Lineage(job=KIND, mined_by=table.info.encoder)):
        mined = version.lineage.examples
        try:
            examples = open_examples(mined.uri) if mined and mined.uri else None
        except MedEmbedError:
            examples = None  # removed meanwhile: all is searched anew
        if examples is None:
            continue
        mined_from = examples.manifest.origin.table
        if (
            examples.manifest.searched == searched
            and mined_from is not None
            and mined_from.uri == table.uri
        ):
            return examples.uri
    return None
