"""The OpenAPI document holds: Schemathesis sends what it allows and what it forbids, to a real tiny
model.
"""

from typing import Any

import pytest
import schemathesis
from hypothesis import given, settings
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig

from serve.config import LimitsConfig, ServeConfig
from serve.http.api import HttpSettings, make_app
from serve.http.health import SharedAnswer
from serve.replica.rerank import Ranker
from serve.replica.served_model import ServedModel
from tests.serve.conftest import HASH, KEY, keys_of
from tests.serve.replicas import RankingReplica, Replica

HEADERS = {"Authorization": f"Bearer {KEY}"}
ROUTES = [
    ("POST", "/v1/embeddings"),
    ("POST", "/v1/tokenize"),
    ("POST", "/v1/search"),
    ("POST", "/v1/rerank"),
    ("GET", "/metrics"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/{name}"),
    ("GET", "/health/live"),
    ("GET", "/health/ready"),
    ("GET", "/health/replicas"),
]
# Also a body that the document allows may be refused: no schema knows a model's dimensions, or
# reads 8.0 as no integer.
ALLOWED = ["2xx", "400", "404", "409"]


async def read_metrics() -> str:
    return "# TYPE ray_a gauge\nray_a 1.0\n"


@pytest.fixture(scope="module")
def schema(searched: ServedModel, ranker: Ranker) -> Any:
    config = ServeConfig(limits=LimitsConfig(token_ids=True), page=False)
    settings = HttpSettings(config, keys_of(HASH), ranker.model)
    app = make_app(Replica(searched), settings, RankingReplica(ranker))
    app.state.metrics = SharedAnswer(read_metrics, 60)  # no Ray here, whose nodes would be asked
    config = SchemathesisConfig.from_dict(
        {"checks": {"positive_data_acceptance": {"expected-statuses": ALLOWED}}}
    )
    return schemathesis.openapi.from_asgi("/openapi.json", app, config=config, headers=HEADERS)


def test_all_routes_are_described(schema: Any):
    described = {(one.ok().method.upper(), one.ok().path) for one in schema.get_all_operations()}
    assert described == set(ROUTES)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_corner_of_the_document_holds(schema: Any, method: str, path: str):
    """Bounds, types and required fields, each met and missed; other methods and content types; no
    key.
    """
    operation = schema[path][method]
    generation = schema.config.generation_for(operation=operation)
    cases = schema.iter_coverage_cases(
        operation, generation_modes=list(GenerationMode), generation_config=generation
    )
    answered = set()
    for case in cases:
        answered.add(case.call_and_validate(headers=HEADERS).status_code)
        if name_served_model(case):
            answered.add(case.call_and_validate(headers=HEADERS).status_code)
    assert {200, 405} <= answered


def name_served_model(case: Any) -> bool:
    """Put the one model that there is in the place of any name; say whether there was one."""
    for place in (case.body, case.path_parameters):
        for field in ("model", "name"):
            if isinstance(place, dict) and isinstance(place.get(field), str):
                place[field] = "reranker" if case.path == "/v1/rerank" else "medembed"
                return True
    return False


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/tokenize", "/v1/search", "/v1/rerank"])
def test_any_body_is_answered_as_the_document_says(schema: Any, path: str, mode: GenerationMode):
    @settings(max_examples=40)
    @given(case=schema[path]["POST"].as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        name_served_model(case)
        case.call_and_validate(headers=HEADERS)

    check()
