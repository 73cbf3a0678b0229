"""Shared fixtures: a tiny encoder, one local Ray per session, no network, no home folder."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SCRATCH = tempfile.mkdtemp(prefix="medembed-test-", dir="/tmp")
os.environ |= {
    "LANGUAGE": "en",
    "HF_HUB_OFFLINE": "1",
    "HF_HOME": f"{SCRATCH}/hf",
    "MPLCONFIGDIR": f"{SCRATCH}/matplotlib",
    "RAY_TMPDIR": SCRATCH,
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "RAY_USAGE_STATS_ENABLED": "0",
    # as a job's private Ray has it: a process less for each training
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",
}
for name in ("RAY_ADDRESS", "MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL"):
    os.environ.pop(name, None)

from hypothesis import settings  # noqa: E402

from tests.inline_spread import alone  # noqa: E402
from tests.stranger import open_folder  # noqa: E402
from tests.tiny import make_encoder, write_pairs  # noqa: E402

# Machines are slow at times, and a test that fails must fail again.
settings.register_profile("project", deadline=None, derandomize=True)
settings.load_profile("project")


# Files that take minutes begin, so that the two processes of `make test` end together.
_LONG = (
    "test_pipeline",
    "test_docs",
    "test_retrain",
    "test_trainer",
    "test_tune",
    "test_encode",
    "test_serve",
    "test_rounds",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(
        key=lambda item: _LONG.index(item.path.stem) if item.path.stem in _LONG else len(_LONG)
    )


# Files that ask the server which `url` in tests/serve starts.
_SERVED = tuple(
    f"tests/serve/{name}.py" for name in ("test_api", "test_ray_internals", "test_scrape")
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """`--dist loadfile` with those as one file: in two processes they would start two servers."""
    if config.option.dist != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file: str = super()._split_scope(nodeid)
            return "served" if file in _SERVED else file

    return Scheduling(config, log)


def pytest_sessionfinish() -> None:
    shutil.rmtree(SCRATCH, ignore_errors=True)


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny stock sentence-transformers model, 32 dimensions."""
    return make_encoder(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def prompted_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with prompts in front of queries and documents, as E5 models have them."""
    prompts = {"query": "query: ", "document": "passage: "}
    return make_encoder(tmp_path_factory.mktemp("models") / "prompted", prompts=prompts)


@pytest.fixture(scope="session")
def chromium() -> str:
    """A browser's path. It is a system's package, which pip cannot bring: CI installs it, other
    machines may skip.
    """
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    pytest.skip("no chromium or google-chrome on PATH")


@pytest.fixture(scope="session")
def pairs_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """JSONL with 240 pairs over 120 documents."""
    return write_pairs(tmp_path_factory.mktemp("source") / "pairs.jsonl")


@pytest.fixture(scope="session")
def ray_local() -> Iterator[None]:
    """One local Ray for the session."""
    import ray

    ray.init(
        address="local",
        num_cpus=4,
        include_dashboard=False,
        object_store_memory=2 << 27,
        log_to_driver=False,
        logging_level="ERROR",
    )
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def opened() -> Iterator[Path]:
    """A folder that other users enter, who read there whatever they may."""
    with open_folder() as folder:
        yield folder


@pytest.fixture
def no_actors() -> Iterator[None]:
    """For a test of what is computed: tables are made and searched here, without actors."""
    with alone():
        yield


@pytest.fixture(scope="session")
def empty_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with an MLflow file that holds nothing, to be copied: making one takes
    seconds.
    """
    from medembed.registry.config import RegistryConfig
    from medembed.registry.models import open_registry

    workspace = tmp_path_factory.mktemp("empty")
    open_registry(RegistryConfig(workspace=str(workspace)), on_cluster=False)
    return workspace


@pytest.fixture(scope="session")
def s3_environment() -> Iterator[dict[str, str]]:
    """The environment of a real S3 server on this machine."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    yield environment
    server.stop()


@pytest.fixture
def bucket(s3_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """URI of an empty bucket; this process's environment points at the server."""
    import boto3

    for key, value in s3_environment.items():
        monkeypatch.setenv(key, value)
    name = f"bucket-{secrets.token_hex(4)}"
    boto3.client("s3").create_bucket(Bucket=name)
    return f"s3://{name}"


@pytest.fixture(params=["folder", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place on a local disk, and one on a real S3 server."""
    if request.param == "folder":
        return str(tmp_path)
    return f"{request.getfixturevalue('bucket')}/{tmp_path.name}"
