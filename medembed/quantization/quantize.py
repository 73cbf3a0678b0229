"""Make a model's int8 graph, measure what it costs, and register the model with it as a version."""

import logging
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

from medembed import storage
from medembed.artifact import MANIFEST, NewOutput, above_key, find_output, place, read_one_of
from medembed.data.dataset import Dataset, open_dataset
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder, load_model
from medembed.encoding.int8_backend import parse_graph
from medembed.encoding.int8_graph import (
    CONSTANTS,
    FACTS,
    TOPOLOGY,
    Int8Facts,
    Int8Graph,
    check_cpu,
    read_facts,
)
from medembed.encoding.model_files import fetch_model, is_fetched, model_fingerprint, read_card
from medembed.encoding.modules import fetch_encoder
from medembed.encoding.openvino_backend import OpenVinoBackend
from medembed.errors import ConfigError, ModelError
from medembed.evaluation.sample import draw_sample
from medembed.language import tr
from medembed.lineage import CheckpointManifest, Origin, Source
from medembed.quantization.calibrate import calibrate, convert_model, draw_texts
from medembed.quantization.config import QuantizeConfig
from medembed.quantization.graph import openvino_version, to_files
from medembed.quantization.judge import METRIC, Scores, check_loss, score
from medembed.registry.champion import read_champion
from medembed.registry.config import command
from medembed.registry.models import Registry, Version
from medembed.schema import fingerprint
from medembed.tags import Lineage
from medembed.training.record.checkpoint import Checkpoint
from medembed.training.record.register import register_checkpoint

logger = logging.getLogger(__name__)

# By one thread: the same inputs give the same graph and scores on any number of cores.
_ENCODING = EncodingConfig(cpus_per_worker=1)
_NOT_COPIED = (TOPOLOGY, CONSTANTS, FACTS, MANIFEST, "summary.json")


class Quantized(NamedTuple):
    """The model with its graph on storage, and how that was made."""

    checkpoint: Checkpoint
    facts: Int8Facts


def quantize_and_register(config: QuantizeConfig, registry: Registry) -> dict[str, Any]:
    """Return the summary of the model with its int8 graph. Raises the errors of `quantize`."""
    registry.check_output(config.output)
    named = registry.resolve(config.model) if config.model.startswith("models:/") else None
    source = named.source if named else storage.absolute(config.model)
    dataset = open_dataset(storage.absolute(config.data))
    quantized = quantize(config, source, dataset)
    lineage = Lineage(dataset=dataset.as_source)
    if named is not None:
        is_champion = read_champion(registry, named.name) == named.version
        lineage = _inherit(named, is_champion=is_champion)
    facts = quantized.facts
    lineage = replace(
        lineage,
        job="quantize",
        int8_encoder=facts.encoder,
        output=above_key(storage.absolute(config.output)),
    )
    registered, _ = register_checkpoint(
        registry,
        quantized.checkpoint,
        config,
        metrics={f"int8_{METRIC}_{dimension}": value for dimension, value in facts.after.items()},
        lineage=lineage,
        artifacts={"int8.json": facts.to_json()},
    )
    return {
        "output": quantized.checkpoint.uri,
        "encoder": facts.encoder,
        "int8": asdict(facts),
        "lines": [
            *describe(quantized),
            tr(
                "registered: {version}; make it the champion with: {command}",
                version=registered.reference,
                command=command(config.registry, "promote", f"model={registered.reference}"),
            ),
        ],
    }


def quantize(config: QuantizeConfig, source: str, dataset: Dataset) -> Quantized:
    """Return the model of the folder `source` with its int8 graph; reuse it if nothing changed.

    Raises ModelError for a model that has none, or loses more than the tolerance, and on a CPU
    without the instructions; DataError for a data set without training texts or dev queries;
    ConfigError without OpenVINO. Nothing is written then.
    """
    check_cpu()
    folder = fetch_encoder(source)
    model = model_fingerprint(folder)
    settings = config.model_dump(exclude={"model", "data", "output", "registry"})
    key = fingerprint([model, dataset.fingerprint, settings, openvino_version()])
    output = place(storage.absolute(config.output), key)
    finished = find_output(output, CheckpointManifest, key)
    if finished is not None:
        logger.info(tr("int8 graph of model {name}: unchanged, reused", name=model))
        return Quantized(Checkpoint(output, finished), read_facts(fetch_model(output), model))
    _check_apart(output, source)
    made = _make(config, folder, model, dataset)
    with NewOutput(output, key) as target:
        for name in _names_of(folder):
            target.write_bytes(name, (folder / name).read_bytes())
        target.write_bytes(TOPOLOGY, made.graph.topology)
        target.write_bytes(CONSTANTS, made.graph.constants)
        target.write_bytes(FACTS, made.facts.to_json())
        manifest = target.commit(_describe(folder, source, model))
    return Quantized(Checkpoint(output, manifest), made.facts)


