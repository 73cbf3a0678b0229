"""What loading a transformer left out: sentence-transformers gives the outcome to nobody.

So a transformer in doubt is loaded once more, without any data, by the private `_load_model`, which
chooses its class, as seen in sentence-transformers 6.2. `tests/encoding/test_model_probe.py` fails
when it moves.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medembed.encoding.model_layout import Module, list_modules
from medembed.encoding.model_weights import read_tensors


@dataclass(frozen=True)
class LoadReport:
    """Tensors that vectors depend on and no file has, and tensors of a layer that is not there."""

    missing: list[str]
    unexpected: list[str]


def report_loading(model: Any, folder: Path) -> Iterator[LoadReport]:
    """Report on each transformer of a loaded model; other modules raise an error themselves.

    One whose tensors are named as in its files has them all: none is loaded again.
    """
    from sentence_transformers.base.modules import Transformer

    loaded = [module for module in model.modules() if isinstance(module, Transformer)]
    for module in list_modules(folder):
        if loaded and module.kind == "Transformer":
            in_files = {tensor.name for tensor in read_tensors(module.weights)}
            if in_files != loaded[0].model.state_dict().keys():
                yield _load_again(loaded[0], module)


def _load_again(transformer: Any, module: Module) -> LoadReport:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(module.folder, local_files_only=True)
    shell, outcome = transformer._load_model(
        str(module.folder),
        transformer.transformer_task,
        config,
        "torch",
        False,
        device_map="meta",
        output_loading_info=True,
        use_safetensors=True,
        local_files_only=True,
    )
    missing = [name for name in outcome["missing_keys"] if _is_used(name, transformer)]
    # Those of a head, such as a cross-encoder's, and those of the model below it.
    layers = dict(shell.named_children()) | dict(shell.base_model.named_children())
    unexpected = []
    for name in outcome["unexpected_keys"]:
        layer = name.removeprefix(f"{shell.base_model_prefix}.").partition(".")[0]
        if layer in layers:
            unexpected.append(name)
    return LoadReport(sorted(missing), sorted(unexpected))


def _is_used(tensor: str, transformer: Any) -> bool:
    """Return whether vectors depend on a tensor: not on a BERT's pooler where tokens are pooled."""
    outputs = [entry["method_output_name"] for entry in transformer.modality_config.values()]
    return "pooler_output" in outputs or not tensor.startswith("pooler.")
