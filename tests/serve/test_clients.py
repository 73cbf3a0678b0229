"""Clients that people have, unmodified, against the running app; as docs/serving.md shows them."""

import asyncio
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import openai
import pytest
from langchain_openai import OpenAIEmbeddings

from medembed.encoding.encoder import Role
from medembed.matryoshka import truncate
from serve.replica.served_model import ServedModel
from tests.serve.conftest import KEY

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local")]
DOCS = Path(__file__).parents[2] / "docs" / "serving.md"
TEXTS = ["my gums bleed", "bleeding gums"]


def expected(trained: ServedModel, role: Role = "query") -> np.ndarray:
    return truncate(trained.encoder.encode(TEXTS, role), 8)


def is_close(rows: list[list[float]], wanted: np.ndarray) -> bool:
    return bool(np.abs(np.array(rows) - wanted).max() < 1e-5)


def test_openais_client_gets_vectors_by_its_default_encoding_sync_and_async(
    url: str, trained: ServedModel
):
    with openai.OpenAI(base_url=f"{url}/v1", api_key=KEY) as client:
        answer = client.embeddings.create(model="medembed", input=TEXTS, dimensions=8)

    async def ask() -> openai.types.CreateEmbeddingResponse:
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY) as client:
            return await client.embeddings.create(model="medembed", input=TEXTS, dimensions=8)

    for one in (answer, asyncio.run(ask())):
        assert is_close([entry.embedding for entry in one.data], expected(trained))


def test_langchain_embeds_queries_and_documents_with_their_prompts(url: str, trained: ServedModel):
    def embeddings(**chosen: object) -> OpenAIEmbeddings:
        return OpenAIEmbeddings(
            model="medembed",
            base_url=f"{url}/v1",
            api_key=KEY,
            dimensions=8,
            check_embedding_ctx_length=False,
            **chosen,
        )

    documents = embeddings(model_kwargs={"extra_body": {"input_type": "document"}})
    assert is_close(documents.embed_documents(TEXTS), expected(trained, "document"))
    assert is_close([embeddings().embed_query(TEXTS[0])], expected(trained)[:1])
    assert is_close(asyncio.run(embeddings().aembed_documents(TEXTS)), expected(trained))


def test_the_docs_curl_line_gets_vectors(url: str, trained: ServedModel):
    if shutil.which("curl") is None:  # a system's package, which pip cannot bring
        pytest.skip("no curl on PATH")
    line = next(
        re.finditer(r"^curl .*?/v1/embeddings.*?'$", DOCS.read_text(), re.MULTILINE | re.DOTALL)
    ).group()
    line = line.replace("localhost:8000", url).replace('"dimensions": 64', '"dimensions": 8')
    done = subprocess.run(
        ["bash", "-c", line], env=os.environ | {"KEY": KEY}, capture_output=True, timeout=60
    )
    answer = json.loads(done.stdout)
    assert is_close([entry["embedding"] for entry in answer["data"]], expected(trained))
