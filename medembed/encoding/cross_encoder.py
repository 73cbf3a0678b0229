"""`CrossEncoder`: pairs of query and document -> scores, as sentence-transformers gives them."""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from medembed.encoding.agreement import LARGEST_DIFFERENCE
from medembed.encoding.backends import TorchBackend
from medembed.encoding.batching import Tokens, make_batches
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import load_stock
from medembed.encoding.form import Form, ReadTokens
from medembed.encoding.model_files import fetch_model, model_fingerprint, unchanged
from medembed.encoding.model_layout import read_json
from medembed.encoding.model_probe import MADE_UP, check_parts, explain
from medembed.encoding.modules import check_kinds, cut_to_positions
from medembed.errors import ModelError

_KNOWN = ("Transformer", "Pooling", "Dense", "LayerNorm", "Normalize", "Dropout", "LogitScore")
# Each keeps the order of what it is given.
_ACTIVATIONS = ("Identity", "Sigmoid", "Tanh")
_PROBE = (("a", "b"), ("a dry cough", "fever and pain in the chest"))
# Of several lengths, so that a batch has padding; capitals and two lines, which a tokenizer may
# read in its own way.
_PAIRS = (
    *product(MADE_UP[:1], MADE_UP),
    ("HER2 positive,\nand 39 degrees", "A dry Cough."),
)

Pair = tuple[str, str]
Scores = npt.NDArray[np.float32]


class CrossEncoder:
    """A loaded model that reads query and document together, and scores the pair.

    A score is what the model's own activation gives: 0 to 1 by a sigmoid, unless its settings name
    another.
    """

    def __init__(self, model: Any, config: EncodingConfig, fingerprint: str = "") -> None:
        self.model = model
        self.config = config
        self.fingerprint = fingerprint
        prompt = (model.prompts or {}).get(model.default_prompt_name) or ""
        self.form = Form.look(model, _PROBE, prompt=prompt)
        self.max_length = self.form.max_length
        self.backend = TorchBackend(model, output="scores")

    @classmethod
    def load(cls, reference: str, config: EncodingConfig) -> Self:
        """Return the cross-encoder of a model folder, package:// or hf:// reference.

        Raises ModelError for one that is not whole, or does not give pairs the scores of stock
        sentence-transformers.
        """
        folder = fetch_cross_encoder(reference)
        with unchanged(folder):
            encoder = cls(_load_model(folder, config), config, model_fingerprint(folder))
        encoder._check(reference)
        return encoder

    def score(self, pairs: Sequence[Pair]) -> Scores:
        """Return float32 [len(pairs)]; of a pair that is too long the longer text is cut."""
        return self.encode_tokens(self.tokenize(pairs).tokens)[:, 0]

    def tokenize(self, pairs: Sequence[Pair]) -> ReadTokens:
        """Return the pairs as the model reads them, cut at the maximum length."""
        return self.form.read(pairs)

    def encode_tokens(self, tokens: Tokens) -> Scores:
        """Return the scores, float32 [len(tokens), 1], of pairs from `tokenize`."""
        import torch

        logits = np.zeros((len(tokens), 1), dtype=np.float32)
        self.backend.embed(make_batches(tokens, self.tokens_of_batch(tokens.lengths)), logits)
        scores: Scores = self.model.activation_fn(torch.from_numpy(logits)).numpy()
        broken = int((~np.isfinite(scores)).sum())
        if broken:
            raise ModelError(
                "the cross-encoder gives {broken} of {count} pairs scores that are not numbers "
                "(NaN or infinite); its weights are damaged, or training diverged: take another "
                "checkpoint.",
                broken=broken,
                count=len(scores),
            )
        return scores

    def tokens_of_batch(self, lengths: Sequence[int]) -> int:
        """Most tokens of a batch of `encode_tokens`."""
        return self.config.batch_tokens

    def _check(self, reference: str) -> None:
        """Raise ModelError if made-up pairs get other scores than by stock, or all the same."""
        try:
            stock = self.model.predict(list(_PAIRS), show_progress_bar=False)
        except Exception as error:  # of any type: whatever a damaged model raises
            reason = explain(error, Path(reference))
            raise ModelError(
                "cross-encoder {reference}: cannot score a made-up pair: {reason}",
                reference=reference,
                reason=reason,
            ) from None
        scores = self.score(_PAIRS)
        if np.ptp(scores) == 0:
            raise ModelError(
                "cross-encoder {reference}: gives {count} made-up pairs the same score; its head "
                "is empty or damaged: take another checkpoint.",
                reference=reference,
                count=len(_PAIRS),
            )
        difference = np.abs(scores - stock).max()
        if not difference <= LARGEST_DIFFERENCE:
            raise ModelError(
                "cross-encoder {reference}: a pair's score differs by {difference:.1e} from that "
                "of sentence-transformers, expected at most {most:.0e}; likely by "
                "its tokenizer. Take another model, and report this one.",
                reference=reference,
                difference=difference,
                most=LARGEST_DIFFERENCE,
            )


def fetch_cross_encoder(reference: str) -> Path:
    """`fetch_model` of a cross-encoder. Raises ModelError for another kind, or own code."""
    folder = fetch_model(reference)
    if not is_cross_encoder(folder):
        raise ModelError(
            "model {reference}: expected a CrossEncoder, with "
            "architectures=[...ForSequenceClassification] in its config.json, as "
            "CrossEncoder.save_pretrained(...) writes it.",
            reference=reference,
        )
    check_kinds(folder, reference, _KNOWN)
    for path in _stated_activations(folder):
        if not path.startswith("torch.nn.") or path.rpartition(".")[2] not in _ACTIVATIONS:
            raise ModelError(
                "model {reference}: its activation {path!r} is not one that MedEmbed runs; "
                "expected that of torch.nn: {activations}.",
                reference=reference,
                path=path,
                activations=", ".join(_ACTIVATIONS),
            )
    return folder


def is_cross_encoder(folder: Path) -> bool:
    """Return whether a model folder holds a CrossEncoder, by what its settings say."""
    stated = _read(folder / "config_sentence_transformers.json").get("model_type")
    if stated is not None:
        return bool(stated == "CrossEncoder")
    classes = _read(folder / "config.json").get("architectures") or []
    return not (folder / "modules.json").is_file() and any(
        str(name).endswith("ForSequenceClassification") for name in classes
    )


def _stated_activations(folder: Path) -> list[str]:
    """Return the activations that sentence-transformers 6.2 would call, wherever they stand."""
    config = _read(folder / "config.json")
    own = config.get("sentence_transformers")
    stated = [
        _read(folder / "config_sentence_transformers.json").get("activation_fn"),
        own.get("activation_fn") if isinstance(own, Mapping) else None,
        config.get("sbert_ce_default_activation_function"),
    ]
    return [str(name) for name in stated if name is not None]


def _load_model(folder: Path, config: EncodingConfig) -> Any:
    """Return the stock CrossEncoder of a folder, safetensors only, in evaluation mode.

    Raises ModelError.
    """
    model = load_stock("CrossEncoder", folder, config, "cuda" if config.gpus_per_worker else "cpu")
    check_parts(model, folder)
    if model.num_labels != 1:
        raise ModelError(
            "cross-encoder {folder}: gives {count} numbers for a pair; expected one, "
            "its score: take a CrossEncoder with one label.",
            folder=folder,
            count=model.num_labels,
        )
    cut_to_positions(model)
    return model.eval()


def _read(path: Path) -> Mapping[str, Any]:
    settings = read_json(path)
    return settings if isinstance(settings, Mapping) else {}
