"""`Encoder`: texts -> unit embeddings, with the model's prompts, in token-budget batches."""

import copy
import gc
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from medembed.encoding.agreement import check_agreement
from medembed.encoding.backends import (
    Backend,
    TorchBackend,
    choose_backend,
    in_precision,
    normalize,
)
from medembed.encoding.batching import Tokens, make_batches, make_steady_batches
from medembed.encoding.config import EncodingConfig
from medembed.encoding.form import ReadTokens
from medembed.encoding.int8_backend import load_int8
from medembed.encoding.int8_graph import check_cpu, read_facts
from medembed.encoding.model_files import model_fingerprint, read_card, unchanged
from medembed.encoding.model_probe import check_loaded, explain
from medembed.encoding.modules import cut_to_positions, fetch_encoder
from medembed.encoding.reading import Reader, Role
from medembed.errors import ModelError
from medembed.language import tr
from medembed.privacy import silence_telemetry

# Sorted by length together; more would pad little less, and hold their tokens in memory. A GPU,
# which waits for the first window's tokens, gets smaller ones; a core that tokenises ahead would
# only take time from the computing.
_TEXTS_PER_WINDOW = 4096
_TEXTS_PER_WINDOW_ON_GPU = 256


class CountedEmbeddings(NamedTuple):
    """Embeddings float32 [n, width], unit rows, and the number of tokens of each text."""

    embeddings: npt.NDArray[np.float32]
    tokens: list[int]


