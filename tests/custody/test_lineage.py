"""`medembed lineage` leads from a model, an output or a running server to the first data set."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from jobs.lineage import LineageJob, named_first, run
from medembed import storage
from medembed.config import load_config
from medembed.custody.chain import Chains
from medembed.encoding.model_files import model_fingerprint
from medembed.errors import MedEmbedError, ServiceError, StorageError
from medembed.lineage import Source
from medembed.tags import Lineage
from tests.custody.conftest import NewRegistry
from tests.custody.world import World


def lineage(world: World, of: str) -> list[str]:
    workspace = f"registry.workspace={world.registry.config.workspace}"
    lines = run(load_config(LineageJob, [f"of={of}", workspace]))["lines"]
    return [str(line) for line in lines]


@contextmanager
def answering(answers: dict[str, Any]) -> Iterator[str]:
    """Yield the URL of an HTTP server that gives these JSON answers by path."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path in answers else 404)
            self.end_headers()
            self.wfile.write(json.dumps(answers.get(self.path)).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(30)
        server.server_close()


def replica(version: str, encoder: str, table: int | None = 2) -> dict[str, Any]:
    return {"replica": "r", "version": version, "fingerprint": encoder, "table_version": table}


def test_a_model_leads_back_over_its_parent_to_the_base_model_and_every_data_set(two: World):
    lines = lineage(two, "models:/medembed@champion")
    heads = [number for number, line in enumerate(lines) if not line.startswith(" ")]
    first, second = two.versions
    assert [lines[number] for number in heads] == [
        "models:/medembed/2 (champion)",
        "trained from models:/medembed/1 (previous)",
        f"trained from {two.base}, not registered",
    ]
    newest = "\n".join(lines[: heads[1]])
    names = re.findall(r"^  (\w+(?: set)?) ", newest, re.M)
    assert names == ["table", "checkpoint", "run", "examples", "data set"], "newest part first"
    for expected in (
        f"{second.tags['table_uri']} version 2: {second.tags['encoder']}, 9 rows",
        (
            f"{second.source}: {second.tags['encoder']}; dimensions 32, 8; dev score 0.5000 at "
            "step 3"
        ),
        f"MLflow {second.run_id}, made by retrain",
        f"{second.tags['examples_uri']}: {second.tags['examples']}, 7 pairs",
        f"{second.tags['dataset_uri']}: {second.tags['dataset']}, 8 documents, 8 queries",
        "1 landed files taken",
        f"made from {first.tags['dataset_uri']}",
        f"made from {two.place('tables', 'base.lance')}",
    ):
        assert expected in newest
    assert lines[-1].split() == ["encoder", model_fingerprint(two.base)]


def test_a_table_and_a_checkpoint_lead_to_the_version_that_made_them(two: World):
    first = two.versions[0]
    lines = lineage(two, first.tags["table_uri"])
    assert (
        lines[0]
        == f"{first.tags['table_uri']}: table at version 2, 9 rows, encoder {first.tags['encoder']}"
    )
    assert "models:/medembed/1 (previous)" in lines
    assert lineage(two, first.source)[0] == "models:/medembed/1 (previous)"


@pytest.mark.parametrize("kind", ["data", "examples", "evaluations"])
def test_any_other_output_leads_to_the_version_that_was_trained_on_it_or_measured(
    kind: str, two: World
):
    place = two.place(kind, "1")
    lines = lineage(two, place)
    assert lines[0].startswith(f"{place}: ")
    assert lines[2] == "models:/medembed/1 (previous)"


def test_an_endpoint_shows_which_replicas_serve_which_version(two: World):
    first, second = (version.tags["encoder"] for version in two.versions)
    swapping = {
        "/health/replicas": {
            "replicas": [replica("2", second), replica("1", first), replica("2", second)]
        }
    }
    with answering(swapping) as url:
        lines = lineage(two, url)
        assert lines[:2] == [
            f"{url}: 2 of 3 replicas serve version 2, encoder {second}, table version 2",
            f"{url}: 1 of 3 replicas serves version 1, encoder {first}, table version 2",
        ]
        assert {"models:/medembed/2 (champion)", "models:/medembed/1 (previous)"} <= set(lines)
    asleep = {
        "/health/replicas": {"replicas": []},
        "/v1/models": {"data": [replica("1", first) | {"table": None}]},
    }
    with answering(asleep) as url:
        assert (
            lineage(two, url)[0]
            == f"{url}: no replica runs; when asked, one serves version 1, encoder {first}, no table"
        )
    empty = {**replica("", ""), "fingerprint": None, "reason": "ModelError: no such folder."}
    with answering({"/health/replicas": {"replicas": [empty, replica("1", first)]}}) as url:
        line = f"{url}: 1 of 2 replicas serves version 1, encoder {first}"
        assert lineage(two, url)[0].startswith(line)
    for answers, message in (
        ({}, "no 'replicas' in its answer"),
        ({"replicas": [empty]}, "no replica could load its model: ModelError: no such folder"),
        (
            {"replicas": [replica("2", "f00d", None)]},
            "encoder f00d.*no registered version has this encoder",
        ),
    ):
        with (
            answering({"/health/replicas": answers}) as url,
            pytest.raises(ServiceError, match=message),
        ):
            lineage(two, url)


def test_a_model_from_elsewhere_is_not_recorded_and_what_is_gone_is_said_to_be(world: World):
    version = world.add(1)
    foreign = world.registry.client.create_model_version(
        "medembed", source=str(world.base), run_id=None
    )
    lines = lineage(world, f"models:/medembed/{foreign.version}")
    assert lines[0] == "models:/medembed/2"
    assert [line.split(None, 1)[1] for line in lines if line.split()[0] in ("table", "run")] == [
        "not recorded"
    ] * 2
    storage.delete_folder(version.tags["dataset_uri"])
    lines = lineage(world, "models:/medembed/1")
    assert any("data set" in line and "nothing there that MedEmbed made" in line for line in lines)


@pytest.mark.parametrize(
    ("of", "error", "told"),
    [
        ("models:/medembed@champion", ServiceError, "not in the registry"),
        ("nowhere", StorageError, "neither an embedding table nor a checkpoint"),
        ("http://127.0.0.1:9", ServiceError, "expected a MedEmbed server"),
    ],
)
def test_what_is_not_there_is_one_clear_line(
    of: str, error: type[MedEmbedError], told: str, world: World
):
    with pytest.raises(error, match=told) as caught:
        lineage(world, of)
    assert "\n" not in str(caught.value)


def test_a_reference_may_stand_alone_in_front():
    assert named_first(["models:/m@champion", "a=2"]) == ["a=2", "of=models:/m@champion"]
    assert named_first(["of=x"]) == ["of=x"]
    assert named_first(["a.yaml", "of=x"]) == ["a.yaml", "of=x"]


def test_a_parent_is_older_than_its_child(new_registry: NewRegistry):
    registry = new_registry("other")
    client = registry.client
    client.create_registered_model("medembed")
    trained = (Lineage(encoder="a"), Lineage(encoder="b", parent=Source("a")), Lineage(encoder="a"))
    for tags in trained:
        client.create_model_version("medembed", source="/gone", tags=tags.to_tags())
    chains = Chains(registry, "medembed")
    child = chains.find("b")
    newest = chains.find("a")
    assert child is not None
    assert newest is not None
    parent = chains.parent(child)
    assert parent is not None
    assert (parent.name, newest.name) == ("models:/medembed/1", "models:/medembed/3")
