"""Check teacher and student, and say how the one learns from the other, before anything is made."""

from dataclasses import dataclass
from pathlib import Path

from medembed import storage
from medembed.distillation.config import DistillConfig, TeacherLayers
from medembed.distillation.layers import write_layers
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.encoding.model_files import model_fingerprint, model_width, read_card
from medembed.encoding.modules import fetch_encoder
from medembed.encoding.prompt_check import check_prompts, read_prompts
from medembed.errors import ModelError
from medembed.lineage import Source
from medembed.training.config import TrainingConfig
from medembed.training.model.trainable import check_trainable

_DIMENSIONS: tuple[int, ...] = TrainingConfig.model_fields["dimensions"].default


@dataclass(frozen=True)
class Pair:
    """A teacher and a student that fit: the model that is trained, the one that it comes from (the
    teacher, if it has its layers), and the training.
    """

    teacher: str
    student: str
    parent: Source
    training: TrainingConfig


def pair(config: DistillConfig, root: str, metric: str) -> Pair:
    """Return a teacher and a student that fit; checkpoints are chosen by `metric`.

    A student of the teacher's own layers is made below `root`. Raises ModelError for models that do
    not fit, ConfigError for a training that does not.
    """
    teacher = config.teacher
    folder = fetch_encoder(teacher)
    check_prompts(teacher)
    parent = Source(model_fingerprint(folder), teacher)
    width = _width(teacher, folder)
    prompts: dict[str, str] = {}
    if isinstance(config.student, TeacherLayers):
        place = storage.join(root, "students", "{key}")
        student = write_layers(teacher, config.student, config.layers_chosen, place)
    else:
        student = config.student
        own_folder = fetch_encoder(student)
        own_width = _width(student, own_folder)
        own = Source(model_fingerprint(own_folder), student)
        _check_other(own, parent, own_width, width)
        parent = own
        width = own_width
        if not any(read_prompts(own_folder).values()):
            prompts = {role: text for role, text in read_prompts(folder).items() if text}
    dimensions = config.training.dimensions
    dimensions = dimensions or choose_dimensions(read_card(folder).dimensions, width)
    training = config.training.complete(teacher, dimensions, prompts, metric)
    check_trainable(student, training)
    return Pair(teacher, student, parent, training)


def choose_dimensions(trained: tuple[int, ...], width: int) -> tuple[int, ...]:
    """Return the dimensions of a student of this width, widest first: the teacher's, if it was
    trained for some, else those of any training. What is too wide becomes the width.
    """
    wanted = trained or (width, *_DIMENSIONS)
    return tuple(sorted({min(dimension, width) for dimension in wanted}, reverse=True))


def _check_other(student: Source, teacher: Source, own_width: int, width: int) -> None:
    """Raise ModelError for a student that is the teacher, or wider."""
    if student.fingerprint == teacher.fingerprint:
        raise ModelError(
            "student: {student} is the teacher itself ({encoder}); name a smaller model, or "
            "layers:N.",
            student=student.uri,
            encoder=teacher.fingerprint,
        )
    if own_width > width:
        raise ModelError(
            "student: {student} has {own} dimensions, its teacher only {width}; choose a student "
            "of at most these, or a wider teacher.",
            student=student.uri,
            own=own_width,
            width=width,
        )


def _width(reference: str, folder: Path) -> int:
    return model_width(folder) or Encoder.load(reference, EncodingConfig(backend="torch")).width
