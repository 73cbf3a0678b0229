"""Find what the registry remembers of retrainings: files, their outcome, and what was mined."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from medembed.encoding.table import Table
from medembed.errors import MedEmbedError
from medembed.finetuning.champion import Champion
from medembed.finetuning.incoming import Incoming
from medembed.finetuning.retrain_config import RetrainConfig
from medembed.mining.examples import Examples, open_examples
from medembed.mining.previous_search import describe_search
from medembed.registry.catalog import find_versions
from medembed.registry.champion import PREVIOUS, REFUSED
from medembed.registry.models import Registry, Version
from medembed.registry.runs import find_artifact
from medembed.schema import fingerprint
from medembed.tags import NONE, Lineage

KIND = "retrain"
FILES = "files.json"
# What changes no result, or only whether one is put in place.
_NO_MATTER: Any = {
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
    def of(cls, config: RetrainConfig, champion: Champion, incoming: Incoming) -> "Attempt":
        known = champion.dataset.fingerprint if champion.dataset else None
        files = sorted(file.content for file in incoming.new)
        settings = config.model_dump(
            mode="json", include=set(RetrainConfig.model_fields), exclude=_NO_MATTER
        )
        key = fingerprint([champion.encoder, known, files, settings])
        return cls(key, champion.number or NONE)


def find_earlier(registry: Registry, attempt: Attempt) -> Version | None:
    """Return the version of the same attempt, if it was refused, or promoted and replaced since.

    Then somebody rolled it back.
    """
    previous = registry.aliases(registry.config.model_name).get(PREVIOUS)
    for version in find_versions(registry, Lineage(job=KIND, attempt=attempt.key)):
        lineage = version.lineage
        if lineage.decision in REFUSED or lineage.promoted or version.version == previous:
            return version
    return None


def find_worse(registry: Registry) -> Iterator[str]:
    """Yield the ids of the runs of surely worse candidates; their versions may be pruned."""
    return registry.find_runs(Lineage(job=KIND, decision="worse").to_tags())


def set_aside(registry: Registry) -> set[str]:
    """Return the content hashes of files that a surely worse candidate was trained on."""
    aside: set[str] = set()
    for run_id in find_worse(registry):
        aside |= set(json.loads(find_artifact(registry, run_id, FILES) or "[]"))
    return aside


def find_mined(registry: Registry, table: Table, config: RetrainConfig) -> str | None:
    """Return the newest examples that were mined from this table with the same model.

    Mining reads the search that they remember instead of searching anew.
    """
    searched = describe_search(table, config.mining.dimensions or table.info.width)
    for version in find_versions(registry, Lineage(job=KIND, mined_by=table.info.encoder)):
        examples = _open_mined(version)
        if examples is None or examples.manifest.searched != searched:
            continue
        source = examples.manifest.origin.table
        if source is not None and source.uri == table.uri:
            return examples.uri
    return None


def _open_mined(version: Version) -> Examples | None:
    """Return the examples that a version was trained on; None if they were removed since."""
    mined = version.lineage.examples
    try:
        return open_examples(mined.uri) if mined and mined.uri else None
    except MedEmbedError:
        return None
