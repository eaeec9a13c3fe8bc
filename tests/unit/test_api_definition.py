import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import api_definition, routes
from components.answers import PROBLEM_JSON, Asks, GatewayAnswer, Shape
from components.api_definition import (
    NO_BODY,
    TOLD,
    Definition,
    Integration,
    IntegrationAnswer,
    Kind,
    Method,
    Style,
    settings_path,
)
from components.cors import Cors
from components.routes import Read, Route, RouteArgs
from components.sources import Caller
from local.standin.velocity import Rendered, Request, render

SIZES: Mapping[str | None, int] = {None: 1024}
SCHEMA = {"type": "object"}
FULL: RouteArgs = {
    "path": "orders/{id}",
    "method": "PUT",
    "content_types": ["application/json", "text/plain"],
    "schema": SCHEMA,
    "required_headers": ["X-Tenant"],
    "attributes": {"tenant": "header.X-Tenant", "page": "query.page"},
}
READ = Read("orders/{id}", "https://backend.example.com/o/{id}", ["page"], ["X-Tenant"], 30, 1000)
WIRING: dict[str, object] = {
    "queues": ["arn:queue"],
    "role": "arn:role",
    "guard": None,
    "root": None,
    "keys": False,
    "endpoints": [],
    "disabled": False,
    "redeploy": "",
    "policy": None,
}


def route(**changes: Any) -> Route:
    args: dict[str, Any] = {"path": "a/b", **changes}
    return routes.make(args)  # type: ignore[arg-type]


def define(*given_routes: Route, **more: Any) -> Definition:
    return api_definition.define(given_routes, more.pop("sizes", SIZES), **more)


CORS = Style(cors=Cors(["https://shop.example.com", "https://www.example.com"]))
PROBLEMS = Style(Shape.PROBLEM)
DEFINITION = define(
    route(), routes.make(FULL), reads=[READ], health_path="health", style=Style(Shape.PROBLEM, CORS.cors)
)
METHODS = {each.name: each for each in DEFINITION.methods}


def only(definition: Definition) -> Method:
    (method,) = definition.methods
    return method


def fingerprint(definition: Definition, **wiring: object) -> str:
    return api_definition.fingerprint(definition, {**WIRING, **wiring})


def test_every_path_has_its_methods() -> None:
    assert list(METHODS) == [
        "POST/a/b",
        "PUT/orders/{}",
        "GET/orders/{}",
        "GET/health",
        "OPTIONS/a/b",
        "OPTIONS/orders/{}",
        "OPTIONS/health",
    ]
    assert {each.integration.kind for each in METHODS.values()} == set(Kind)


def test_a_path_is_made_of_its_parts_parents_first() -> None:
    found = define(route(path="a/b/{c}"), route(path="a-b"), route(path="a")).paths
    assert found == ["a", "a-b", "a/b", "a/b/{c}"]


@given(st.lists(st.lists(st.sampled_from(["a", "b-", "c.", "{d}"]), min_size=1).map("/".join), min_size=1))
def test_no_path_comes_before_the_one_that_it_is_under(paths: list[str]) -> None:
    found = define(*(route(path=path) for path in set(paths))).paths
    assert set(paths) <= set(found)
    for index, path in enumerate(found):
        parent, slash, _ = path.rpartition("/")
        assert not slash or parent in found[:index]


def test_every_content_type_has_the_same_template_and_no_other_is_taken() -> None:
    templates = METHODS["PUT/orders/{}"].integration.templates
    assert set(templates) == {"application/json", "text/plain"}
    assert len(set(templates.values())) == 1


def test_the_queue_is_asked_for_json_in_a_form() -> None:
    assert dict(METHODS["POST/a/b"].integration.parameters) == {
        "integration.request.header.Content-Type": "'application/x-www-form-urlencoded'",
        "integration.request.header.Accept": "'application/json'",
    }


def chosen(method: Method, status: int) -> list[int]:
    """Return with what a method answers where something behind it says this."""
    fitting = [each for each in method.answers if re.fullmatch(each.selection_pattern or "", str(status))]
    return [int(each.status) for each in fitting]


