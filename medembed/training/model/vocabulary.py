"""Cut a model's vocabulary to the pieces that a corpus needs, and its embedding table likewise.

A multilingual table has 250,000 rows, of which the texts of a hospital touch a few thousand. Each
row costs memory four times in training: its weights, their gradient and two moments.

Texts whose pieces are kept are read as before. Unigram (SentencePiece): the best segmentation is
still the best among fewer, since no score changes. WordPiece: the longest match is still the
longest. BPE: a piece keeps those that it is merged from, so all merges of such a text are there,
in the same order.
"""

import json
import logging
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medembed import storage
from medembed.data.dataset import Dataset
from medembed.encoding.model_files import fetch_model, model_width, read_card
from medembed.encoding.model_layout import list_modules, read_json
from medembed.encoding.reading import PROMPT_NAMES, ROLES
from medembed.errors import ModelError
from medembed.facts import Vocabulary
from medembed.training.config import TrainingConfig

logger = logging.getLogger(__name__)

TOKENIZER = "tokenizer.json"
_KINDS = ("Unigram", "WordPiece", "BPE")
# The most frequent pieces of the texts' scripts stay too, so that new texts are read much as
# before. Vocabularies begin with them.
_FREQUENT = 50_000
_BEGIN_OF_WORD = "▁Ġ"
_TEXTS_AT_ONCE = 4096
_MUCH_FINER = 1.05  # times the pieces for a character: many words of the texts were cut away


@dataclass(frozen=True)
class VocabularyPlan:
    """The numbers of the pieces that training keeps, in order, and what the checkpoint says of it.

    No pieces: the model keeps what it has. No facts: that is its whole vocabulary.
    """

    pieces: tuple[int, ...] | None = None
    facts: Vocabulary | None = None


@dataclass(frozen=True)
class _Use:
    """What training texts need of a tokenizer of `whole` pieces."""

    pieces: set[int]
    letters: set[str]
    whole: int
    pieces_per_character: float


def check_vocabulary(model: str) -> None:
    """Raise ModelError for a tokenizer that cannot be cut."""
    folder = _tokenizer_folder(fetch_model(model))
    settings = read_json(folder / TOKENIZER)
    kind = settings.get("model", {}).get("type") if settings else None
    if kind not in _KINDS:
        what = f"of kind {kind}" if settings else f"without {TOKENIZER}"
        raise ModelError(
            f"training.vocabulary=corpus: found a tokenizer {what} in {folder}, expected one of "
            f"kind {', '.join(_KINDS)}; set training.vocabulary=whole."
        )


def plan_vocabulary(dataset: Dataset, model: str, config: TrainingConfig) -> VocabularyPlan:
    """Return which pieces training keeps, and log how many.

    A model whose vocabulary was cut keeps what is left of it; a warning says if that is too little
    for these texts.
    """
    folder = fetch_model(model)
    cut_before = read_card(folder).vocabulary
    if cut_before is None and config.vocabulary == "whole":
        return VocabularyPlan()
    use = _read_use(dataset, folder, config)
    if cut_before is not None:
        _compare(use, cut_before)
        return VocabularyPlan(facts=cut_before)
    settings = read_json(_tokenizer_folder(folder) / TOKENIZER)
    pieces = needed_pieces(settings, use.pieces, use.letters)
    facts = Vocabulary(len(pieces), use.whole, use.pieces_per_character)
    row_bytes = 4 * (model_width(folder) or 0)
    logger.info(
        "vocabulary: kept %s of %s pieces, %s of them in the texts; the embedding table has "
        "%.0f MiB of %.0f",
        f"{facts.kept:,}",
        f"{facts.whole:,}",
        f"{len(use.pieces):,}",
        facts.kept * row_bytes / 2**20,
        facts.whole * row_bytes / 2**20,
    )
    return VocabularyPlan(tuple(pieces), facts)


def _compare(use: _Use, cut_before: Vocabulary) -> None:
    """Log how much finer a cut model splits these texts than those that it was cut for."""
    finer = use.pieces_per_character / cut_before.pieces_per_character
    line = (
        f"vocabulary: the model was cut to {cut_before.kept:,} of {cut_before.whole:,} pieces; "
        f"a character of these texts takes {finer:.2f} times the pieces of those it was cut for"
    )
    if finer > _MUCH_FINER:
        logger.warning("%s; to take in their words, train from the whole model again", line)
    else:
        logger.info("%s", line)


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

    path = _tokenizer_folder(folder) / TOKENIZER
    settings = read_json(path)
    before = Tokenizer.from_str(json.dumps(settings))
    names = [before.id_to_token(number) for number in kept]
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
            f"training.vocabulary=corpus: the tokenizer in {folder} does not keep the order of its "
            "pieces; set training.vocabulary=whole."
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


def _tokenizer_folder(folder: Path) -> Path:
    return list_modules(folder)[0].folder


def _read_use(dataset: Dataset, folder: Path, config: TrainingConfig) -> _Use:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(_tokenizer_folder(folder) / TOKENIZER))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    pieces: set[int] = set()
    letters: set[str] = set()
    count = 0
    characters = 0
    for texts in _read_texts(dataset, _prompts(folder, config)):
        letters.update(*texts)
        characters += sum(map(len, texts))
        for encoding in tokenizer.encode_batch(texts, add_special_tokens=False):
            pieces.update(encoding.ids)
            count += len(encoding.ids)
    return _Use(pieces, letters, tokenizer.get_vocab_size(), count / max(characters, 1))


def _prompts(folder: Path, config: TrainingConfig) -> dict[str, str]:
    """Return {role: the prompt that training puts before its texts}."""
    settings = read_json(folder / "config_sentence_transformers.json") or {}
    own = settings.get("prompts") or {}
    prompts = {}
    for role in ROLES:
        asked = getattr(config.prompts, role)
        known = next((own[name] for name in PROMPT_NAMES[role] if own.get(name)), "")
        prompts[role] = known if asked is None else asked
    return prompts


def _read_texts(dataset: Dataset, prompts: dict[str, str]) -> Iterator[list[str]]:
    """Yield the texts that training may read, each behind its prompt, a few thousand at a time."""
    files = [("document", uri) for uri, _ in dataset.corpus_files()]
    tables = ((role, storage.read_parquet(uri, ["text", "split"])) for role, uri in files)
    for role, table in (*tables, ("query", dataset.queries())):
        rows = zip(table["text"].to_pylist(), table["split"].to_pylist(), strict=True)
        texts = [prompts[role] + text for text, split in rows if split in (None, "train")]
        for first in range(0, len(texts), _TEXTS_AT_ONCE):
            yield texts[first : first + _TEXTS_AT_ONCE]
