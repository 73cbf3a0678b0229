"""Mine hard negatives for a data set's training pairs with a model."""

from collections.abc import Sequence

from pydantic import Field

from jobs.beforehand import check_room
from jobs.session import Summary, is_on_cluster, run_job
from medembed import storage
from medembed.artifact import to_entries
from medembed.config import Config, InputUri, ModelUri, OutputUri
from medembed.data.dataset import format_counts, open_dataset
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encode import encode_corpus
from medembed.mining.config import MiningConfig
from medembed.mining.examples import REPORT
from medembed.mining.mine import mine
from medembed.mining.report import advise, summarize
from medembed.registry.config import RegistryConfig
from medembed.registry.models import resolve_model
from medembed.training.run.enough import check_corpus


class MineJob(Config):
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
    model = resolve_model(job.model, job.registry, on_cluster=is_on_cluster())
    mining = resolve_second_opinion(job.mining, job.registry)
    place = storage.absolute(job.table)
    table = encode_corpus(dataset.corpus_files(), dataset.fingerprint, model, place, job.encoding)
    examples = mine(dataset, table, model, storage.absolute(job.output), mining, job.encoding)
    report = examples.report()
    advice = advise(report)
    lines = [
        f"examples: {examples.uri}: {format_counts(examples.manifest.counts)}",
        f"report:   {storage.join(examples.uri, REPORT)}: {summarize(report)}",
        *([f"warning:  {advice}"] if advice else []),
    ]
    return {"output": examples.uri, "examples": to_entries(examples.manifest), "lines": lines}


def resolve_second_opinion(mining: MiningConfig, registry: RegistryConfig) -> MiningConfig:
    """The config with a second opinion that any node can load, if one is asked for."""
    if mining.second_opinion is None:
        return mining
    model = resolve_model(mining.second_opinion, registry, on_cluster=is_on_cluster())
    return mining.model_copy(update={"second_opinion": model})


def main(argv: Sequence[str] | None = None) -> None:
    run_job(MineJob, run, argv)


if __name__ == "__main__":
    main()