def test_a_status_of_the_queue_chooses_at_most_the_answer_of_its_class() -> None:
    # An answer without a pattern would be the default and serve any status, a 3xx too.
    of_class = {2: [202], 4: [502], 5: [503]}
    wanted = {status: of_class.get(status // 100, []) for status in range(100, 600)}
    assert {status: chosen(METHODS["POST/a/b"], status) for status in wanted} == wanted


def test_a_status_of_a_back_end_chooses_exactly_one_answer() -> None:
    wanted = {
        status: [200 if status < 300 else status if status in TOLD else 502] for status in range(200, 600)
    }
    assert {status: chosen(METHODS["GET/orders/{}"], status) for status in wanted} == wanted


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_every_answer_has_a_pattern_where_there_is_anything_behind(method: Method) -> None:
    patterns = [each.selection_pattern for each in method.answers]
    if method.integration.kind is Kind.NOTHING:
        assert patterns == [None]
    else:
        assert all(patterns)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_the_answers_of_a_method_have_statuses_and_names_of_their_own(method: Method) -> None:
    # API Gateway keeps one integration response for each status.
    assert len({int(each.status) for each in method.answers}) == len(method.answers)
    assert len({each.name for each in method.answers}) == len(method.answers)


@pytest.mark.parametrize("success", [200, 201, 202, 204])
@pytest.mark.parametrize("batch", [False, True])
def test_an_answer_is_honest_whatever_the_status_of_success(success: int, batch: bool) -> None:
    method = only(define(route(success_status=success, batch=batch)))
    assert {each.name: int(each.status) for each in method.answers} == {
        "accepted": success,
        "refused": 502,
        "broken": 503,
    }


def test_an_answer_of_204_has_no_body() -> None:
    spoken, silent = (only(define(route(success_status=each))).answers[0].template for each in (200, 204))
    assert spoken is not None
    assert silent is not None
    assert "messageId" in spoken
    assert '"messageId"' not in silent


def test_a_broken_queue_asks_to_come_back() -> None:
    headers = {each.name: dict(each.headers) for each in only(define(route())).answers}
    retry = {"method.response.header.Retry-After": "'5'"}
    assert headers == {"accepted": {}, "refused": {}, "broken": retry}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_template_sets_only_headers_that_its_answer_declares(method: Method) -> None:
    for each in method.answers:
        declared = {name.removeprefix("method.response.header.") for name in each.headers}
        assert all(name.startswith("method.response.header.") for name in each.headers)
        written = set(re.findall(r"#set\(\$context\.responseOverride\.header\.([\w-]+)", each.template or ""))
        assert written <= {*each.may_override, *declared}
        assert set(each.may_override) <= {"Retry-After", "Content-Type", "Access-Control-Allow-Origin"}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_every_error_of_a_method_says_that_it_is_one(method: Method) -> None:
    for each in method.answers:
        if each.status >= 400:
            assert each.headers["method.response.header.Content-Type"] == f"'{PROBLEM_JSON}'"


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_browsers_may_read_every_answer(method: Method) -> None:
    for each in method.answers:
        declared = {name.removeprefix("method.response.header.") for name in each.headers}
        assert "Access-Control-Allow-Origin" in declared | {*each.may_override}


def test_without_cors_there_are_neither_preflights_nor_headers_for_browsers() -> None:
    found = define(route(), reads=[READ], health_path="health")
    assert "OPTIONS" not in {each.verb for each in found.methods}
    names = {name for each in found.methods for answer in each.answers for name in answer.headers}
    assert not [name for name in names if "Access-Control" in name]


def test_a_preflight_says_which_methods_its_path_has() -> None:
    header = "method.response.header.Access-Control-Allow-Methods"
    allowed = {
        each.path: each.answers[0].headers[header]
        for each in DEFINITION.methods
        if each.verb == api_definition.OPTIONS
    }
    assert allowed == {"a/b": "'POST'", "orders/{id}": "'PUT,GET'", "health": "'GET'"}


def test_only_what_has_nothing_behind_it_is_open_to_everybody() -> None:
    for each in DEFINITION.methods:
        assert each.guarded == (each.integration.kind is not Kind.NOTHING)


def test_a_policy_names_what_is_open_to_everybody_by_method_and_path() -> None:
    assert DEFINITION.unguarded == ["GET/health", "OPTIONS/*"]
    assert define(route(), reads=[READ], health_path="a/health").unguarded == ["GET/a/health"]
    assert define(route(), style=CORS).unguarded == ["OPTIONS/*"]
    assert define(route(), reads=[READ]).unguarded == []


def test_a_back_end_s_own_errors_are_not_shown() -> None:
    for each in METHODS["GET/orders/{}"].answers:
        assert (each.template is None) == (each.status == 200)


def test_of_a_back_end_s_headers_a_caller_gets_those_of_what_it_found() -> None:
    told = {each.name: each.headers for each in METHODS["GET/orders/{}"].answers}
    passed_on = {
        answer: [
            name.rpartition(".")[2] for name, value in headers.items() if value.startswith("integration.")
        ]
        for answer, headers in told.items()
    }
    assert passed_on.pop("found") == ["Content-Type", "Cache-Control", "ETag", "Last-Modified"]
    assert not any(passed_on.values())


def test_nobody_remembers_that_the_api_was_there() -> None:
    (healthy,) = METHODS["GET/health"].answers
    assert healthy.headers["method.response.header.Cache-Control"] == "'no-store'"


def test_a_back_end_sees_what_is_declared_and_all_of_it_is_the_cache_s_key() -> None:
    method = METHODS["GET/orders/{}"]
    assert dict(method.integration.parameters) == {
        "integration.request.path.id": "method.request.path.id",
        "integration.request.querystring.page": "method.request.querystring.page",
        "integration.request.header.X-Tenant": "method.request.header.X-Tenant",
    }
    assert sorted(method.integration.cache_keys) == sorted(method.integration.parameters.values())
    assert method.parameters == {each: ".path." in each for each in method.integration.cache_keys}
    assert (method.integration.uri, method.integration.timeout_ms) == (READ.url, 1000)


def test_a_caller_s_body_does_not_go_on_to_a_back_end() -> None:
    method = METHODS["GET/orders/{}"]
    # Without a template what a GET brings along would be passed through, and would be no part of the key.
    assert dict(method.integration.templates) == {"application/json": NO_BODY}
    for body in ("", "{}", '{"a": 1}', "$context.requestId"):
        assert render(NO_BODY, Request(body, {"X": "y"}), {}) == Rendered("", None, {})


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"attributes": {"a": "{}"}}, "BAD_ATTRIBUTE"),
        ({"attributes": {"z": "text.z", "a": "{}"}}, "BAD_ATTRIBUTE"),
        ({"group_id": "{}"}, "BAD_GROUP_ID"),
        ({"deduplication_id": "{}"}, "BAD_DEDUPLICATION_ID"),
    ],
    ids=["attribute", "one of two", "group_id", "deduplication_id"],
)
@pytest.mark.parametrize("batch", [False, True])
def test_a_bad_value_is_the_callers_fault_where_it_is_the_callers(
    given: dict[str, Any], code: str, batch: bool
) -> None:
    def told(source: str) -> str:
        """Return the templates of a route that has a value from a source."""
        text = json.loads(json.dumps(given).replace("{}", source))
        return "".join(each.template or "" for each in only(define(route(batch=batch, **text))).answers)

    for theirs in ("header.X-A", "query.a", "body.a", "context.user_agent"):
        assert code in told(theirs)
    # What stands in our own settings is our own fault.
    assert code not in told("text.a")


