"""Train small matrices beside a model's own (LoRA, QLoRA), merged into it in every checkpoint.

A checkpoint is therefore a whole stock model, whatever trained it. What a resumed run needs, the
small matrices alone, lies beside it in ADAPTER_STATE, which the published folder does not have.
"""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import load_model
from medembed.errors import ConfigError, ModelError, TrainingError, first_line
from medembed.training.model.precision import find_device
from medembed.training.options import AdapterConfig

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

ADAPTER_STATE = "adapter_state.safetensors"
_PACKAGES = {"lora": ("peft",), "qlora": ("peft", "bitsandbytes")}
_INSTALL = {"peft": "pip install 'medembed[lora]'", "bitsandbytes": "pip install bitsandbytes"}


def check_adapter(config: AdapterConfig, use_gpu: bool) -> None:
    """Raise ConfigError if a package is missing, or if 4-bit weights are asked for without CUDA."""
    if config.kind == "qlora" and not use_gpu:
        raise ConfigError(
            "training.adapter.kind: found qlora with training.use_gpu=false, but 4-bit weights "
            "need CUDA; set training.use_gpu=true, or kind lora."
        )
    for package in _PACKAGES.get(config.kind or "", ()):
        if importlib.util.find_spec(package) is None:
            raise ConfigError(
                "training.adapter.kind: found {kind}, but the package {package} is not "
                "installed; {install}, or leave the key out.",
                kind=config.kind,
                package=package,
                install=_INSTALL[package],
            )


@dataclass(frozen=True)
class Adapter:
    """The additions to a model in training, and the stock folder that they are added to."""

    stock: Path

    def save_merged(self, model: Any, folder: Path) -> None:
        """Write the merged model as a stock folder."""
        import torch

        encoding = EncodingConfig(cpus_per_worker=torch.get_num_threads())
        shell = load_model(self.stock, encoding, "cpu")
        shell.load_state_dict(merge_weights(model, shell.state_dict()))
        shell.prompts = model.prompts
        shell.save_pretrained(str(folder), create_model_card=False)

    def save_matrices(self, model: Any, folder: Path) -> None:
        """Write the trained matrices, from which a run goes on."""
        from safetensors.torch import save_file

        matrices = {
            name: tensor.detach().cpu().contiguous() for name, tensor in _trained(model).items()
        }
        save_file(matrices, str(folder / ADAPTER_STATE))

    def restore(self, model: Any, folder: Path) -> None:
        """Put a checkpoint's trained matrices into the model; TrainingError if they are others."""
        import torch
        from safetensors.torch import load_file

        saved = load_file(str(folder / ADAPTER_STATE))
        own = _trained(model)
        if _shapes(saved) != _shapes(own):
            raise TrainingError(
                "{folder}: its {saved} adapter matrices are not the {own} of this run; resume "
                "with the same training.adapter, or choose a new output.",
                folder=folder,
                saved=len(saved),
                own=len(own),
            )
        with torch.no_grad():
            for name, tensor in saved.items():
                own[name].copy_(tensor)


def load_for_training(
    folder: Path, encoding: EncodingConfig, config: AdapterConfig, device: str
) -> tuple[Any, Adapter | None]:
    """Return the model, and its adapter if the config asks for one.

    Raises ConfigError, or ModelError if it takes no adapter.
    """
    check_adapter(config, device != "cpu")
    if config.kind is None:
        return load_model(folder, encoding, device), None
    if config.kind == "qlora":
        model = _load_in_4_bits(folder, device)
    else:
        model = load_model(folder, encoding, device)
    add_adapter(model, config)
    return model, Adapter(folder)


def add_adapter(model: Any, config: AdapterConfig) -> None:
    """Add zero low-rank additions (Hu et al. 2021, arXiv:2106.09685) and train nothing else.

    Raises ModelError if the model has no such matrices.
    """
    from peft import LoraConfig

    modules = config.target_modules
    asked = LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=modules if isinstance(modules, str) else list(modules),
    )
    # parts behind the transformer, which peft does not see, stay as well
    model.requires_grad_(False)
    try:
        model.add_adapter(asked)
    except ValueError as error:
        raise ModelError(
            "training.adapter: the model takes no adapter at {modules}: {reason}",
            modules=modules,
            reason=first_line(error)[:200],
        ) from None


def merge_weights(model: Any, stock: "dict[str, Tensor]") -> "dict[str, Tensor]":
    """Return float32 tensors on the CPU under the stock model's names.

    Where there is an addition they are W + (alpha / rank) B A. In QLoRA W is what the 4 bits stand
    for, so that the merged model is the one that was trained and measured.
    """
    import torch
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.integrations import dequantize_module_weight

    modules: dict[str, Any] = dict(model.named_modules())
    merged: dict[str, Tensor] = {}
    with torch.no_grad():
        for name in stock:
            owner, _, leaf = name.rpartition(".")
            module = modules[owner]
            has_addition = isinstance(module, BaseTunerLayer)
            base = module.get_base_layer() if has_addition else module
            tensor = dequantize_module_weight(base) if leaf == "weight" else getattr(base, leaf)
            if leaf == "weight" and has_addition:
                addition = module.get_delta_weight("default").to(tensor.device)
                tensor = tensor.float() + addition.float()
            merged[name] = tensor.detach().cpu()
    return merged


def _trained(model: Any) -> "dict[str, nn.Parameter]":
    parameters = model.named_parameters()
    return {name: parameter for name, parameter in parameters if parameter.requires_grad}


def _shapes(tensors: "Mapping[str, Tensor]") -> "dict[str, torch.Size]":
    return {name: tensor.shape for name, tensor in tensors.items()}


def _load_in_4_bits(folder: Path, device: str) -> Any:
    """Load the model in 4-bit NormalFloat (Dettmers et al. 2023, arXiv:2305.14314)."""
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import BitsAndBytesConfig

    has_bfloat16 = "bfloat16" in find_device(True).native
    quantized = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16 if has_bfloat16 else torch.float16,
    )
    return SentenceTransformer(
        str(folder),
        device=device,
        trust_remote_code=False,
        local_files_only=True,
        model_kwargs={
            "use_safetensors": True,
            "dtype": torch.float32,
            "quantization_config": quantized,
        },
    )
