"""New pairs and some old ones -> a candidate: mined with the champion, trained from it, or anew."""

import json
import tempfile
from collections.abc import Collection
from pathlib import Path

from medembed import storage
from medembed.artifact import find_output, place
from medembed.data.dataset import Dataset
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.encoding.model_files import CARD, fetch_model, model_fingerprint
from medembed.encoding.table import Table
from medembed.encoding.texts import encode_texts
from medembed.mining.examples import Examples
from medembed.mining.mine import mine
from medembed.retraining.champion import Champion
from medembed.retraining.config import RetrainConfig
from medembed.retraining.merge import merge_weights
from medembed.retraining.replay import choose_at_risk, choose_hardest, choose_uniform
from medembed.schema import fingerprint
from medembed.training.checkpoint import KIND, Checkpoint, publish
from medembed.training.config import TrainingConfig
from medembed.training.dev_sample import draw_dev_sample, measure_dev_sample
from medembed.training.trainer import train


def choose_replay(
    dataset: Dataset, new: Collection[str], champion: Champion, table: Table, config: RetrainConfig, examples: str
) -> tuple[list[str], str | None]:
    """(old training queries to train again, the examples of all queries if they had to be mined for the choice)."""
    texts = {row["query_id"]: row["text"] for row in dataset.queries("train").to_pylist()}
    old = sorted(set(texts) - set(new))
    count = min(round(config.increment.replay * len(new)), len(old))
    if count == 0:
        return [], None
    if config.increment.strategy == "uniform":
        return choose_uniform(old, count, config.increment.seed), None
    if config.increment.strategy == "at_risk":
        asked = [*old, *sorted(new)]
        vectors = encode_texts({"query": [texts[name] for name in asked]}, champion.model, config.encoding)["query"]
        return choose_at_risk(old, vectors[: len(old)], vectors[len(old) :], count), None
    mined = mine(dataset, table, champion.model, examples, config.mining, config.encoding)
    known = set(old)
    margins: dict[str, float] = {}
    for row in mined.read():
        if row["query_id"] in known and row["negative_scores"]:
            margin = row["positive_score"] - max(row["negative_scores"])
            margins[row["query_id"]] = min(margin, margins.get(row["query_id"], margin))
    return choose_hardest(margins, count), mined.uri


def mine_for(
    dataset: Dataset,
    chosen: Collection[str] | None,
    champion: Champion,
    table: Table,
    config: RetrainConfig,
    examples: str,
    previous: str | None,
) -> Examples:
    """Examples of the chosen queries, or of all, with negatives that the champion finds hard."""
    mining = config.mining.model_copy(update={"previous": previous})
    return mine(dataset, table, champion.model, examples, mining, config.encoding, only=chosen)


def train_candidate(
    dataset: Dataset, examples: Examples, champion: Champion, config: RetrainConfig, models: str, *, full: bool
) -> Checkpoint:
    """The best checkpoint of a training from the champion, merged with it if so asked; or of one from the start."""
    training, share = config.training, config.increment.merge
    if full:
        return train(dataset, examples, storage.absolute(config.model), models, training)
    rate = training.learning_rate * config.increment.learning_rate_share
    slower = training.model_copy(update={"learning_rate": rate})
    trained = train(dataset, examples, champion.model, models, slower)
    return trained if share is None else merge(dataset, trained, champion, share, training, models)


def merge(
    dataset: Dataset, trained: Checkpoint, champion: Champion, share: float, training: TrainingConfig, models: str
) -> Checkpoint:
    """A checkpoint with the average of both models' weights, measured on the dev sample; found again."""
    key = fingerprint(["merged", trained.fingerprint, champion.encoder, share])
    output = place(models, key)
    manifest = find_output(output, KIND, key)
    if manifest is not None:
        return Checkpoint(output, manifest)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name in trained.manifest["files"]:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(storage.read_bytes(storage.join(trained.uri, name)))
        merge_weights(fetch_model(champion.model), folder, share)
        # By torch: a sample is encoded sooner than a model is converted.
        encoder = Encoder.load(str(folder), EncodingConfig(cpus_per_worker=training.cpus_per_worker, backend="torch"))
        scores = measure_dev_sample(draw_dev_sample(dataset, training), encoder.encode, training)
        entries = {name: trained.manifest[name] for name in ("parent", "dataset", "examples", "dimensions", "start")}
        entries |= {
            "fingerprint": model_fingerprint(folder),
            "merged": share,
            "dev": {"step": trained.manifest["dev"]["step"], "score": scores[training.select_dimension]}
            | {f"{training.select_by}/{dimension}": score for dimension, score in scores.items()},
        }
        (folder / CARD).write_text(json.dumps(entries, indent=2))
        return publish(folder, output, key, entries, training)
