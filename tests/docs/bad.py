"""Commands that fail and requests that are refused, on rows and bodies full of sentinels."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tests.docs.world import World, pairs, write_csv, write_lines


def bad_commands(world: World) -> Iterator[str]:
    """Write a source for each fault, and yield a command that fails on it with one line."""
    for name, rows in _bad_rows(world).items():
        write_lines(world.root / f"bad/{name}.jsonl", rows)
        more = "source.columns.tags=[kind]" if name == "tag" else ""
        yield f"medembed prepare source.path=bad/{name}.jsonl output=bad/{name} {more}"
    (world.root / "bad/json.jsonl").write_text(f'{{"question": "{world.sentinel()}')
    yield "medembed prepare source.path=bad/json.jsonl output=bad/json"
    write_csv(world.root / "bad/headless.csv", [_headless(world)])
    yield "medembed prepare source.path=bad/headless.csv output=bad/headless"
    yield "medembed encode model=models/tiny data=bad/headless.csv output=bad/headless.lance"
    asked = [{"query_id": f"{world.sentinel()} asked", "query": "heart"}] * 2
    write_lines(world.root / "bad/twice.jsonl", asked)
    yield "medembed search table=workspace/tables model=models:/medembed@champion queries=bad/twice.jsonl"
    case: dict[str, Any] = {"query": world.sentinel(), "below": world.sentinel()}
    case["above"] = {"id": f"{world.sentinel()} about"}
    for name, wrong in (("no-such-id", case), ("no-such-key", case | {"abov": world.sentinel()})):
        (world.root / f"bad/{name}.yaml").write_text(json.dumps([wrong]))
        yield (
            "medembed evaluate model=models/tiny data=workspace/data output=bad/evaluation "
            f"must_rank=bad/{name}.yaml dimensions=[8]"
        )


def _headless(world: World) -> dict[str, str]:
    """Return two rows of a file without a header, as a reader that takes the first for one."""
    return {
        f"Anna Muster {world.sentinel()}": "b",
        f"HIV positive {world.sentinel()}": "c",
        "1956-03-02": "1970-01-01",
    }


def _bad_rows(world: World) -> dict[str, list[dict[str, Any]]]:
    """Return a source for each fault, by name."""
    good = pairs(world, range(6))
    own = f"{world.sentinel()} of Mrs Muster"
    return {
        "number": [*good, good[0] | {"answer": 3, "query_id": own}],
        "object": [*good, good[0] | {"answer": {world.sentinel(): world.sentinel()}}],
        "score": [good[0] | {"score": world.sentinel()}],
        "tag": [*good, good[1] | {"kind": f"{own} has had a headache since last Monday, she says"}],
        "language": [*good, good[1] | {"language": world.sentinel()}],
        "split": [*good, good[1] | {"split": world.sentinel()}],
        "id": [{"document_id": own, "text": world.sentinel(), "title": "a"} for _ in range(2)],
        "chunk": [{"document_id": f"{own}#chunk-1", "text": "a", "title": "b"}],
        "leak": [good[1] | {"query_id": own, "split": name} for name in ("train", "test")],
        "columns": [{f"{world.sentinel()} came to ward 7 on Monday": world.sentinel(), "b": "c"}],
    }


def bad_requests(world: World) -> Iterator[tuple[str, bytes]]:
    """Yield path and body of requests that are refused."""
    word = world.sentinel()
    body = {"model": "medembed", "input": word}
    yield "/v1/embeddings", f'{{"input": "{word}'.encode()
    for change in (
        {"input": [word, 3]},
        {"input": {word: word}},
        {"model": word},
        {word: word},
        {"dimensions": word},
        {"encoding_format": word},
        {"input_type": word},
        {"input": word * 1000},
        {"expected_fingerprint": word},
        {"user": [word]},
    ):
        yield "/v1/embeddings", json.dumps(body | change).encode()
    for question in (
        {"query": [word, 3]},
        {"query": word, "k": word},
        {"query": word, word: 1},
        {"embedding": word},
    ):
        yield "/v1/search", json.dumps(question).encode()
    yield f"/v1/models/{word}", b""
    yield f"/{word}?{word}", b""


def ask_badly(world: World) -> list[int]:
    """Send bad requests, then good ones, all with sentinels; return the statuses."""
    words = world.sentinel()
    good = [
        ("/v1/embeddings", {"model": "medembed", "input": words}),
        ("/v1/search", {"query": words}),
    ]
    statuses = [_status(world.url + path, body) for path, body in bad_requests(world)]
    return statuses + [_status(world.url + path, json.dumps(body).encode()) for path, body in good]


def _status(url: str, body: bytes) -> int:
    headers = {"Content-Type": "application/json", "x-request-id": "bad"}
    request = Request(url, body or None, headers)
    try:
        with urlopen(request, timeout=60) as response:
            return int(response.status)
    except HTTPError as error:
        return error.code
