"""Checks of commands that cannot run in a test: their config, schema, places, options."""

import importlib
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from jobs.beforehand import check_places
from jobs.cli import job_config
from jobs.serve import ServeJob
from medembed.config import load_config
from serve.config import ServeConfig
from serve.operate.run import find_port
from serve.operate.start import check_start
from serve.resolve import resolve, resolve_ranker
from tests.docs.pages import ROOT
from tests.docs.world import World


class Fault(Exception):
    """A command of the docs that does not do what they say."""


def check_config(world: World, text: str) -> None:
    """Let the job read its arguments, without the work."""
    job, *given = shlex.split(text.removesuffix("&"))[1:]
    module = importlib.import_module(f"jobs.{job}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "run_job", lambda model, body, argv, **_: load_config(model, argv))
        module.main([*given, *world.small(job, given)])


def check_submission(world: World, text: str) -> None:
    """Check what `--address` checks before it sends anything."""
    job, *given = shlex.split(text.replace(f"{world.root}/hospital", "s3://hospital"))[1:]
    at = given.index("--address")
    check_places(load_config(job_config(job), given[:at] + given[at + 2 :]))


def check_server(world: World, text: str) -> None:
    """Check all that is known before Ray starts: model, weights, table, memory, ports."""
    words = shlex.split(text.removesuffix("&"))
    given = [word for word in words[2:] if word != "serve.app:build"]
    ports = [f"port={find_port(None)}", f"dashboard_port={find_port(None)}"]
    job = load_config(ServeJob, [*given, *ports])
    config = check_start(job, on_cluster=False)
    resolve(config)
    resolve_ranker(config)


def check_deployment(world: World, text: str) -> None:
    """Check the file by Serve's schema, and its arguments by the application's."""
    config = ServeDeploySchema.model_validate(yaml.safe_load(Path(text.split()[2]).read_text()))
    for application in config.applications:
        assert application.import_path == "serve.app:build"
        resolve(ServeConfig.model_validate(application.args))


def check_make(world: World, text: str) -> None:
    target = text.split()[1]
    if f"\n{target}:" not in (ROOT / "Makefile").read_text():
        raise Fault(f"no target {target}")


def check_benchmark(world: World, text: str) -> None:
    """Check that the module exists and has the options."""
    name = re.findall(r"benchmarks\.(\w+)", text)[0]
    source = (ROOT / f"benchmarks/{name}.py").read_text()
    unknown = [
        option for option in re.findall(r"(--[a-z0-9-]+)", text) if f'"{option}"' not in source
    ]
    if unknown:
        raise Fault(f"no option {', '.join(unknown)}")


def check_cluster(world: World, text: str) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(yaml.safe_load(Path("cluster.yaml").read_text())))


def check_extra(world: World, text: str) -> None:
    extra = re.findall(r"medembed\[(\w+)\]", text)[0]
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    if extra not in project["optional-dependencies"]:
        raise Fault(f"no extra {extra}")


def check_module(world: World, text: str) -> None:
    for name in re.findall(r"-m (jobs\.\w+)", text):
        importlib.import_module(name)


def check_file(world: World, text: str) -> None:
    for name in re.findall(r"[\w/]+\.yaml", text):
        if not yaml.safe_load(Path(name).read_text()):
            raise Fault(f"{name}: empty")


def no_check(world: World, text: str) -> None:
    """Check nothing: the line is the shell's own."""
