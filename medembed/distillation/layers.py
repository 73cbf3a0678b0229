"""Make a student of a teacher's own layers: a stock model with fewer of them."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

from medembed.artifact import NewOutput, find_output, place
from medembed.distillation.config import TeacherLayers
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import load_model
from medembed.encoding.model_files import fetch_model, model_fingerprint
from medembed.errors import ModelError
from medembed.lineage import Origin, Source, StartManifest
from medembed.schema import fingerprint
from medembed.training.record.checkpoint import write_folder

Chosen = Literal["ends", "even", "first"]


def write_layers(teacher: str, student: TeacherLayers, chosen: Chosen, output: str) -> str:
    """Return the URI of a stock model with these layers of the teacher, at `output` with a {key}.

    The same one is found again. Raises ModelError for a teacher whose layers cannot be told, or
    that has no more than these.
    """
    encoder = model_fingerprint(fetch_model(teacher))
    key = fingerprint(["layers", encoder, student.count, chosen])
    output = place(output, key)
    if find_output(output, StartManifest, key) is not None:
        return output
    model = load_model(fetch_model(teacher), EncodingConfig(), "cpu")
    stack = _find_stack(model, teacher, student)
    _cut(model, stack, choose_layers(student.count, stack.layers, chosen))
    with TemporaryDirectory() as scratch, NewOutput(output, key) as target:
        model.save_pretrained(scratch, create_model_card=False)
        write_folder(target, Path(scratch))
        target.commit(StartManifest(start=None, origin=Origin(parent=Source(encoder, teacher))))
    return output


def choose_layers(count: int, of: int, chosen: Chosen) -> tuple[int, ...]:
    """Return the numbers of `count` layers, ascending.

    "ends" leaves out one run of layers, two thirds of the others before it and one behind it:
    neighbours there change least, and what is left fits best (Gromov et al. 2024,
    arXiv:2403.17887). "even" has the first and the last (one alone: the first), and as even steps
    as whole numbers allow.
    """
    if chosen == "first":
        return tuple(range(count))
    if chosen == "ends":
        last = (count + 1) // 3
        return (*range(count - last), *range(of - last, of))
    steps = max(1, count - 1)
    return tuple((number * (of - 1) + steps // 2) // steps for number in range(count))


class _Stack(NamedTuple):
    """Where a transformer has its layers, and how many."""

    path: str
    layers: int


def _find_stack(model: Any, teacher: str, student: TeacherLayers) -> _Stack:
    """Find the one list of modules that is as long as the config says that there are layers.

    Seen of BERT, XLM-R, DistilBERT, MPNet and ModernBERT (transformers 5.23), whose lists have
    different names.
    """
    from torch.nn import ModuleList

    transformer = getattr(model[0], "model", None)
    layers: int = getattr(getattr(transformer, "config", None), "num_hidden_layers", 0)
    paths: list[str] = []
    if transformer is not None:
        for path, module in transformer.named_modules():
            is_within = any(path.startswith(f"{above}.") for above in paths)
            if isinstance(module, ModuleList) and len(module) == layers and not is_within:
                paths.append(path)
    if len(paths) != 1:
        raise ModelError(
            "student: teacher {teacher} has no list of transformer layers to take from, as static "
            "and routed models; name a smaller model as student.",
            teacher=teacher,
        )
    if student.count >= layers:
        raise ModelError(
            "student: found {student}, but teacher {teacher} has {count} layers; choose from 1 to "
            "{most}.",
            student=student,
            teacher=teacher,
            count=layers,
            most=layers - 1,
        )
    return _Stack(paths[0], layers)


def _cut(model: Any, stack: _Stack, kept: Sequence[int]) -> None:
    """Leave a loaded SentenceTransformer these layers, and what its config says of each."""
    from torch.nn import ModuleList

    transformer = model[0].model
    above, _, name = stack.path.rpartition(".")
    layers = transformer.get_submodule(stack.path)
    setattr(transformer.get_submodule(above), name, ModuleList(layers[number] for number in kept))
    config = transformer.config
    for key, value in config.to_dict().items():
        if isinstance(value, list) and len(value) == stack.layers:  # layer_types of ModernBERT
            setattr(config, key, [value[number] for number in kept])
    config.num_hidden_layers = len(kept)
