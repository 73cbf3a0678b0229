"""Types what the docs say, command by command, in one process and on one Ray, and writes down what came of it."""

import contextlib
import importlib
import logging
import os
import re
import shlex
import subprocess
import sys
import time
import tomllib
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from benchmarks.serving import served
from jobs.cli import job_config, main
from jobs.serve import ServeJob, _checked
from jobs.session import check_places
from medembed.config import load_config
from serve.app import ServeConfig, resolve
from serve.run import find_port
from tests.docs.pages import ROOT, Command
from tests.docs.world import World

KEY = "a-key"


@dataclass(frozen=True)
class Typed:
    """A command and what came of it; `fault` is empty where all went well."""

    command: Command
    text: str
    fault: str
    output: str
    seconds: float


class Fault(Exception):
    """A command of the docs that does not do what they say."""


Hand = Callable[[World, str], None]


def type_all(world: World, commands: Sequence[Command]) -> Iterator[Typed]:
    """Runs or checks each command in turn; one that was typed before has the outcome that it had."""
    typed: dict[str, Typed] = {}
    for command in sorted(commands, key=_place):
        text = world.settle(command.text)
        if text not in typed:
            typed[text] = _type(world, command, text)
        before = typed[text]
        yield Typed(command, text, before.fault, before.output, before.seconds)


def _place(command: Command) -> int:
    """What asks a server comes last, and what starts it right before."""
    if re.match(r"medembed serve .* table=", command.text):
        return 1
    return 2 if re.search(r"localhost:8000|serving\.address=http", command.text) else 0


def type_bad(world: World, text: str) -> Typed:
    """Runs a command that must fail."""
    return _type(world, Command("bad", 0, text), text)


def _type(world: World, command: Command, text: str) -> Typed:
    heard, start, fault = world.root.parent / "heard.txt", time.monotonic(), ""
    with listening(heard):
        try:
            for line in _first(text):
                run_medembed(world, world.settle(line))
            hand = _run_python if command.is_python else find_hand(command.text)
            hand(world, text)
        except (Exception, SystemExit) as error:
            fault = f"{type(error).__name__}: {error}"
            if not isinstance(error, Fault):
                traceback.print_exc()
    return Typed(command, text, fault, heard.read_text(errors="replace"), time.monotonic() - start)


def _first(text: str) -> list[str]:
    return [line for part, lines in FIRST.items() if part in text for line in lines]


@contextmanager
def listening(path: Path) -> Iterator[None]:
    """Standard output, standard error and every line of the log go to this file meanwhile."""
    sys.stdout.flush()
    sys.stderr.flush()
    with open(path, "w", buffering=1) as file:
        saved = os.dup(1), os.dup(2)
        handler = logging.StreamHandler(file)
        logging.getLogger().addHandler(handler)
        for number in (1, 2):
            os.dup2(file.fileno(), number)
        try:
            with contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
                yield
        finally:
            logging.getLogger().removeHandler(handler)
            for number, before in enumerate(saved, start=1):
                os.dup2(before, number)
                os.close(before)


def run_medembed(world: World, text: str) -> None:
    """The job in this process, as the console script calls it."""
    job, *given = shlex.split(text)[1:]
    status: str | int = 0
    try:
        main([job, *given, *world.small(job, given)])
    except SystemExit as end:
        status = end.code or 0
    if status:
        raise Fault(f"exit status {status}")


def _run_cron(world: World, text: str) -> None:
    run_medembed(world, text[text.index("medembed") :])


def check_config(world: World, text: str) -> None:
    """The job's own reading of its arguments, without the job."""
    job, *given = shlex.split(text.removesuffix("&"))[1:]
    module = importlib.import_module(f"jobs.{job}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "run_job", lambda model, body, argv, **_: load_config(model, argv))
        module.main([*given, *world.small(job, given)])


def check_submission(world: World, text: str) -> None:
    """What `--address` checks before it sends anything."""
    job, *given = shlex.split(text.replace(f"{world.root}/hospital", "s3://hospital"))[1:]
    place = given.index("--address")
    check_places(load_config(job_config(job), given[:place] + given[place + 2 :]))


def start_server(world: World, text: str) -> None:
    """The one server that all others ask, in a process of its own; the world ends it."""
    running = world.until_the_end(served(world.root / "workspace", *shlex.split(text)[2:], "access_log=true"))
    world.url, world.dashboard, world.server = running.url, running.dashboard, running


def check_server(world: World, text: str) -> None:
    """All that is known before Ray starts: model, weights, table, room, ports."""
    words = shlex.split(text.removesuffix("&"))
    given = [word for word in words[2:] if word != "serve.app:build"]
    job = load_config(ServeJob, [*given, f"port={find_port(None)}", f"dashboard_port={find_port(None)}"])
    resolve(_checked(job))


def _check_deployment(world: World, text: str) -> None:
    """Serve's own schema of the file, and the application's of its arguments."""
    config = ServeDeploySchema.model_validate(yaml.safe_load(Path(text.split()[2]).read_text()))
    for application in config.applications:
        assert application.import_path == "serve.app:build"
        resolve(ServeConfig.model_validate(application.args))


def _run_python(world: World, text: str) -> None:
    vectors = np.eye(4, 32, dtype=np.float32)
    exec(compile(text, "docs", "exec"), {"KEY": KEY, "texts": ["heart pain"], "vectors": vectors})


def run_curl(world: World, text: str) -> None:
    """The request that curl would send; its answer must be a success."""
    words = shlex.split(text.replace("$KEY", KEY))[1:]
    headers = dict(words[at + 1].split(": ") for at, word in enumerate(words) if word == "-H")
    body = words[words.index("-d") + 1].encode()
    address = next(word for word in words if word.startswith("http"))
    with urlopen(Request(address, body, headers), timeout=60) as response:
        print(response.read().decode())


def run_shell(world: World, text: str) -> None:
    subprocess.run(["bash", "-c", text], check=True, env=os.environ | {"KEY": KEY}, timeout=60)


def _check_make(world: World, text: str) -> None:
    target = text.split()[1]
    if f"\n{target}:" not in (ROOT / "Makefile").read_text():
        raise Fault(f"no target {target}")


def _check_benchmark(world: World, text: str) -> None:
    """The module is there, and knows the options."""
    name = re.findall(r"benchmarks\.(\w+)", text)[0]
    source = (ROOT / f"benchmarks/{name}.py").read_text()
    unknown = [option for option in re.findall(r"(--[a-z-]+)", text) if f'"{option}"' not in source]
    if unknown:
        raise Fault(f"no option {', '.join(unknown)}")


def _check_cluster(world: World, text: str) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(yaml.safe_load(Path("cluster.yaml").read_text())))


