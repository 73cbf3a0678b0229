"""The whole loop in a folder, and on a cluster of two nodes that share only S3."""

import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
from sentence_transformers import SentenceTransformer

from medembed import storage
from medembed.encoding.model_files import model_fingerprint
from medembed.registry.config import RegistryConfig
from medembed.registry.models import open_registry, resolve_model
from serve.operate.dashboard import IMPORT_PATH, Dashboard
from tests.children import die_with_parent
from tests.inline_spread import alone
from tests.loop import ROOT, SETTINGS, Finished, TwoNodes, finish, promote_as_printed, run
from tests.nodes import Cluster, free_port, stop, two_node_cluster
from tests.sockets import Listener, elsewhere, listeners, watched
from tests.stranger import attack, attack_listeners, everything_below, open_folder

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def in_folder(
    pairs_file: Path, encoder_folder: Path, opened: Path, tmp_path_factory: pytest.TempPathFactory
) -> Finished:
    """The finished demo in a folder: the loop, then questions over HTTP."""
    root = opened
    home = tmp_path_factory.mktemp("home")
    (root / "demo.yaml").write_text("questions: [my heart pain]\nanswer_dimensions: [32, 8]\n")
    places = [f"source.path={pairs_file}", f"model={encoder_folder}", f"output={root}/out"]
    environment = os.environ | {"HOME": str(home)}
    for name in ("HF_HOME", "MPLCONFIGDIR"):  # the tests' own; a user has none
        environment.pop(name, None)
    command = [sys.executable, "-m", "jobs.demo", str(root / "demo.yaml"), *places, *SETTINGS]
    command.append(f"registry.workspace={root}/ws")
    demo = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        umask=0o022,
        preexec_fn=die_with_parent,
    )
    with watched(demo.pid) as seen:
        stdout, stderr = demo.communicate(timeout=600)
    assert demo.returncode == 0, stderr
    commands = " ".join(each.command for each in seen)
    assert all(name in commands for name in ("ray::RayTrainWorker", "ray::ServeReplica", "raylet"))
    assert elsewhere(seen) == set()
    assert list(home.iterdir()) == [], "the home folder must stay as it was"
    assert "unchanged, reused" not in stderr
    assert "that affects the heart" in stdout, "each answer is a document, and about what was asked"
    return Finished(root, json.loads((root / "out/summary.json").read_text()))


