"""Read what loss `distill` learns: training texts, each with its teacher's vector."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from medembed.data.dataset import open_dataset
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.encoding.reading import ROLES, Role
from medembed.encoding.table import Table, read_shard
from medembed.errors import ModelError, StorageError
from medembed.evaluation.sample import Encode, Vectors
from medembed.privacy import show_id
from medembed.training.collective import agreed, encode_in_shares, from_rank_zero
from medembed.training.config import TrainingConfig
from medembed.training.lesson import Lesson
from medembed.training.model.principal_axes import principal_axes
from medembed.training.rows.columns import TaughtText, taught_texts

_SAMPLE = 4096  # texts that the teacher's principal axes are of


class Taught(NamedTuple):
    """Texts, and the teacher's vectors of them, float32 [texts, D] with unit rows."""

    texts: list[TaughtText]
    vectors: Vectors

    def sample(self, count: int) -> "Taught":
        """Return at most so many of them, from all places alike."""
        every = slice(None, None, -(-len(self.texts) // count))
        return Taught(self.texts[every], self.vectors[every])


def read_lesson(
    dataset: str, config: TrainingConfig, lesson: Lesson | None, device: torch.device
) -> Taught:
    """Return the texts that are learned, with vectors whose prefixes are good targets.

    Of a teacher that was not trained for prefixes the vectors are turned to their principal axes,
    which leaves all cosines of the full width. Documents' vectors come from the lesson's table; all
    others the ranks encode in shares. All ranks must call it, `device` as for `encode_in_shares`.
    Raises AllRefused if the teacher is too narrow.
    """
    left_out = lesson.left_out if lesson else ()
    texts = agreed(lambda: taught_texts(open_dataset(dataset), left_out), device)
    teacher = agreed(lambda: load_teacher(config), device)
    table = lesson.table if lesson else None

    def encode(part: list[str], role: Role) -> Vectors:
        return encode_in_shares(teacher.encode, part, role, device)

    if table is None:
        vectors = encode_by_role(texts, encode)
    else:
        vectors = np.empty((len(texts), teacher.width), np.float32)
        asked = [line for line, text in enumerate(texts) if text.role == "query"]
        if asked:
            vectors[asked] = encode([texts[line].text for line in asked], "query")
        agreed(lambda: read_documents(table, texts, vectors), device)
    taught = Taught(texts, vectors)
    return taught if teacher.dimensions else _turn(taught, device)


def load_teacher(config: TrainingConfig) -> Encoder:
    """Load the encoder `config.loss.guide`.

    Raises ModelError if it does not load, or is narrower than what is trained.
    """
    encoding = EncodingConfig(
        cpus_per_worker=config.cpus_per_worker, gpus_per_worker=float(config.use_gpu)
    )
    teacher = Encoder.load(str(config.loss.guide), encoding)
    if teacher.width < max(config.dimensions):
        raise ModelError(
            "loss.guide {guide}: its vectors have {width} dimensions, but {trained} are "
            "trained; choose a wider teacher, or training.dimensions up to that.",
            guide=config.loss.guide,
            width=teacher.width,
            trained=max(config.dimensions),
        )
    return teacher


def encode_by_role(texts: Sequence[TaughtText], encode: Encode) -> Vectors:
    """Return what `encode` gives texts in their roles, float32 [texts, width], in their order."""
    roles = np.array([text.role for text in texts])
    vectors: Vectors | None = None
    for role in ROLES:
        lines = np.flatnonzero(roles == role).tolist()
        if lines:
            encoded = encode([texts[line].text for line in lines], role)
            if vectors is None:
                vectors = np.empty((len(texts), encoded.shape[1]), np.float32)
            vectors[lines] = encoded
    assert vectors is not None, "training has texts"
    return vectors


def read_documents(table: Table, texts: Sequence[TaughtText], into: Vectors) -> None:
    """Write the table's vectors of the documents among the texts to their rows of `into`.

    The table is read once, a shard at a time. Raises StorageError if it lacks one.
    """
    lines = {text.id: line for line, text in enumerate(texts) if text.role == "document"}
    for shard in table.shards():
        ids, embeddings = read_shard(shard)
        for row, name in enumerate(ids):
            line = lines.pop(name, None)
            if line is not None:
                into[line] = embeddings[row]
    if lines:
        raise StorageError(
            "{uri}: {count} documents are not in the table, e.g. id {example!r}.",
            uri=table.uri,
            count=len(lines),
            example=show_id(min(lines)),
        )


def _turn(taught: Taught, device: torch.device) -> Taught:
    """Turn the vectors to their principal axes, on every rank by those that rank 0 finds."""
    axes, _ = principal_axes(taught.sample(_SAMPLE).vectors)
    shared = from_rank_zero(axes.ravel().tolist(), device)
    matrix = np.array(shared, dtype=np.float32).reshape(axes.shape)
    return Taught(taught.texts, taught.vectors @ matrix.T)
