"""Retraining from drop to drop, under a running server: what is taken, refused, promoted, and what
stays as it was.
"""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from benchmarks.serving import Answer, Load, Running, served, statuses
from jobs.retrain import RetrainJob, _once
from medembed.encoding.open_table import find_newest
from medembed.encoding.table import find_table
from medembed.errors import ModelError, ServiceError
from medembed.finetuning.lock import Busy, hold
from medembed.finetuning.retrain import Retrained, retrain
from medembed.registry.catalog import find_versions
from medembed.registry.champion import check_candidate, find_previous, make_champion
from medembed.registry.models import Registry, Version
from medembed.registry.runs import find_artifact
from medembed.tags import Lineage
from serve.operate.promotion import replace_champion
from serve.operate.swap import ServingConfig
from tests.finetuning.drops import make_config, write_drop

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local", "no_actors")]


@dataclass
class Place:
    root: Path
    model: Path
    registry: Registry
    serving: ServingConfig | None = None

    def land(self, name: str, grades: range, *, shuffled: bool = False) -> Path:
        return write_drop(self.root / "landing" / name, grades, shuffled=shuffled)

    def retrain(self, *arguments: str) -> Retrained:
        return retrain(make_config(self.root, self.model, *arguments), self.registry, self.publish)

    def publish(self, version: Version, seen: str | None) -> list[str]:
        if self.serving is not None:
            return replace_champion(self.registry, version, self.serving, seen)
        make_champion(self.registry, version, seen)
        return []

    @property
    def champion(self) -> str | None:
        return self.registry.aliases("medembed").get("champion")


