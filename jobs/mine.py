"""Mine hard negatives for a data set's training pairs with a model."""

from collections.abc import Sequence

from pydantic import Field

from jobs.beforehand import check_room
from jobs.language import JobConfig
from jobs.session import Summary, is_on_cluster, run_job
from medembed import storage
from medembed.artifact import to_entries
from medembed.config import InputUri, ModelUri, OutputUri
from medembed.data.dataset import format_counts, open_dataset
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encode import encode_corpus
from medembed.encoding.prompt_check import check_prompts
from medembed.language import tr
from medembed.mining.config import MiningConfig
from medembed.mining.examples import COUNTS
from medembed.mining.mine import mine
from medembed.mining.tally import advise, summarize
from medembed.registry.config import RegistryConfig
from medembed.registry.resolve import resolve_models
from medembed.training.run.enough import check_corpus


class MineJob(JobConfig):
    """Config of `medembed mine`."""

    model: ModelUri = Field(
        description="folder, s3://, gs://, package://, hf://organisation/name or models:/name@alias"
    )
    data: InputUri = Field(description="data set made by `medembed prepare`")
    table: OutputUri = Field(
        description="embedding table of the corpus by this model; made if it is not there"
    )
    output: OutputUri = Field(
        description="folder of the examples; {key} in it becomes the fingerprint of their inputs"
    )
    mining: MiningConfig = MiningConfig()
    encoding: EncodingConfig = EncodingConfig()
    registry: RegistryConfig = RegistryConfig()


def run(job: MineJob) -> Summary:
    check_room(job.encoding)
    dataset = open_dataset(storage.absolute(job.data))
    check_corpus(dataset, job.mining)
    job = resolve_models(job, job.registry, on_cluster=is_on_cluster())
    check_prompts(job.model)
    place = storage.absolute(job.table)
    files = dataset.corpus_files()
    table = encode_corpus(files, dataset.fingerprint, job.model, place, job.encoding)
    output = storage.absolute(job.output)
    examples = mine(dataset, table, job.model, output, job.mining, job.encoding)
    counted = examples.read_counts()
    made = format_counts(examples.manifest.counts)
    lines = [
        tr("examples: {uri}: {made}", uri=examples.uri, made=made),
        tr(
            "counts:   {file}: {counts}",
            file=storage.join(examples.uri, COUNTS),
            counts=summarize(counted),
        ),
    ]
    advice = advise(counted)
    if advice:
        lines.append(tr("warning:  {advice}", advice=advice))
    return {"output": examples.uri, "examples": to_entries(examples.manifest), "lines": lines}


def main(argv: Sequence[str] | None = None) -> None:
    run_job(MineJob, run, argv)


if __name__ == "__main__":
    main()
