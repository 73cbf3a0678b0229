"""Recommend a dimension for each use (best, balanced, light, fastest) from measured quality, bytes
and search time.
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict

from jobs.evaluate import MeasureJob, enter_models, open_inputs
from jobs.session import Summary, is_on_cluster, run_job
from medembed import storage
from medembed.config import to_yaml
from medembed.evaluation.evaluate import evaluate
from medembed.evaluation.recommend import (
    RecommendConfig,
    choose,
    draw_tradeoff,
    format_choices,
    halve,
    weigh,
)
from medembed.evaluation.result import principal_metrics
from medembed.evaluation.screen import label
from medembed.evaluation.search_time import measure_search
from medembed.lineage import Source
from medembed.registry.models import open_registry
from medembed.tags import Lineage

logger = logging.getLogger(__name__)


class RecommendJob(MeasureJob):
    """Config of `medembed recommend`: what `medembed evaluate` measures, and what each use may give
    up.
    """

    recommend: RecommendConfig = RecommendConfig()


def run(job: RecommendJob) -> Summary:
    registry = open_registry(job.registry, on_cluster=is_on_cluster())
    output, settings = storage.absolute(job.output), job.recommend
    dataset, models = open_inputs(job, (job.model,))
    (one,) = enter_models(job, (job.model,), models, dataset)
    dimensions = job.dimensions or one.table.info.dimensions or halve(one.table.info.width)
    config = job.evaluation.model_copy(update={"dimensions": dimensions})
    place = storage.join(output, "evaluations", "{key}")
    found = evaluate(dataset, one.table, one.model, place, config, job.encoding, name=one.name)
    vectors = one.table.head(settings.search_vectors)
    logger.info("timing exact search among %d documents, one query at a time", len(vectors))
    times = measure_search(
        vectors, vectors[: settings.search_queries], found.dimensions, repeats=settings.repeats
    )
    options = weigh(found, times, config)
    choices = choose(options, settings)
    objective = label(
        principal_metrics([name for row in found.metrics.values() for name in row])[0]
    )
    plot = draw_tradeoff(options, choices, objective=objective)
    output = storage.join(output, "recommendation")  # beside what `evaluate` wrote, not over it
    storage.write_bytes(storage.join(output, "tradeoff.png"), plot)
    lineage = Lineage(
        job="recommendation",
        dataset=Source(dataset.fingerprint),
        encoder=found.encoder,
        output=storage.absolute(job.output),
    )
    run_id = registry.log_run(
        params={choice.use: choice.option.dimension for choice in choices},
        metrics={f"search_ms_dim_{option.dimension}": option.search_ms for option in options},
        tags=lineage.to_tags(),
        artifacts={"tradeoff.png": plot, "config.yaml": to_yaml(job)},
    )
    return {
        "output": output,
        "dataset": {"fingerprint": dataset.fingerprint, "counts": dataset.manifest.counts},
        "encoder": found.encoder,
        "objective": objective,
        "options": [asdict(option) for option in options],
        "choices": {
            choice.use: {"dimension": choice.option.dimension, "why": choice.reason}
            for choice in choices
        },
        "searched": len(vectors),
        "run_id": run_id,
        "lines": [
            *format_choices(options, choices, objective=objective),
            f"(search among {len(vectors):,} of {one.table.rows:,} documents on this machine)",
            f"plot: {storage.join(output, 'tradeoff.png')}",
        ],
    }


def main(argv: Sequence[str] | None = None) -> None:
    run_job(RecommendJob, run, argv)


if __name__ == "__main__":
    main()