def test_what_a_route_reads_is_declared_and_what_it_needs_is_checked() -> None:
    method = METHODS["PUT/orders/{}"]
    assert dict(method.parameters) == {
        "method.request.header.X-Tenant": True,
        "method.request.path.id": True,
        "method.request.querystring.page": False,
    }
    assert method.validated
    assert method.schema == SCHEMA


@pytest.mark.parametrize(
    ("changes", "validated"),
    [
        ({}, False),
        ({"attributes": {"a": "query.a"}}, False),
        ({"attributes": {"a": "body.a"}}, False),
        ({"required_query": ["a"]}, True),
        ({"path": "a/{b}"}, True),
        ({"schema": SCHEMA}, True),
        ({"batch": True}, True),
    ],
)
def test_a_request_is_checked_where_something_must_be_there(changes: dict[str, Any], validated: bool) -> None:
    assert only(define(route(**changes))).validated is validated


def test_a_method_keeps_its_name_when_a_parameter_gets_another() -> None:
    # Its resources are named by it, and a path's resource can have only one parameter at a place.
    named = {only(define(route(path=f"orders/{{{each}}}/lines"))).name for each in ("id", "order_id", "a.b")}
    assert named == {"POST/orders/{}/lines"}
    assert only(define(route(path="orders/id/lines"))).name == "POST/orders/id/lines"


