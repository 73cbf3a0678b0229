"""Token ids as inputs: off by default, and the vectors of their texts."""

import numpy as np
from starlette.testclient import TestClient

from serve.replica.served_model import ServedModel
from tests.serve.conftest import Client, Replica
from tests.serve.test_embeddings import TEXTS, ask, refused, rows


def test_token_ids_are_off_by_default_and_the_error_names_the_key(client: TestClient):
    for given in ([5, 6], [[5, 6], [7]]):
        assert "limits.token_ids=true" in refused(client, 400, "input", input=given)


def test_token_ids_give_the_vectors_of_their_texts(trained: ServedModel, client_of: Client):
    client = client_of(Replica(trained), token_ids=True)
    tokens = trained.encoder.tokenize(TEXTS, "query").ids
    answer = ask(client, input=tokens)
    assert np.abs(rows(answer) - trained.encoder.encode(TEXTS, "query")).max() < 1e-6
    assert answer["usage"]["total_tokens"] == sum(map(len, tokens))
    assert np.abs(rows(ask(client, input=tokens[0])) - rows(answer)[:1]).max() < 1e-6


def test_token_ids_out_of_range_too_long_or_with_a_prompt_are_refused(
    trained: ServedModel, client_of: Client
):
    client = client_of(Replica(trained), token_ids=True)
    size = len(trained.encoder.model.tokenizer)
    assert ask(client, input=[[size - 1]])
    assert f"0 to {size - 1}" in refused(client, 400, "input", input=[[1], [size]])
    assert "input[0]" in refused(client, 400, "input", input=[[5] * 49])
    cut = ask(client, input=[[5] * 49, [5] * 48], truncate="end")
    assert [entry["truncated"] for entry in cut["data"]] == [True, False]
    assert np.abs(rows(cut)[0] - rows(cut)[1]).max() < 1e-6
    refused(client, 400, "input_type", input=[[5]], input_type="document")
