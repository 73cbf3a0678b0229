"""The served model over real HTTP and Ray Serve, asked by clients that people have."""

import asyncio
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import openai
import pytest
from langchain_openai import OpenAIEmbeddings
from sentence_transformers import SentenceTransformer

from medembed.encoding.reading import Role
from medembed.errors import ModelError, ServiceError
from serve.operate.run import find_port, serving
from tests.serve.conftest import KEY
from tests.stranger import attack_sockets

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local")]
DOCS = Path(__file__).parents[2] / "docs" / "serving.md"
TEXTS = ["my gums bleed", "bleeding gums", "brain"]
HEADERS = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}


class Reply(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: Any


def send(url: str, path: str, body: Any, headers: dict[str, str] | None = None) -> Reply:
    """POST a value as JSON, bytes as they are, or an iterator in chunks."""
    data = body if isinstance(body, bytes | Iterator) else json.dumps(body).encode()
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    connection.request("POST", path, data, HEADERS | (headers or {}))
    response = connection.getresponse()
    return Reply(response.status, response.headers, json.loads(response.read()))


def embed(url: str, text: str) -> Reply:
    return send(url, "/v1/embeddings", {"model": "medembed", "input": text})


def of_stock(folder: Path, role: Role = "query", dimensions: int = 8) -> npt.NDArray[np.float32]:
    """Return what sentence-transformers makes of TEXTS."""
    stock = SentenceTransformer(str(folder), device="cpu", truncate_dim=dimensions)
    encode = stock.encode_query if role == "query" else stock.encode_document
    return np.asarray(encode(TEXTS, normalize_embeddings=True))


def is_close(rows: list[list[float]], expected: npt.NDArray[np.float32]) -> bool:
    return bool(np.abs(np.array(rows) - expected).max() < 1e-5)


@pytest.mark.parametrize("chosen", [{"encoding_format": "float", "dimensions": 8}, {}])
def test_openais_client_gets_the_vectors_of_the_stock_model_sync_and_async(
    url: str, trained_folder: Path, chosen: dict[str, Any]
):
    asked: dict[str, Any] = {"model": "medembed", "input": TEXTS, **chosen}
    with openai.OpenAI(base_url=f"{url}/v1", api_key=KEY) as client:
        answer = client.embeddings.create(**asked)
        assert client.models.retrieve("medembed").id == "medembed"
        with pytest.raises(openai.NotFoundError, match="not served here"):
            client.embeddings.create(model="other", input="SECRET")

    async def ask() -> openai.types.CreateEmbeddingResponse:
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY) as client:
            return await client.embeddings.create(**asked)

    expected = of_stock(trained_folder, dimensions=chosen.get("dimensions", 32))
    for each in (answer, asyncio.run(ask())):
        assert is_close([entry.embedding for entry in each.data], expected)
        assert each.usage.prompt_tokens == each.usage.total_tokens > 9


def test_langchain_embeds_queries_and_documents_with_their_prompts(url: str, trained_folder: Path):
    chosen: dict[str, Any] = {
        "model": "medembed",
        "base_url": f"{url}/v1",
        "api_key": KEY,
        "dimensions": 8,
        "check_embedding_ctx_length": False,
    }
    role = {"extra_body": {"input_type": "document"}}
    documents = OpenAIEmbeddings(**chosen, model_kwargs=role).embed_documents(TEXTS)
    assert is_close(documents, of_stock(trained_folder, "document"))
    queries = OpenAIEmbeddings(**chosen)
    expected = of_stock(trained_folder)
    assert is_close([queries.embed_query(TEXTS[0])], expected[:1])
    assert is_close(asyncio.run(queries.aembed_documents(TEXTS)), expected)


def test_the_docs_curl_line_gets_vectors(url: str, trained_folder: Path):
    if shutil.which("curl") is None:  # a system's package, which pip cannot bring
        pytest.skip("no curl on PATH")
    match = re.search(r"^curl .*?/v1/embeddings.*?'$", DOCS.read_text(), re.MULTILINE | re.DOTALL)
    assert match is not None
    line = match[0].replace("localhost:8000", url).replace('"dimensions": 64', '"dimensions": 8')
    environment = os.environ | {"KEY": KEY}
    done = subprocess.run(["bash", "-c", line], env=environment, capture_output=True, timeout=60)
    data = json.loads(done.stdout)["data"]
    assert is_close([entry["embedding"] for entry in data], of_stock(trained_folder)[:2])


def test_requests_that_arrive_together_get_their_own_answers(url: str):
    texts = [f"heart pain {number}" for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda text: embed(url, text).body["data"][0], texts))
    alone = send(url, "/v1/embeddings", {"model": "medembed", "input": texts}).body["data"]
    rows = np.array([entry["embedding"] for entry in alone])
    assert is_close([entry["embedding"] for entry in together], rows)


def test_ready_means_that_a_forward_pass_succeeded_and_no_route_is_not_found(url: str):
    with urllib.request.urlopen(f"{url}/health/ready", timeout=30) as response:
        assert json.load(response)["status"] == "ready"
    reply = send(url, "/nowhere", {})
    assert reply.status == 404
    assert reply.body["error"]["type"] == "invalid_request_error"


def test_probes_of_another_user_without_a_key_take_no_places_from_who_has_one(url: str):
    with ThreadPoolExecutor(1) as attacker:
        probed = attacker.submit(attack_sockets, "probe", url, 300)
        statuses = {embed(url, "heart").status for _ in range(20)}
        assert set(probed.result()) == {200}
    assert statuses == {200}


@pytest.mark.parametrize("own", [None, "mine-1"])
def test_a_request_id_is_made_or_sent_back_once(url: str, own: str | None):
    headers = {"x-request-id": own} if own else None
    reply = send(url, "/v1/embeddings", {"model": "medembed", "input": "heart"}, headers)
    (request_id,) = reply.headers.get_all("x-request-id") or []
    assert reply.status == 200
    assert request_id == (own or request_id)
    assert len(request_id) > 4


def test_a_port_in_use_or_a_model_that_cannot_be_loaded_starts_nothing(tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ServiceError, match=r"port \d+ on 127.0.0.1: Address already in use"):
            find_port(taken.getsockname()[1])
    missing = {"model": str(tmp_path / "none")}
    with pytest.raises(ModelError, match="no such folder"), serving(missing):
        pass
