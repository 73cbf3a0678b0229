"""Let another model's similarities tell which in-batch documents may answer a query, too."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from sentence_transformers.util import batch_to_device
from torch import Tensor
from torch.nn import functional as F

_TEXTS_AT_ONCE = 64


class Guide:
    """Embeds the trained model's tokenised batches with a model that stays as it is.

    No torch module, so that no trainer trains, moves or saves it. Where the tokenizers or prompts
    differ, tokens are decoded, the trained model's prompt is cut off, and the guide's own takes its
    place.
    """

    def __init__(
        self, guide: Any, model: Any, prompts: Mapping[str, str], own_prompts: Mapping[str, str]
    ) -> None:
        """Prompts by role, "query" and "document": of the trained model, and the guide's own."""
        self.guide = guide.eval().requires_grad_(False)
        self.tokenizer = model.tokenizer
        self.own_prompts = dict(own_prompts)
        self.reads_tokens = (
            dict(prompts) == self.own_prompts
            and type(self.tokenizer) is type(guide.tokenizer)
            and self.tokenizer.get_vocab() == guide.tokenizer.get_vocab()
            and guide.max_seq_length >= model.max_seq_length
        )
        self.prefixes = {
            role: self._decode(self.tokenizer([prompt])["input_ids"])[0]
            for role, prompt in prompts.items()
        }

    def embed(self, features: Sequence[Mapping[str, Any]]) -> list[Tensor]:
        """Return float32 [B, width] with unit rows for each column.

        The first column has queries, the others documents.
        """
        roles = ["query", *["document"] * (len(features) - 1)]
        with torch.no_grad():
            return [self._embed(column, role) for column, role in zip(features, roles, strict=True)]

    def _embed(self, features: Mapping[str, Any], role: str) -> Tensor:
        rows = len(features["input_ids"])
        parts = []
        for first in range(0, rows, _TEXTS_AT_ONCE):
            tokens = {name: _rows(value, first) for name, value in features.items()}
            inputs = tokens if self.reads_tokens else self._translate(tokens["input_ids"], role)
            parts.append(self.guide(inputs)["sentence_embedding"].float())
        return F.normalize(torch.cat(parts), dim=1)

    def _translate(self, tokens: Tensor, role: str) -> dict[str, Any]:
        texts = [text.removeprefix(self.prefixes[role]).lstrip() for text in self._decode(tokens)]
        inputs = self.guide.preprocess(texts, prompt=self.own_prompts[role], task=role)
        return batch_to_device(dict(inputs), tokens.device) | {"task": role}

    def _decode(self, tokens: Any) -> list[str]:
        return self.tokenizer.batch_decode(tokens, skip_special_tokens=True)


def _rows(value: Any, first: int) -> Any:
    """Return the rows of a tensor that are embedded at once; other settings belong to all rows."""
    if isinstance(value, Tensor) and value.dim():
        return value[first : first + _TEXTS_AT_ONCE]
    return value
