import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import json_schema, routes
from components.routes import Read, ReadArgs, Route, RouteArgs, Surroundings
from components.sources import Kind, Source
from components.templates import BUILT_IN, Answer, Message
from sluice import access_log
from sluice.sqs import MOST_ENTRIES

AROUND = Surroundings(fifo={None: False}, content_based={}, principal=False, tracing=False)
QUEUES = Surroundings(
    fifo={"plain": False, "ordered": True, "by-content": True, "theirs": None},
    content_based={"by-content": True},
    principal=False,
    tracing=False,
    named_queues=True,
)
LONGEST = "a" * routes.LONGEST_PATH


def wrong(args: Mapping[str, object], around: Surroundings = AROUND) -> list[str]:
    """Return which arguments of a route are wrong."""
    return [each.path for each in routes.problems({"path": "orders", **args}, around)]


def test_a_route_says_little_and_means_the_rest() -> None:
    assert routes.make({"path": "orders"}) == Route(
        path="orders",
        verb="POST",
        queue=None,
        content_types=["application/json"],
        message=Message(),
        answer=Answer.SUMMARY,
        success=202,
        schema=None,
        required=[],
    )


def test_a_route_means_everything_that_it_says() -> None:
    args: RouteArgs = {
        "path": "orders/{id}",
        "method": "PUT",
        "queue": "events",
        "content_types": ["text/plain"],
        "schema": {"type": "object"},
        "required_headers": ["X-Key"],
        "required_query": ["page"],
        "attributes": {"tenant": "header.X-Tenant", "kind": "text.order"},
        "group_id": "path.id",
        "deduplication_id": "body.id",
        "delay_seconds": 0,
        "trace_header": True,
        "batch": True,
        "answer": Answer.SQS,
        "success_status": 200,
        "throttle_rate": 5,
        "throttle_burst": 7,
    }
    assert args.keys() == RouteArgs.__annotations__.keys()
    assert routes.make(args) == Route(
        path="orders/{id}",
        verb="PUT",
        queue="events",
        content_types=["text/plain"],
        message=Message(
            {"tenant": Source(Kind.HEADER, "X-Tenant"), "kind": Source(Kind.TEXT, "order")},
            Source(Kind.PATH, "id"),
            Source(Kind.BODY, "id"),
            0,
            True,
            True,
        ),
        answer=Answer.SQS,
        success=200,
        schema={"type": "object"},
        required=["method.request.header.X-Key", "method.request.querystring.page"],
        throttle_rate=5,
        throttle_burst=7,
    )


def test_an_argument_of_a_route_that_is_none_is_not_set() -> None:
    unset: dict[str, Any] = dict.fromkeys(RouteArgs.__annotations__)
    assert routes.make({**unset, "path": "orders"}) == routes.make({"path": "orders"})  # type: ignore[typeddict-item]


def test_a_read_says_little_and_means_the_rest() -> None:
    url = "https://backend.example.com/o"
    assert routes.make_read({"path": "orders", "url": url}) == Read("orders", url, [], [], 0, 29_000)
    args: ReadArgs = {
        "path": "orders/{id}",
        "url": url,
        "query": ["page"],
        "headers": ["X-Tenant"],
        "cache_ttl_seconds": 60,
        "timeout_ms": 500,
    }
    assert args.keys() == ReadArgs.__annotations__.keys()
    assert routes.make_read(args) == Read("orders/{id}", url, ["page"], ["X-Tenant"], 60, 500)
    unset: dict[str, Any] = dict.fromkeys(ReadArgs.__annotations__)
    assert routes.make_read({**unset, "path": "orders", "url": url}) == Read("orders", url, [], [])  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("path", "place"),
    [("a/b", "a/b"), ("orders/{id}", "orders/{}"), ("{a}/b/{c.d}", "{}/b/{}"), ("a/{}", "a/{}")],
)
def test_a_place_is_a_path_less_the_names_of_its_parameters(path: str, place: str) -> None:
    assert routes.place(path) == place


