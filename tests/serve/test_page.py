"""The page's files: who gets them, under which policy, and that nothing in them could break it."""

import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from serve.config import ServeConfig
from serve.http import page
from serve.http.api import HttpSettings, make_app
from serve.replica.served_model import ServedModel
from tests.serve.conftest import HASH, KEY, Client, keys_of
from tests.serve.replicas import Replica

FILES = sorted((Path(page.__file__).parent / "page_files").iterdir())


@pytest.fixture
def client(trained: ServedModel, client_of: Client) -> TestClient:
    return client_of(Replica(trained), hashes=(HASH,))


@pytest.mark.parametrize("path", page.PATHS)
def test_the_page_needs_no_key_and_may_load_nothing_from_elsewhere(client: TestClient, path: str):
    response = client.get(path)
    assert response.status_code == 200
    policy = dict(
        part.strip().split(" ", 1)
        for part in response.headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert set(policy.values()) == {"'none'", "'self'"}
    assert response.headers["x-content-type-options"] == "nosniff"


def test_all_files_are_served_and_no_others(client: TestClient):
    assert {f"/page/{file.name}" for file in FILES} == {*page.PATHS} - {"/", "/page/examples.json"}
    headers = {"authorization": f"Bearer {KEY}"}
    for path in ("/page/none.js", "/page/..%2Fapi.py", "/page/", "/page"):
        response = client.get(path, headers=headers)
        assert (response.status_code, response.json()["error"]["type"]) == (
            404,
            "invalid_request_error",
        )
        assert client.get(path).status_code == 401


def test_the_operators_examples_need_no_key(trained: ServedModel):
    settings = HttpSettings(ServeConfig(examples=("toothache", "fièvre")), keys_of(HASH))
    answer = TestClient(make_app(Replica(trained), settings)).get("/page/examples.json")
    assert answer.json() == ["toothache", "fièvre"]


def test_the_page_can_be_switched_off(trained: ServedModel, client_of: Client):
    off = client_of(Replica(trained), has_page=False)
    assert [off.get(path).status_code for path in page.PATHS] == [404] * len(page.PATHS)
    assert client_of(Replica(trained), hashes=(HASH,), has_page=False).get("/").status_code == 401


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_nothing_is_inline_or_foreign_and_texts_never_become_markup(file: Path):
    text = file.read_text(encoding="utf-8")
    for word in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "Storage",
        ".cookie",
    ):
        assert word not in text
    assert not re.search(
        r"""https?://(?!www\.w3\.org/2000/svg)|\bon[a-z]+=["']|<style|style=""", text
    )
    assert len(text.splitlines()) <= 300


def test_both_languages_say_the_same_things():
    text = (Path(page.__file__).parent / "page_files" / "strings.js").read_text(encoding="utf-8")
    english, french = (
        re.findall(r"^  (\w+):", part, re.MULTILINE) for part in text.split("const french")
    )
    assert english == french
    assert len(english) > 30
    assert sorted(set(english)) == sorted(english)
