"""A model's prompts where a config names them: kept by the checkpoint, and so by encoding and serving. Pure."""

from typing import Any

from medembed.training.options import PromptsConfig

# Names under which sentence-transformers looks for a document's prompt besides `document`.
_OTHER_DOCUMENT_NAMES = ("passage", "corpus")


def set_prompts(model: Any, prompts: PromptsConfig) -> None:
    """Gives a sentence-transformers model these prompts; those that are None stay as its folder has them."""
    known = dict(model.prompts or {})
    if prompts.query is not None:
        known["query"] = prompts.query
    if prompts.document is not None:
        known = {name: prompt for name, prompt in known.items() if name not in _OTHER_DOCUMENT_NAMES}
        known["document"] = prompts.document
        if model.default_prompt_name in _OTHER_DOCUMENT_NAMES:  # else the folder would name a prompt that it lacks
            model.default_prompt_name = "document"
    model.prompts = known
