"""See it work: fine-tune the packaged model on the Human Phenotype Ontology, serve it, ask it lay
questions.
"""

import json
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from jobs.demo_sets import make_demo_sets
from jobs.finetune import run_loop
from jobs.language import JobConfig
from jobs.session import Summary, run_job
from medembed import storage
from medembed.data.dataset import Dataset
from medembed.encoding.table import Table, read_shard
from medembed.finetuning.config import FinetuneConfig
from medembed.finetuning.screen import describe_finetuned, summarize_finetuned
from medembed.language import tr
from medembed.schema import document_of
from medembed.search.shards import rank_shards
from serve.operate.run import find_port, serving

CONFIG = Path(__file__).with_name("demo.yaml")


class DemoJob(JobConfig, FinetuneConfig):
    """Config of `medembed demo`: the whole loop, then questions."""

    questions: tuple[str, ...] = Field(
        default=(), description="asked of the served model over HTTP"
    )
    answer_dimensions: tuple[int, ...] = Field(
        default=(384, 64), description="dimensions at which they are asked"
    )
    port: int | None = Field(
        default=None, ge=1, le=65535, description="HTTP port; null: a free one"
    )

    @model_validator(mode="after")
    def _ask_at_trained_dimensions(self) -> Self:
        trained = self.training.dimensions
        if not set(self.answer_dimensions) <= set(trained):
            raise ValueError(
                tr(
                    "answer_dimensions: found {asked}, expected some of {trained}",
                    asked=list(self.answer_dimensions),
                    trained=list(trained),
                )
            )
        return self


class DemoAnswer(NamedTuple):
    """The row of the corpus that the served model ranks first for a question."""

    question: str
    dimensions: int
    row_id: str

    def to_json(self) -> dict[str, Any]:
        return {
            "question": self.question,
            "dimensions": self.dimensions,
            "document_id": document_of(self.row_id),
        }


def run(job: DemoJob) -> Summary:
    find_port(job.port)  # a port in use is found out now rather than after training
    result, registry = run_loop(job if job.retention.sets else _with_sets(job))
    served = {"model": result.version.reference, "tracking_uri": registry.tracking_uri}
    with serving(served, job.port) as url:
        answers: list[DemoAnswer] = []
        for question, dimensions in product(job.questions, job.answer_dimensions):
            answers.append(_ask(url, question, dimensions, result.trained.table))
    return {
        "output": storage.absolute(job.output),
        **summarize_finetuned(result),
        "answers": [answer.to_json() for answer in answers],
        "lines": [
            *describe_finetuned(result, registry),
            "",
            tr("asked over HTTP at {url}/v1/embeddings:", url=url),
            *_show(answers, result.dataset),
        ],
    }


def _with_sets(job: DemoJob) -> DemoJob:
    """Return the job with two retention sets, of texts that any machine has."""
    sets = make_demo_sets(storage.absolute(job.output))
    return job.model_copy(update={"retention": job.retention.model_copy(update={"sets": sets})})


def _ask(url: str, question: str, dimensions: int, table: Table) -> DemoAnswer:
    body = json.dumps({"model": "medembed", "input": question, "dimensions": dimensions}).encode()
    request = urllib.request.Request(
        f"{url}/v1/embeddings", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        embedding = json.load(response)["data"][0]["embedding"]
    query = np.array([embedding], dtype=np.float32)
    shards = [(shard, shard["rows"]) for shard in table.shards()]
    best = rank_shards(shards, read_shard, query, 1, [dimensions])[dimensions]
    return DemoAnswer(question, dimensions, str(best.ids[0, 0]))


def _show(answers: Sequence[DemoAnswer], dataset: Dataset) -> Iterator[str]:
    texts = dataset.texts_of([answer.row_id for answer in answers])
    for answer in answers:
        yield tr(
            '  "{question}" at {dimensions:>3} dimensions -> {row_id}: {text}',
            question=answer.question,
            dimensions=answer.dimensions,
            row_id=answer.row_id,
            text=texts[answer.row_id],
        )


def main(argv: Sequence[str] | None = None) -> None:
    arguments = sys.argv[1:] if argv is None else list(argv)
    named = bool(arguments) and "=" not in arguments[0]
    run_job(DemoJob, run, arguments if named else [str(CONFIG), *arguments], ray="private")


if __name__ == "__main__":
    main()
