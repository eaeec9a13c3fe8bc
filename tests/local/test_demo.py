import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from local import demo, demo_callers, demo_checks, demo_full, demo_limits, demo_retrier, program
from local import stack as local_stack
from local.backend import Backend, backend
from local.callers import Callers
from local.client import Sent
from local.demo import Report
from local.demo_checks import Check, outcome, wait_until
from local.demo_limits import VISITORS, Visit
from local.program import Config
from local.stack import LocalAws, LocalStack

from .support import Values, call, forbid, fresh, made, operator_of

if TYPE_CHECKING:
    from mypy_boto3_apigateway import APIGatewayClient

CHECKS = [
    "oversize body is refused",
    "accepted and handled",
    "awkward bytes arrive byte for byte",
    "a poison message ends in the dead-letter queue",
    "mended and redriven, it is handled",
    "a broken queue is answered honestly",
]
LIMITS_CHECKS = [
    "limits: who asks too often gets 429 within 3 s",
    "limits: free again within 5 s of room",
    "limits: nobody else notices",
]
FULL_CHECKS = [
    "full: a request becomes attributes and a group",
    "full: ten messages in one request",
    "full: what does not fit is refused, and why",
    "full: pages of known origins may call",
    "full: a key for each customer, and a quota",
    "full: reads are cached by what they depend on",
    "full: a denied network is refused",
    "full: the domain leads here",
]
RETRIER_CHECKS = [
    "retrier: a call waits as a 429 asks",
    "retrier: one idempotency key, one call",
    "retrier: it calls nobody else",
    "retrier: a message becomes a call",
    "retrier: all callers share the upstream's pace",
    "retrier: when all fails, the upstream's own answer comes back",
]
GUARDED = [*demo_callers.STACKS, demo_callers.PROXY]
CALLERS_CHECKS = [
    *(f"{name}: who may call is let in, and nobody else" for name in demo_callers.STACKS),
    "proxy: clients behind one proxy are counted one by one",
    "proxy: a forged address does nothing, and there is no way round the proxy",
]


@pytest.fixture
def _on_the_shared_cloud(cloud: LocalAws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "local_aws", lambda say: nullcontext(cloud))
    monkeypatch.setattr(demo, "MESSAGES", 20)


