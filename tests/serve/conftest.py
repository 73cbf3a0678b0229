"""A tiny real model behind the routes, in this process: what a replica's handle answers, without Serve."""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from medembed.encoding.config import EncodingConfig
from medembed.encoding.model_files import CARD
from medembed.encoding.quantize import calibrate
from serve.answer import Served, answer, describe_model, load_served
from serve.api import make_app
from serve.guard import LimitsConfig
from serve.work import Embedded, Model, Refused, Work
from tests.tiny import make_encoder

PROMPTS = {"query": "query: ", "document": "passage: "}
KEY = "k-secret-0123456789"


class Method:
    """`handle.method.remote(...)`, awaited."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    async def remote(self, *arguments: Any) -> Any:
        return await asyncio.to_thread(self.function, *arguments)


@dataclass
class Replica:
    """As Serve's handle of an Embedder; `seen` are the requests that reached it."""

    served: Served

    def __post_init__(self) -> None:
        self.seen: list[Work] = []
        self.embed, self.describe = Method(self._embed), Method(self._describe)

    def _embed(self, work: Work) -> Embedded | Refused:
        self.seen.append(work)
        return answer(self.served, [work])[0]

    def _describe(self) -> Model:
        return self.served.model


class Failing:
    """A handle whose replica answers with an exception."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.embed = self.describe = Method(self._fail)

    def _fail(self, *_: Any) -> None:
        raise self.error


Client = Callable[..., TestClient]


def load(folder: Path, **user_config: Any) -> Served:
    return load_served({"model": str(folder), "name": "medembed", "version": "3", **user_config}, EncodingConfig())


@pytest.fixture(scope="session")
def trained_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with prompts and trained dimensions, 32 and 8."""
    folder = make_encoder(tmp_path_factory.mktemp("served") / "m", prompts=PROMPTS)
    (folder / CARD).write_text(json.dumps({"dimensions": [32, 8]}))
    return folder


@pytest.fixture(scope="session")
def trained(trained_folder: Path) -> Served:
    return load(trained_folder)


@pytest.fixture(scope="session")
def stock(encoder_folder: Path) -> Served:
    """A stock model, with ranges measured on a few texts."""
    plain = load(encoder_folder)
    ranges = calibrate(plain.encoder.encode(["heart pain", "skin rash", "brain", "a tremor of the left hand"]))
    return Served(plain.encoder, describe_model(plain.encoder, "medembed", "3", ranges), ranges)


@pytest.fixture
def client_of() -> Iterator[Client]:
    """client_of(handle, hashes=..., **limits) -> a client of the HTTP application over it."""
    opened: list[TestClient] = []

    def make(handle: Any, hashes: tuple[str, ...] = (), **limits: Any) -> TestClient:
        client = TestClient(make_app(handle, LimitsConfig(**limits), hashes))
        opened.append(client)
        return client.__enter__()  # one event loop for all its requests

    yield make
    for client in opened:
        client.__exit__(None, None, None)


@pytest.fixture
def client(trained: Served, client_of: Client) -> TestClient:
    """A client of the trained model, without keys."""
    return client_of(Replica(trained))
