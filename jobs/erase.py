"""Erase documents and queries from data, tables, examples, reports and backups; name the models
trained on them.
"""

from collections.abc import Sequence

from pydantic import Field

from jobs.language import JobConfig
from jobs.session import Summary, is_submitted, run_job
from medembed import storage
from medembed.config import InputUri
from medembed.custody.erase import Eraser
from medembed.custody.erasure_request import ErasureRequest
from medembed.custody.screen import describe_erasure
from medembed.errors import ConfigError
from medembed.registry.config import RegistryConfig
from medembed.registry.models import open_registry


class EraseJob(JobConfig):
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
    if not request.ids:
        raise ConfigError(
            "document_ids: missing; give document_ids=[...], document_ids_file=... or "
            "query_ids=[...]."
        )
    registry = open_registry(job.registry, on_cluster=is_submitted())
    places = list(map(storage.absolute, job.places))
    backups = list(map(storage.absolute, job.backups))
    eraser = Eraser(request, registry, places, backups)
    if not job.dry_run:
        eraser.erase()
    return {
        "lines": list(describe_erasure(eraser, is_dry=job.dry_run)),
        "rows": eraser.rows,
        "deleted": eraser.deleted,
        "models": eraser.models.trained,
        "descendants": eraser.models.descendants,
        "nowhere": eraser.nowhere,
    }


def read_ids(job: EraseJob) -> list[str]:
    """Return the ids of the config and of its file."""
    if job.document_ids_file is None:
        return list(job.document_ids)
    text = storage.read_bytes(storage.absolute(job.document_ids_file)).decode()
    return [*job.document_ids, *filter(None, map(str.strip, text.splitlines()))]


def main(argv: Sequence[str] | None = None) -> None:
    run_job(EraseJob, run, argv, ray="none")


if __name__ == "__main__":
    main()