class Encoder:
    """A loaded model. Hold one per process: loading takes seconds, encoding a query milliseconds.

    `width` is the full dimension; `dimensions` are those it was trained for (empty for a stock
    model).
    """

    def __init__(
        self,
        model: Any,
        config: EncodingConfig,
        *,
        fingerprint: str = "",
        dimensions: Sequence[int] = (),
        backend: Backend | None = None,
    ) -> None:
        """Wrap a loaded model; without a `backend`, torch, which follows training's weights."""
        self.model = model
        self.config = config
        self.backend = backend or TorchBackend(model)
        self.reader = Reader(model)
        self.max_length = self.reader.max_length
        self.width = int(model.get_embedding_dimension() or 0)
        self.fingerprint = fingerprint
        self.dimensions = tuple(dimensions)

    @classmethod
    def load(cls, reference: str, config: EncodingConfig, *, settles_later: bool = False) -> Self:
        """Return the encoder of a model folder, package:// or hf:// reference.

        `settles_later`: for the backend "auto", on plain torch until `settle` is called. Its
        weights are final: training takes `Encoder(load_model(...), config)`. In int8 the folder's
        int8 graph computes. Raises ModelError, or ConfigError for a backend that is not installed.
        """
        if config.is_int8:
            check_cpu()
        folder = fetch_encoder(reference)
        with unchanged(folder):
            fingerprint = model_fingerprint(folder)
            facts = read_facts(folder, fingerprint) if config.is_int8 else None
            model = load_model(folder, config, "cuda" if config.gpus_per_worker else "cpu")
        check_agreement(cls(model, config).encode, model, fingerprint, reference)
        if config.gpus_per_worker:
            model = in_precision(model, config.precision)
        backend: Backend | None = None
        if facts is not None:
            backend = load_int8(model, folder, facts, config)
            fingerprint = facts.encoder
            model.to("meta")  # its tokenizer and settings are all that is needed from here
        elif not settles_later or config.backend != "auto":
            backend = choose_backend(model, config)
        dimensions = read_card(folder).dimensions
        return cls(model, config, fingerprint=fingerprint, dimensions=dimensions, backend=backend)

    def settle(self) -> None:
        """Compute by `choose_backend` from now on, after `load(..., settles_later=True)`.

        It takes seconds, in which other threads may encode. Trying a backend changes a model's
        layers, so a second model is tried that shares the weights. OpenVINO has weights of its own:
        the model's are freed.
        """
        if self.config.backend != "auto" or self.config.is_int8:
            return
        tensors = [*self.model.parameters(), *self.model.buffers()]
        model = copy.deepcopy(self.model, {id(tensor): tensor for tensor in tensors})
        backend = choose_backend(model, self.config)
        self.reader = Reader(model)
        if backend.name == "openvino":
            model.to("meta")
        self.backend = backend
        self.model = model

    def encode(
        self, texts: Sequence[str], role: Role = "document", *, steadily: bool = False
    ) -> npt.NDArray[np.float32]:
        """Return float32 [len(texts), width], unit rows, in the order of `texts`.

        `steadily`: no bit of a vector depends on the other texts, for which few texts take longer.
        """
        return self.encode_and_count(texts, role, steadily=steadily).embeddings

    def encode_and_count(
        self, texts: Sequence[str], role: Role = "document", *, steadily: bool = False
    ) -> CountedEmbeddings:
        """Encode as `encode` does, and count the tokens of each text after truncation."""
        embeddings = np.zeros((len(texts), self.width), dtype=np.float32)
        lengths: list[int] = []
        for tokens in self._tokenize_windows(texts, role):
            window = embeddings[len(lengths) : len(lengths) + len(tokens)]
            batches = make_batches(tokens, self.config.batch_tokens)
            self.backend.embed(make_steady_batches(tokens) if steadily else batches, window)
            lengths += tokens.lengths
        return CountedEmbeddings(_finish(embeddings), lengths)

    def encode_tokens(self, tokens: Tokens) -> npt.NDArray[np.float32]:
        """Return float32 [len(tokens), width], unit rows, of texts from `tokenize`."""
        embeddings = np.zeros((len(tokens), self.width), dtype=np.float32)
        if len(tokens):
            batches = make_batches(tokens, self.tokens_of_batch(tokens.lengths))
            self.backend.embed(batches, embeddings)
        return _finish(embeddings)

    def tokens_of_batch(self, lengths: Sequence[int]) -> int:
        """Return the most tokens of a batch: few texts are shared by all that computes."""
        padded = max(lengths) * len(lengths)
        return min(self.config.batch_tokens, -(-padded // self.backend.at_once))

    def tokenize(self, texts: Sequence[str], role: Role = "document") -> Tokens:
        """Return each text behind its role's prompt, cut at the maximum length."""
        return self.tokenize_and_mark(texts, role).tokens

    def tokenize_and_mark(
        self, texts: Sequence[str], role: Role = "document", prompt_name: str | None = None
    ) -> ReadTokens:
        """Tokenize as `tokenize` does, and say which texts were cut.

        `prompt_name`: a prompt of the model, not the role's.
        """
        asked = None if self.max_length == self.reader.max_length else self.max_length
        return self.reader.read(texts, role, asked, prompt_name)

    def _tokenize_windows(self, texts: Sequence[str], role: Role) -> Iterator[Tokens]:
        """Yield one window of texts after the other; the next is tokenised meanwhile."""
        size = _TEXTS_PER_WINDOW_ON_GPU if self.config.gpus_per_worker else _TEXTS_PER_WINDOW
        windows = [texts[start : start + size] for start in range(0, len(texts), size)]
        if len(windows) < 2:  # most calls: no thread for a request
            for window in windows:
                yield self.tokenize(window, role)
            return
        with ThreadPoolExecutor(max_workers=1) as ahead:
            upcoming = ahead.submit(self.tokenize, windows[0], role)
            for following in windows[1:]:
                tokens = upcoming.result()
                upcoming = ahead.submit(self.tokenize, following, role)
                yield tokens
            yield upcoming.result()

    def prompt(self, role: Role) -> str:
        """Return what the checkpoint wants in front of a query or a document; often empty."""
        return self.reader.prompt(role)


def _finish(embeddings: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return unit rows of a backend's vectors. Raises ModelError if one is not a number."""
    embeddings = normalize(embeddings)
    broken = int((~np.isfinite(embeddings).all(axis=1)).sum())
    if broken:
        raise ModelError(
            "the model gives {broken} of {count} texts vectors that are not numbers (NaN or "
            "infinite); its weights are damaged, or training diverged: take another "
            "checkpoint.",
            broken=broken,
            count=len(embeddings),
        )
    return embeddings


def load_model(folder: Path, config: EncodingConfig, device: str) -> Any:
    """Return the stock SentenceTransformer of a folder, in evaluation mode.

    Raises ModelError if it does not load.
    """
    model = load_stock("SentenceTransformer", folder, config, device)
    check_loaded(model, folder)
    cut_to_positions(model)
    return model.eval()


def load_stock(
    kind: Literal["SentenceTransformer", "CrossEncoder"],
    folder: Path,
    config: EncodingConfig,
    device: str,
) -> Any:
    """Return what this class of sentence-transformers makes of a folder: safetensors only.

    Raises ModelError if it makes none.
    """
    silence_telemetry()
    with _imports_kept():
        import sentence_transformers
        import torch
        from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()  # what it would warn of is an error of ours
    torch.set_num_threads(config.cpus_per_worker)
    try:
        return getattr(sentence_transformers, kind)(
            str(folder),
            device=device,
            trust_remote_code=False,
            local_files_only=True,
            # Mapped weights change with their file, under one fingerprint; a file that is cut off
            # ends the process.
            model_kwargs={"use_safetensors": True, "dtype": torch.float32, "disable_mmap": True},
        )
    except Exception as error:  # of any type: whatever a damaged folder makes it raise
        reason = explain(error, folder)
        what = tr("model") if kind == "SentenceTransformer" else tr("cross-encoder")
        raise ModelError(
            "{what} {folder}: sentence-transformers cannot load it: {reason}",
            what=what,
            folder=folder,
            reason=reason,
        ) from None


@contextmanager
def _imports_kept() -> Iterator[None]:
    """Collect no garbage while a million objects are imported, nor ever look at them again.

    The import takes 15% less time so, and each full collection 0.3 s less: a server would answer
    nobody meanwhile.
    """
    if "sentence_transformers" in sys.modules:
        yield
        return
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if was_enabled:
            gc.enable()
