"""Give a model the prompts that a config names; the checkpoint keeps them. Pure."""

from collections.abc import Iterable
from typing import Any

from medembed.encoding.reading import PROMPT_NAMES, Role
from medembed.training.options import PromptsConfig

_, *_OTHER_DOCUMENT_NAMES = PROMPT_NAMES["document"]


def set_prompts(model: Any, prompts: PromptsConfig) -> None:
    """Give a sentence-transformers model these prompts; those that are None stay as they are.

    A document's prompt is called `document` from now on, under which sentence-transformers looks
    first.
    """
    known = dict(model.prompts or {})
    other = next((known[name] for name in _OTHER_DOCUMENT_NAMES if known.get(name)), "")
    known["document"] = known.get("document") or other
    if prompts.query is not None:
        known["query"] = prompts.query
    if prompts.document is not None:
        known = {
            name: prompt for name, prompt in known.items() if name not in _OTHER_DOCUMENT_NAMES
        }
        known["document"] = prompts.document
        # else the folder would name a prompt that it lacks
        if model.default_prompt_name in _OTHER_DOCUMENT_NAMES:
            model.default_prompt_name = "document"
    model.prompts = known


def roles_of(columns: Iterable[str]) -> dict[str, Role]:
    """Return {column of texts: the role whose prompt and route it takes}."""
    texts = [name for name in columns if name != "label"]
    return {name: "query" if name == "query" else "document" for name in texts}
