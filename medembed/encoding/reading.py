"""How a model reads texts: its own preprocessing, without the padding, so that texts of like length can be batched."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

from medembed.encoding.batching import Layout, Tokens
from medembed.encoding.modules import has_router, input_modules, leaves_out_prompt

Role = Literal["query", "document"]
ROLES: tuple[Role, ...] = ("query", "document")
# sentence-transformers looks for a document's prompt under these names, in this order.
PROMPT_NAMES: dict[str, tuple[str, ...]] = {"query": ("query",), "document": ("document", "passage", "corpus")}
UNBOUNDED = 1 << 20  # the maximum length of a model that states none
_CHARACTERS_PER_TOKEN = 32  # far above any language's average; only guards the tokenizer from a 10 MB text
_SHORT, _LONG = "a", "a dry cough, fever and pain in the chest"


@dataclass(frozen=True)
class _Form:
    """How the texts of one role behind one prompt are batched."""

    role: Role
    prompt: str
    layout: Layout
    shared: dict[str, Any]


class Reader:
    """Turns texts into what a loaded sentence-transformers model reads, as `model.preprocess` does.

    `max_length` is the model's own. `tells_roles_apart`: queries and documents do not fit into one batch.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.max_length = int(min(model.max_seq_length or UNBOUNDED, UNBOUNDED))
        self.tells_roles_apart = has_router(model) or leaves_out_prompt(model)
        # All now: threads that tokenise may not meet at the tokenizer's settings for padding.
        prompts = {"", *(model.prompts or {}).values()}
        self._forms = {key: self._look(*key) for key in product(ROLES, prompts)}

    @property
    def vocabulary(self) -> int:
        """How many token ids the model knows; with several tokenizers, those that all know."""
        tokenizers = [module.tokenizer for module in input_modules(self.model)]
        return min(len(each) if hasattr(each, "__len__") else each.get_vocab_size() for each in tokenizers)

    @property
    def prompts(self) -> dict[str, str]:
        """The checkpoint's prompts by name, sorted."""
        return dict(sorted((self.model.prompts or {}).items()))

    def prompt(self, role: Role, name: str | None = None) -> str:
        """The text that the checkpoint wants in front of a query or a document, or has under a name; often empty."""
        prompts: dict[str, str] = self.model.prompts or {}
        if name is not None:
            return prompts[name]
        return next((prompts[name] for name in PROMPT_NAMES[role] if prompts.get(name)), "")

    def read(
        self, texts: Sequence[str], role: Role, max_length: int | None = None, prompt_name: str | None = None
    ) -> tuple[Tokens, list[bool]]:
        """(the texts behind their prompt, cut at `max_length` or the model's own length; whether each was cut).

        `prompt_name`: a name in `prompts`, not the role's. A tokenizer that is not a "fast" one does not say what it
        cut: there, a text that fills the maximum counts.
        """
        form = self._forms[role, self.prompt(role, prompt_name)]
        limit = (max_length or self.max_length) * _CHARACTERS_PER_TOKEN
        tokens, cut = self._read([text[:limit] for text in texts], form, max_length)
        # So many spaces, or one word without end, may be few tokens.
        rest = [number for number, text in enumerate(texts) if len(text) > limit and not cut[number]]
        if rest:
            whole, marks = self._read([texts[number] for number in rest], form, max_length)
            for place, number in enumerate(rest):
                cut[number] = marks[place]
                for name, column in tokens.columns.items():
                    column[number] = whole.columns[name][place]
        return tokens, cut

    def count(self, texts: Sequence[str], role: Role, prompt_name: str | None = None) -> list[int]:
        """Tokens of each text behind its prompt, special tokens included, as if nothing were cut.

        A "fast" tokenizer cuts, and its pieces are counted: to switch that off would change it for threads that
        tokenise meanwhile.
        """
        form = self._forms[role, self.prompt(role, prompt_name)]
        features = self._preprocess(texts, form)
        marks = getattr(features, "encodings", None)
        if marks is not None:
            return list(map(_count_pieces, marks))
        if not form.layout.is_flat:
            features = self._preprocess(texts, form, {"truncation": False, "verbose": False})
        return list(map(len, self._columns(features, form)["input_ids"]))

    def given(self, ids: list[list[int]], role: Role) -> Tokens:
        """Texts given as token ids, taken as they are: no prompt, no special tokens."""
        form = self._forms[role, ""]
        columns = {name: [[0] * len(text) for text in ids] for name in form.layout.pads} | {"input_ids": ids}
        return Tokens(columns, form.layout, form.shared)

    def _read(self, texts: Sequence[str], form: _Form, max_length: int | None) -> tuple[Tokens, list[bool]]:
        features = self._preprocess(texts, form, max_length=max_length)
        tokens = Tokens(self._columns(features, form), form.layout, form.shared)
        if form.layout.is_flat:
            return tokens, [False] * len(tokens)
        marks = getattr(features, "encodings", None)
        if marks is not None:
            return tokens, [bool(mark.overflowing) for mark in marks]
        return tokens, [length >= (max_length or self.max_length) for length in tokens.lengths]

    def _preprocess(
        self, texts: Sequence[str], form: _Form, options: dict[str, Any] | None = None, max_length: int | None = None
    ) -> Any:
        text = {"padding": False, "return_attention_mask": False} | (options or {})
        if "token_type_ids" not in form.layout.pads:
            text["return_token_type_ids"] = False
        processing = {"text": text, "common": {"return_tensors": None}}
        length = {} if max_length is None else {"max_length": max_length}
        return self.model.preprocess(
            list(texts), prompt=form.prompt, task=form.role, processing_kwargs=processing, **length
        )

    def _columns(self, features: Any, form: _Form) -> dict[str, list[list[int]]]:
        if not form.layout.is_flat:
            return {name: [list(ids) for ids in features[name]] for name in form.layout.pads}
        ids = features["input_ids"].tolist()
        starts = features["offsets"].tolist()
        return {"input_ids": [ids[start:end] for start, end in zip(starts, [*starts[1:], len(ids)], strict=True)]}

    def _look(self, role: Role, prompt: str) -> _Form:
        """How the model itself batches two texts: which columns it reads, and where and how it pads them."""
        features = self.model.preprocess([_SHORT, _LONG], prompt=prompt, task=role)
        shared = {"modality": features.get("modality", "text")}
        if self.tells_roles_apart:
            shared["task"] = role
            if features.get("prompt_length"):
                shared["prompt_length"] = features["prompt_length"]
        if "offsets" in features:
            return _Form(role, prompt, Layout(is_flat=True), shared)
        own = features["attention_mask"].bool()
        pads = {"input_ids": 0}
        for name, column in features.items():
            is_column = name != "attention_mask" and getattr(column, "shape", None) == own.shape
            if is_column and (name == "input_ids" or column[own].any()):  # zeros are what a model takes for nothing
                pads[name] = int(column[~own][0]) if not own.all() else 0
        return _Form(role, prompt, Layout(pads, is_left=not bool(own[0, 0])), shared)


def _count_pieces(first: Any) -> int:
    """Tokens of an encoding and of what was cut off it, whose pieces each have the special tokens again."""
    pieces = [first, *first.overflowing]
    return sum(first.special_tokens_mask) + sum(piece.special_tokens_mask.count(0) for piece in pieces)
