"""A model's prompts where a config names them: kept by the checkpoint, and so by encoding and
serving. Pure.
"""

from collections.abc import Iterable
from typing import Any

from medembed.encoding.reading import Role
from medembed.training.options import PromptsConfig

# Names under which sentence-transformers looks for a document's prompt besides `document`.
_OTHER_DOCUMENT_NAMES = ("passage", "corpus")


def set_prompts(model: Any, prompts: PromptsConfig) -> None:
    """Gives a sentence-transformers model these prompts; those that are None stay as its folder has
    them.

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


def roles_of(columns: Iterable[str], loss: str) -> dict[str, Role]:
    """{column of texts: whose prompt and route it takes}; none for loss mse, where a column has
    texts of both.
    """
    if loss == "mse":
        return {}
    return {name: "query" if name == "query" else "document" for name in columns if name != "label"}