def test_what_is_read_is_declared_and_what_must_be_there_is_required() -> None:
    route = routes.make(
        {
            "path": "orders/{id}",
            "attributes": {"a": "header.X-A", "b": "query.b", "c": "body.c", "d": "text.d", "e": "path.id"},
            "group_id": "header.X-Group",
            "required_headers": ["X-A"],
            "required_query": ["q"],
        }
    )
    assert route.declared == {
        "method.request.header.X-A": True,
        "method.request.header.X-Group": False,
        "method.request.path.id": True,
        "method.request.querystring.b": False,
        "method.request.querystring.q": True,
    }


def test_a_route_knows_the_headers_that_it_looks_at() -> None:
    route = routes.make(
        {
            "path": "orders/{id}",
            "attributes": {"a": "header.X-A", "b": "query.X-B", "c": "text.header.X-C"},
            "group_id": "header.X-Group",
            "deduplication_id": "path.id",
            "required_headers": ["X-A", "X-Required"],
            "required_query": ["q"],
        }
    )
    assert route.headers == ["X-A", "X-Group", "X-Required"]
    assert routes.make({"path": "orders"}).headers == []


def test_the_parameters_of_a_path_are_found_in_their_order() -> None:
    assert routes.parameters("a/{b}/c/{d.e}") == ["b", "d.e"]
    assert routes.parameters("a/b") == []


@pytest.mark.parametrize("schema", [None, {}, {"type": "object"}])
def test_a_body_fits_the_schema_and_so_does_each_of_a_batch(schema: dict[str, Any] | None) -> None:
    route = replace(routes.make({"path": "a"}), schema=schema)
    assert route.body_schema == schema
    whole = replace(route, message=Message(batch=True)).body_schema
    assert whole == json_schema.list_of(schema, MOST_ENTRIES)


def test_a_read_hands_on_what_is_declared() -> None:
    read = Read("o/{id}", "https://x.example.com/{id}", ["page"], ["X-A"])
    assert read.mapped == {
        "integration.request.path.id": "method.request.path.id",
        "integration.request.querystring.page": "method.request.querystring.page",
        "integration.request.header.X-A": "method.request.header.X-A",
    }


# What is wrong with a route.

GOOD: list[dict[str, Any]] = [
    {},
    {"path": "v1/{tenant}/orders/{id}"},
    {"path": LONGEST},
    {"path": "a.b/..c/_-:"},
    *({"method": verb} for verb in ("POST", "PUT", "PATCH")),
    {"content_types": ["application/json", "application/vnd.api+json"]},
    {"content_types": ["application/json", "application/vnd.api+json"], "group_id": "body.id"},
    {"content_types": ["text/plain"], "attributes": {"a": "text.body.a"}, "group_id": "header.body.a"},
    {"schema": {"$ref": "https://apigateway.amazonaws.com/restapis/a1b2c3d4e5/models/Order"}},
    {"required_headers": ["X-Tenant"], "required_query": ["page"]},
    {"attributes": {f"a{index}": "text.x" for index in range(8)}},
    {"attributes": {"awsome": "text.x", "a.b": "header.X", "A" * 256: "body.a"}},
    {"path": "a/{id}", "attributes": {"id": "path.id"}, "group_id": "path.id"},
    *({"delay_seconds": seconds} for seconds in (0, 900)),
    {"batch": True},
    {"batch": True, "schema": {"items": {"$ref": "#/definitions/a"}, "definitions": {"a": {}}}},
    *({"group_id": f"text.{group}"} for group in ("all", "!~", "x" * 128)),
    *({"answer": each} for each in Answer),
    *({"success_status": status} for status in (200, 201, 202, 204)),
    {"throttle_rate": 1, "throttle_burst": 100_000},
    {"trace_header": False},
    {"group_id": "header.X-Group"},
]


@pytest.mark.parametrize("args", GOOD)
def test_a_good_route_has_no_problem(args: dict[str, Any]) -> None:
    assert not wrong(args)
    assert routes.make({"path": "orders", **args}).verb in routes.VERBS  # type: ignore[typeddict-item]


