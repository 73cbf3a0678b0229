"""Show a chain of models as lines for people: newest first, each above the one that it was trained
from.
"""

from collections.abc import Iterable, Iterator, Sequence

from medembed.custody.chain import Chains, Link
from medembed.custody.find import find
from medembed.custody.places import known
from medembed.data.dataset import format_counts
from medembed.lineage import KINDS, CheckpointManifest, Manifest, Source
from medembed.privacy import without_passwords
from medembed.registry.models import Registry

_UNKNOWN = "not recorded"
_GONE = "nothing there that MedEmbed made, or out of reach from here"


def describe_lineage(of: str, registry: Registry) -> list[str]:
    """Return lines on all that lies behind a reference, as `find` takes it."""
    origins = find(of, registry)
    lines = list(origins.lines)
    for link in origins.links:
        name = link.version.name if link.version else registry.config.model_name
        lines += ["", *draw(Chains(registry, name).trace(link))]
    return lines if origins.lines else lines[1:]


def draw(links: Iterable[Link]) -> Iterator[str]:
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
    for kind in KINDS:
        source = sources.get(kind.role or "")
        if source is not None:
            yield kind.kind, _describe(kind, source, lineage.data)
        elif kind.role is not None:
            yield kind.kind, "none" if lineage.sources else _UNKNOWN
        if kind is CheckpointManifest:
            run = link.version.run_id if link.version else None
            made_by = f", made by {lineage.job}" if lineage.job else ""
            yield "run", f"MLflow {run}{made_by}" if run else _UNKNOWN
    if lineage.erased:
        yield "erased", f"{lineage.erased} that it was trained on; retrain or delete it"


def _describe(kind: type[Manifest], source: Source, own: Sequence[str]) -> str:
    """Say where an output lies, what is in it, and what it was made from beside the model's own."""
    manifest = known(source, kind)
    version = f" version {source.version}" if source.version is not None else ""
    place = f"{source.uri}{version}" if source.uri else f"place {_UNKNOWN}"
    line = f"{place}: {source.fingerprint or _UNKNOWN}"
    if manifest is None:
        return f"{line}, {_GONE}" if source.uri else line
    if manifest.counts:
        line += f", {format_counts(manifest.counts)}"
    notes = [line, *manifest.notes]
    if source.fingerprint not in ("", manifest.identity):
        notes.append(f"another lies there now, {manifest.identity}")
    parents = [uri for uri in manifest.origin.data if uri not in own]
    if parents:
        notes.append(f"made from {', '.join(parents)}")
    return "; ".join(notes)