def _check_extra(world: World, text: str) -> None:
    extra = re.findall(r"medembed\[(\w+)\]", text)[0]
    if extra not in tomllib.loads(Path("pyproject.toml").read_text())["project"]["optional-dependencies"]:
        raise Fault(f"no extra {extra}")


def _check_module(world: World, text: str) -> None:
    for name in re.findall(r"-m (jobs\.\w+)", text):
        importlib.import_module(name)


def _check_file(world: World, text: str) -> None:
    for name in re.findall(r"[\w/]+\.yaml", text):
        if not yaml.safe_load(Path(name).read_text()):
            raise Fault(f"{name}: empty")


def _run_haproxy(world: World, text: str) -> None:
    """The environment that `ray start` is to have; that itself starts a node, and is left out."""
    wanted = re.findall(r"\$\((.*?)\)", text)[0]
    binary = str(Path(sys.executable).with_name(wanted.split()[0]))
    done = subprocess.run([binary, *wanted.split()[1:]], check=True, capture_output=True, text=True, timeout=60)
    if "export RAY_SERVE_ENABLE_HA_PROXY=1" not in done.stdout:
        raise Fault("no environment")


def _nothing(world: World, text: str) -> None:
    """A line of the shell's own."""


# Made right before a command that has this in it, as its page takes it for granted.
FIRST = {
    "table=workspace/tables": (
        "medembed encode model=models:/medembed@champion data=workspace/data output=workspace/tables/{key}.lance",
    ),
    "workspace/int8.lance": (
        "medembed encode model=models:/medembed@champion data=workspace/data storage=int8 output=workspace/int8.lance",
    ),
    "model=models:/medembed/3": (
        "medembed encode model=models:/medembed/3 data=workspace/data output=workspace/tables/{key}.lance",
    ),
    "workspace/data-2": (
        "medembed prepare source.path='notes/*.csv' splits.previous=workspace/data output=workspace/data-2",
    ),
}

# Which hand types what; the first that fits. "checked": what does not run here, and why.
HANDS: tuple[tuple[str, Hand, str], ...] = (
    (r"medembed \w+ .*--address", check_submission, "checked: test_pipeline submits jobs to a cluster"),
    (r"medembed retrain .*watch=true", check_config, "checked: it looks until it is interrupted"),
    (r"medembed (finetune|train|retrain) jobs/\w+\.yaml( (source|serving)\S+)*$", check_config,
     "checked: a page runs the same job"),
    (r"medembed serve .* table=", start_server, ""),
    (r"medembed serve ", check_server, "checked: one server answers all that ask one"),
    (r"serve run serve\.app:build ", check_server, "checked: likewise"),
    (r"serve deploy \S+\.yaml", _check_deployment, "checked: likewise"),
    (r"medembed \w+", run_medembed, ""),
    (r"(\d+ \S+ \S+ \S+ \d+)  medembed ", _run_cron, "the hour is cron's"),
    (r"curl ", run_curl, ""),
    (r"printf ", run_shell, ""),
    (r"make \w+", _check_make, "checked: it is this test's own set-up"),
    (r"python -m benchmarks\.\w+", _check_benchmark, "checked: minutes to hours"),
    (r"ray (up|dashboard) cluster.yaml", _check_cluster, "checked: needs a cloud"),
    (r"ray job submit .* python -m jobs\.\w+", _check_module, "checked: test_pipeline runs it on a cluster"),
    (r'eval "\$\(medembed-haproxy environment', _run_haproxy, "ray start is left out: it starts a node"),
    (r"prometheus --config\.file=", _check_file, "checked: not installed"),
    (r"pip install 'medembed\[\w+\]'", _check_extra, "checked: needs a network"),
    (r"\. \.venv/bin/activate$", _nothing, "the shell's own"),
)  # fmt: skip


def find_hand(text: str) -> Hand:
    """What types a command. Raises Fault for a kind of line that nobody has thought of."""
    for pattern, hand, _ in HANDS:
        if re.match(pattern, text):
            return hand
    raise Fault("no hand in tests/docs/hands.py types such a line; a block of output is marked ```text")