NO_LISTS: list[object] = [[], "application/json", {}]
NO_MAPS: list[object] = [[], "{}", True]
BAD: list[tuple[dict[str, Any], str]] = [
    *(({"path": path}, "path") for path in ("", "/", "/a", "a/", "a//b", "a b", "a/./b", "..", "a?b", "a/é")),
    *(({"path": path}, "path") for path in ("{proxy+}", "a{b}", "{a}b", "{}", "{a", "a}", f"{LONGEST}x", 5)),
    ({"path": "{a}/{a}"}, "path"),
    *(({"method": verb}, "method") for verb in ("GET", "DELETE", "post", "ANY", 5)),
    ({"queue": "orders"}, "queue"),
    *(({"content_types": types}, "content_types") for types in NO_LISTS),
    *(({"content_types": [each]}, "content_types[0]") for each in ("json", "Text/plain", "a/b; c=d", "*/*")),
    *(({"schema": schema}, "schema") for schema in NO_MAPS),
    ({"schema": {"properties": {"a": {"if": {}}}}}, "schema.properties.a.if"),
    ({"required_headers": ["X Y"]}, "required_headers[0]"),
    ({"required_query": ["a&b"]}, "required_query[0]"),
    ({"attributes": ["a"]}, "attributes"),
    *(({"attributes": {name: "text.x"}}, f"attributes.{name}") for name in BUILT_IN),
    *(({"attributes": {name: "text.x"}}, "attributes") for name in ("", "a b", ".a", "a.", "a..b", "AWS.x")),
    *(({"attributes": {name: "text.x"}}, "attributes") for name in ("amazon.x", "a&b", "é", "A" * 257, 5)),
    ({"attributes": {"a": "X-Tenant"}}, "attributes.a"),
    ({"attributes": {"a": "path.id"}}, "attributes.a"),
    ({"attributes": {"a": 5}}, "attributes.a"),
    ({"attributes": {f"a{index}": "text.x" for index in range(9)}}, "attributes"),
    ({"group_id": "id"}, "group_id"),
    ({"group_id": "path.id"}, "group_id"),
    *(({"group_id": f"text.{group}"}, "group_id") for group in ("all of them", "x" * 129)),
    *(({"delay_seconds": seconds}, "delay_seconds") for seconds in (-1, 901, 1.5, "1")),
    ({"trace_header": "yes"}, "trace_header"),
    ({"trace_header": True}, "trace_header"),
    ({"deduplication_id": "body.id"}, "deduplication_id"),
    ({"batch": 1}, "batch"),
    ({"batch": True, "content_types": ["application/json", "text/plain"]}, "content_types"),
    ({"batch": True, "schema": {"$ref": "#"}}, "schema.$ref"),
    ({"batch": True, "schema": {"items": {"$ref": "#/properties/a"}}}, "schema.items.$ref"),
    ({"answer": "xml"}, "answer"),
    *(({"success_status": status}, "success_status") for status in (203, 302, 400, "202")),
    *(({"throttle_rate": rate}, "throttle_rate") for rate in (0, 100_001)),
    ({"throttle_burst": 0}, "throttle_burst"),
]


@pytest.mark.parametrize(("args", "path"), BAD)
def test_what_is_wrong_with_a_route_is_named(args: dict[str, Any], path: str) -> None:
    assert wrong(args) == [path]


@pytest.mark.parametrize(
    "reading",
    [
        {"attributes": {"x": "text.x", "a": "body.a"}},
        {"group_id": "body.a"},
        {"group_id": "text.a", "deduplication_id": "body.a.b[0]"},
    ],
    ids=["attributes", "group_id", "deduplication_id"],
)
def test_what_is_read_of_a_body_is_read_of_json(reading: dict[str, Any]) -> None:
    types = ["text/plain", "application/json", "application/x-json", "application/vnd.api+json"]
    around = replace(AROUND, fifo={None: None})
    assert wrong({**reading, "content_types": types}, around) == ["content_types[0]", "content_types[2]"]
    assert not wrong({**reading, "content_types": [types[1], types[3]]}, around)
    assert not wrong(reading, around)


