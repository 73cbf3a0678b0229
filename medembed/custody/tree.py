"""Show a chain of models as lines for people: newest first, each above the one that it was trained
from.
"""

from collections.abc import Iterable, Iterator, Sequence

from medembed.custody.chain import Chains, Link
from medembed.custody.find import find
from medembed.custody.places import known
from medembed.data.dataset import format_counts
from medembed.language import to_translate, tr
from medembed.lineage import KINDS, CheckpointManifest, DatasetManifest, Manifest, Source
from medembed.privacy import without_passwords
from medembed.registry.models import Registry

_UNKNOWN = to_translate("not recorded")
_WIDTH = 11  # of the column of names, where no name is longer


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
        head = f"{link.name} ({', '.join(link.aliases)})" if link.aliases else link.name
        if link.version is None:
            head = tr("{name}, not registered", name=head)
        if number:
            head = tr("trained from {name}", name=head)
        yield without_passwords(head)
        facts = [(tr(name), value) for name, value in _facts(link)]
        width = max(_WIDTH, *(len(name) for name, _ in facts))
        for name, value in facts:
            yield without_passwords(f"  {name:<{width}} {value}")


def _facts(link: Link) -> Iterator[tuple[str, str]]:
    """Yield (name, value), the newest part first."""
    if link.version is None and not link.manifest:
        yield to_translate("encoder"), link.encoder or tr(_UNKNOWN)
        return
    lineage = link.lineage
    checkpoint = Source(link.encoder or "", link.source)
    sources = {CheckpointManifest.role: checkpoint, **lineage.sources}
    for kind in KINDS:
        source = sources.get(kind.role or "")
        if source is not None:
            yield kind.kind, _describe(kind, source, lineage.data)
        elif kind.role is not None:
            yield kind.kind, tr("none") if lineage.sources else tr(_UNKNOWN)
        if kind is CheckpointManifest:
            run = link.version.run_id if link.version else None
            facts = [f"MLflow {run}"] if run else [tr(_UNKNOWN)]
            if run and lineage.job:
                facts.append(tr("made by {job}", job=lineage.job))
            yield to_translate("run"), ", ".join(facts)
            if lineage.teacher:
                yield to_translate("teacher"), _name_teacher(lineage.teacher)
    if lineage.erased:
        erased = tr("{rows} that it was trained on; retrain or delete it", rows=lineage.erased)
        yield to_translate("erased"), erased


def _name_teacher(teacher: Source) -> str:
    place = teacher.uri or tr("place not recorded")
    return tr("{uri}: {facts}", uri=place, facts=teacher.fingerprint)


def _describe(kind: type[Manifest], source: Source, own: Sequence[str]) -> str:
    """Say where an output lies, what is in it, and what it was made from beside the model's own."""
    manifest = known(source, kind)
    version = f" version {source.version}" if source.version is not None else ""
    place = f"{source.uri}{version}" if source.uri else tr("place not recorded")
    facts = [source.fingerprint or tr(_UNKNOWN)]
    if manifest is not None and manifest.counts:
        facts.append(format_counts(manifest.counts))
    elif manifest is None and source.uri:
        facts.append(tr("nothing there that MedEmbed made, or out of reach from here"))
    notes = [tr("{uri}: {facts}", uri=place, facts=", ".join(facts))]
    if manifest is not None:
        notes += _notes(manifest)
        if source.fingerprint not in ("", manifest.identity):
            notes.append(tr("another lies there now, {name}", name=manifest.identity))
        parents = [uri for uri in manifest.origin.data if uri not in own]
        if parents:
            notes.append(tr("made from {places}", places=", ".join(parents)))
    return tr("; ").join(notes)


def _notes(manifest: Manifest) -> Iterator[str]:
    """Yield what a manifest says beside its counts."""
    if isinstance(manifest, DatasetManifest) and manifest.taken:
        yield tr("{count:,} landed files taken", count=len(manifest.taken))
    if isinstance(manifest, DatasetManifest) and manifest.erased:
        rows = manifest.erased.rows
        yield tr("{rows:,} rows erased, last on {date}", rows=rows, date=manifest.erased.date)
    if isinstance(manifest, CheckpointManifest):
        yield tr("dimensions {dimensions}", dimensions=", ".join(map(str, manifest.dimensions)))
        if manifest.dev:
            score = manifest.score
            yield tr("dev score {score:.4f} at step {step}", score=score, step=manifest.step)
