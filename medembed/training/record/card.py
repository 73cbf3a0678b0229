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
    curves = f"\n\n![Curves]({CURVES})" if has_curves else ""
    data = "\n".join(f"- {line}" for line in _data(dataset, examples))
    versions = ", ".join(f"{name} {number}" for name, number in framework_versions().items())
    sections = [
        _front_matter(dataset),
        f"# Embedding model {checkpoint.fingerprint}",
        _origin(checkpoint, config),
        "## Use\n\n" + _usage(checkpoint.dimensions),
        "## Dev sample\n\n" + _scores(checkpoint, config) + curves,
        "## Data\n\n" + data,
        "## Training\n\n" + _training(config),
        f"## Made with\n\n{versions}.",
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
    mined = f" (examples {origin.examples.fingerprint})" if origin.examples else ""
    how = f" Trained by {kind.upper()}, merged: this is a whole model." if kind else ""
    return (
        f"Fine-tuned by MedEmbed from `{without_passwords(origin.parent.uri)}` (encoder "
        f"{origin.parent.fingerprint}) on data set {origin.dataset.fingerprint}{mined}.{how} It "
        "turns queries and documents into vectors whose cosine says how well they fit; it gives "
        "no medical advice."
    )


def _usage(dimensions: Sequence[int]) -> str:
    shown = ", ".join(map(str, dimensions))
    return (
        f"Matryoshka dimensions: {shown}. Truncate first, then normalise:\n\n"
        "```python\nfrom sentence_transformers import SentenceTransformer\n"
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
    return (
        f"| dimensions | {label(config.select_by)} |\n|---|---|\n{table}\n\nAt most "
        f"{config.dev_queries:,} queries against about {config.dev_documents:,} documents of the "
        f"dev split. This checkpoint, step {checkpoint.step:,}, was chosen by the row of "
        f"{config.select_dimension} dimensions, so these scores flatter it: a test set has the "
        "last word."
    )


def _data(dataset: DatasetManifest, examples: ExamplesManifest | None) -> Iterator[str]:
    yield f"data set: {format_counts(dataset.counts)}"
    if dataset.splits:
        yield f"queries by split: {format_counts(dataset.splits)}"
    if examples:
        yield f"training: {format_counts(examples.counts)}"
    for kind, texts in (("documents", dataset.documents), ("queries", dataset.queries)):
        if texts.languages:
            yield f"languages of {kind}: {format_counts(texts.languages)}"
    yield f"licence of the data: {dataset.licence or 'not named'}"


def _training(config: TrainingConfig) -> str:
    together = config.batch_size * config.most_workers
    weights = sorted(config.weight_by_dimension.items(), reverse=True)
    shares = ", ".join(f"{dimension}: {weight:g}" for dimension, weight in weights)
    seen = f"{together} examples see each other, " if config.loss.traits.ranks else ""
    return (
        f"Loss {config.loss.name} at every dimension, weights {{{shares}}}; {seen}"
        f"{together * config.accumulation_steps} change the weights together. All settings:\n\n"
        f"```yaml\n{to_yaml(config)}```"
    )
