"""Erase documents and queries from data, tables, examples, reports and backups; name the models
trained on them.
"""

from collections.abc import Sequence

from pydantic import Field

from jobs.session import Summary, is_submitted, run_job
from medembed import storage
from medembed.config import Config, InputUri
from medembed.custody.erase import Eraser, describe
from medembed.custody.erasure_request import Wanted
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
    wanted = Wanted(frozenset(read_ids(job)), frozenset(job.query_ids))
    if not wanted.documents and not wanted.queries:
        raise ConfigError(
            "document_ids: missing; give document_ids=[...], document_ids_file=... or "
            "query_ids=[...]."
        )
    registry = open_registry(job.registry, on_cluster=is_submitted())
    places, backups = (
        [storage.absolute(uri) for uri in uris] for uris in (job.places, job.backups)
    )
    eraser = Eraser(wanted, registry, places, backups)
    found = eraser.report()
    if not job.dry_run:
        eraser.erase()
    verb = "to erase" if job.dry_run else "erased"
    lines = [f"{uri}: {describe(counts)} {verb}" for uri, counts in found.counts.items()]
    lines += [f"not searched: {line}" for line in found.unsearched]
    named = len(wanted.documents | wanted.queries)
    lines.append(
        f"{found.rows:,} rows {verb} in {len(found.counts):,} places, of {found.places:,} "
        f"searched; {found.nowhere:,} of {named:,} ids were found nowhere"
    )
    if found.deleted:
        lines.append(
            f"{'to be ' if job.dry_run else ''}deleted whole, as their jobs make them again: "
            f"{', '.join(found.deleted)}"
        )
    if found.models:
        lines.append(
            f"trained on erased rows, now or before: {', '.join(found.models)}: retrain or "
            "delete them"
        )
    if found.descendants:
        lines.append(
            f"descends from such a model: {', '.join(found.descendants)}: retrain or delete "
            "these too"
        )
    if found.tables:
        lines.append(
            f"of {len(found.tables):,} tables only a new version "
            f"{'will be' if job.dry_run else 'is'} left: servers of them must then be deployed "
            "anew, as they name one that is gone"
        )
    if job.dry_run:
        lines.append("nothing has changed; dry_run=false erases for good")
    return {
        "lines": lines,
        "rows": found.rows,
        "deleted": found.deleted,
        "models": found.models,
        "descendants": found.descendants,
        "nowhere": found.nowhere,
    }


def read_ids(job: EraseJob) -> list[str]:
    """The ids of the config and of its file."""
    if job.document_ids_file is None:
        return [*job.document_ids]
    text = storage.read_bytes(storage.absolute(job.document_ids_file)).decode()
    return [*job.document_ids, *(line.strip() for line in text.splitlines() if line.strip())]


def main(argv: Sequence[str] | None = None) -> None:
    run_job(EraseJob, run, argv, ray="none")


if __name__ == "__main__":
    main()
