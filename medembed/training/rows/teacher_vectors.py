"""What loss `mse` learns: training texts, each with a teacher's vector, which all workers make in
shares.
"""

from collections.abc import Sequence

import numpy as np
import torch

from medembed.data.dataset import open_dataset
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.encoding.reading import Role
from medembed.errors import ModelError
from medembed.evaluation.sample import Encode, Vectors
from medembed.training.collective import agreed, encode_in_shares
from medembed.training.config import TrainingConfig
from medembed.training.rows.batch_columns import Columns
from medembed.training.rows.columns import texts_by_role


def learn_from_teacher(
    dataset: str, config: TrainingConfig, prompts: tuple[str, str], device: torch.device
) -> Columns:
    """The trainer's columns: texts behind the `prompts` of (queries, documents), and the vectors to
    learn.

    All ranks must call it, `device` as for `encode_in_shares`. Raises AllRefused if the teacher is
    too narrow.
    """
    spoken = agreed(lambda: texts_by_role(open_dataset(dataset)), device)
    teacher = agreed(lambda: load_teacher(config), device)
    vectors = teach(
        spoken, lambda texts, role: encode_in_shares(teacher.encode, texts, role, device)
    )
    by_role = dict(zip(("query", "document"), prompts, strict=True))
    return {"text": [by_role[role] + text for text, role in spoken], "label": vectors.tolist()}


def load_teacher(config: TrainingConfig) -> Encoder:
    """The encoder `config.loss.guide`. Raises ModelError if it does not load, or is narrower than
    what is trained.
    """
    encoding = EncodingConfig(
        cpus_per_worker=config.cpus_per_worker, gpus_per_worker=float(config.use_gpu)
    )
    teacher = Encoder.load(str(config.loss.guide), encoding)
    if teacher.width < max(config.dimensions):
        raise ModelError(
            f"loss.guide {config.loss.guide}: its vectors have {teacher.width} dimensions, but "
            f"{max(config.dimensions)} are trained; choose a wider teacher, or training.dimensions "
            "up to that."
        )
    return teacher


def teach(spoken: Sequence[tuple[str, Role]], encode: Encode) -> Vectors:
    """float32 [len(spoken), width]: the vectors that `encode` gives texts in their roles, in their
    order.
    """
    roles: tuple[Role, ...] = ("query", "document")
    lines = {role: [line for line, (_, own) in enumerate(spoken) if own == role] for role in roles}
    found = {
        role: encode([spoken[line][0] for line in own], role) for role, own in lines.items() if own
    }
    vectors = np.empty((len(spoken), next(iter(found.values())).shape[1]), np.float32)
    for role, own in found.items():
        vectors[lines[role]] = own
    return vectors
