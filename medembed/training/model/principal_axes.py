"""Turn a model before training so that its first dimensions hold the most of its vectors.

A stock model's prefixes are arbitrary axes. Turned to the principal axes of the corpus (Hotelling
1933) its full width ranks as before, since cosines do not see a rotation, and its prefixes rank far
better before the first step.
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from medembed import storage
from medembed.artifact import MANIFEST, NewOutput, read_manifest
from medembed.data.dataset import Dataset
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import load_model
from medembed.encoding.model_files import fetch_model, read_card
from medembed.facts import Start
from medembed.lineage import StartManifest
from medembed.training.config import TrainingConfig
from medembed.training.model.pieces import cut_table, cut_tokenizer
from medembed.training.model.prompts import set_prompts
from medembed.training.record.checkpoint import write_folder

# documents; the axes of 1,024 rank as well at 64 dimensions (MiniLM), wider models want more
_SAMPLE = 2048
_PREFIX = "start-"


class Turned(NamedTuple):
    """A matrix [width, width of the model] to stand behind it, and what prefixes then hold, if that
    is known.
    """

    matrix: npt.NDArray[np.float32]
    facts: Start | None = None


def turns(model: str, config: TrainingConfig) -> bool:
    """Return whether a training of this model starts at principal axes.

    A model that MedEmbed trained keeps its axes, and so does one that learns a teacher's vectors,
    whose axes they are.
    """
    return (
        config.principal_axes
        and not config.loss.traits.is_taught
        and not read_card(fetch_model(model)).dimensions
    )


def find_start(run: str) -> str | None:
    """Return the start of an unfinished training; None if it has none yet."""
    for name in sorted(storage.list_files(run)):
        folder, _, file = name.partition("/")
        if folder.startswith(_PREFIX) and file == MANIFEST:
            return storage.join(run, folder)
    return None


def place_start(run: str, attempt: str) -> str:
    """Return where an attempt writes the model that training starts with.

    In a folder of its own, since the attempt before may not be quite dead.
    """
    return storage.join(run, f"{_PREFIX}{attempt}")


def write_start(
    model: str,
    turned: Turned | None,
    pieces: Sequence[int] | None,
    config: TrainingConfig,
    output: str,
) -> None:
    """Write the model with a matrix behind it, its vocabulary cut to `pieces`; None: as it is.

    The manifest says what prefixes then hold.
    """
    encoding = EncodingConfig(cpus_per_worker=config.cpus_per_worker)
    start = load_model(fetch_model(model), encoding, "cpu")
    set_prompts(start, config.prompts)
    if turned is not None:
        turn(start, turned.matrix)
    if pieces is not None:
        cut_table(start, pieces)
    with TemporaryDirectory() as scratch, NewOutput(output, "") as target:
        start.save_pretrained(scratch, create_model_card=False)
        if pieces is not None:
            cut_tokenizer(Path(scratch), pieces)
        write_folder(target, Path(scratch))
        target.commit(StartManifest(start=turned and turned.facts))


def read_start(run: str) -> Start | None:
    """Return how the model was turned before this run; None if it was not."""
    start = find_start(run)
    return read_manifest(start, StartManifest).start if start else None


def turn_to_axes(vectors: npt.NDArray[np.float32], dimensions: Sequence[int]) -> Turned:
    """Return the rotation to the principal axes of vectors [N, D]."""
    axes, shares = principal_axes(vectors)
    held = {dimension: float(shares[:dimension].sum()) for dimension in dimensions}
    return Turned(axes, Start(len(vectors), held))


def principal_axes(
    embeddings: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """Return axes [D, D], one a row, and the share [D] of the squared length on each.

    Those that hold the most are first. embeddings [N, D] are not centred, so that the axes fit
    cosines, and each axis points to where its largest component is positive, so that the same
    vectors always give the same axes.
    """
    vectors = embeddings.astype(np.float64)
    lengths, columns = np.linalg.eigh(vectors.T @ vectors)
    axes = columns.T[::-1]
    lengths = lengths[::-1].clip(0)
    largest = axes[np.arange(len(axes)), np.abs(axes).argmax(1)]
    return (axes * np.sign(largest)[:, None]).astype(np.float32), lengths / lengths.sum()


def turn(model: Any, axes: npt.NDArray[np.float32]) -> None:
    """Add the matrix `axes` [d, D] to a model of D dimensions, before a normalisation at its end.

    A matrix that stands there is multiplied by it, and stays one: no model computes two in a row.
    """
    import torch
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize

    with model.truncate_embeddings(None):  # a model may give fewer dimensions than it computes
        width = int(model.get_embedding_dimension())
    weight = torch.zeros(len(axes), width, dtype=torch.float64)
    weight[:, : axes.shape[1]] = torch.from_numpy(axes)
    behind: list[tuple[str, Any]] = []
    name, last = list(model.named_children())[-1]
    if isinstance(last, Normalize):
        delattr(model, name)
        behind.append((name, last))
        name, last = list(model.named_children())[-1]
    if _is_matrix(last):
        delattr(model, name)
        weight = weight @ last.linear.weight.detach().cpu().double()
    matrix = Dense(weight.shape[1], len(axes), bias=False, activation_function=torch.nn.Identity())
    with torch.no_grad():
        matrix.linear.weight.copy_(weight)
    for each, module in [("principal_axes", matrix.to(model.device)), *behind]:
        model.add_module(each, module)


def _is_matrix(module: Any) -> bool:
    """Return whether a module multiplies the embedding by a matrix, and does nothing else."""
    from sentence_transformers.sentence_transformer.modules import Dense
    from torch.nn import Identity

    return (
        type(module) is Dense
        and isinstance(module.activation_function, Identity)
        and not module.bias
        and not module.use_residual
        and {module.module_input_name, module.module_output_name} == {"sentence_embedding"}
    )


def draw_documents(dataset: Dataset, seed: int) -> list[str]:
    """Return texts of a few thousand rows that training may read, the same ones for a seed.

    Files are read one by one, and first without texts, so that memory does not grow with the
    corpus.
    """
    files = [uri for uri, _ in dataset.corpus_files()]
    rows: list[tuple[str, int]] = []
    for uri in files:
        splits = storage.read_parquet(uri, ["split"])["split"].to_pylist()
        rows += [(uri, line) for line, split in enumerate(splits) if split in (None, "train")]

    chosen: dict[str, list[int]] = {}
    for number in sorted(np.random.default_rng(seed).permutation(len(rows))[:_SAMPLE]):
        uri, line = rows[number]
        chosen.setdefault(uri, []).append(line)
    texts: list[str] = []
    for uri, lines in chosen.items():
        texts += storage.read_parquet(uri, ["text"])["text"].take(lines).to_pylist()
    return texts
