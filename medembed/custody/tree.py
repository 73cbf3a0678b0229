"""A chain of models as lines for people: newest first, each model above the one that it was trained from."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from medembed.custody.chain import Link
from medembed.custody.places import NONE, known_manifest, known_table
from medembed.data.dataset import KIND as DATASET
from medembed.data.dataset import format_counts
from medembed.mining.examples import KIND as EXAMPLES
from medembed.privacy import without_passwords

_UNKNOWN, _GONE = "not recorded", "not there any more, or out of reach from here"
_GROWN_SHOWN = 5


def draw(links: Sequence[Link], *, is_cut: bool = False) -> Iterator[str]:
    """A block of lines for each model; `is_cut`: the chain goes on beyond the last."""
    for number, link in enumerate(links):
        named = f" ({', '.join(link.aliases)})" if link.aliases else ""
        registered = "" if link.version else ", not registered"
        yield without_passwords(f"{'trained from ' if number else ''}{link.name}{named}{registered}")
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
    tags = link.version.tags if link.version else {}
    made = f", made by {tags['kind']}" if "kind" in tags else ""
    yield "run", (f"MLflow {link.version.run_id}" if link.version and link.version.run_id else _UNKNOWN) + made
    yield "examples", _describe_examples(link)
    yield from _dataset_lines(link)
    if "erased" in tags:
        yield "erased", f"{tags['erased']} that it was trained on; retrain or delete it"


def _describe_checkpoint(link: Link) -> str:
    parts = [f"{link.source}: encoder {link.encoder or _UNKNOWN}"]
    if link.manifest:
        parts.append(f"dimensions {', '.join(map(str, link.manifest.get('dimensions', ())))}")
    dev = link.manifest.get("dev", {})
    if "score" in dev:
        parts.append(f"dev score {dev['score']:.4f} at step {int(dev['step'])}")
    return "; ".join(parts)


def _dataset_lines(link: Link) -> Iterator[tuple[str, str]]:
    """The data set, and below it those that it grew from."""
    uri, name = link.places.dataset, "data set"
    fingerprint = _tag(link, "dataset") or link.manifest.get("dataset")
    for _ in range(_GROWN_SHOWN):
        manifest = known_manifest(uri, DATASET)
        yield name, _describe_dataset(uri, fingerprint, manifest)
        previous = (manifest or {}).get("previous")
        if not previous:
            return
        uri, fingerprint, name = previous["uri"], previous["fingerprint"], "  grown from"
    yield "", "... and older ones"


def _describe_dataset(uri: str | None, fingerprint: str | None, manifest: Mapping[str, Any] | None) -> str:
    line = f"{uri or 'place ' + _UNKNOWN}: {fingerprint or 'fingerprint ' + _UNKNOWN}"
    if manifest is None:
        return f"{line}, {_GONE}" if uri else line
    line += f", {format_counts(manifest['counts'])}"
    if manifest["fingerprint"] != fingerprint:
        line += f"; another data set lies there now, {manifest['fingerprint']}"
    if manifest.get("taken"):
        line += f"; {len(manifest['taken']):,} landed files taken"
    if manifest.get("erased"):
        line += f"; {manifest['erased']['rows']:,} rows erased, last on {manifest['erased']['date']}"
    return line


def _describe_examples(link: Link) -> str:
    uri = link.places.examples
    key = _tag(link, "examples") or link.manifest.get("examples") or (NONE if link.manifest else None)
    if key == NONE:
        return "none; its loss reads the data set alone"
    line = f"{uri or 'place ' + _UNKNOWN}: {key or _UNKNOWN}"
    manifest = known_manifest(uri, EXAMPLES)
    if manifest is None:
        return f"{line}, {_GONE}" if uri else line
    table = manifest.get("table")
    mined = f"; mined from {table['uri']} version {table['version']}" if table else ""
    return f"{line}, {format_counts(manifest['counts'])}{mined}"


def _describe_table(link: Link) -> str:
    places = link.places
    if places.table is None:
        return _UNKNOWN
    line = f"{places.table} version {places.table_version if places.table_version is not None else _UNKNOWN}"
    table = known_table(places.table, places.table_version)
    return f"{line}: {table.rows:,} rows" if table else f"{line}: {_GONE}"


def _tag(link: Link, name: str) -> str | None:
    return link.version.tags.get(name) if link.version else None