def test_a_fixed_deduplication_id_is_one_that_sqs_takes() -> None:
    ordered = {"queue": "ordered", "group_id": "text.all"}
    assert not wrong({**ordered, "deduplication_id": "text.one"}, QUEUES)
    assert wrong({**ordered, "deduplication_id": "text.one of them"}, QUEUES) == ["deduplication_id"]
    # What a request gives is SQS's to judge, and told as the caller's fault.
    assert not wrong({**ordered, "deduplication_id": "header.X-Id"}, QUEUES)


def test_every_problem_of_a_route_is_told_at_once() -> None:
    args = {"path": "/", "method": "GET", "content_types": [], "attributes": {"a": "b"}, "delay_seconds": -1}
    assert wrong(args) == ["path", "method", "content_types", "attributes.a", "delay_seconds"]


def test_an_authorizer_s_principal_takes_the_place_of_one_attribute() -> None:
    args = {"attributes": {f"a{index}": "text.x" for index in range(8)}}
    assert wrong(args, replace(AROUND, principal=True)) == ["attributes"]
    assert not wrong(
        {"attributes": {f"a{index}": "text.x" for index in range(7)}}, replace(AROUND, principal=True)
    )


def test_a_trace_needs_tracing() -> None:
    assert not wrong({"trace_header": True}, replace(AROUND, tracing=True))


@pytest.mark.parametrize(
    ("args", "paths"),
    [
        ({}, []),
        ({"queue": "plain", "group_id": "body.g"}, []),
        ({"queue": "plain", "deduplication_id": "body.g"}, ["deduplication_id"]),
        ({"queue": "ordered"}, ["group_id", "deduplication_id"]),
        ({"queue": "ordered", "group_id": "body.g"}, ["deduplication_id"]),
        ({"queue": "ordered", "group_id": "body.g", "deduplication_id": "body.d"}, []),
        ({"queue": "by-content", "group_id": "body.g"}, []),
        ({"queue": "by-content", "group_id": "body.g", "deduplication_id": "body.d"}, []),
        ({"queue": "by-content", "group_id": "body.g", "delay_seconds": 1}, ["delay_seconds"]),
        ({"queue": "theirs"}, []),
        ({"queue": "theirs", "group_id": "body.g", "deduplication_id": "body.d", "delay_seconds": 1}, []),
        ({"queue": "other"}, ["queue"]),
    ],
)
def test_a_route_gives_its_queue_what_it_needs_and_nothing_that_it_refuses(
    args: dict[str, Any], paths: list[str]
) -> None:
    assert wrong(args, QUEUES) == paths


def test_a_route_that_names_no_queue_is_checked_against_the_first() -> None:
    ordered_first = replace(QUEUES, fifo={"ordered": True, "plain": False})
    assert wrong({}, ordered_first) == ["group_id", "deduplication_id"]
    assert not wrong({}, replace(QUEUES, fifo={"plain": False, "ordered": True}))


def test_a_route_without_queues_is_checked_against_the_only_one() -> None:
    assert wrong({}, replace(AROUND, fifo={None: True})) == ["group_id", "deduplication_id"]
    ordered = replace(AROUND, fifo={None: True}, content_based={None: True})
    assert not wrong({"group_id": "body.g"}, ordered)


def test_a_problem_tells_which_queues_there_are() -> None:
    (problem,) = routes.problems({"path": "a", "queue": "x"}, QUEUES)
    assert problem.allowed == "one of plain, ordered, by-content, theirs"
    (problem,) = routes.problems({"path": "a", "queue": "x"}, AROUND)
    assert problem.allowed == "nothing, without queues"


# What is wrong with a read.

READ = {"path": "orders/{id}", "url": "https://backend.example.com/o/{id}"}


def wrong_read(args: Mapping[str, object]) -> list[str]:
    return [each.path for each in routes.read_problems({**READ, **args})]


@pytest.mark.parametrize(
    "args",
    [
        {},
        {"path": "orders", "url": "http://localhost:8080"},
        {"path": "orders", "url": "http://127.0.0.1:8080/o"},
        {"query": ["page", "sort"], "headers": ["Accept-Language"]},
        {"cache_ttl_seconds": 0},
        {"cache_ttl_seconds": 3600, "timeout_ms": 50},
        {"timeout_ms": 29_000},
    ],
)
def test_a_good_read_has_no_problem(args: dict[str, Any]) -> None:
    assert not wrong_read(args)


