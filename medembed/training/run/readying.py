"""What all ranks do before the first step: load the model, turn it to its axes, read the rows. They
agree or refuse.
"""

import torch

from medembed.data.dataset import open_dataset
from medembed.encoding.encoder import Encoder
from medembed.encoding.model_files import fetch_model
from medembed.encoding.model_layout import is_plain_transformer
from medembed.evaluation.sample import Vectors
from medembed.mining.examples import open_examples
from medembed.training.collective import agreed, encode_in_shares, name_from_rank_zero, world
from medembed.training.loss_config import RANKING
from medembed.training.model.adapters import Adapter
from medembed.training.model.principal_axes import (
    draw_documents,
    find_start,
    place_start,
    write_start,
)
from medembed.training.rows.batch_columns import TrainingTexts, known_pairs
from medembed.training.rows.columns import make_material
from medembed.training.rows.teacher_vectors import learn_from_teacher
from medembed.training.run.build import load_student
from medembed.training.run.run_folder import check_claim
from medembed.training.run.worker import Work


def load_model_to_train(work: Work, device: torch.device) -> tuple[Encoder, Adapter | None]:
    """The model to train, turned to principal axes if the work says so: all ranks encode, rank 0
    writes it, once.
    """
    encoder, adapter = agreed(lambda: load_student(work.model, work.config), device)
    if not work.turns:
        return encoder, adapter
    start = name_from_rank_zero(lambda: find_start(work.run), device)
    if start is None:
        texts = draw_documents(open_dataset(work.dataset), work.config.seed)
        if not texts:
            return encoder, adapter
        start = place_start(work.run, work.attempt)
        vectors = encode_in_shares(encoder.encode, texts, "document", device)
        agreed(lambda: _write_start(work, vectors, start), device)
    del encoder, adapter  # memory for the next one
    return agreed(lambda: load_student(start, work.config), device)


def _write_start(work: Work, vectors: Vectors, start: str) -> None:
    if world()[0] == 0:
        check_claim(work.run, work.attempt)
        write_start(work.model, vectors, work.config, start)


def read_texts(work: Work, encoder: Encoder) -> TrainingTexts:
    """What the trainer and its loss read."""
    device = encoder.model.device
    if work.config.loss.name == "mse":
        prompts = (encoder.prompt("query"), encoder.prompt("document"))
        return TrainingTexts(learn_from_teacher(work.dataset, work.config, prompts, device))
    return agreed(lambda: _read_texts(work), device)


def _read_texts(work: Work) -> TrainingTexts:
    dataset = open_dataset(work.dataset)
    examples = open_examples(work.examples).read() if work.examples else []
    columns = make_material(work.config, dataset, examples)
    if work.config.loss.name not in RANKING:
        return TrainingTexts(columns)
    known = known_pairs(examples, dataset.qrels())
    if not work.config.loss.hold or is_plain_transformer(fetch_model(work.model)):
        return TrainingTexts(columns, known)
    return TrainingTexts(columns, known, draw_documents(dataset, work.config.seed))
