"""A chain of models as lines for people: newest first, each model above the one that it was trained
from.
"""

from collections.abc import Iterator, Sequence

from medembed.custody.chain import Link
from medembed.custody.inventory import known_manifest, known_table
from medembed.data.dataset import format_counts
from medembed.lineage import DatasetManifest, ExamplesManifest, Source
from medembed.privacy import without_passwords

_UNKNOWN, _GONE = "not recorded", "not there any more, or out of reach from here"
_GROWN_SHOWN = 5


def draw(links: Sequence[Link], *, is_cut: bool = False) -> Iterator[str]:
    """A block of lines for each model; `is_cut`: the chain goes on beyond the last."""
    for number, link in enumerate(links):
        named = f" ({', '.join(link.aliases)})" if link.aliases else ""
        registered = "" if link.version else ", not registered"
        yield without_passwords(
            f"{'trained from ' if number else ''}{link.name}{named}{registered}"
        )
        for name, value in _facts(link):
            yield without_passwords(f"  {name:<11} {value}")
    if is_cut:
        yield "... and what that was trained from; raise depth to see it"


def _facts(link: Link) -> Iterator[tuple[str, str]]:
    """(name, value), the newest part first."""
    if link.version is None and not link.manifest:
        yield "encoder", link.encoder or _UNKNOWN
        return
    yield "table", _describe_table(link)
    yield "checkpoint", _describe_checkpoint(link)
    made = f", made by {link.lineage.job}" if link.lineage.job else ""
    yield (
        "run",
        (f"MLflow {link.version.run_id}" if link.version and link.version.run_id else _UNKNOWN)
        + made,
    )
    yield "examples", _describe_examples(link)
    yield from _dataset_lines(link)
    if link.lineage.erased:
        yield "erased", f"{link.lineage.erased} that it was trained on; retrain or delete it"


def _describe_checkpoint(link: Link) -> str:
    parts = [f"{link.source}: encoder {link.encoder or _UNKNOWN}"]
    if link.manifest is not None:
        parts.append(f"dimensions {', '.join(map(str, link.manifest.dimensions))}")
        if link.manifest.dev:
            parts.append(f"dev score {link.manifest.score:.4f} at step {link.manifest.step}")
    return "; ".join(parts)


def _dataset_lines(link: Link) -> Iterator[tuple[str, str]]:
    """The data set, and below it those that it grew from."""
    dataset, name = link.lineage.dataset, "data set"
    for _ in range(_GROWN_SHOWN):
        manifest = known_manifest(dataset.uri if dataset else None, DatasetManifest)
        yield name, _describe_dataset(dataset, manifest)
        dataset, name = manifest.origin.dataset if manifest else None, "  grown from"
        if dataset is None:
            return
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
    if examples is None:
        is_made_here = link.manifest is not None or link.lineage.dataset is not None
        return (
            "none; its loss reads the data set alone"
            if is_made_here
            else f"place {_UNKNOWN}: {_UNKNOWN}"
        )
    manifest = known_manifest(examples.uri, ExamplesManifest)
    line = _name(examples)
    if manifest is None:
        return f"{line}, {_GONE}" if examples.uri else line
    table = manifest.origin.table
    mined = f"; mined from {table.uri} version {table.version}" if table else ""
    return f"{line}, {format_counts(manifest.counts)}{mined}"


def _describe_table(link: Link) -> str:
    named = link.lineage.table
    if named is None:
        return _UNKNOWN
    line = f"{named.uri} version {named.version if named.version is not None else _UNKNOWN}"
    table = known_table(named)
    return f"{line}: {table.rows:,} rows" if table else f"{line}: {_GONE}"


def _name(source: Source) -> str:
    """Where something lies, and its fingerprint."""
    return f"{source.uri or 'place ' + _UNKNOWN}: {source.fingerprint or 'fingerprint ' + _UNKNOWN}"