@pytest.fixture(scope="module")
def place(encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    root = tmp_path_factory.mktemp("retrain")
    config = make_config(root, encoder_folder)
    return Place(
        root, encoder_folder, Registry(f"sqlite:///{root}/mlflow/mlflow.db", config.registry)
    )


@pytest.fixture(scope="module")
def server(place: Place) -> Iterator[Running]:
    """Serves the first champion with its table and texts, behind Serve's own proxy, and is told of
    what follows.
    """
    documents = place.registry.resolve("models:/medembed/1").tags["dataset_uri"]
    with served(
        place.root,
        f"table={place.root}/out/tables",
        f"search.documents={documents}",
        "page=false",
        "ingress=serve",
    ) as running:
        assert not running.find("haproxy.cfg")
        place.serving = ServingConfig(address=running.dashboard)
        yield running
        place.serving = None


@contextmanager
def asked(server: Running) -> Iterator[list[Answer]]:
    """Requests meanwhile, none of which may fail."""
    with Load(server.url, [["heart pain"]], rate=4) as load:
        yield load.answers
    assert set(statuses(load.answers)) == {200}


def search(server: Running, text: str, k: int) -> set[str]:
    """Ids of the documents that the server finds."""
    body = json.dumps({"query": text, "k": k}).encode()
    with urlopen(
        Request(f"{server.url}/v1/search", body, {"Content-Type": "application/json"}), timeout=60
    ) as answer:
        return {hit["id"] for hit in json.load(answer)["data"]}


def test_a_first_drop_makes_the_first_champion_also_after_a_death_before_the_flip(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    place.land("1.jsonl", range(20))
    (place.root / "landing/2.jsonl").write_text('{"question": "half')

    def die(version: Version, seen: str | None) -> list[str]:
        raise ServiceError("the server is gone")

    with monkeypatch.context() as patched:
        patched.setattr(place, "publish", die)
        with pytest.raises(ServiceError):
            place.retrain()
    assert place.champion is None
    caplog.set_level(logging.INFO)
    result = place.retrain()
    assert (result.outcome, place.champion) == ("promoted", "1")
    assert "checkpoint" in caplog.text
    assert "unchanged, reused" in caplog.text
    assert result.incoming.left == {"2.jsonl": "its last line breaks off"}
    assert len(find_versions(place.registry, Lineage(job="retrain"))) == 1
    assert result.decision is not None
    assert result.decision.outcome == "better"
    (place.root / "landing/2.jsonl").unlink()
    assert place.retrain().outcome == "nothing new"


def test_files_sent_again_under_other_names_are_nothing_new(place: Place):
    place.land("again/renamed.jsonl", range(20))
    assert place.retrain().outcome == "nothing new"
    some = place.land("again/some.jsonl", range(10))  # other bytes, but rows that are known
    result = place.retrain()
    assert (result.outcome, len(result.incoming.new)) == ("nothing new", 1)
    some.unlink()


def test_a_poisoned_drop_is_set_aside_and_the_champion_goes_on_serving(
    place: Place, server: Running
):
    before = place.registry.resolve("models:/medembed/1")
    poisoned = place.land("poisoned.jsonl", range(20, 40), shuffled=True)
    with asked(server) as answers:
        result = place.retrain()
    assert result.outcome == "worse"
    assert {answer.headers["x-model-version"] for answer in answers} == {"1"}
    assert place.champion == "1"
    assert place.registry.resolve("models:/medembed/1") == before
    newest, last = find_newest(before.tags["table_uri"]), find_table(before.tags["table_uri"])
    assert newest is not None
    assert last is not None
    assert (newest.version, newest.info.dataset) == (
        int(before.tags["table_version"]),
        before.tags["dataset"],
    )
    assert result.dataset is not None
    assert (last.is_unseen, last.info.dataset) == (True, result.dataset.fingerprint), (
        "the next attempt has its vectors"
    )
    assert result.version is not None
    assert place.registry.aliases("medembed").get("candidate") == "1"
    with pytest.raises(ServiceError, match="its retraining said 'worse'"):
        check_candidate(place.registry, result.version)
    assert find_artifact(place.registry, result.version.run_id, "gate.txt")
    again = place.retrain()
    assert (again.outcome, again.incoming.aside) == ("nothing new", 1)
    poisoned.unlink()


def test_documents_without_questions_join_the_champions_table_and_are_found(
    place: Place, server: Running
):
    rows = [
        {"document_id": f"new{n}", "text": f"A leaflet about heart pain, page {n}."}
        for n in range(5)
    ]
    (place.root / "landing/leaflets.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in rows)
    )
    assert not search(server, rows[0]["text"], k=100) & {"new0"}
    with asked(server):
        result = place.retrain()
    assert search(server, rows[0]["text"], k=100) & {"new0"}
    assert (result.outcome, place.champion) == ("documents added", "1")
    tags = place.registry.resolve("models:/medembed/1").tags
    table = find_table(tags["table_uri"], int(tags["table_version"]))
    assert table is not None
    assert set(table.find(["new0", "new4"])) == {"new0", "new4"}
    assert result.dataset is not None
    assert (tags["dataset_uri"], tags["dataset"]) == (result.dataset.uri, table.info.dataset)
    assert place.retrain().outcome == "nothing new"


def test_an_increment_trains_on_new_and_old_queries_and_can_be_forced_and_rolled_back(
    place: Place, server: Running
):
    place.land("3.jsonl", range(40, 60))
    how = ("training.average=0.7",)
    with asked(server) as answers:
        result = place.retrain("gate.force=true", "gate.reason=a test", *how)
    assert (result.outcome, place.champion) == (
        "promoted",
        result.version.version if result.version else None,
    )
    assert result.version is not None
    assert answers[-1].headers["x-model-version"] == result.version.version
    tags = result.version.tags
    assert (tags["decision"], tags["reason"], tags["increments"], tags["compared_with"]) == (
        "forced",
        "a test",
        "1",
        "1",
    )
    assert result.counts["replayed"] == round(0.3 * result.counts["new"]) > 0
    examples = json.loads(Path(tags["examples_uri"], "manifest.json").read_text())
    assert examples["counts"]["pairs"] == sum(result.counts.values())
    with asked(server) as answers:
        place.publish(find_previous(place.registry, "medembed"), place.champion)
    assert answers[-1].headers["x-model-version"] == place.champion == "1"
    again = place.retrain(*how)
    assert "promoted, and replaced since" in again.lines[0]
    assert place.champion == "1"


def test_a_server_goes_with_the_alias_where_somebody_else_moved_it_first(
    place: Place, server: Running, monkeypatch: pytest.MonkeyPatch
):
    other = find_previous(place.registry, "medembed")
    third = place.registry.register(
        other.source, params={}, metrics={}, lineage=other.lineage, artifacts={}
    )

    def make_champion_late(registry: Registry, version: Version, seen: str | None) -> None:
        monkeypatch.undo()
        registry.set_alias(other)
        make_champion(registry, version, seen)

    monkeypatch.setattr("serve.operate.promotion.make_champion", make_champion_late)
    with (
        asked(server) as answers,
        pytest.raises(ServiceError, match=r"somebody else moved it .* answer with version"),
    ):
        place.publish(third, place.champion)
    assert third.version in {answer.headers["x-model-version"] for answer in answers}
    with asked(server) as answers:
        time.sleep(1)
    assert (
        {answer.headers["x-model-version"] for answer in answers}
        == {place.champion}
        == {other.version}
    )
    place.publish(place.registry.resolve("models:/medembed/1"), place.champion)


def test_a_champion_that_does_not_load_is_one_line_and_changes_nothing(place: Place):
    weights = Path(place.registry.resolve("models:/medembed/1").source, "model.safetensors")
    content = weights.read_bytes()
    weights.write_bytes(content[: len(content) // 2])
    try:
        with pytest.raises(
            ModelError, match=r"models:/medembed@champion, version 1, does not load"
        ) as caught:
            place.retrain()
        assert "\n" not in str(caught.value)
    finally:
        weights.write_bytes(content)


def test_one_retraining_of_a_model_at_a_time(place: Place):
    with hold("medembed"):
        said = r"models:/medembed is being retrained already, by .* process \d+, since"
        with pytest.raises(Busy, match=said), hold("medembed"):
            pass
        with hold("another"):
            pass
        job = make_config(place.root, place.model, kind=RetrainJob)
        assert _once(job, place.registry)["outcome"] == "busy"
    with hold("medembed"):
        pass
