"""What a registered version, or a run, says of itself; MLflow's tags are its rendering, spelled
nowhere else.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Self

from medembed.lineage import Source

NONE = "none"
# MLflow's filter of runs that made or measured a model
OF_MODELS = "tags.dataset != '' and tags.encoder != ''"
_URI, _VERSION = "_uri", "_version"
_SOURCES = ("dataset", "examples", "parent", "table")


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """Each field is a tag of its name; a source is up to three: fingerprint, _uri and _version.
    None is no tag.

    What the model is: `encoder`, its fingerprint. What it was made from: `dataset`, `examples`,
    `parent`, and `base`, the encoder that mined. `table` is the embedding table of its corpus. How
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
    dataset: Source | None = None
    examples: Source | None = None
    parent: Source | None = None
    base: str | None = None
    table: Source | None = None
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

    @property
    def data(self) -> list[str]:
        """Where data set, examples and table lie, as far as that is known."""
        return [
            one.uri
            for one in (self.dataset, self.examples, self.table)
            if one is not None and one.uri
        ]

    def to_tags(self) -> dict[str, str]:
        """The tags of all that is known."""
        return dict(self._tags())

    def _tags(self) -> Iterator[tuple[str, str]]:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Source):
                parts = {"": value.fingerprint, _URI: value.uri, _VERSION: value.version}
                yield from (
                    (field.name + end, str(part))
                    for end, part in parts.items()
                    if part not in (None, "")
                )
            elif value is not None:
                yield field.name, str(value)

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> Self:
        """What these tags say; others are left out."""
        texts = {
            field.name: tags.get(field.name) for field in fields(cls) if field.name not in _SOURCES
        }
        dataset, examples, parent, table = (_read_source(tags, name) for name in _SOURCES)
        return cls(dataset=dataset, examples=examples, parent=parent, table=table, **texts)


def move(tags: Mapping[str, str], places: Mapping[str, str]) -> dict[str, str]:
    """Tags of a model that was copied: `places` {dataset, examples or table: URI} of what was
    copied with it.

    What was not copied is known by its fingerprint alone: its old place, and the old `output`, are
    another registry's.
    """
    lineage = Lineage.from_tags(tags)
    others = {name: value for name, value in tags.items() if name not in lineage.to_tags()}

    def moved(source: Source | None, name: str) -> Source | None:
        return replace(source, uri=places.get(name)) if source else None

    lineage = replace(
        lineage,
        dataset=moved(lineage.dataset, "dataset"),
        examples=moved(lineage.examples, "examples"),
        table=moved(lineage.table, "table"),
        output=None,
    )
    return others | lineage.to_tags()


def _read_source(tags: Mapping[str, str], name: str) -> Source | None:
    fingerprint, uri, version = tags.get(name), tags.get(name + _URI), tags.get(name + _VERSION, "")
    if fingerprint is None and uri is None:
        return None
    return Source(fingerprint or "", uri, int(version) if version.isdecimal() else None)
