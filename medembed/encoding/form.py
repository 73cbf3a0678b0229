"""How a loaded model reads inputs of one kind: its own preprocessing, without the padding."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from medembed.encoding.batching import Layout, Tokens

Input = str | tuple[str, str]  # a text, or a pair of query and document
Inputs = Sequence[Input]
UNBOUNDED = 1 << 20  # the maximum length of a model that states none
# far above any language's average; only guards the tokenizer from a 10 MB text
_CHARACTERS_PER_TOKEN = 32


class ReadTokens(NamedTuple):
    """Inputs as a model reads them, and whether each was cut at the maximum length."""

    tokens: Tokens
    is_cut: list[bool]


@dataclass(frozen=True)
class Form:
    """How inputs of one kind, such as the texts of a role behind one prompt, are read and batched.

    `max_length` is the model's own.
    """

    model: Any
    task: str | None
    prompt: str
    layout: Layout
    shared: dict[str, Any]

    @property
    def max_length(self) -> int:
        return int(min(self.model.max_seq_length or UNBOUNDED, UNBOUNDED))

    @classmethod
    def look(
        cls,
        model: Any,
        probe: Inputs,
        *,
        task: str | None = None,
        prompt: str = "",
        is_apart: bool = False,
    ) -> Self:
        """Return how the model itself batches a probe, two inputs of different length.

        `is_apart`: inputs of this task or prompt do not fit into one batch with others.
        """
        features = model.preprocess(list(probe), prompt=prompt, task=task)
        shared = {"modality": features.get("modality", "text")}
        if "logits_to_keep" in features:
            shared["logits_to_keep"] = features["logits_to_keep"]
        if is_apart:
            shared["task"] = task
            if features.get("prompt_length"):
                shared["prompt_length"] = features["prompt_length"]
        if "offsets" in features:
            return cls(model, task, prompt, Layout(is_flat=True), shared)
        own = features["attention_mask"].bool()
        pads = {"input_ids": 0}
        for name, column in features.items():
            is_column = name != "attention_mask" and getattr(column, "shape", None) == own.shape
            # A column of zeros is what a model takes for nothing.
            if is_column and (name == "input_ids" or column[own].any()):
                pads[name] = int(column[~own][0]) if not own.all() else 0
        return cls(model, task, prompt, Layout(pads, is_left=not bool(own[0, 0])), shared)

    def read(self, inputs: Inputs, max_length: int | None = None) -> ReadTokens:
        """Return the inputs behind the prompt, cut at the maximum length.

        A tokenizer that is not a "fast" one does not say what it cut: there, an input that fills
        the maximum counts.
        """
        limit = (max_length or self.max_length) * _CHARACTERS_PER_TOKEN
        tokens, cut = self._read([_shorten(each, limit) for each in inputs], max_length)
        # So many spaces, or one word without end, may be few tokens.
        rest = []
        for number, given in enumerate(inputs):
            if not cut[number] and _is_longer(given, limit):
                rest.append(number)
        if rest:
            whole, marks = self._read([inputs[number] for number in rest], max_length)
            for position, number in enumerate(rest):
                cut[number] = marks[position]
                for name, column in tokens.columns.items():
                    column[number] = whole.columns[name][position]
        return ReadTokens(tokens, cut)

    def _read(self, inputs: Inputs, max_length: int | None) -> ReadTokens:
        features = self.preprocess(inputs, max_length=max_length)
        tokens = Tokens(self.columns(features), self.layout, self.shared)
        if self.layout.is_flat:
            return ReadTokens(tokens, [False] * len(tokens))
        marks = getattr(features, "encodings", None)
        if marks is not None:
            return ReadTokens(tokens, [bool(mark.overflowing) for mark in marks])
        most = max_length or self.max_length
        return ReadTokens(tokens, [length >= most for length in tokens.lengths])

    def preprocess(
        self, inputs: Inputs, options: dict[str, Any] | None = None, max_length: int | None = None
    ) -> Any:
        """Return what the model's own preprocessing gives; `options` are the tokenizer's."""
        text = {"padding": False, "return_attention_mask": False} | (options or {})
        if "token_type_ids" not in self.layout.pads:
            text["return_token_type_ids"] = False
        processing = {"text": text, "common": {"return_tensors": None}}
        length = {} if max_length is None else {"max_length": max_length}
        return self.model.preprocess(
            list(inputs), prompt=self.prompt, task=self.task, processing_kwargs=processing, **length
        )

    def columns(self, features: Any) -> dict[str, list[list[int]]]:
        """Return the columns of `Tokens` in what `preprocess` gave."""
        if not self.layout.is_flat:
            return {name: [list(ids) for ids in features[name]] for name in self.layout.pads}
        ids = features["input_ids"].tolist()
        starts = features["offsets"].tolist()
        ends = [*starts[1:], len(ids)]
        return {"input_ids": [ids[start:end] for start, end in zip(starts, ends, strict=True)]}


def _shorten(given: Input, limit: int) -> Input:
    return given[:limit] if isinstance(given, str) else (given[0][:limit], given[1][:limit])


def _is_longer(given: Input, limit: int) -> bool:
    return len(given) > limit if isinstance(given, str) else max(map(len, given)) > limit
