"""Do the whole loop: prepare, encode, measure, mine, train, measure again, register, promote if
better.
"""

from collections.abc import Sequence

from jobs.beforehand import check_room
from jobs.session import Summary, is_on_cluster, run_job
from jobs.train import resolve_guide
from medembed import storage
from medembed.data.prepare import check_source
from medembed.evaluation.report.headline import headline
from medembed.evaluation.retention.words import format_retention
from medembed.evaluation.words import format_table
from medembed.finetuning.config import FinetuneConfig
from medembed.finetuning.finetune import Finetuned, finetune, summarize
from medembed.mining.second_opinion import resolve_second_opinion
from medembed.privacy import without_passwords
from medembed.registry.models import Registry, open_registry, resolve_model
from medembed.training.run.enough import check_settings


class FinetuneJob(FinetuneConfig):
    """Config of `medembed finetune`."""


def run(job: FinetuneJob) -> Summary:
    result, registry = run_loop(job)
    return {
        "output": storage.absolute(job.output),
        **summarize(result),
        "lines": result_lines(result, registry),
    }


def run_loop(job: FinetuneConfig) -> tuple[Finetuned, Registry]:
    """The finished loop and the registry that it used."""
    check_room(job.encoding, job.training)
    check_source(job.source, job.splits)  # a missing file is found out before anything is made
    registry = open_registry(job.registry, on_cluster=is_on_cluster())
    registry.check_output(job.output)
    model = resolve_model(job.model, job.registry, on_cluster=is_on_cluster())
    resolved = {
        "model": model,
        "mining": resolve_second_opinion(job.mining, job.registry, on_cluster=is_on_cluster()),
        "training": resolve_guide(job.training, job.registry),
    }
    job = job.model_copy(update=resolved)
    check_settings(job.training, job.mining, job.output)
    return finetune(job, registry), registry


def result_lines(result: Finetuned, registry: Registry) -> list[str]:
    """What a person wants to see at the end: the table, the sentence, and where everything lies."""
    verdict = "champion" if result.is_promoted else "not promoted"
    return [
        "",
        format_table(result.comparison),
        headline(result.comparison),
        *format_retention(result.compared.page.retention),
        "",
        f"model:   {result.trained.checkpoint.uri}",
        f"         registered as {result.version.reference} ({verdict})",
        f"report:  {result.report}",
        f"MLflow:  {without_passwords(registry.tracking_uri)}, run {result.version.run_id}",
    ]


def main(argv: Sequence[str] | None = None) -> None:
    run_job(FinetuneJob, run, argv)


if __name__ == "__main__":
    main()