@pytest.fixture
def _with_stacks_that_are_there(
    cloud: LocalAws, dev: LocalStack, door: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deploy nothing: what is looked at is not the stacks."""
    monkeypatch.setattr(demo, "local_aws", lambda say: nullcontext(cloud))
    monkeypatch.setattr(LocalAws, "up", lambda local, name, overrides=None: dev if name == "dev" else door)
    monkeypatch.setattr(demo, "examine", lambda local, stack: [Check("it holds", ok=True)])
    monkeypatch.setattr(demo, "visit", lambda local, stack: visits_that_hold())
    monkeypatch.setattr(demo_full, "examine", lambda local, stack, behind: [Check("it holds", ok=True)])
    monkeypatch.setattr(demo_callers, "examine", lambda local, stack: [Check("it holds", ok=True)])
    monkeypatch.setattr(demo_retrier, "examine", lambda stack: [Check("it holds", ok=True)])


def visits_that_hold() -> list[Visit]:
    return [
        Visit(
            each.name, each.client, each.busy, 60, 60, crossed=3.0, first_429=4.0, room_at=23.0, released=24.5
        )
        if each.busy
        else Visit(each.name, each.client, each.busy, 30, 30)
        for each in VISITORS
    ]


@pytest.fixture
def _soon_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the clients be free again after fewer seconds than in the demo."""

    def sooner(name: str) -> Config:
        config = program.stack_config(name)
        limiter = json.loads(config.get("sluice:limiter", "{}"))
        if name == demo.LIMITS:
            limiter["windows"][0]["length_seconds"] = 10
        return {**config, "sluice:limiter": json.dumps(limiter)}

    monkeypatch.setattr(local_stack, "stack_config", sooner)


@pytest.mark.usefixtures("_on_the_shared_cloud", "_soon_free")
def test_everything_holds_on_all_stacks_and_json_is_all_that_is_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = demo.run(as_json=True)

    report = json.loads(capsys.readouterr().out)
    assert [check for check in report["checks"] if not check["ok"]] == []
    assert (code, report["ok"]) == (0, True)
    names = [check["name"] for check in report["checks"]]
    for stack in demo.STACKS:
        for check in CHECKS:
            assert [name for name in names if name.startswith(f"{stack}: ") and check in name], check
    assert "dev: callers without a known token are refused" in names
    others = [*RETRIER_CHECKS, *FULL_CHECKS, *CALLERS_CHECKS, *LIMITS_CHECKS]
    assert names[-len(others) :] == others
    busy = {each["client"]: each["refused"] > 0 for each in report["clients"]}
    assert busy == {each.client: each.busy for each in VISITORS}
    assert {each["others"] for each in report["clients"]} == {0}


@pytest.mark.usefixtures("_with_stacks_that_are_there")
def test_where_every_check_holds_the_run_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.run(as_json=False) == 0
    assert "Everything holds." in capsys.readouterr().out


@pytest.mark.usefixtures("_with_stacks_that_are_there")
@pytest.mark.parametrize("as_json", [True, False])
def test_one_check_that_fails_makes_the_run_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    def examine(local: LocalAws, stack: LocalStack) -> list[Check]:
        return [Check("it holds", ok=True), Check("it fails", ok=stack.deployment.stack == "dev")]

    monkeypatch.setattr(demo, "examine", examine)

    assert demo.run(as_json=as_json) == 1
    said = capsys.readouterr().out
    if as_json:
        checks = json.loads(said)["checks"]
        assert [check["name"] for check in checks if not check["ok"]] == ["it fails"]
    else:
        assert "Something does not hold." in said
        assert "198.51.100.7, too often" in said


@pytest.mark.usefixtures("_with_stacks_that_are_there")
@pytest.mark.parametrize(
    ("part", "stacks"), [(demo_full, 1), (demo_retrier, 1), (demo_callers, len(GUARDED))]
)
def test_one_check_of_another_part_that_fails_makes_the_run_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], part: ModuleType, stacks: int
) -> None:
    monkeypatch.setattr(part, "examine", lambda *_: [Check("it fails", ok=False, detail={"a": 1})])

    assert demo.run(as_json=True) == 1

    report = json.loads(capsys.readouterr().out)
    assert not report["ok"]
    failed = {"name": "it fails", "ok": False, "detail": {"a": 1}}
    assert [check for check in report["checks"] if not check["ok"]] == [failed] * stacks


@pytest.mark.usefixtures("_with_stacks_that_are_there")
def test_where_the_clients_cannot_come_the_run_fails_and_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def visit(local: LocalAws, stack: LocalStack) -> list[Visit]:
        raise ConnectionError("nobody answers")

    monkeypatch.setattr(demo, "visit", visit)

    assert demo.run(as_json=True) == 1

    report = json.loads(capsys.readouterr().out)
    (failed,) = (check for check in report["checks"] if not check["ok"])
    assert failed["detail"] == {"error": "ConnectionError: nobody answers"}
    made_checks = [check["name"] for check in report["checks"]].count("it holds")
    assert made_checks == len([*demo.STACKS, demo_full.STACK, demo_retrier.STACK, *GUARDED]), (
        "all others are made"
    )
    assert report["clients"] == []


def test_a_message_that_is_lost_does_not_pass_for_handled(
    cloud: LocalAws, dev: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_checks, "PATIENCE_SECONDS", 0.2)
    lost = Sent(b"{}", 202, {"messageId": "never sent"})

    check = demo.accepted_and_handled(cloud, dev, [lost])

    assert not check.ok
    assert check.detail["lost"] == 1


def test_a_message_that_changed_on_its_way_does_not_pass(cloud: LocalAws) -> None:
    stack = fresh(cloud)
    (sent,) = demo.send(stack, [b"{}"])
    changed = replace(sent, body=b"{ }")
    wait_until(lambda: demo_checks.recorded(cloud, stack), bool)

    assert demo.byte_for_byte(cloud, stack, [sent]).ok
    assert not demo.byte_for_byte(cloud, stack, [changed]).ok


