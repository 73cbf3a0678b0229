"""Show a chain of models as lines for people: newest first, each above the one that it was trained
from.
"""

from collections.abc import Iterator, Sequence

from medembed.custody.chain import Link
from medembed.custody.places import known, plain
from medembed.data.dataset import format_counts
from medembed.lineage import KINDS, CheckpointManifest, Manifest, Source
from medembed.privacy import without_passwords

_UNKNOWN = "not recorded"
_GONE = "nothing there that MedEmbed made, or out of reach from here"
_DEEPEST = 5  # outputs that were made from one another, as data sets that grew


def draw(links: Sequence[Link]) -> Iterator[str]:
    """Yield a block of lines for each model."""
    for number, link in enumerate(links):
        aliases = f" ({', '.join(link.aliases)})" if link.aliases else ""
        registered = "" if link.version else ", not registered"
        head = f"{'trained from ' if number else ''}{link.name}{aliases}{registered}"
        yield without_passwords(head)
        for name, value in _facts(link):
            yield without_passwords(f"  {name:<11} {value}")


def _facts(link: Link) -> Iterator[tuple[str, str]]:
    """Yield (name, value), the newest part first."""
    if link.version is None and not link.manifest:
        yield "encoder", link.encoder or _UNKNOWN
        return
    lineage = link.lineage
    checkpoint = Source(link.encoder or "", link.source)
    sources = {CheckpointManifest.role: checkpoint, **lineage.sources}
    shown = {plain(source.uri) for source in sources.values() if source.uri}
    for kind in KINDS:
        source = sources.get(kind.role)
        if source is not None:
            yield from _describe(kind, source, shown)
        elif kind.role is not None:
            yield kind.kind, "none" if lineage.sources else _UNKNOWN
        if kind is CheckpointManifest:
            run = link.version.run_id if link.version else None
            made_by = f", made by {lineage.job}" if lineage.job else ""
            yield "run", f"MLflow {run}{made_by}" if run else _UNKNOWN
    if lineage.erased:
        yield "erased", f"{lineage.erased} that it was trained on; retrain or delete it"


def _describe(
    kind: type[Manifest], source: Source, shown: set[str], depth: int = 0
) -> Iterator[tuple[str, str]]:
    """Yield an output, and below it what else it was made from that is not `shown` yet."""
    manifest = known(source, kind)
    version = f" version {source.version}" if source.version is not None else ""
    place = f"{source.uri}{version}" if source.uri else f"place {_UNKNOWN}"
    line = f"{place}: {source.fingerprint or _UNKNOWN}"
    name = f"{'  ' * depth}from {kind.kind}" if depth else kind.kind
    if manifest is None:
        yield name, f"{line}, {_GONE}" if source.uri else line
        return
    if manifest.counts:
        line += f", {format_counts(manifest.counts)}"
    notes = list(manifest.notes)
    if source.fingerprint not in ("", manifest.identity):
        notes.append(f"another lies there now, {manifest.identity}")
    yield name, "; ".join([line, *notes])
    if depth == _DEEPEST:
        yield "", "... and older ones"
        return
    for parent_kind in KINDS:
        parent = manifest.origin.sources.get(parent_kind.role or "")
        if parent is not None and parent.uri and plain(parent.uri) not in shown:
            shown.add(plain(parent.uri))
            yield from _describe(parent_kind, parent, shown, depth + 1)