@pytest.fixture(scope="module")
def s3(s3_environment: dict[str, str], pairs_file: Path, encoder_folder: Path) -> Iterator[str]:
    """A bucket with the source and the model, which this process's environment names."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3_environment.items():
            patch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket="pipeline")
        storage.write_bytes("s3://pipeline/pairs.jsonl", pairs_file.read_bytes())
        for name in storage.list_files(str(encoder_folder)):
            content = (encoder_folder / name).read_bytes()
            storage.write_bytes(f"s3://pipeline/model/{name}", content)
        yield "s3://pipeline"


def test_the_loop_measures_every_dimension_before_and_after_and_registers_a_stock_model(
    in_folder: Finished,
):
    root, summary = in_folder
    for moment in ("before", "after"):
        assert set(summary["metrics"][moment]) == {"32", "8"}
        assert {"ndcg@10", "recall@10"} <= set(summary["metrics"][moment]["32"])
    checkpoint = summary["checkpoint"]["uri"]
    assert SentenceTransformer(checkpoint, device="cpu").encode("heart").shape == (32,)
    assert summary["registered"]["model"] == "models:/medembed/1"
    assert summary["registered"]["champion"] is True
    config = RegistryConfig(workspace=str(root / "ws"))
    assert resolve_model("models:/medembed@champion", config, on_cluster=False) == checkpoint
    tags = open_registry(config, on_cluster=False).resolve("models:/medembed/1").tags
    assert tags["dataset_uri"] == summary["dataset"]["uri"]
    assert tags["examples_uri"] == summary["examples"]["uri"]
    assert tags["table_uri"] == summary["tables"]["after"]["uri"]
    assert (root / "out/report.html").stat().st_size > 10_000
    assert not list(root.rglob("*.run"))


def test_the_served_model_answers_at_each_dimension_with_a_document_of_the_corpus(
    in_folder: Finished,
):
    answers = in_folder.summary["answers"]
    assert [row["dimensions"] for row in answers] == [32, 8]
    assert {row["question"] for row in answers} == {"my heart pain"}
    assert all(row["document_id"].startswith("d-") for row in answers)


def test_what_a_job_writes_is_readable_for_its_owner_alone(in_folder: Finished):
    root = in_folder.root
    written = [Path(path) for path in everything_below(root / "out", root / "ws")]
    names = {path.name for path in written}
    assert {"summary.json", "mlflow.db", "model.safetensors", "manifest.json"} <= names
    assert [path for path in written if path.stat().st_mode & 0o077] == []
    if os.getuid() == 0:
        assert attack("open_files", [str(path) for path in written]) == []


def test_training_teaches_the_model(in_folder: Finished):
    difference = in_folder.summary["metrics"]["differences"]["ndcg@10"]
    assert all(row["low"] > 0 for row in difference.values())


def test_the_jobs_one_by_one_go_from_a_data_set_to_a_champion(
    in_folder: Finished,
    encoder_folder: Path,
    empty_registry: Path,
    ray_local: None,
):
    root, summary = in_folder
    out = root / "jobs"
    shutil.copytree(empty_registry, root / "jobs-ws")
    data = f"data={summary['dataset']['uri']}"
    model = f"model={encoder_folder}"
    workspace = f"registry.workspace={root}/jobs-ws"
    champion = "model=models:/medembed@champion"
    evaluation = f"output={out}/evaluation"
    examples = f"{out}/examples"
    training = [setting for setting in SETTINGS if setting.startswith("training.")]
    with alone():
        table = f"table={out}/t.lance"
        finish("mine", [model, data, table, f"output={examples}", "mining.margin=0", workspace])
        places = [data, f"examples={examples}", f"output={out}/model"]
        promote_as_printed(finish("train", [model, *places, *training, workspace]))
        baseline = f"baseline={encoder_folder}"
        evaluated = finish("evaluate", [champion, baseline, data, evaluation, workspace])
    choices = evaluated["recommendation"]["choices"]
    metrics = json.loads((out / "evaluation/metrics.json").read_text())
    (differences,) = metrics.pop("differences").values()
    assert metrics.pop("footprints")["objective"] == "ndcg@10"
    assert metrics == summary["metrics"]["after"]
    assert differences["ndcg@10"]["8"] == summary["metrics"]["differences"]["ndcg@10"]["8"]
    assert [choice["use"] for choice in choices] == ["best", "balanced", "light"]
    assert {choice["option"]["dimension"] for choice in choices} <= {32, 16, 8}
    assert model_fingerprint(out / "model") == summary["checkpoint"]["fingerprint"]


@pytest.mark.usefixtures("ray_local")
def test_a_second_run_reuses_every_stage_and_says_so(
    in_folder: Finished,
    pairs_file: Path,
    encoder_folder: Path,
    caplog: pytest.LogCaptureFixture,
):
    root, first = in_folder
    caplog.set_level(logging.INFO)
    comments, python = sorted(root.glob("out/retention/[cp]*/*/manifest.json"))
    sets = f"retention.sets={{comments: {comments.parent}, python: {python.parent}}}"
    places = [f"source.path={pairs_file}", f"model={encoder_folder}", f"output={root}/out"]
    places.append(f"registry.workspace={root}/ws")
    again = json.loads(json.dumps(finish("finetune", [*places, sets, *SETTINGS])))
    # tables and evaluations of two models on two sets
    assert caplog.text.count("unchanged, reused") == 7 + 8
    assert again["metrics"] == first["metrics"]
    # Nobody asked for the alias again.
    assert again["registered"] == first["registered"] | {"champion": False}


@pytest.fixture(scope="module")
def cluster(s3: str) -> Iterator[Cluster]:
    with open_folder() as root, two_node_cluster(root) as nodes:
        yield nodes


@pytest.fixture(scope="module")
def two_nodes(
    cluster: Cluster,
    s3: str,
    pairs_file: Path,
    empty_registry: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> TwoNodes:
    workspace = shutil.copytree(empty_registry, tmp_path_factory.mktemp("two-nodes") / "ws")
    done = run(
        "finetune",
        f"source.path={s3}/pairs.jsonl",
        f"model={s3}/model",
        f"output={s3}/out",
        *SETTINGS,
        f"registry.tracking_uri=sqlite:///{workspace}/mlflow/mlflow.db",
        "training.workers=2",
        "training.batch_size=8",
        RAY_ADDRESS=cluster.address,
        RAY_TRAIN_ENABLE_PREEMPTION_WATCHER="1",  # as it is on a cluster
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(storage.read_bytes(f"{s3}/out/summary.json"))
    never = [f"source.path={pairs_file}", "output=s3://pipeline/never"]
    refused = run("finetune", *never, RAY_ADDRESS=cluster.address)
    return TwoNodes(summary, refused)


@pytest.fixture(scope="module")
def head(cluster: Cluster, two_nodes: TwoNodes) -> Cluster:
    """The head alone: of two nodes on one machine, one removes what jobs of the other use."""
    stop(cluster.nodes.pop())
    return cluster


def test_two_nodes_that_share_only_s3_give_the_same_data_examples_and_first_numbers(
    two_nodes: TwoNodes, in_folder: Finished
):
    summary = two_nodes.summary
    expected = in_folder.summary
    for key in ("fingerprint", "counts", "splits"):
        assert summary["dataset"][key] == expected["dataset"][key]
    assert summary["examples"]["fingerprint"] == expected["examples"]["fingerprint"]
    assert summary["metrics"]["before"] == expected["metrics"]["before"]
    assert summary["metrics"]["differences"]["ndcg@10"]["32"]["low"] > 0


def test_a_local_path_given_to_a_cluster_of_several_nodes_is_refused(two_nodes: TwoNodes):
    assert two_nodes.refused.returncode == 2
    assert two_nodes.refused.stderr.strip().startswith("error: source.path: found local input")


def test_another_user_opens_nothing_of_two_nodes_and_gets_no_call_through(
    two_nodes: TwoNodes, cluster: Cluster
):
    listening = set[Listener]().union(
        *(listeners(psutil.Process(node.pid)) for node in cluster.nodes)
    )
    host = cluster.address.partition(":")[0]
    refused = attack_listeners(listening, host, cluster.scratch.parent / "mark")
    for name in ("NodeInfoGcsService", "NodeManagerService", "CoreWorkerService"):
        assert f"ray.rpc.{name}" in refused
    if os.getuid() == 0:
        assert attack("open_files", everything_below(cluster.scratch)) == []


def test_the_model_that_two_nodes_left_on_s3_is_a_stock_one_with_its_evaluation(
    two_nodes: TwoNodes,
):
    checkpoint = two_nodes.summary["checkpoint"]
    fetched = storage.fetch_folder(checkpoint["uri"])
    assert SentenceTransformer(str(fetched), device="cpu").encode("heart").shape == (32,)
    assert model_fingerprint(fetched) == checkpoint["fingerprint"]


def test_ray_job_submit_runs_a_job(head: Cluster, two_nodes: TwoNodes, s3: str):
    submit = f"job submit --address {head.dashboard} --working-dir . -- python -m jobs.prepare"
    places = [f"source.path={s3}/pairs.jsonl", f"output={s3}/submitted", "splits.test=0.3"]
    command = [str(Path(sys.executable).with_name("ray")), *submit.split(), *places]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    manifest = json.loads(storage.read_bytes(f"{s3}/submitted/manifest.json"))
    assert manifest["fingerprint"] == two_nodes.summary["dataset"]["fingerprint"]


def test_medembed_with_an_address_follows_the_job_and_fails_when_it_fails(head: Cluster, s3: str):
    places = [f"source.path={s3}/none.jsonl", f"output={s3}/none", "--address", head.dashboard]
    command = [str(Path(sys.executable).with_name("medembed")), "prepare", *places]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 1
    assert "none.jsonl: no such file" in done.stdout


def test_a_server_without_keys_is_not_deployed_where_serve_listens_to_other_machines(
    head: Cluster, s3: str
):
    dashboard = Dashboard(head.dashboard)
    app: dict[str, Any] = {"name": "medembed", "route_prefix": "/", "import_path": IMPORT_PATH}
    app["args"] = {"model": f"{s3}/model"}
    options = {"host": "0.0.0.0", "port": free_port()}
    dashboard.deploy({"proxy_location": "HeadOnly", "http_options": options, "applications": [app]})
    state: dict[str, Any] = {}
    while state.get("status") in (None, "DEPLOYING"):
        time.sleep(0.5)
        state = dashboard.details()["applications"].get("medembed", {})
    expected = "http_options.host: 0.0.0.0 is open to other machines, and this server has no keys"
    assert expected in state["message"]
