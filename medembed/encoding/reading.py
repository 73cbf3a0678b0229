"""How a model reads queries and documents, each behind its role's prompt."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, Literal

from medembed.encoding.batching import Tokens
from medembed.encoding.form import UNBOUNDED, Form, ReadTokens
from medembed.encoding.modules import has_router, input_modules, leaves_out_prompt

Role = Literal["query", "document"]
ROLES: tuple[Role, ...] = ("query", "document")
# sentence-transformers looks for a document's prompt under these names, in this order.
PROMPT_NAMES: dict[str, tuple[str, ...]] = {
    "query": ("query",),
    "document": ("document", "passage", "corpus"),
}
_PROBE = ("a", "a dry cough, fever and pain in the chest")


class Reader:
    """Turns texts into what a loaded sentence-transformers model reads, as `model.preprocess` does.

    `max_length` is the model's own. `tells_roles_apart`: queries and documents do not fit into one
    batch.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.max_length = int(min(model.max_seq_length or UNBOUNDED, UNBOUNDED))
        self.tells_roles_apart = has_router(model) or leaves_out_prompt(model)
        # All now: threads that tokenise may not meet at the tokenizer's settings for padding.
        prompts = {"", *(model.prompts or {}).values()}
        self._forms: dict[tuple[Role, str], Form] = {}
        for role, prompt in product(ROLES, prompts):
            self._forms[role, prompt] = Form.look(
                model, _PROBE, task=role, prompt=prompt, is_apart=self.tells_roles_apart
            )

    @property
    def vocabulary(self) -> int:
        """How many token ids the model knows; with several tokenizers, those that all know."""
        sizes = []
        for module in input_modules(self.model):
            tokenizer = module.tokenizer
            is_sized = hasattr(tokenizer, "__len__")
            sizes.append(len(tokenizer) if is_sized else tokenizer.get_vocab_size())
        return int(min(sizes))

    @property
    def prompts(self) -> dict[str, str]:
        """The checkpoint's prompts by name, sorted."""
        return dict(sorted((self.model.prompts or {}).items()))

    def prompt(self, role: Role, name: str | None = None) -> str:
        """Return the prompt of a role, or the one of this name; often empty."""
        prompts: dict[str, str] = self.model.prompts or {}
        if name is None:
            name = find_prompt_name(role, prompts)
        return "" if name is None else prompts[name]

    def read(
        self,
        texts: Sequence[str],
        role: Role,
        max_length: int | None = None,
        prompt_name: str | None = None,
    ) -> ReadTokens:
        """Return the texts behind their prompt, cut at the maximum length.

        `prompt_name`: a name in `prompts`, not the role's. A tokenizer that is not a "fast" one
        does not say what it cut: there, a text that fills the maximum counts.
        """
        form = self._forms[role, self.prompt(role, prompt_name)]
        return form.read(texts, max_length)

    def count(self, texts: Sequence[str], role: Role, prompt_name: str | None = None) -> list[int]:
        """Count each text's tokens behind its prompt, special ones included, nothing cut.

        A "fast" tokenizer cuts, and its pieces are counted: to switch that off would change it for
        threads that tokenise meanwhile.
        """
        form = self._forms[role, self.prompt(role, prompt_name)]
        features = form.preprocess(texts)
        marks = getattr(features, "encodings", None)
        if marks is not None:
            return list(map(_count_pieces, marks))
        if not form.layout.is_flat:
            features = form.preprocess(texts, {"truncation": False, "verbose": False})
        return list(map(len, form.columns(features)["input_ids"]))

    def given(self, ids: list[list[int]], role: Role) -> Tokens:
        """Return texts given as token ids, taken as they are: no prompt, no special tokens."""
        form = self._forms[role, ""]
        columns = {}
        for name in form.layout.pads:
            columns[name] = [[0] * len(text) for text in ids]
        columns["input_ids"] = ids
        return Tokens(columns, form.layout, form.shared)


def find_prompt_name(role: Role, prompts: Mapping[str, str]) -> str | None:
    """Return the first of a role's names under which there is a prompt; None without one."""
    for name in PROMPT_NAMES[role]:
        if prompts.get(name):
            return name
    return None


def _count_pieces(first: Any) -> int:
    """Count the tokens of an encoding and its cut-off pieces, special tokens once."""
    tokens = int(sum(first.special_tokens_mask))
    for piece in (first, *first.overflowing):
        tokens += piece.special_tokens_mask.count(0)
    return tokens
