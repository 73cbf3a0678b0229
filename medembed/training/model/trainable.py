"""Which models can be trained with which options, by the model's folder: known before the first
stage.
"""

from medembed.encoding.model_layout import Module, list_modules, read_json
from medembed.encoding.modules import fetch_encoder
from medembed.errors import ConfigError
from medembed.training.config import TrainingConfig


def check_trainable(model: str, config: TrainingConfig) -> None:
    """Raises ConfigError if an option does not work with the model's modules, ModelError if no
    option does.

    An adapter, frozen layers and layer_decay are for a model of one transformer: a router has
    several, a static model none. A guide reads the student's tokens, and cached gradients split
    batches: a static model's have no rows. In loss mse one column has queries and documents, which
    must be read alike.
    """
    modules = list_modules(fetch_encoder(model))
    names = {module.kind for module in modules}
    is_routed = bool(names & {"Router", "Asym"})
    is_static = "StaticEmbedding" in names
    leaves_out_prompt = any(map(_leaves_out_prompt, modules))
    options = {
        "adapter": config.adapter.kind is not None and (is_routed or is_static),
        "freeze": config.freeze is not None and (is_routed or is_static),
        "layer_decay": config.layer_decay != 1 and (is_routed or is_static),
        "loss.name=guided": config.loss.name == "guided" and (is_routed or is_static),
        "loss.name=cached_multiple_negatives": config.loss.cached_rows is not None and is_static,
        "loss.name=mse": config.loss.name == "mse" and (is_routed or leaves_out_prompt),
    }
    refused = [option for option, is_refused in options.items() if is_refused]
    if refused:
        kind = (
            "a Router"
            if is_routed
            else "a StaticEmbedding"
            if is_static
            else "a Pooling without the prompt"
        )
        raise ConfigError(
            f"training.{refused[0]}: does not work with model {model}, which has {kind}; leave it "
            "out, or choose a model that is one transformer and reads queries and documents alike."
        )


def _leaves_out_prompt(module: Module) -> bool:
    settings = read_json(module.folder / "config.json")
    return isinstance(settings, dict) and settings.get("include_prompt") is False
