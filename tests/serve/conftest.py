"""A tiny real model behind the routes, in this process: what a replica's handle answers, without
Serve.
"""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from sentence_transformers import CrossEncoder
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from medembed.codes import calibrate
from medembed.data.dataset import open_dataset
from medembed.encoding.config import EncodingConfig
from medembed.encoding.model_files import CARD
from serve.config import LimitsConfig, ServeConfig
from serve.http.api import HttpSettings, make_app
from serve.http.keys import ValidKeys
from serve.operate.run import find_port, serving
from serve.replica.rerank import (
    Ranker,
    RankerSettings,
    load_ranker,
)
from serve.replica.served_model import (
    ModelSettings,
    ServedModel,
    describe_model,
    load_served,
)
from tests.cross import QUERY, TEXTS, make_cross_encoder
from tests.serve.replicas import Replica
from tests.tables import write_corpus, write_table
from tests.tiny import SIGNS, SUBJECTS, make_encoder

PROMPTS = {"query": "query: ", "document": "passage: "}
KEY = "k-secret-0123456789"
HASH = hashlib.sha256(KEY.encode()).hexdigest()


Client = Callable[..., TestClient]


def keys_of(*hashes: str) -> ValidKeys:
    """Return valid keys by their hashes, the first eight digits for a name."""
    return ValidKeys(of_variable={digest: digest[:8] for digest in hashes})


def load(folder: Path, **user_config: Any) -> ServedModel:
    settings = {"model": str(folder), "name": "medembed", "version": "3", **user_config}
    return load_served(ModelSettings.model_validate(settings), EncodingConfig())


@pytest.fixture(scope="session")
def trained_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkpoint with prompts and trained dimensions, 32 and 8."""
    folder = make_encoder(tmp_path_factory.mktemp("served") / "m", prompts=PROMPTS)
    (folder / CARD).write_text(json.dumps({"dimensions": [32, 8]}))
    return folder


@pytest.fixture(scope="session")
def trained(trained_folder: Path) -> ServedModel:
    return load(trained_folder)


@pytest.fixture(scope="session")
def stock(encoder_folder: Path) -> ServedModel:
    """Return a stock model, with ranges measured on a few texts."""
    plain = load(encoder_folder)
    ranges = calibrate(
        plain.encoder.encode(["heart pain", "skin rash", "brain", "a tremor of the left hand"])
    )
    settings = ModelSettings(model=str(encoder_folder), name="medembed", version="3")
    return ServedModel(plain.encoder, describe_model(plain.encoder, settings, ranges), ranges)


# Documents of one row, but for d0, which has three chunks.
DOCUMENTS = {
    f"d{row}": f"{sign} of the {part}"
    for row, (sign, part) in enumerate(product(SIGNS[:4], SUBJECTS))
}
DOCUMENTS["d-markup"] = "<img src=x onerror='document.title=1'> heart & <b>hand</b>"
ROWS = {f"d0#chunk-{number}": f"{text} {number}" for number, text in enumerate(SUBJECTS[:3])} | {
    name: text for name, text in DOCUMENTS.items() if name != "d0"
}


@pytest.fixture(scope="session")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data set of ROWS, in three files."""
    rows = [{"document_id": name, "text": text, "language": "en"} for name, text in ROWS.items()]
    folder = tmp_path_factory.mktemp("searched") / "data"
    write_corpus(folder, rows, 20)
    return folder


@pytest.fixture(scope="session")
def table(trained: ServedModel, documents: Path) -> Path:
    """Return the embedding table of ROWS by the trained model."""
    vectors = trained.encoder.encode([*ROWS.values()])
    uri = documents.parent / "table"
    write_table(uri, open_dataset(str(documents)), vectors, encoder=trained.encoder.fingerprint)
    return uri


@pytest.fixture(scope="session")
def searched(trained_folder: Path, table: Path, documents: Path) -> ServedModel:
    """Return the trained model with its table, which gives texts and languages."""
    search = {"documents": str(documents), "fields": ["text", "language"]}
    return load(trained_folder, table=str(table), search=search)


@pytest.fixture(scope="session")
def cross_folder(encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_cross_encoder(tmp_path_factory.mktemp("ranking") / "cross", encoder_folder)


@pytest.fixture(scope="session")
def ranker(cross_folder: Path) -> Ranker:
    settings = RankerSettings(
        model=str(cross_folder), name="reranker", version="7", fingerprint="not known yet"
    )
    return load_ranker(settings, EncodingConfig())


@pytest.fixture
def client_of() -> Iterator[Client]:
    """client_of(replica, reranker, hashes=, has_page=, origins=, **limits) -> a client of the HTTP
    application.
    """
    with ExitStack() as stack:

        def make(
            replica: Any,
            reranker: Any = None,
            hashes: tuple[str, ...] = (),
            has_page: bool = True,
            origins: tuple[str, ...] = (),
            **limits: Any,
        ) -> TestClient:
            config = ServeConfig(limits=LimitsConfig(**limits), page=has_page, cors=origins)
            model = reranker.ranker.model if reranker else None
            settings = HttpSettings(config, keys_of(*hashes), model)
            # one event loop for all requests of a client
            return stack.enter_context(TestClient(make_app(replica, settings, reranker)))

        yield make


@pytest.fixture
def client(trained: ServedModel, client_of: Client) -> TestClient:
    """Return a client of the trained model, without keys."""
    return client_of(Replica(trained))


@contextmanager
def running(app: ASGIApp) -> Iterator[str]:
    """Yield the URL of a real HTTP server around an application, in a thread."""
    port = find_port(None)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(30)


@pytest.fixture(scope="package")
def url(
    trained_folder: Path,
    table: Path,
    documents: Path,
    cross_folder: Path,
    ray_local: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """The trained model, its table and a cross-encoder behind Ray Serve over HTTP; KEY is the
    key.
    """
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(HASH)
    arguments = {
        "model": str(trained_folder),
        "keys.file": str(keys),
        "limits": {"max_body_bytes": 100_000},
        "table": str(table),
        "search": {"documents": str(documents), "fields": ["text", "language"]},
        "rerank": {"model": str(cross_folder)},
    }
    with serving(arguments) as address:
        yield address


@pytest.fixture(scope="package")
def scores(cross_folder: Path) -> list[float]:
    """Return what stock sentence-transformers predicts for TEXTS."""
    stock = CrossEncoder(str(cross_folder), device="cpu")
    pairs = [(QUERY, text) for text in TEXTS]
    predicted: list[float] = stock.predict(pairs, show_progress_bar=False).tolist()
    return predicted