@pytest.mark.parametrize(
    ("args", "path"),
    [
        ({"path": "orders"}, "url"),
        ({"url": "https://backend.example.com/o"}, "url"),
        ({"url": "https://backend.example.com/o/{id}/{page}"}, "url"),
        ({"url": "https://backend.example.com/o/{id}?a=b"}, "url"),
        ({"url": "ftp://backend.example.com/{id}"}, "url"),
        ({"url": "http://backend.example.com/{id}"}, "url"),
        ({"url": "http://localhost.example.com/{id}"}, "url"),
        ({"url": "https://user@backend.example.com/{id}"}, "url"),
        ({"path": "{id}/{id}"}, "path"),
        ({"query": "page"}, "query"),
        ({"query": ["a b"]}, "query[0]"),
        ({"headers": ["a:b"]}, "headers[0]"),
        *(
            ({"headers": ["X-A", name]}, "headers[1]")
            for name in ("Host", "host", "If-None-Match", "If-Modified-Since", "RANGE", "Connection", "Via")
        ),
        *(
            ({"headers": [name]}, "headers[0]")
            for name in ("If-Match", "If-Range", "If-Unmodified-Since", "Content-Length", "Transfer-Encoding")
        ),
        *(({"headers": [name]}, "headers[0]") for name in ("Expect", "TE", "Trailer", "Upgrade")),
        ({"cache_ttl_seconds": -1}, "cache_ttl_seconds"),
        ({"cache_ttl_seconds": 3601}, "cache_ttl_seconds"),
        ({"timeout_ms": 49}, "timeout_ms"),
        ({"timeout_ms": 29_001}, "timeout_ms"),
    ],
)
def test_what_is_wrong_with_a_read_is_named(args: dict[str, Any], path: str) -> None:
    assert wrong_read(args) == [path]


# Paths beside each other.


@pytest.mark.parametrize(
    ("names", "at"),
    [
        ([], []),
        (["POST/a", "PUT/a", "GET/a", "POST/b"], []),
        (["POST/a", "POST/b", "POST/a", "POST/a"], [2, 3]),
    ],
)
def test_what_has_the_path_and_method_of_another_is_found(names: Sequence[str], at: list[int]) -> None:
    assert [*routes.doubles(names)] == at


@pytest.mark.parametrize(
    ("paths", "found"),
    [
        (["a/{id}", "a/{id}/b", "b/{other}"], []),
        (["a/{id}", "a/{key}"], [(1, "{id}")]),
        (["a/{id}/b/{c}", "a/{id}/b/{d}/e"], [(1, "{c}")]),
        (["{a}", "b/{c}", "{d}/e"], [(2, "{a}")]),
        (["a/b", "a/{id}"], []),
    ],
)
def test_a_parameter_has_one_name_at_one_place(paths: Sequence[str], found: list[tuple[int, str]]) -> None:
    assert [*routes.clashing_parameters(paths)] == found


LETTERS = st.text("abcXYZ019._:-", min_size=1, max_size=12)
SEGMENTS = LETTERS | LETTERS.map(lambda name: f"{{{name}}}")


@given(st.lists(SEGMENTS, min_size=1, max_size=6).map("/".join).filter(routes.PATH_PATTERN.fullmatch))
def test_every_path_is_short_enough_for_the_access_log_and_known_to_api_gateway(path: str) -> None:
    assert len(f"/{path}") <= access_log.LONGEST_ROUTE
    # What API Gateway says that the part of a path may hold, less parameters that take several segments.
    assert all(re.fullmatch(r"[A-Za-z0-9._:-]+|\{[A-Za-z0-9._-]+\}", part) for part in path.split("/"))


@given(st.from_regex(routes.ATTRIBUTE_NAME, fullmatch=True))
def test_every_name_of_an_attribute_is_one_that_sqs_takes(name: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_.-]{1,256}", name)
    assert not name.startswith(".")
    assert not name.endswith(".")
    assert ".." not in name
    assert not name.lower().startswith(("aws.", "amazon."))