PATHS = ("a/b", "a-b", "a.b", "a/{b}", "a/b/c")


def test_a_model_has_a_name_of_letters_and_digits_of_its_own() -> None:
    methods = [only(define(route(path=path, method=verb))) for path in PATHS for verb in routes.VERBS]
    # An API has the models of all front doors that put methods into it.
    named = [each.model(door) for each in methods for door in ("door", "other-door", "door/POST")]
    assert all(re.fullmatch(r"[A-Za-z0-9]+", name) for name in named)
    assert len(set(named)) == len(named)


def test_a_model_keeps_its_name() -> None:
    # Another name would be another model, also of what is deployed already.
    first, again = (only(define(route(path=f"a/{{{name}}}", schema=SCHEMA))) for name in ("b", "c"))
    assert first.model("door") == again.model("door") == "Body5725ca4aa145"


def test_a_validator_s_words_are_passed_on_only_where_it_looks_at_bodies() -> None:
    for with_schema in (False, True):
        found = define(route(schema=SCHEMA) if with_schema else route(required_query=["a"]))
        (body,) = [each for each in found.gateway_answers if each.response_type == "BAD_REQUEST_BODY"]
        assert ("validationErrorString" in body.template) == with_schema


def test_a_route_goes_to_the_queue_that_it_names_or_to_the_first() -> None:
    sizes = {"orders": 1111, "events": 2222}
    found = define(route(), route(path="c", queue="events"), sizes=sizes)
    assert [each.integration.queue for each in found.methods] == [None, "events"]
    told = [next(a.template for a in each.answers if a.name == "refused") or "" for each in found.methods]
    assert ["1111" in each for each in told] == [True, False]
    assert ["2222" in each for each in told] == [False, True]


# What makes a new deployment.

OTHERS: dict[type, dict[str, Any]] = {
    Definition: {"methods": DEFINITION.methods[:2], "gateway_answers": DEFINITION.gateway_answers[:2]},
    Method: {
        "path": "a/c",
        "verb": "PATCH",
        "integration": Integration(Kind.NOTHING),
        "answers": DEFINITION.methods[0].answers[:2],
        "guarded": False,
        "parameters": {"method.request.path.x": True},
        "schema": {"type": "array"},
    },
    Integration: {
        "kind": Kind.HTTP,
        "templates": {"application/json": "x"},
        "parameters": {},
        "queue": "other",
        "uri": "https://x.example.com",
        "cache_keys": ["method.request.path.x"],
        "timeout_ms": 77,
    },
    IntegrationAnswer: {
        "name": "other",
        "status": 299,
        "selection_pattern": "200",
        "template": "x",
        "headers": {"h": "'v'"},
        "may_override": ("X-Other",),
    },
    GatewayAnswer: {
        "response_type": "THROTTLED",
        "status": 418,
        "message": '"x"',
        "headers": {"h": "'v'"},
        "shape": Shape.PLAIN,
    },
}


def changed(part: type, name: str) -> Definition:
    """Return the definition with another value in one field of the first thing of a type."""
    value = {name: OTHERS[part][name]}
    if part is Definition:
        return dataclasses.replace(DEFINITION, **value)
    if part is GatewayAnswer:
        answer, *others = DEFINITION.gateway_answers
        return dataclasses.replace(
            DEFINITION, gateway_answers=[dataclasses.replace(answer, **value), *others]
        )
    method, *rest = DEFINITION.methods
    if part is Method:
        new = dataclasses.replace(method, **value)
    elif part is Integration:
        new = dataclasses.replace(method, integration=dataclasses.replace(method.integration, **value))
    else:
        first, *more = method.answers
        new = dataclasses.replace(method, answers=(dataclasses.replace(first, **value), *more))
    return dataclasses.replace(DEFINITION, methods=[new, *rest])


def fields() -> list[tuple[type, str]]:
    return [(part, each.name) for part in OTHERS for each in dataclasses.fields(part)]


def test_the_same_definition_has_the_same_fingerprint() -> None:
    again = define(
        route(), routes.make(FULL), reads=[READ], health_path="health", style=Style(Shape.PROBLEM, CORS.cors)
    )
    assert fingerprint(again) == fingerprint(DEFINITION)
    assert api_definition.fingerprint(DEFINITION, dict(reversed(WIRING.items()))) == fingerprint(DEFINITION)


