"""Read what loss `mse` learns: training texts, each with a teacher's vector."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from medembed.data.dataset import open_dataset
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.encoding.reading import ROLES, Role
from medembed.errors import ModelError
from medembed.evaluation.sample import Encode, Vectors
from medembed.training.collective import agreed, encode_in_shares
from medembed.training.config import TrainingConfig
from medembed.training.rows.batch_columns import Columns
from medembed.training.rows.columns import texts_by_role


def learn_from_teacher(
    dataset: str, config: TrainingConfig, prompts: Mapping[Role, str], device: torch.device
) -> Columns:
    """Return the trainer's columns: texts behind their prompts, and the vectors to learn.

    All ranks must call it, `device` as for `encode_in_shares`. Raises AllRefused if the teacher is
    too narrow.
    """
    texts = agreed(lambda: texts_by_role(open_dataset(dataset)), device)
    teacher = agreed(lambda: load_teacher(config), device)
    vectors = encode_by_role(
        texts, lambda part, role: encode_in_shares(teacher.encode, part, role, device)
    )
    return {"text": [prompts[role] + text for text, role in texts], "label": vectors.tolist()}


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


def encode_by_role(texts: Sequence[tuple[str, Role]], encode: Encode) -> Vectors:
    """Return what `encode` gives texts in their roles, float32 [texts, width], in their order."""
    roles = np.array([role for _, role in texts])
    vectors: Vectors | None = None
    for role in ROLES:
        lines = np.flatnonzero(roles == role).tolist()
        if lines:
            encoded = encode([texts[line][0] for line in lines], role)
            if vectors is None:
                vectors = np.empty((len(texts), encoded.shape[1]), np.float32)
            vectors[lines] = encoded
    assert vectors is not None, "training has texts"
    return vectors
