"""What Prometheus finds at a node that serves, and whether the dashboard asks for nothing else."""

import json
import re
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from prometheus_client.parser import text_string_to_metric_families
from ray.dashboard.modules.reporter.reporter_agent import METRICS_GAUGES

from jobs.serve import ServeJob
from serve.http import scrape as scrape_page
from tests.serve.conftest import KEY

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local")]
DEPLOY = Path(__file__).parents[2] / "deploy"
PANELS = json.loads((DEPLOY / "grafana.json").read_text())["panels"]
TEXTS = ["heart", "skin rash of the left hand and a tremor"]
Scrape = dict[str, list[dict[str, str]]]  # labels of each series, by its name


EXPECTED = {
    ("/v1/embeddings", "medembed", "200", "8"),
    ("/v1/embeddings", "medembed", "400", "other"),
    ("/v1/embeddings", "medembed", "404", "none"),
    ("other", "other", "401", "none"),
    ("other", "other", "404", "none"),
    ("/v1/search", "medembed", "200", "32"),
}


def ask(url: str, path: str, key: str = KEY, **body: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {key}"}
    if body:
        return requests.post(f"{url}{path}", json=body, headers=headers, timeout=30)
    return requests.get(f"{url}{path}", headers=headers, timeout=30)


def read(url: str) -> Scrape:
    series: Scrape = defaultdict(list)
    for family in text_string_to_metric_families(ask(url, "/metrics").text):
        for sample in family.samples:
            series[sample.name].append(sample.labels | {"=": str(sample.value)})
    return series


def counted(scrape: Scrape) -> set[tuple[str, ...]]:
    """Return (route, model, status, dimensions) of all requests so far, other tests' included."""
    names = ("route", "model", "status", "dimensions")
    return {
        tuple(labels[name] for name in names) for labels in scrape["ray_medembed_requests_total"]
    }


@pytest.fixture(scope="module")
def scrape(url: str) -> Scrape:
    """Return what is scraped after a few requests, once every process has reported."""
    for status, body in (
        (200, {"model": "medembed", "dimensions": 8}),
        (404, {"model": "SECRET"}),
        (400, {"model": "medembed", "dimensions": 31}),
    ):
        assert ask(url, "/v1/embeddings", input=TEXTS, **body).status_code == status
    assert ask(url, "/v1/embeddings", key="wrong", input=TEXTS).status_code == 401
    assert ask(url, "/v1/search", query="heart").status_code == 200
    assert ask(url, "/SECRET").status_code == 404
    served = ask(url, "/v1/models").json()["data"][0]
    labels = {
        "model": served["id"],
        "version": served["version"],
        "fingerprint": served["fingerprint"],
        "table_version": str(served["table"]["version"]),
        "=": "1.0",
    }
    for _ in range(120):
        series = read(url)
        # Each process reports when it likes, and series of other tests' processes are there for a
        # while yet.
        is_named = any(labels.items() <= info.items() for info in series["ray_medembed_model_info"])
        is_padded = "ray_medembed_padding_tokens_total" in series
        if counted(series) >= EXPECTED and is_named and is_padded:
            return series
        time.sleep(0.5)
    pytest.fail(f"not reported after 60 s: {EXPECTED - counted(series)}, {is_named}, {is_padded}")


def test_requests_are_counted_by_labels_that_no_caller_can_add_to(scrape: Scrape):
    series = counted(scrape)
    assert series >= EXPECTED
    of_other_tests = {"reranker"}
    assert {model for _, model, _, _ in series} - of_other_tests == {"medembed", "other"}
    assert {dimensions for *_, dimensions in series} <= {"8", "32", "other", "none"}
    assert "SECRET" not in str(scrape)


@pytest.mark.parametrize("panel", PANELS, ids=[panel["title"] for panel in PANELS])
def test_a_panel_asks_for_metrics_and_labels_that_a_node_exports(
    scrape: Scrape, panel: dict[str, Any]
):
    for target in panel["targets"]:
        names = set(re.findall(r"\bray_\w+", target["expr"]))
        assert names
        matched = re.findall(r"(\w+)=~?\"", target["expr"])
        grouped = [
            label
            for group in re.findall(r"by \(([^)]*)\)", target["expr"])
            for label in group.split(", ")
        ]
        shown = re.findall(r"{{(\w+)}}", target["legendFormat"])
        for name in names:
            labels = set().union(*scrape[name]) if name in scrape else gpu_labels(name)
            assert {*matched, *grouped, *shown} - {"le"} <= labels, f"{name} has {labels}"


def gpu_labels(name: str) -> set[str]:
    """Return labels of one of Ray's metrics of GPUs, which a node without one does not export."""
    assert name.startswith(("ray_node_gpu", "ray_node_gram")), f"{name} is not exported"
    return set(METRICS_GAUGES[name.removeprefix("ray_")].view.columns)


def test_prometheus_reads_the_page_of_the_server_or_the_file_in_which_ray_lists_its_nodes():
    from ray._private.ray_constants import PROMETHEUS_SERVICE_DISCOVERY_FILE

    text = (DEPLOY / "prometheus.yaml").read_text()
    (scraped,) = yaml.safe_load(text)["scrape_configs"]
    assert scraped.get("metrics_path", "/metrics") == scrape_page.PATH
    assert scraped["static_configs"] == [
        {"targets": [f"127.0.0.1:{ServeJob.model_fields['port'].default}"]}
    ]
    assert f"[/tmp/ray/{PROMETHEUS_SERVICE_DISCOVERY_FILE}]" in text
