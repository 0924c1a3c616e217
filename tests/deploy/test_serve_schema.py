"""schemathesis sends what /openapi.json allows, and what it does not, and compares the
answers with what it promises.
"""

import hypothesis
import pytest
import schemathesis
import tiny_model
from schemathesis import GenerationMode

from ftlib.deploy import batching, serve, versions

ROUTES = (
    "POST /predict",
    "POST /feedback",
    "POST /admin/rollout",
    "POST /admin/rollback",
    "GET /health",
    "GET /ready",
    "GET /metrics",
)


@pytest.fixture(scope="module")
def schema(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shelf")
    for name in ("v1", "v2"):
        tiny_model.save(folder / name, 0.0)
    versions.activate(folder, "v1")
    rollout = versions.Rollout(
        lambda name: batching.Batcher(tiny_model.load(folder / name).predict), folder
    )
    app = serve.create_app(rollout, ["high", "low"], admin_token="token")
    return schemathesis.openapi.from_asgi("/openapi.json", app)


def explore(operation, mode, examples):
    """Raises what schemathesis finds."""

    @hypothesis.settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def sent(case):
        if "/admin" in case.path:
            case.headers["Authorization"] = "Bearer token"
        case.call_and_validate()

    sent()


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("route", ROUTES)
def test_it_does_what_its_description_says(schema, route, mode):
    method, path = route.split()
    if mode == GenerationMode.NEGATIVE and (method == "GET" or "rollback" in path):
        pytest.skip("nothing to send wrong")
    explore(schema[path][method], mode, 40)


def test_every_route_is_explored(schema):
    described = {
        f"{method.upper()} {path}" for path in schema for method in schema[path]
    }
    assert described == set(ROUTES)