def describe(quantized: Quantized) -> list[str]:
    """Return what was made, and what it costs, in lines for a terminal."""
    facts = quantized.facts
    pairs = []
    for dimension in sorted(facts.before, reverse=True):
        values = f"{facts.before[dimension]:.4f} -> {facts.after[dimension]:.4f}"
        pairs.append(f"{dimension}: {values}")
    return [
        tr(
            "int8 graph: {uri}/{file}, calibrated on {texts:,} texts",
            uri=quantized.checkpoint.uri,
            file=TOPOLOGY,
            texts=facts.texts,
        ),
        tr(
            "NDCG@10 of {queries:,} dev queries, float32 -> int8: {pairs} (tolerance {tolerance})",
            queries=facts.queries,
            pairs=", ".join(pairs),
            tolerance=facts.tolerance,
        ),
        tr("encode and serve by it with encoding.precision=int8 and precision=int8"),
    ]


class _Made(NamedTuple):
    graph: Int8Graph
    facts: Int8Facts


def _make(config: QuantizeConfig, folder: Path, model: str, dataset: Dataset) -> _Made:
    """Return the graph of a model's folder, which loses no more than the tolerance."""
    sample = draw_sample(
        dataset,
        "dev",
        config.dev_tag,
        queries=config.dev_queries,
        documents=config.dev_documents,
    )
    texts = draw_texts(dataset, config.texts)
    loaded = load_model(folder, _ENCODING, "cpu")
    graph = convert_model(loaded, str(folder))
    encoder = Encoder(loaded, _ENCODING, backend=OpenVinoBackend(graph, 1))
    files = to_files(calibrate(graph, encoder, texts))
    dimensions = read_card(folder).dimensions or (encoder.width,)
    before = score(encoder, sample, dimensions)
    encoder.backend = OpenVinoBackend(_read_again(files, encoder.width, str(folder)), 1)
    after = score(encoder, sample, dimensions)
    _log_speed(before, after)
    check_loss(before.by_dimension, after.by_dimension, config.tolerance, str(folder))
    facts = Int8Facts(
        model=model,
        graph=files.hash,
        dataset=dataset.fingerprint,
        texts=sum(map(len, texts.values())),
        queries=len(sample.queries),
        tolerance=config.tolerance,
        before=before.by_dimension,
        after=after.by_dimension,
        openvino=openvino_version(),
    )
    return _Made(files, facts)


def _read_again(graph: Int8Graph, width: int, reference: str) -> Any:
    """Return the graph as whoever loads the model will read it."""
    try:
        return parse_graph(graph, width)
    except ModelError as error:
        raise ModelError(
            "model {reference}: cannot be computed in int8: {reason}.",
            reference=reference,
            reason=error,
        ) from None


def _log_speed(before: Scores, after: Scores) -> None:
    logger.info(
        tr(
            "one core encodes {after:,.0f} texts/s in int8, {before:,.0f} in float32",
            after=after.texts_per_s,
            before=before.texts_per_s,
        )
    )


def _names_of(folder: Path) -> list[str]:
    """Return the names of a model's files: those that its manifest lists, else those it loads."""
    manifest = read_one_of(str(folder), [CheckpointManifest])
    names = manifest.files if manifest else filter(is_fetched, storage.list_files(str(folder)))
    return [name for name in names if name not in _NOT_COPIED and (folder / name).is_file()]


def _describe(folder: Path, source: str, model: str) -> CheckpointManifest:
    """Return the model's manifest: the one that it has, or a stock model's."""
    manifest = read_one_of(str(folder), [CheckpointManifest])
    if isinstance(manifest, CheckpointManifest):
        return manifest
    return CheckpointManifest(origin=Origin(parent=Source(model, source)), fingerprint=model)


def _check_apart(output: str, source: str) -> None:
    """Raise ConfigError for an output in the model's own folder: a failure would remove both."""
    if not storage.is_local(source) or not storage.is_local(output):
        return
    if storage.local_path(output).resolve() == storage.local_path(source).resolve():
        raise ConfigError(
            "output: {output} is the model's own folder; choose a new one.", output=output
        )


def _inherit(version: Version, *, is_champion: bool) -> Lineage:
    """Return what the version with the graph says of itself: what the one without it says.

    One that a gate has judged stays so; one that is champion was compared with those before it.
    """
    lineage = replace(version.lineage, promoted=None, restored_run=None)
    if is_champion:
        lineage = replace(lineage, compared_with=None, decision=None, lost_elsewhere=None)
    return lineage