def test_a_stack_that_lets_everybody_in_does_not_pass_for_guarded(door: LocalStack) -> None:
    assert call(door.outputs["url"]).status == 202

    assert not demo.refusals(door).ok


DEPLOY = LocalAws.up


def up_without_the_role_s_policy(cloud: LocalAws, name: str, overrides: Config | None = None) -> LocalStack:
    stack = DEPLOY(cloud, name, overrides)
    forbid(cloud, stack, "front-door-role-policy", "sqs:SendMessage")
    return stack


@pytest.fixture
def _where_nothing_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalAws, "up", up_without_the_role_s_policy)
    monkeypatch.setattr(demo, "MESSAGES", 3)
    monkeypatch.setattr(demo_checks, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(demo_limits, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(demo_limits, "AFTERWARDS_SECONDS", 0.0)


@pytest.mark.usefixtures("_where_nothing_is_accepted")
def test_where_nothing_is_accepted_each_check_that_needs_it_fails_and_the_others_are_made(
    cloud: LocalAws,
) -> None:
    checks = demo.examine(cloud, cloud.up("dev"))

    held = {check.name: check.ok for check in checks}
    assert held == {
        "dev: callers without a known token are refused": True,
        "dev: an oversize body is refused": False,
        "dev: accepted and handled": False,
        "dev: awkward bytes arrive byte for byte": False,
        "dev: a poison message ends in the dead-letter queue": False,
        "dev: mended and redriven, it is handled": False,
        "dev: a broken queue is answered honestly": True,
    }
    (poison,) = (check for check in checks if "poison" in check.name)
    assert poison.detail == {"the poison was answered": 502}
    json.dumps([check.detail for check in checks])


@pytest.mark.usefixtures("_on_the_shared_cloud", "_where_nothing_is_accepted")
def test_where_nothing_is_accepted_the_report_is_one_json_object_all_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "STACKS", ("open",))
    monkeypatch.setattr(demo_callers, "STACKS", ("iam",))
    # It sends one message, and waits for others than the queue.
    monkeypatch.setattr(demo_retrier, "examine", lambda stack: [])

    assert demo.run(as_json=True) == 1

    report = json.loads(capsys.readouterr().out)
    held = [check["ok"] for check in report["checks"]]
    plain, full, others = (
        held[: len(CHECKS)],
        held[len(CHECKS) : len(CHECKS) + len(FULL_CHECKS)],
        held[len(CHECKS) + len(FULL_CHECKS) :],
    )
    assert not report["ok"]
    assert plain.count(True) == 1, "that a broken queue is told holds all the same"
    assert full == [False, False, True, True, False, True, True, True], "three need an accepted message"
    assert others == [False] * len(["iam", "told apart", "no way round", *LIMITS_CHECKS])


@pytest.mark.usefixtures("_on_the_shared_cloud")
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import pulumi_aws as aws\naws.ecr.Repository('some-images')\n", "some-images"),
        ("import pulumi\nraise pulumi.RunError('the settings are wrong')\n", "the settings are wrong"),
    ],
    ids=["a resource", "the program"],
)
def test_a_deployment_that_fails_is_a_check_that_fails(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    text: str,
    why: str,
) -> None:
    failing = tmp_path / "__main__.py"
    failing.write_text(text)
    monkeypatch.setattr(program, "PROGRAM", failing)

    assert demo.run(as_json=True) == 1

    report = json.loads(capsys.readouterr().out)
    assert (report["ok"], report["seconds"]["deploy"]) == (False, 0)
    (check,) = report["checks"]
    assert (check["name"], check["ok"]) == ("deploy", False)
    assert why in check["detail"]["error"]


