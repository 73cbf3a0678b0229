"""Refuse options that do not work with a model, by its folder, before the first stage."""

from medembed.encoding.model_layout import Module, list_modules, read_json
from medembed.encoding.modules import fetch_encoder
from medembed.encoding.prompt_check import check_prompts
from medembed.errors import ConfigError
from medembed.language import tr
from medembed.training.config import TrainingConfig
from medembed.training.model.vocabulary import check_vocabulary


def check_trainable(model: str, config: TrainingConfig) -> None:
    """Raise ConfigError if an option does not work with the model, ModelError if no option does.

    Warn of prompts that are missing, or other than the model's.

    An adapter is for a model of one transformer: a router has several, a static model none. A guide
    reads the student's tokens, and cached gradients split batches: a static model's have no rows.
    Of a loss with a teacher one column has queries and documents, which must be read alike.
    """
    loss = config.loss
    modules = list_modules(fetch_encoder(model))
    names = {module.kind for module in modules}
    is_routed = bool(names & {"Router", "Asym"})
    is_static = "StaticEmbedding" in names
    leaves_out_prompt = any(map(_leaves_out_prompt, modules))
    refused = {
        "adapter": config.adapter.kind is not None and (is_routed or is_static),
        "vocabulary=corpus": config.vocabulary == "corpus" and (is_routed or is_static),
        "freeze_words": config.freeze_words and (is_routed or is_static),
        "loss.guide": bool(loss.guide) and loss.traits.ranks and (is_routed or is_static),
        "loss.mini_batch_size": loss.mini_batch_size is not None and is_static,
        f"loss.name={loss.name}": loss.traits.is_taught and (is_routed or leaves_out_prompt),
    }
    kind = tr("a Pooling without the prompt")
    if is_routed:
        kind = tr("a Router")
    elif is_static:
        kind = tr("a StaticEmbedding")
    for option, is_refused in refused.items():
        if is_refused:
            raise ConfigError(
                "training.{option}: does not work with model {model}, which has {kind}; leave it "
                "out, or choose a model that is one transformer and reads queries and documents "
                "alike.",
                option=option,
                model=model,
                kind=kind,
            )
    if config.vocabulary == "corpus":
        check_vocabulary(model)
    check_prompts(model, config.prompts.model_dump())


def _leaves_out_prompt(module: Module) -> bool:
    settings = read_json(module.folder / "config.json")
    return isinstance(settings, dict) and settings.get("include_prompt") is False
