"""Ask a running server what the tests want to know."""

import json
import urllib.error
import urllib.request
from concurrent.futures import Future
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.serving import Answer, Running
from medembed.registry.models import Registry
from serve.operate.swap import ServingConfig


@dataclass(frozen=True)
class Deployed:
    running: Running
    registry: Registry
    folders: list[str]
    workspace: Path
    half_open: list[int]  # ports at which another user holds half a request, many times
    still_held: Future[list[int]]  # ports that did not end half-sent requests of another user

    @property
    def serving(self) -> ServingConfig:
        return ServingConfig(address=self.running.dashboard)

    def get(self, path: str, body: Any = None) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.running.url + path, data, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)


TEXTS = ["heart pain", "skin rash of the left hand", "brain"]


QUESTION = {"model": "medembed", "input": TEXTS}


def is_close(answer: Answer, vectors: dict[str, Any]) -> bool:
    return bool(np.abs(answer.vectors() - vectors[answer.headers["x-model-version"]]).max() < 1e-4)


def says_why(server: Deployed) -> bool:
    """Whether a replica tells why it has no model; a request in the hands of one that was killed
    ends with it.
    """
    try:
        return any(
            report["reason"] for report in server.get("/health/replicas")[1].get("replicas", ())
        )
    except (OSError, HTTPException):
        return False
