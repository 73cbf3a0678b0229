"""Erase documents and queries from data, tables, examples, reports and backups; name the models
trained on them.
"""

from collections.abc import Iterator, Sequence

from pydantic import Field

from jobs.session import Summary, is_submitted, run_job
from medembed import storage
from medembed.config import Config, InputUri
from medembed.custody.erase import Eraser
from medembed.custody.erasure_request import ErasureRequest
from medembed.data.dataset import format_counts
from medembed.errors import ConfigError
from medembed.registry.config import RegistryConfig
from medembed.registry.models import open_registry


class EraseJob(Config):
    """Config of `medembed erase`; interrupted, the same command goes on."""

    document_ids: tuple[str, ...] = Field(
        default=(),
        description="documents to erase, all chunks of each; quote an id that has a comma or #",
    )
    document_ids_file: InputUri | None = Field(
        default=None, description="the same from a file, one id a line"
    )
    query_ids: tuple[str, ...] = Field(
        default=(),
        description="queries to erase; those that lose their last positive go by themselves",
    )
    places: tuple[InputUri, ...] = Field(
        default=(),
        description="folders to search for all that holds rows, beside what registered versions "
        "and their runs name, and the outputs of those runs",
    )
    backups: tuple[InputUri, ...] = Field(
        default=(), description="folders made by `medembed backup` to erase from too"
    )
    dry_run: bool = Field(default=True, description="only count; false erases, for good")
    registry: RegistryConfig = RegistryConfig()


def run(job: EraseJob) -> Summary:
    request = ErasureRequest(frozenset(read_ids(job)), frozenset(job.query_ids))
    if not request.documents and not request.queries:
        raise ConfigError(
            "document_ids: missing; give document_ids=[...], document_ids_file=... or "
            "query_ids=[...]."
        )
    registry = open_registry(job.registry, on_cluster=is_submitted())
    places = [storage.absolute(uri) for uri in job.places]
    backups = [storage.absolute(uri) for uri in job.backups]
    eraser = Eraser(request, registry, places, backups)
    if not job.dry_run:
        eraser.erase()
    ids = len(request.documents | request.queries)
    return {
        "lines": list(describe_erasure(eraser, ids, is_dry=job.dry_run)),
        "rows": eraser.rows,
        "deleted": eraser.deleted,
        "models": eraser.trained,
        "descendants": eraser.descendants,
        "nowhere": eraser.nowhere,
    }


def describe_erasure(eraser: Eraser, ids: int, *, is_dry: bool) -> Iterator[str]:
    """Yield lines on what goes, or went, from where, and on what it means for models and
    servers.
    """
    verb = "to erase" if is_dry else "erased"
    for uri, counts in eraser.counts.items():
        yield f"{uri}: {format_counts(counts)} {verb}"
    for line in eraser.unsearched:
        yield f"not searched: {line}"
    yield (
        f"{eraser.rows:,} rows {verb} in {len(eraser.counts):,} places, of "
        f"{len(eraser.reach.places):,} searched; {eraser.nowhere:,} of {ids:,} ids were found "
        "nowhere"
    )
    if eraser.deleted:
        deleted = "to be deleted" if is_dry else "deleted"
        yield f"{deleted} whole, as their jobs make them again: {', '.join(eraser.deleted)}"
    if eraser.trained:
        yield (
            f"trained on erased rows, now or before: {', '.join(eraser.trained)}: retrain or "
            "delete them"
        )
    if eraser.descendants:
        yield (
            f"descends from such a model: {', '.join(eraser.descendants)}: retrain or delete "
            "these too"
        )
    if eraser.tables:
        yield (
            f"of {len(eraser.tables):,} tables only a new version "
            f"{'will be' if is_dry else 'is'} left: servers of them must then be deployed "
            "anew, as they name one that is gone"
        )
    if is_dry:
        yield "nothing has changed; dry_run=false erases for good"


def read_ids(job: EraseJob) -> list[str]:
    """Return the ids of the config and of its file."""
    if job.document_ids_file is None:
        return [*job.document_ids]
    text = storage.read_bytes(storage.absolute(job.document_ids_file)).decode()
    return [*job.document_ids, *(line.strip() for line in text.splitlines() if line.strip())]


def main(argv: Sequence[str] | None = None) -> None:
    run_job(EraseJob, run, argv, ray="none")


if __name__ == "__main__":
    main()