@pytest.mark.usefixtures("_on_the_shared_cloud")
@pytest.mark.parametrize("failing", [demo_full.STACK, "iam", demo_callers.PROXY])
def test_where_a_later_stack_cannot_be_deployed_the_run_fails_and_says_why(
    dev: LocalStack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], failing: str
) -> None:
    def up(cloud: LocalAws, name: str, overrides: Config | None = None) -> LocalStack:
        return DEPLOY(cloud, name, wrong) if name == failing else dev

    wrong = {"sluice:front_door": json.dumps({"throttle_rate": -1})}
    monkeypatch.setattr(LocalAws, "up", up)

    assert demo.run(as_json=True) == 1

    (check,) = json.loads(capsys.readouterr().out)["checks"]
    assert (check["name"], check["ok"]) == ("deploy", False)
    assert "sluice:front_door.throttle_rate = -1" in check["detail"]["error"]


@dataclass(frozen=True)
class Rich:
    """The richest stack, as the demo sees it."""

    cloud: LocalAws
    stack: LocalStack
    behind: Backend

    @property
    def door(self) -> demo_full.Door:
        return demo_full.Door(self.cloud, self.stack)

    @property
    def gateway(self) -> "APIGatewayClient":
        return self.cloud.aws.client("apigateway")

    def id_of(self, name: str) -> str:
        return made(self.stack, name).id


@pytest.fixture(scope="module")
def rich(cloud: LocalAws) -> Iterator[Rich]:
    """The richest stack under a name of its own, on which everything held before something is broken."""
    with backend() as behind:
        section = json.loads(demo_full.overrides(behind)[demo_full.SECTION])
        section["domain_name"] = "broken.example.com"
        # The same order again is another message, so that it can be looked at more than once.
        del section["queues"][1]["content_based_deduplication"]
        section["routes"][1]["deduplication_id"] = "context.request_id"
        stack = cloud.up(demo_full.STACK, {demo_full.SECTION: json.dumps(section)})
        checks = demo_full.examine(cloud, stack, behind)
        assert [check for check in checks if not check.ok] == []
        yield Rich(cloud, stack, behind)


def lose_the_tenant(rich: Rich) -> None:
    gateway, api = rich.gateway, rich.id_of("front-door-api")
    paths = {each["path"]: each["id"] for each in gateway.get_resources(restApiId=api, limit=500)["items"]}
    path = paths["/orders/{shop}"]
    known = gateway.get_integration(restApiId=api, resourceId=path, httpMethod="PUT")
    templates = {key: text.replace("tenant", "renter") for key, text in known["requestTemplates"].items()}
    gateway.put_integration(
        restApiId=api,
        resourceId=path,
        httpMethod="PUT",
        type=known["type"],
        integrationHttpMethod=known["httpMethod"],
        uri=known["uri"],
        credentials=known["credentials"],
        requestParameters=known["requestParameters"],
        requestTemplates=templates,
    )


def handle_nothing(rich: Rich) -> None:
    rich.cloud.aws.client("lambda").delete_event_source_mapping(UUID=rich.id_of("consumer-mapping"))


def validate_no_body(rich: Rich) -> None:
    rich.gateway.update_request_validator(
        restApiId=rich.id_of("front-door-api"),
        requestValidatorId=rich.id_of("front-door-validator"),
        patchOperations=[{"op": "replace", "path": "/validateRequestBody", "value": "false"}],
    )


def answer_a_missing_key_without_headers(rich: Rich) -> None:
    rich.gateway.put_gateway_response(
        restApiId=rich.id_of("front-door-api"), responseType="INVALID_API_KEY", statusCode="403"
    )


def raise_the_quota(rich: Rich) -> None:
    rich.gateway.update_usage_plan(
        usagePlanId=rich.id_of("front-door-plan-trial"),
        patchOperations=[{"op": "replace", "path": "/quota/limit", "value": "1000"}],
    )


def cache_nothing(rich: Rich) -> None:
    rich.gateway.update_stage(
        restApiId=rich.id_of("front-door-api"),
        stageName="v1",
        patchOperations=[
            {"op": "replace", "path": "/~1catalog~1{sku}/GET/caching/enabled", "value": "false"}
        ],
    )


def deny_nobody(rich: Rich) -> None:
    rich.gateway.update_rest_api(
        restApiId=rich.id_of("front-door-api"),
        patchOperations=[{"op": "replace", "path": "/policy", "value": ""}],
    )