@pytest.mark.parametrize(("part", "name"), fields(), ids=lambda each: getattr(each, "__name__", each))
def test_a_change_of_any_part_of_the_api_redeploys(part: type, name: str) -> None:
    assert fingerprint(changed(part, name)) != fingerprint(DEFINITION)


@pytest.mark.parametrize("name", WIRING)
def test_a_change_of_any_wire_redeploys(name: str) -> None:
    assert fingerprint(DEFINITION, **{name: "other"}) != fingerprint(DEFINITION)


@pytest.mark.parametrize(
    "changes",
    [
        {"path": "a/c"},
        {"method": "PUT"},
        {"content_types": ["text/plain"]},
        {"answer": "sqs"},
        {"success_status": 200},
        {"schema": SCHEMA},
        {"required_headers": ["X-A"]},
        {"required_query": ["a"]},
        {"attributes": {"a": "text.b"}},
        {"group_id": "text.a"},
        {"deduplication_id": "text.a"},
        {"delay_seconds": 0},
        {"trace_header": True},
        {"batch": True},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_change_of_any_argument_of_a_route_redeploys(changes: dict[str, Any]) -> None:
    assert fingerprint(define(route(**changes))) != fingerprint(define(route()))


@pytest.mark.parametrize("changes", [{"throttle_rate": 5}, {"throttle_burst": 5}])
def test_what_the_stage_decides_redeploys_nothing(changes: dict[str, Any]) -> None:
    assert fingerprint(define(route(**changes))) == fingerprint(define(route()))


@pytest.mark.parametrize(
    "more",
    [
        {"sizes": {None: 2048}},
        {"reads": [READ]},
        {"health_path": "health"},
        {"style": PROBLEMS},
        {"style": CORS},
        {"style": Style(caller=Caller("$context.identity.caller"))},
        {"style": Style(caller=Caller(address="$context.authorizer.clientIp"))},
        {"style": Style(asks=Asks.SIGNATURE)},
    ],
    ids=lambda more: next(iter(more)),
)
def test_a_change_of_anything_else_redeploys(more: dict[str, Any]) -> None:
    assert fingerprint(define(route(), **more)) != fingerprint(define(route()))


# How AWS names things.


@pytest.mark.parametrize(
    ("arn", "uri"),
    [
        (
            "arn:aws:sqs:eu-west-1:123456789012:orders",
            "arn:aws:apigateway:eu-west-1:sqs:path/123456789012/orders",
        ),
        (
            "arn:aws-cn:sqs:cn-north-1:123456789012:orders.fifo",
            "arn:aws-cn:apigateway:cn-north-1:sqs:path/123456789012/orders.fifo",
        ),
    ],
)
def test_a_queue_is_reached_by_its_path(arn: str, uri: str) -> None:
    assert api_definition.sqs_uri(arn) == uri


@pytest.mark.parametrize(("partition", "region"), [("aws", "us-east-1"), ("aws-cn", "cn-north-1")])
@pytest.mark.parametrize("qualifier", ["", ":live"])
def test_a_function_is_invoked_by_its_arn(partition: str, region: str, qualifier: str) -> None:
    arn = f"arn:{partition}:lambda:{region}:123456789012:function:guard{qualifier}"
    assert api_definition.invocation_uri(arn) == (
        f"arn:{partition}:apigateway:{region}:lambda:path/2015-03-31/functions/{arn}/invocations"
    )


@pytest.mark.parametrize(
    ("path", "verb", "wanted"),
    [
        ("messages", "POST", "~1messages/POST"),
        ("orders/{id}/lines", "PUT", "~1orders~1{id}~1lines/PUT"),
    ],
)
def test_a_stage_s_settings_name_a_method_with_every_slash_of_its_path_escaped(
    path: str, verb: str, wanted: str
) -> None:
    assert settings_path(path, verb) == wanted


@given(st.lists(st.from_regex(r"[A-Za-z0-9._:-]{1,5}", fullmatch=True), min_size=1), st.sampled_from(["GET"]))
def test_a_method_is_found_again_by_the_name_in_the_settings(segments: list[str], verb: str) -> None:
    path = "/".join(segments)
    escaped, slash, found = settings_path(path, verb).partition("/")
    assert (escaped.replace("~1", "/"), slash, found) == (f"/{path}", "/", verb)
