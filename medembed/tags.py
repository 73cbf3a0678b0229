"""Say what a registered version, or a run, is and came from, and render that as MLflow's tags."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from medembed.lineage import ROLES, Origin, Source

NONE = "none"
# MLflow's filter of runs that made or measured a model
OF_MODELS = "tags.dataset != '' and tags.encoder != ''"
_URI = "_uri"
_VERSION = "_version"
_SOURCES = tuple(field.name for field in fields(Origin))


@dataclass(frozen=True, kw_only=True)
class Lineage(Origin):
    """Each field is a tag of its name; a source is up to three: fingerprint, _uri and _version.
    None is no tag.

    What the model was made from says its origin, of which `table` is the embedding table of its
    corpus and `teacher` the model whose vectors it learned; `base` is the encoder that mined. What
    it is: `encoder`, its fingerprint, and `int8_encoder`, that of its int8 graph if it has one. How
    it was made: by which `job`, into which folder `output`; by a search of `medembed tune` its
    folder `search` and the `trial`.

    Of a retraining: `attempt` names files and config, `compared_with` the champion's number or
    NONE, `increments` how often in a row it was trained on, `mined_by` an encoder, `decision` the
    gate's, `reason` why it was forced. What came later: since when it was champion, `promoted`;
    what it surely lost on retention sets; what was `erased` of its rows; in a registry that was
    restored the id of the run before, `restored_run`.
    """

    job: str | None = None
    encoder: str | None = None
    int8_encoder: str | None = None
    base: str | None = None
    output: str | None = None
    search: str | None = None
    trial: str | None = None
    evaluation: str | None = None
    attempt: str | None = None
    compared_with: str | None = None
    increments: str | None = None
    mined_by: str | None = None
    decision: str | None = None
    reason: str | None = None
    promoted: str | None = None
    lost_elsewhere: str | None = None
    erased: str | None = None
    restored_run: str | None = None

    def to_tags(self) -> dict[str, str]:
        """Return the tags of all that is known."""
        tags: dict[str, str] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Source):
                tags |= _source_tags(field.name, value)
            elif value is not None:
                tags[field.name] = str(value)
        return tags

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> Self:
        """Read what these tags say; others are left out."""
        values: dict[str, Any] = {}
        for field in fields(cls):
            is_source = field.name in _SOURCES
            values[field.name] = (
                _read_source(tags, field.name) if is_source else tags.get(field.name)
            )
        return cls(**values)


def move(tags: Mapping[str, str], places: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of a model that was copied: `places` {field of an origin: URI} are where what
    was copied with it lies.

    What was not copied is known by its fingerprint alone: its old place, and the old `output`, are
    another registry's.
    """
    lineage = Lineage.from_tags(tags)
    others = {name: value for name, value in tags.items() if name not in lineage.to_tags()}
    moved: dict[str, Any] = {"output": None}
    for role in ROLES:
        source = getattr(lineage, role)
        moved[role] = replace(source, uri=places.get(role)) if source else None
    return others | replace(lineage, **moved).to_tags()


def _source_tags(name: str, source: Source) -> dict[str, str]:
    tags = {name: source.fingerprint} if source.fingerprint else {}
    if source.uri:
        tags[name + _URI] = source.uri
    if source.version is not None:
        tags[name + _VERSION] = str(source.version)
    return tags


def _read_source(tags: Mapping[str, str], name: str) -> Source | None:
    fingerprint = tags.get(name)
    uri = tags.get(name + _URI)
    if fingerprint is None and uri is None:
        return None
    version = tags.get(name + _VERSION, "")
    return Source(fingerprint or "", uri, int(version) if version.isdecimal() else None)