def lead_nowhere(rich: Rich) -> None:
    rich.gateway.delete_base_path_mapping(domainName="broken.example.com", basePath="shop")


@pytest.mark.parametrize(
    ("spoil", "look", "shown"),
    [
        (lose_the_tenant, lambda rich: demo_full.mapped(rich.door), {"attributes": 7}),
        (handle_nothing, lambda rich: demo_full.batches(rich.door, rich.cloud), {"accepted": 10}),
        (raise_the_quota, lambda rich: demo_full.plans(rich.door), {"after it": 202}),
        (
            answer_a_missing_key_without_headers,
            lambda rich: demo_full.browsers(rich.door),
            {"on a 403": False},
        ),
        (cache_nothing, lambda rich: demo_full.cached(rich.door, rich.behind), {"unsigned max-age=0": 200}),
        (deny_nobody, lambda rich: demo_full.addresses(rich.door), {demo_full.DENIED: 200}),
        (
            lead_nowhere,
            lambda rich: demo_full.domain(rich.door, rich.cloud),
            {"broken.example.com/shop": 403},
        ),
        (validate_no_body, lambda rich: demo_full.validated(rich.door), {}),
    ],
)
def test_what_is_broken_on_the_richest_stack_does_not_pass(
    rich: Rich,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Rich], None],
    look: Callable[[Rich], Check],
    shown: Values,
) -> None:
    spoil(rich)

    # What is deployed is read anew after a second.
    check = wait_until(
        lambda: examined(rich, look, monkeypatch),
        lambda found: not found.ok and shown.items() <= found.detail.items(),
    )

    assert not check.ok
    assert shown.items() <= check.detail.items()


def examined(rich: Rich, look: Callable[[Rich], Check], monkeypatch: pytest.MonkeyPatch) -> Check:
    """Return what a check finds that waits for nothing that does not come."""
    with monkeypatch.context() as patch:
        patch.setattr(demo_checks, "PATIENCE_SECONDS", 1.0)
        return outcome(lambda: look(rich))


def in_place_of(cloud: LocalAws, name: str, stack: LocalStack) -> LocalStack:
    """Return a stack as if it were the one of this name, with callers of that one."""
    _, callers = cloud.surroundings.prepare(program.stack_config(name))
    return LocalStack(replace(stack.deployment, stack=name), callers)


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_checks, "PATIENCE_SECONDS", 0.1)


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("name", GUARDED)
def test_an_open_stack_does_not_pass_for_one_that_tells_callers_apart(
    cloud: LocalAws, door: LocalStack, name: str
) -> None:
    checks = demo_callers.examine(cloud, in_place_of(cloud, name, door))

    assert [check.name for check in checks] == [each for each in CALLERS_CHECKS if each.startswith(name)]
    for check in checks:
        assert not check.ok
        assert set(check.detail.values()) <= {202, demo_callers.LIMIT}, "everybody was let in"


@pytest.mark.parametrize("name", GUARDED)
def test_a_stack_that_lets_nobody_in_does_not_pass(cloud: LocalAws, dev: LocalStack, name: str) -> None:
    checks = demo_callers.examine(cloud, in_place_of(cloud, name, dev))

    for check in checks:
        assert not check.ok
        assert set(check.detail.values()) <= {401, 403, 0}, "nobody was let in"


def test_a_stack_that_lets_one_in_too_many_does_not_pass(cloud: LocalAws) -> None:
    (check,) = demo_callers.examine(cloud, fresh(cloud, "jwt", authorizer={"scopes": []}))

    assert not check.ok
    assert [name for name, status in check.detail.items() if status == 202] == ["good", "without scope"]


def test_an_answer_that_does_not_say_what_it_should_does_not_pass(cloud: LocalAws, door: LocalStack) -> None:
    wordless = fresh(cloud, front_door={"answer": "sqs"})

    for stack, says_its_id in ((door, True), (wordless, False)):
        check = demo_callers.let_in(stack, {"anybody": ({}, 202)})
        assert (check.ok, check.detail) == (says_its_id, {"anybody": 202})


