"""Write what a checkpoint says about itself: README.md, history.json, curves.png.

Counts and settings, never a row's text.
"""

import json
import re
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

from medembed.config import to_yaml
from medembed.data.dataset import format_counts
from medembed.evaluation.words import label
from medembed.language import tr
from medembed.lineage import CheckpointManifest, DatasetManifest, ExamplesManifest
from medembed.privacy import without_passwords
from medembed.training.config import TrainingConfig
from medembed.training.record.curves import CURVES, draw_curves
from medembed.training.record.history import Entry

HISTORY = "history.json"
_LANGUAGE = re.compile(r"[a-z]{2,3}")
_FRAMEWORKS = ("medembed", "sentence-transformers", "transformers", "torch", "ray", "peft")


def describe_checkpoint(
    folder: Path,
    checkpoint: CheckpointManifest,
    config: TrainingConfig,
    dataset: DatasetManifest,
    examples: ExamplesManifest | None,
    history: Sequence[Entry],
) -> None:
    """Write the three files into a checkpoint's folder."""
    (folder / HISTORY).write_text(json.dumps(list(history)))
    curves = draw_curves(history, checkpoint.step)
    if curves is not None:
        (folder / CURVES).write_bytes(curves)
    text = write_card(checkpoint, config, dataset, examples, has_curves=curves is not None)
    (folder / "README.md").write_text(text, encoding="utf-8")


def write_card(
    checkpoint: CheckpointManifest,
    config: TrainingConfig,
    dataset: DatasetManifest,
    examples: ExamplesManifest | None,
    *,
    has_curves: bool,
) -> str:
    """Return the model card, Markdown with the front matter that model hubs read."""
    curves = f"\n\n![{tr('Curves')}]({CURVES})" if has_curves else ""
    data = "\n".join(f"- {line}" for line in _data(dataset, examples))
    versions = ", ".join(f"{name} {number}" for name, number in framework_versions().items())
    sections = [
        _front_matter(dataset),
        "# " + tr("Embedding model {name}", name=checkpoint.fingerprint),
        _origin(checkpoint, config),
        f"## {tr('Use')}\n\n" + _usage(checkpoint.dimensions),
        f"## {tr('Dev sample')}\n\n" + _scores(checkpoint, config) + curves,
        f"## {tr('Data')}\n\n" + data,
        f"## {tr('Training')}\n\n" + _training(config),
        f"## {tr('Made with')}\n\n{versions}.",
    ]
    return "\n\n".join(sections) + "\n"


def framework_versions() -> dict[str, str]:
    """Return {package: version} of what trains; those not installed are left out."""
    versions: dict[str, str] = {}
    for name in _FRAMEWORKS:
        try:
            versions[name] = version(name)
        except ModuleNotFoundError:  # importlib's error for a package that is not there
            continue
    return versions


def _front_matter(dataset: DatasetManifest) -> str:
    lines = ["library_name: sentence-transformers", "pipeline_tag: sentence-similarity"]
    languages = sorted({*dataset.documents.languages, *dataset.queries.languages})
    known = [name for name in languages if _LANGUAGE.fullmatch(name)]
    if known:
        lines.append(f"language: [{', '.join(json.dumps(name) for name in known)}]")
    lines.append("tags: [sentence-transformers, matryoshka, medical]")
    return "\n".join(["---", *lines, "---"])


def _origin(checkpoint: CheckpointManifest, config: TrainingConfig) -> str:
    origin = checkpoint.origin
    assert origin.parent is not None
    assert origin.parent.uri is not None
    assert origin.dataset is not None
    kind = config.adapter.kind
    mined = ""
    if origin.examples:
        mined = tr(" (examples {examples})", examples=origin.examples.fingerprint)
    sentences = [
        tr(
            "Fine-tuned by MedEmbed from `{parent}` (encoder {encoder}) on data set {data}{mined}.",
            parent=without_passwords(origin.parent.uri),
            encoder=origin.parent.fingerprint,
            data=origin.dataset.fingerprint,
            mined=mined,
        ),
        tr(
            "It turns queries and documents into vectors whose cosine says how well they fit; it "
            "gives no medical advice."
        ),
    ]
    if origin.teacher:
        taught = tr(
            "It learned to give what its teacher `{teacher}` (encoder {encoder}) gives.",
            teacher=without_passwords(origin.teacher.uri or ""),
            encoder=origin.teacher.fingerprint,
        )
        sentences.insert(1, taught)
    if kind:
        how = tr("Trained by {kind}, merged: this is a whole model.", kind=kind.upper())
        sentences.insert(1, how)
    return " ".join(sentences)


def _usage(dimensions: Sequence[int]) -> str:
    shown = ", ".join(map(str, dimensions))
    first = tr(
        "Matryoshka dimensions: {dimensions}. Truncate first, then normalise:", dimensions=shown
    )
    return (
        f"{first}\n\n```python\nfrom sentence_transformers import SentenceTransformer\n"
        f'model = SentenceTransformer("<this folder>", truncate_dim={dimensions[-1]})\n'
        "queries = model.encode_query(questions, normalize_embeddings=True)   # with the model's "
        "own prompts\ndocuments = model.encode_document(texts, normalize_embeddings=True)\nscores "
        "= queries @ documents.T\n```"
    )


def _scores(checkpoint: CheckpointManifest, config: TrainingConfig) -> str:
    rows = {
        int(name.rpartition("/")[2]): value
        for name, value in checkpoint.dev.items()
        if name.startswith(f"{config.select_by}/")
    }
    table = "\n".join(
        f"| {dimension} | {value:.4f} |" for dimension, value in sorted(rows.items(), reverse=True)
    )
    explained = tr(
        "At most {queries:,} queries against about {documents:,} documents of the dev split. This "
        "checkpoint, step {step:,}, was chosen by the row of {dimension} dimensions, so these "
        "scores flatter it: a test set has the last word.",
        queries=config.dev_queries,
        documents=config.dev_documents,
        step=checkpoint.step,
        dimension=config.select_dimension,
    )
    head = f"| {tr('dimensions')} | {label(config.select_by)} |\n|---|---|"
    return f"{head}\n{table}\n\n{explained}"


def _data(dataset: DatasetManifest, examples: ExamplesManifest | None) -> Iterator[str]:
    yield tr("data set: {counts}", counts=format_counts(dataset.counts))
    if dataset.splits:
        yield tr("queries by split: {counts}", counts=format_counts(dataset.splits))
    if examples:
        yield tr("training: {counts}", counts=format_counts(examples.counts))
    if languages := dataset.documents.languages:
        yield tr("languages of documents: {counts}", counts=format_counts(languages))
    if languages := dataset.queries.languages:
        yield tr("languages of queries: {counts}", counts=format_counts(languages))
    yield tr("licence of the data: {licence}", licence=dataset.licence or tr("not named"))


def _training(config: TrainingConfig) -> str:
    together = config.batch_size * config.most_workers
    weights = sorted(config.weight_by_dimension.items(), reverse=True)
    shares = ", ".join(f"{dimension}: {weight:g}" for dimension, weight in weights)
    seen = ""
    if config.loss.traits.ranks:
        seen = tr("{together} examples see each other, ", together=together)
    summary = tr(
        "Loss {loss} at every dimension, weights {{{shares}}}; {seen}{rows} change the weights "
        "together. All settings:",
        loss=config.loss.name,
        shares=shares,
        seen=seen,
        rows=together * config.accumulation_steps,
    )
    return f"{summary}\n\n```yaml\n{to_yaml(config)}```"
