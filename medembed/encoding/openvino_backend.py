"""Embeddings by OpenVINO: the whole sentence-transformers model as one compiled graph, for CPUs."""

import itertools
import logging
import sys
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from medembed.encoding.batching import Batch

Job = tuple[npt.NDArray[np.float32], list[int]]  # (array to write to, its rows)


class OpenVinoBackend:
    """The vectors of a graph in memory, with one stream per thread.

    A stream takes a batch of its own, so that no thread waits for another within a layer. A batch
    that comes alone, such as one query, is shared by all threads; its vectors are the same to the
    last bit.
    """

    name = "openvino"

    def __init__(self, graph: Any, threads: int) -> None:
        """Compile a graph of `convert` or `parse_graph`. Raises RuntimeError where that fails."""
        self.at_once = threads
        streams = _compile(graph, threads, streams=threads)
        self._queue = import_openvino().AsyncInferQueue(streams, threads)
        self._queue.set_callback(_store)
        alone = streams if threads == 1 else _compile(graph, threads, streams=1)
        self._alone = alone.create_infer_request()
        self._lock = threading.Lock()  # `wait_all` would else wait for another thread's texts

    def embed(self, batches: Iterable[Batch], into: npt.NDArray[np.float32]) -> None:
        """Write the vector of each text to its row of `into`, float32 [texts, width]."""
        coming = iter(batches)
        first = list(itertools.islice(coming, 2))
        with self._lock:
            if len(first) == 1:
                self._alone.infer(_inputs(first[0]))
                _store(self._alone, (into, first[0].positions))
                return
            for batch in itertools.chain(first, coming):
                self._queue.start_async(_inputs(batch), (into, batch.positions))
            self._queue.wait_all()


def import_openvino() -> Any:
    """Import OpenVINO without its telemetry. Raises ImportError without the package.

    Importing it starts a process that looks for a statistics host, unless the sender's package,
    private in openvino 2026, is not to be found. A test counts processes.
    """
    modules: dict[str, Any] = sys.modules  # None is how Python marks a module as not to be found
    modules.setdefault("openvino_telemetry", None)
    import openvino

    return openvino


def convert(model: Any, example: Batch) -> Any:
    """Return a sentence-transformers model as a graph, `example` being any batch for it.

    Takes seconds. Raises ImportError without the package, and whatever OpenVINO raises for a model
    that it cannot convert.
    """
    openvino = import_openvino()
    import torch

    class Sentence(torch.nn.Module):
        """Ids and mask, int64 [B, T] -> sentence vectors, float32 [B, D]."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            features = example.shared | {"input_ids": input_ids, "attention_mask": attention_mask}
            return self.model(features)["sentence_embedding"]

    inputs = {
        "input_ids": torch.from_numpy(example.features["input_ids"]),
        "attention_mask": torch.from_numpy(example.features["attention_mask"]),
    }
    with warnings.catch_warnings(), _logging_kept(), torch.no_grad():
        # the tracer's, about branches; `choose_backend` compares the vectors
        warnings.simplefilter("ignore")
        return openvino.convert_model(Sentence().eval(), example_input=inputs)


@contextmanager
def _logging_kept() -> Iterator[None]:
    """Undo what a conversion that fails leaves behind: a root logger that shows errors alone."""
    root = logging.getLogger()
    level = root.level
    filters = list(root.filters)
    handlers = list(root.handlers)
    try:
        yield
    finally:
        root.setLevel(level)
        root.filters = filters
        root.handlers = handlers


def _compile(graph: Any, threads: int, streams: int) -> Any:
    settings = {
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": threads,
        # else every single-threaded worker of a machine is pinned to core 0
        "ENABLE_CPU_PINNING": False,
        # what is not int8 is float32, and not bfloat16 on CPUs that have it
        "INFERENCE_PRECISION_HINT": "f32",
    }
    return import_openvino().Core().compile_model(graph, "CPU", settings)


def _inputs(batch: Batch) -> list[npt.NDArray[np.int64]]:
    return [batch.features["input_ids"], batch.features["attention_mask"]]


def _store(request: Any, job: Job) -> None:
    into, rows = job
    into[rows] = request.get_output_tensor(0).data[:, : into.shape[1]]