def test_where_one_check_of_the_callers_breaks_the_next_is_made(cloud: LocalAws, door: LocalStack) -> None:
    without_a_proxy = LocalStack(replace(door.deployment, stack=demo_callers.PROXY), Callers())

    checks = demo_callers.examine(cloud, without_a_proxy)

    assert [check.ok for check in checks] == [False, False]
    assert {check.name for check in checks} == {"proxy: a check that broke"}


@pytest.fixture(scope="module")
def proxied(cloud: LocalAws) -> LocalStack:
    """The stack behind a proxy, under a name of its own."""
    config = {**program.stack_config(demo_callers.PROXY), **demo_callers.overrides(demo_callers.PROXY)}
    section = {**json.loads(config[demo_full.SECTION]), "domain_name": "proxied.example.com"}
    stack = cloud.up(demo_callers.PROXY, {**config, demo_full.SECTION: json.dumps(section)})
    through = demo_callers.Door(cloud, stack).through
    # The edge has to look the domain up first.
    assert wait_until(lambda: through("192.0.2.1").status, lambda status: status == 202) == 202
    return stack


def test_where_another_client_is_blocked_as_well_neither_check_holds(
    cloud: LocalAws, proxied: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy, other = "198.51.100.17", "198.51.100.18"
    monkeypatch.setattr(demo_callers, "BUSY", busy)
    monkeypatch.setattr(demo_callers, "OTHER", other)
    operator_of(cloud, proxied).block(other, 3_600_000, "")
    through = demo_callers.Door(cloud, proxied).through
    assert wait_until(lambda: through(other).status, lambda status: status == 429) == 429

    checks = demo_callers.examine(cloud, proxied)

    assert [check.ok for check in checks] == [False, False]
    assert [check.detail for check in checks] == [
        {"accepted": demo_callers.LIMIT, busy: 429, other: 429},
        {"forged": 403, other: 429, "execute-api": 403},
    ]


def test_where_there_is_a_way_round_the_proxy_the_check_does_not_hold(
    cloud: LocalAws, proxied: LocalStack
) -> None:
    found = demo_callers.no_way_round(cloud, proxied)
    assert found.ok
    cloud.aws.client("apigateway").update_rest_api(
        restApiId=made(proxied, "front-door-api").id,
        patchOperations=[{"op": "replace", "path": "/disableExecuteApiEndpoint", "value": "false"}],
    )

    # What is deployed is read anew after a second.
    check = wait_until(lambda: demo_callers.no_way_round(cloud, proxied), lambda found: not found.ok)

    assert not check.ok
    assert check.detail == {**found.detail, "execute-api": 202}


def test_a_forged_address_that_waf_lets_through_is_noticed(cloud: LocalAws, proxied: LocalStack) -> None:
    stage = made(proxied, "front-door-stage").outputs["arn"]
    cloud.aws.client("wafv2").disassociate_web_acl(ResourceArn=stage)

    check = wait_until(
        lambda: demo_callers.no_way_round(cloud, proxied), lambda found: found.detail["forged"] != 403
    )

    assert not check.ok
    assert check.detail["forged"] == 401, "the authorizer refuses it all the same"


@pytest.mark.parametrize("error", ["it is wrong", "not in [a-z]", "no [/such/file]", "[red]"])
def test_an_error_is_shown_in_its_own_words(capsys: pytest.CaptureFixture[str], error: str) -> None:
    failed = Check("deploy", ok=False, detail={"error": error})

    demo.show(Report(ok=False, seconds={"deploy": 0.0, "total": 0.1}, checks=[failed], clients=[]))

    said = capsys.readouterr().out
    assert f"error {error}" in said
    assert "Something does not hold." in said


def test_a_check_that_breaks_does_not_hold_and_says_why() -> None:
    def broken() -> Check:
        raise KeyError("messageId")

    check = outcome(broken)

    assert not check.ok
    assert check.detail == {"error": "KeyError: 'messageId'"}


def test_waiting_ends_with_what_was_seen_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_checks, "PATIENCE_SECONDS", 0.0)

    assert wait_until(lambda: "not enough", lambda found: found == "enough") == "not enough"
