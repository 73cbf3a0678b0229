"""Print where a model, table or endpoint comes from: data set, mined examples, run, checkpoint,
table, deployment.
"""

import sys
from collections.abc import Sequence

from pydantic import Field

from jobs.language import JobConfig
from jobs.session import Summary, is_submitted, run_job
from medembed.config import InputUri
from medembed.custody.tree import describe_lineage
from medembed.registry.config import RegistryConfig
from medembed.registry.models import open_registry


class LineageJob(JobConfig):
    """Config of `medembed lineage`; it writes nothing."""

    of: InputUri = Field(
        description="models:/<name>@<alias> or models:/<name>/<version>, an embedding table's "
        "URI, the folder of another output, or a server's http:// URL; may stand alone in front: "
        "medembed lineage models:/medembed@champion"
    )
    registry: RegistryConfig = RegistryConfig()


def run(job: LineageJob) -> Summary:
    registry = open_registry(job.registry, on_cluster=is_submitted())
    return {"lines": describe_lineage(job.of, registry)}


def main(argv: Sequence[str] | None = None) -> None:
    run_job(LineageJob, run, named_first(list(sys.argv[1:] if argv is None else argv)), ray="none")


def named_first(arguments: list[str]) -> list[str]:
    """Return the arguments with a reference that stands alone in front as of=..."""
    if arguments and "=" not in arguments[0] and not arguments[0].endswith((".yaml", ".yml")):
        return [*arguments[1:], f"of={arguments[0]}"]
    return arguments


if __name__ == "__main__":
    main()
