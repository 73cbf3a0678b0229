"""Keep some pieces of a tokenizer, and their rows of the embedding table.

Texts whose pieces are kept are read as before. Unigram (SentencePiece): the best segmentation is
still the best among fewer, since no score changes. WordPiece: the longest match is still the
longest. BPE: a piece keeps those that it is merged from, so all merges of such a text are there,
in the same order.
"""

import json
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from medembed.encoding.model_layout import list_modules, read_json
from medembed.errors import ModelError

TOKENIZER = "tokenizer.json"
KINDS = ("Unigram", "WordPiece", "BPE")
# The most frequent pieces of the texts' scripts stay too, so that new texts are read much as
# before. Vocabularies begin with them.
_FREQUENT = 50_000
_BEGIN_OF_WORD = "▁Ġ"


def needed_pieces(
    settings: dict[str, Any], used: set[int], letters: Iterable[str], frequent: int = _FREQUENT
) -> list[int]:
    """Return the numbers of the pieces of a tokenizer.json that are kept, in order.

    Beside those in use: special tokens, and of the letters' scripts single characters and the
    first `frequent` pieces.
    """
    model = settings["model"]
    numbers = _number_pieces(model)
    scripts = _scripts(letters)
    prefix = model.get("continuing_subword_prefix") or ""
    kept = set(used)
    kept.update(entry["id"] for entry in settings["added_tokens"])
    for piece, number in numbers.items():
        bare = piece.removeprefix(prefix).lstrip(_BEGIN_OF_WORD)
        is_common = len(bare) <= 1 or number < frequent
        # The pieces of most BPE vocabularies are bytes, whatever they look like.
        if is_common and (model["type"] == "BPE" or _scripts(bare) <= scripts):
            kept.add(number)

    if model["type"] == "Unigram":
        scores = [score for _, score in model["vocab"]]
        kept.add(scores.index(min(scores)))  # an unknown character costs more than this piece
        if model.get("unk_id") is not None:
            kept.add(model["unk_id"])
    if model["type"] == "BPE":
        for left, right, merged in reversed(_merges(model)):
            if numbers[merged] in kept:
                kept.update((numbers[left], numbers[right]))
    if isinstance(model.get("unk_token"), str):
        kept.add(numbers[model["unk_token"]])
    return sorted(kept)


def cut_table(model: Any, kept: Sequence[int]) -> None:
    """Give a loaded SentenceTransformer an embedding table of these rows alone."""
    import torch

    transformer = model[0].model
    table = transformer.get_input_embeddings()
    new_numbers = {old: new for new, old in enumerate(kept)}
    padding = new_numbers.get(table.padding_idx)
    rows = table.weight.detach()[torch.tensor(kept)].clone()
    transformer.set_input_embeddings(
        torch.nn.Embedding.from_pretrained(rows, freeze=False, padding_idx=padding)
    )
    settings = transformer.config.get_text_config()
    settings.vocab_size = len(kept)
    for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
        number = getattr(settings, name, None)
        if number is not None:
            setattr(settings, name, new_numbers.get(number))


def cut_tokenizer(folder: Path, kept: Sequence[int]) -> None:
    """Rewrite the tokenizer of a saved model, so that it has these pieces alone, newly numbered.

    Raises ModelError if the tokenizers library numbers them otherwise.
    """
    from tokenizers import Tokenizer

    path = tokenizer_folder(folder) / TOKENIZER
    settings = read_json(path)
    before = Tokenizer.from_str(json.dumps(settings))
    names = [str(before.id_to_token(number)) for number in kept]
    numbers = {name: number for number, name in enumerate(names)}
    _cut_model(settings["model"], numbers)
    for entry in settings["added_tokens"]:
        entry["id"] = numbers[entry["content"]]
    if settings.get("padding"):
        settings["padding"]["pad_id"] = numbers[settings["padding"]["pad_token"]]
    _renumber(settings.get("post_processor"), numbers)
    text = json.dumps(settings, ensure_ascii=False)
    after = Tokenizer.from_str(text)
    if [after.token_to_id(name) for name in names] != list(range(len(names))):
        raise ModelError(
            "training.vocabulary=corpus: the tokenizer in {folder} does not keep the order "
            "of its pieces; set training.vocabulary=whole.",
            folder=folder,
        )
    path.write_text(text, encoding="utf-8")


def _cut_model(model: dict[str, Any], numbers: dict[str, int]) -> None:
    if model["type"] == "Unigram":
        if model.get("unk_id") is not None:
            model["unk_id"] = numbers[model["vocab"][model["unk_id"]][0]]
        model["vocab"] = [entry for entry in model["vocab"] if entry[0] in numbers]
        return
    if model["type"] == "BPE":
        model["merges"] = [
            [left, right] for left, right, merged in _merges(model) if merged in numbers
        ]
    model["vocab"] = {piece: numbers[piece] for piece in model["vocab"] if piece in numbers}


def _renumber(node: Any, numbers: dict[str, int]) -> None:
    """Give the special tokens of a post-processor their new numbers, however deep they stand."""
    if isinstance(node, list):
        for child in node:
            _renumber(child, numbers)
    if not isinstance(node, dict):
        return
    for name in ("sep", "cls"):  # of BERT and RoBERTa: [token, number]
        if name in node:
            node[name][1] = numbers[node[name][0]]
    if "ids" in node and "tokens" in node:
        node["ids"] = [numbers[token] for token in node["tokens"]]
    for child in node.values():
        _renumber(child, numbers)


def _number_pieces(model: dict[str, Any]) -> dict[str, int]:
    """Return {piece: its number}."""
    if model["type"] == "Unigram":
        return {piece: number for number, (piece, _) in enumerate(model["vocab"])}
    return dict(model["vocab"])


def _merges(model: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return (left, right, what they are merged to) in the order of the file."""
    prefix = model.get("continuing_subword_prefix") or ""
    merges = []
    for entry in model["merges"]:
        left, right = entry.split(" ") if isinstance(entry, str) else entry
        merges.append((left, right, left + right.removeprefix(prefix)))
    return merges


def _scripts(letters: Iterable[str]) -> set[str]:
    """Return the scripts of letters as Unicode names them: LATIN, GREEK, CJK; of signs none."""
    named = [unicodedata.name(letter, "") for letter in set(letters) if letter.isalpha()]
    return {name.partition(" ")[0] for name in named}


def tokenizer_folder(folder: Path) -> Path:
    """Return where a model folder has its tokenizer."""
    return list_modules(folder)[0].folder
