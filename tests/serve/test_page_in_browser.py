"""The page does in headless Chromium what its reader wants, over a real server of a tiny model."""

import asyncio
import json
import re
from dataclasses import replace
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pytest
from starlette.testclient import TestClient

from medembed.matryoshka import truncate
from serve.config import ServeConfig
from serve.http.api import HttpSettings, make_app
from serve.replica.protocol import Model
from serve.replica.served_model import ServedModel
from tests.serve.conftest import HASH, KEY, keys_of, running
from tests.serve.page_walk import COLUMNS, FUNNEL, QUESTION, ROWS, walk
from tests.serve.replicas import Replica


@pytest.fixture(scope="module")
def tuned(searched: ServedModel) -> ServedModel:
    """Return the searched model, as if it was trained from another."""
    training = {
        "parent": "f0f0",
        "parent_model": "hf://acme/base",
        "dataset": "d0d0",
        "dev": {"ndcg@10/32": 0.875, "ndcg@10/8": 0.75},
    }
    return replace(searched, model=cast(Model, searched.model | {"training": training}))


@pytest.fixture(scope="module")
def seen(
    chromium: str,
    tuned: ServedModel,
    trained: ServedModel,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    settings = HttpSettings(ServeConfig(examples=(QUESTION, "rash")), keys_of(HASH))
    with (
        running(make_app(Replica(tuned), settings)) as url,
        running(make_app(Replica(trained), HttpSettings())) as plain,
    ):
        return asyncio.run(walk(chromium, tmp_path_factory.mktemp("page"), url, plain))


@pytest.fixture
def client(searched: ServedModel) -> TestClient:
    return TestClient(make_app(Replica(searched), HttpSettings()))


def test_a_key_is_asked_for_and_kept_nowhere(seen: dict[str, Any]):
    assert (seen["locked"]["focus"], seen["locked"]["error"]) == ("key", None)
    assert seen["wrong key"]["error"] == "The server did not accept this key."
    assert seen["kept"] == '["",0,0]'
    assert seen["locked"]["unlabelled"] == 0


def test_the_empty_view_offers_the_operators_questions_or_three_of_its_own(seen: dict[str, Any]):
    assert seen["empty"]["examples"] == [QUESTION, "rash"]
    assert seen["found"]["examples"] == []
    assert len(seen["plain"]["examples"]) == 3
    assert seen["plain"]["examples"][2] == "français et anglais"


def test_both_lists_are_the_apis_and_say_how_documents_move(
    seen: dict[str, Any], client: TestClient
):
    lists = {}
    for name, dimensions in (("chosen", 8), ("full", 32)):
        answer = client.post(
            "/v1/search", json={"query": QUESTION, "dimensions": dimensions}
        ).json()["data"]
        lists[name] = [entry["id"] for entry in answer]
        assert [entry["id"] for entry in seen["found"][name]] == lists[name]
        for entry, shown in zip(answer, seen["found"][name], strict=True):
            assert entry["fields"]["text"] in shown["text"]
    for place, entry in enumerate(seen["found"]["chosen"]):
        if entry["id"] not in lists["full"]:
            assert (entry["move"], "not among" in entry["spoken"]) == ("new", True)
            continue
        moved = lists["full"].index(entry["id"]) - place
        assert entry["move"].replace("−", "-").replace("=", "0") == (
            f"+{moved}" if moved > 0 else str(moved)
        )
    assert seen["found"]["titles"] == ["At 8 dimensions", "At full width, 32"]


def test_k_role_and_funnel_are_the_searchs(seen: dict[str, Any], client: TestClient):
    asked = {"query": QUESTION, "input_type": "document", "k": 3}
    funnel = asked | {"dimensions": 32, "first_dimensions": 8, "candidates": 4}
    for name, body in (("chosen", funnel), ("full", asked)):
        answer = client.post("/v1/search", json=body).json()["data"]
        assert [entry["id"] for entry in seen["funnel"][name]] == [entry["id"] for entry in answer]
    assert seen["funnel"]["titles"] == ["By 8, then by 32 dimensions", "At full width, 32"]


def test_a_matrix_has_the_cosines_at_the_dimension_and_roles(
    seen: dict[str, Any], tuned: ServedModel
):
    (matrix,) = seen["comparison"]["matrices"]
    assert matrix["title"] == "medembed, 8 dimensions"
    rows = truncate(tuned.encoder.encode(ROWS, "query"), 8)
    columns = truncate(tuned.encoder.encode(COLUMNS, "document"), 8)
    assert np.abs(np.array(matrix["cells"]) - rows @ columns.T).max() <= 0.00051
    assert matrix["bold"] == (rows @ columns.T).argmax(axis=1).tolist()
    assert matrix["heads"] == [*COLUMNS, *ROWS]


def test_snippets_do_what_the_page_did_and_hold_no_key(seen: dict[str, Any]):
    search, compare = seen["search"], seen["compare"]
    ids = [entry["id"] for entry in seen["funnel"]["chosen"]]
    assert [line.split()[1] for line in search["python"].splitlines()] == ids
    assert [entry["id"] for entry in json.loads(search["curl"])["data"]] == ids
    printed = re.findall(r"-?\d\.\d*", compare["python"])
    shown = np.array([matrix["cells"] for matrix in seen["comparison"]["matrices"]])
    assert np.abs(np.array(printed, dtype=float) - shown.ravel()).max() <= 0.0011
    assert compare["curl"].count('"embedding":[') == len(ROWS) + len(COLUMNS)
    assert seen["copied"] == "Copied."
    for taken in (search, compare):
        assert KEY not in "".join(taken[name] for name in ("link", "python text", "curl text"))
        assert "MEDEMBED_KEY" in taken["python text"]


def test_a_link_asks_its_question_again_and_keeps_it_from_every_log(seen: dict[str, Any]):
    address, _, fragment = seen["search"]["link"].partition("#")
    assert urlsplit(address)[2:] == ("/", "", "")
    assert dict(parse_qsl(fragment)) == {"view": "search", **FUNNEL}
    assert [seen["opened"][name] for name in ("chosen", "full", "titles")] == [
        seen["funnel"][name] for name in ("chosen", "full", "titles")
    ]


def test_a_link_that_the_server_cannot_follow_is_said_and_asks_nothing(seen: dict[str, Any]):
    assert "does not offer what the link asks for: dimensions=7." in seen["unfit link"]["error"]
    assert seen["unfit link"]["titles"] == []
    assert "n’offre pas ce que le lien demande : Chercher." in seen["unfit view"]["error"]


def test_facts_name_the_model_and_what_it_was_trained_from(
    seen: dict[str, Any], tuned: ServedModel
):
    facts = seen["comparison"]["facts"]
    for words in (
        tuned.model["fingerprint"],
        "hf://acme/base · f0f0",
        "d0d0",
        "trained for 32, 8",
        "0.875 at 32 · 0.750 at 8",
        "document: “passage: ”; query: “query: ”",
        "mean",
    ):
        assert words in facts


def test_errors_are_said_in_words(seen: dict[str, Any]):
    assert seen["too long"]["error"] == "The text is too long for this model. Shorten it."
    assert (
        seen["too many"]["error"]
        == "More than 50 texts on a side make no matrix to read. Take fewer."
    )


def test_texts_and_scripts_run_nothing(seen: dict[str, Any]):
    assert (seen["found"]["images"], seen["hacked"]) == (0, None)
    assert all("Content Security Policy" in text for text in seen["blocked"])
    assert (len(seen["blocked"]), seen["errors"]) == (1, [])


def test_without_a_table_texts_are_compared_with_each_other_in_french(
    seen: dict[str, Any], trained: ServedModel
):
    assert seen["plain"]["forms"] == ["compare-form"]
    assert (seen["compared"]["language"], seen["compared"]["status"]) == (
        "fr",
        "Cosinus. En gras : le texte le plus proche de chaque ligne.",
    )
    vectors = truncate(
        trained.encoder.encode(["douleur", "pain of the heart", "skin rash"], "query"), 8
    )
    (matrix,) = seen["compared"]["matrices"]
    assert np.abs(np.array(matrix["cells"]) - vectors @ vectors.T).max() <= 0.00051
    others = vectors @ vectors.T - 2 * np.eye(3)  # a text is no neighbour of itself
    assert matrix["bold"] == others.argmax(axis=1).tolist()
