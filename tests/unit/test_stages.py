from typing import Any

import pytest

from local.access_lines import ABSENT
from local.stages import (
    Caching,
    caching_of,
    measured_of,
    method_key,
    method_settings,
    path_parameters,
    route,
    stage_arn,
)

Values = dict[str, Any]
ROUTES = ("/", "/messages", "/orders/{id}", "/orders/{id}/lines", "/orders/latest", "/{any}/latest")
CACHED: Values = {
    "cachingEnabled": True,
    "cacheTtlInSeconds": 60,
    "requireAuthorizationForCacheControl": False,
    "unauthorizedCacheControlHeaderStrategy": "FAIL_WITH_403",
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/messages", "/messages"),
        ("/messages/", "/messages"),
        ("/", "/"),
        ("/orders/5", "/orders/{id}"),
        ("/orders/5/lines", "/orders/{id}/lines"),
        ("/orders", ABSENT),
        ("/orders/5/other", ABSENT),
        ("/Messages", ABSENT),
        ('/mess"ages', ABSENT),
    ],
)
def test_a_path_belongs_to_a_route_or_to_none(path: str, found: str) -> None:
    assert route(ROUTES, path) == found


@pytest.mark.parametrize("routes", [ROUTES, tuple(reversed(ROUTES))])
@pytest.mark.parametrize(
    ("path", "found"), [("/orders/latest", "/orders/latest"), ("/other/latest", "/{any}/latest")]
)
def test_a_literal_segment_goes_before_a_parameter(routes: tuple[str, ...], path: str, found: str) -> None:
    assert route(routes, path) == found


def test_parameters_are_what_the_path_has_in_their_place() -> None:
    assert path_parameters("/orders/{id}/lines/{n}", "/orders/a b/lines/7/") == {"id": "a b", "n": "7"}
    assert path_parameters("/messages", "/messages") == {}


def test_a_stage_has_an_arn() -> None:
    assert stage_arn("us-east-1", "abc", "v1") == "arn:aws:apigateway:us-east-1::/restapis/abc/stages/v1"


@pytest.mark.parametrize(
    "key", ["/orders/{id}/GET", "orders/{id}/GET", "~1orders~1{id}/GET"], ids=["slash", "bare", "encoded"]
)
def test_a_method_has_its_own_settings_however_they_are_written(key: str) -> None:
    stage = {"methodSettings": {"*/*": {"of": "all"}, key: {"of": "one"}}}

    assert method_settings(stage, "/orders/{id}", "GET") == {"of": "one"}
    assert method_settings(stage, "/orders/{id}", "POST") == {"of": "all"}


def test_a_method_without_settings_has_those_of_all_or_none() -> None:
    assert method_settings({"methodSettings": {"*/*": {"of": "all"}}}, "/", "GET") == {"of": "all"}
    assert method_settings({}, "/", "GET") == {}


@pytest.mark.parametrize(("path", "key"), [("/", "/GET"), ("/a/{b}", "/a/{b}/GET")])
def test_a_method_is_called_by_its_path_and_verb(path: str, key: str) -> None:
    assert method_key(path, "GET") == key


def resource(path: str = "/orders/{id}", method: str = "GET", **integration: Any) -> Values:
    return {
        "id": "r1",
        "path": path,
        "resourceMethods": {method: {"methodIntegration": integration or {"a": 1}}},
    }


def stage(settings: Values | None = None, *, cluster: bool = True) -> Values:
    key = "/orders/{id}/GET"
    return {"cacheClusterEnabled": cluster, "methodSettings": {key: CACHED if settings is None else settings}}


def test_caching_is_what_the_method_and_its_integration_say() -> None:
    given = resource(cacheNamespace="orders", cacheKeyParameters=["method.request.path.id"])

    assert caching_of(stage(), [given]) == {
        "/orders/{id}": Caching(60, "orders", ("method.request.path.id",), False, "FAIL_WITH_403")
    }


def test_the_namespace_is_the_resource_where_none_is_given() -> None:
    assert caching_of(stage(), [resource()])["/orders/{id}"].namespace == "r1"


@pytest.mark.parametrize(
    ("given", "described"),
    [
        (stage(cluster=False), resource()),
        (stage({**CACHED, "cachingEnabled": False}), resource()),
        (stage(), resource(method="POST")),
        (stage(), {"id": "r1", "path": "/orders/{id}"}),
        (stage(), {"id": "r1", "path": "/orders/{id}", "resourceMethods": {"GET": {}}}),
    ],
    ids=["no cluster", "off", "no GET", "no method", "no integration"],
)
def test_without_all_that_nothing_is_cached(given: Values, described: Values) -> None:
    assert caching_of(given, [described]) == {}


def test_methods_are_measured_where_their_settings_say_so() -> None:
    settings = {"methodSettings": {"*/*": {"metricsEnabled": True}, "/a/GET": {"metricsEnabled": False}}}
    resources = [resource("/a"), resource("/b", "POST"), {"id": "r2", "path": "/c"}]

    assert measured_of(settings, resources) == {"/b/POST"}
