"""Cut a model's vocabulary to the pieces that a corpus needs, and its embedding table likewise.

A multilingual table has 250,000 rows, of which the texts of a hospital touch a few thousand. Each
row costs memory four times in training: its weights, their gradient and two moments.

Beside the pieces in use stay those that new texts are likely to need. What was cut away is gone: a
model that was cut keeps its pieces in every later training.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from medembed import storage
from medembed.data.dataset import Dataset
from medembed.encoding.model_files import fetch_model, model_width, read_card
from medembed.encoding.model_layout import read_json
from medembed.encoding.reading import PROMPT_NAMES, ROLES
from medembed.errors import ModelError
from medembed.facts import Vocabulary
from medembed.language import tr
from medembed.training.config import TrainingConfig
from medembed.training.model.pieces import KINDS, TOKENIZER, needed_pieces, tokenizer_folder

logger = logging.getLogger(__name__)

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
    folder = tokenizer_folder(fetch_model(model))
    settings = read_json(folder / TOKENIZER)
    kind = settings.get("model", {}).get("type") if settings else None
    if kind not in KINDS:
        what = tr("of kind {kind}", kind=kind) if settings else tr("without {file}", file=TOKENIZER)
        raise ModelError(
            "training.vocabulary=corpus: found a tokenizer {what} in {folder}, expected one of "
            "kind {kinds}; set training.vocabulary=whole.",
            what=what,
            folder=folder,
            kinds=", ".join(KINDS),
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
    settings = read_json(tokenizer_folder(folder) / TOKENIZER)
    pieces = needed_pieces(settings, use.pieces, use.letters)
    facts = Vocabulary(len(pieces), use.whole, use.pieces_per_character)
    row_bytes = 4 * (model_width(folder) or 0)
    logger.info(
        tr(
            "vocabulary: kept {kept:,} of {whole:,} pieces, {used:,} of them in the texts; the "
            "embedding table has {size:.0f} MiB of {whole_size:.0f}",
            kept=facts.kept,
            whole=facts.whole,
            used=len(use.pieces),
            size=facts.kept * row_bytes / 2**20,
            whole_size=facts.whole * row_bytes / 2**20,
        )
    )
    return VocabularyPlan(tuple(pieces), facts)


def _compare(use: _Use, cut_before: Vocabulary) -> None:
    """Log how much finer a cut model splits these texts than those that it was cut for."""
    finer = use.pieces_per_character / cut_before.pieces_per_character
    line = tr(
        "vocabulary: the model was cut to {kept:,} of {whole:,} pieces; a character of these texts "
        "takes {finer:.2f} times the pieces of those it was cut for",
        kept=cut_before.kept,
        whole=cut_before.whole,
        finer=finer,
    )
    if finer > _MUCH_FINER:
        advice = tr("to take in their words, train from the whole model again")
        logger.warning("%s; %s", line, advice)
    else:
        logger.info("%s", line)


def _read_use(dataset: Dataset, folder: Path, config: TrainingConfig) -> _Use:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_folder(folder) / TOKENIZER))
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
    prompts: dict[str, str] = {}
    for role in ROLES:
        asked = getattr(config.prompts, role)
        known = next((own[name] for name in PROMPT_NAMES[role] if own.get(name)), "")
        prompts[role] = known if asked is None else asked
    return prompts


def _read_texts(dataset: Dataset, prompts: dict[str, str]) -> Iterator[list[str]]:
    """Yield the texts that training may read, each behind its prompt, a few thousand at a time."""
    uris = [uri for uri, _ in dataset.corpus_files()]
    corpus = (("document", storage.read_parquet(uri, ["text", "split"])) for uri in uris)
    for role, table in chain(corpus, [("query", dataset.queries())]):
        rows = zip(table["text"].to_pylist(), table["split"].to_pylist(), strict=True)
        texts = [prompts[role] + text for text, split in rows if split in (None, "train")]
        for first in range(0, len(texts), _TEXTS_AT_ONCE):
            yield texts[first : first + _TEXTS_AT_ONCE]
