"""Show a chain of models as lines for people: newest first, each above the one that it was trained
from.
"""

from collections.abc import Iterator, Sequence

from medembed.custody.chain import Link
from medembed.custody.inventory import known_manifest, known_table
from medembed.data.dataset import format_counts
from medembed.lineage import DatasetManifest, ExamplesManifest, Source
from medembed.privacy import without_passwords

_UNKNOWN = "not recorded"
_GONE = "not there any more, or out of reach from here"
_GROWN_SHOWN = 5


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
    yield "table", _describe_table(lineage.table)
    yield "checkpoint", _describe_checkpoint(link)
    run = f"MLflow {link.version.run_id}" if link.version and link.version.run_id else _UNKNOWN
    yield "run", f"{run}, made by {lineage.job}" if lineage.job else run
    yield "examples", _describe_examples(link)
    yield from _dataset_lines(lineage.dataset)
    if lineage.erased:
        yield "erased", f"{lineage.erased} that it was trained on; retrain or delete it"


def _describe_checkpoint(link: Link) -> str:
    parts = [f"{link.source}: encoder {link.encoder or _UNKNOWN}"]
    if link.manifest is not None:
        parts.append(f"dimensions {', '.join(map(str, link.manifest.dimensions))}")
        if link.manifest.dev:
            parts.append(f"dev score {link.manifest.score:.4f} at step {link.manifest.step}")
    return "; ".join(parts)


def _dataset_lines(dataset: Source | None) -> Iterator[tuple[str, str]]:
    """Yield the data set, and below it those that it grew from."""
    name = "data set"
    for _ in range(_GROWN_SHOWN):
        manifest = known_manifest(dataset.uri if dataset else None, DatasetManifest)
        yield name, _describe_dataset(dataset, manifest)
        if manifest is None or manifest.origin.dataset is None:
            return
        dataset = manifest.origin.dataset
        name = "  grown from"
    yield "", "... and older ones"


def _describe_dataset(dataset: Source | None, manifest: DatasetManifest | None) -> str:
    if dataset is None:
        return f"place {_UNKNOWN}: fingerprint {_UNKNOWN}"
    line = _name(dataset)
    if manifest is None:
        return f"{line}, {_GONE}" if dataset.uri else line
    line += f", {format_counts(manifest.counts)}"
    if manifest.fingerprint != dataset.fingerprint:
        line += f"; another data set lies there now, {manifest.fingerprint}"
    if manifest.taken:
        line += f"; {len(manifest.taken):,} landed files taken"
    if manifest.erased:
        line += f"; {manifest.erased.rows:,} rows erased, last on {manifest.erased.date}"
    return line


def _describe_examples(link: Link) -> str:
    examples = link.lineage.examples
    if examples is None and (link.manifest or link.lineage.dataset):
        return "none; its loss reads the data set alone"
    if examples is None:
        return f"place {_UNKNOWN}: {_UNKNOWN}"
    manifest = known_manifest(examples.uri, ExamplesManifest)
    line = _name(examples)
    if manifest is None:
        return f"{line}, {_GONE}" if examples.uri else line
    table = manifest.origin.table
    mined = f"; mined from {table.uri} version {table.version}" if table else ""
    return f"{line}, {format_counts(manifest.counts)}{mined}"


def _describe_table(named: Source | None) -> str:
    if named is None:
        return _UNKNOWN
    line = f"{named.uri} version {named.version if named.version is not None else _UNKNOWN}"
    table = known_table(named)
    return f"{line}: {table.rows:,} rows" if table else f"{line}: {_GONE}"


def _name(source: Source) -> str:
    """Return where something lies, and its fingerprint."""
    return f"{source.uri or 'place ' + _UNKNOWN}: {source.fingerprint or 'fingerprint ' + _UNKNOWN}"
