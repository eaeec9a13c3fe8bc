import functools
import json
import runpy
from collections.abc import Collection

import pytest
import yaml

from local.program import stack_config
from local.surroundings import with_token
from settings import SettingsError
from sluice.limiter import rules

from .cases import KEY, ROOT, SECRETS, TOKENS, TOPIC
from .recording import (
    ALARM,
    AUTHORIZER,
    COMPONENT_PREFIX,
    FUNCTION,
    IP_SET,
    KMS_KEY,
    LOG_GROUP,
    QUEUE,
    REGION,
    ROLE_POLICY,
    SNS_TOPIC,
    TABLE,
    Plan,
    plan_of,
)

RECORDER = {"code": "examples/recorder", "entry": "recorder:record_handler"}


@functools.cache
def run(stack: str, secret: frozenset[str] = frozenset(), **overrides: str) -> Plan:
    config, _ = with_token(
        {**stack_config(stack), **{f"sluice:{key}": each for key, each in overrides.items()}}
    )
    return plan_of(program, stack, config, [f"sluice:{key}" for key in secret])


def program() -> None:
    runpy.run_path(str(ROOT / "__main__.py"), run_name="__main__")


def refused(
    stack: str, sections: dict[str, str], secret_keys: Collection[str] = ()
) -> tuple[SettingsError, Plan]:
    """Return the program's refusal of its settings, and what was asked for all the same."""
    refusals: list[SettingsError] = []

    def refuse() -> None:
        with pytest.raises(SettingsError) as refusal:
            program()
        refusals.append(refusal.value)

    plan = plan_of(refuse, stack, {**stack_config(stack), **sections}, secret_keys)
    return refusals[0], plan


ALWAYS = {
    "authorizer": "Authorizer",
    "front-door": "FrontDoor",
    "limiter": "Limiter",
    "consumer": "Consumer",
    "dashboard": "Dashboard",
}


@pytest.mark.parametrize(
    ("stack", "more"),
    [("dev", {}), ("full", {"key": "EncryptionKey", "alarms": "AlarmTopic"})],
)
def test_the_program_is_its_components_and_nothing_beside_them(stack: str, more: dict[str, str]) -> None:
    plan = run(stack)
    components = {each.name: each.type.removeprefix(COMPONENT_PREFIX) for each in plan.components}
    assert components == {**ALWAYS, **more}
    assert {each.parent for each in plan.children} <= {each.urn for each in plan.components}


def test_the_dev_stack_exports_where_everything_is() -> None:
    plan = run("dev")
    assert plan.exports == {
        "url": plan["front-door-stage"].outputs["invokeUrl"] + "/messages",
        "base_url": plan["front-door-stage"].outputs["invokeUrl"],
        "invoke_url": plan["front-door-stage"].outputs["invokeUrl"],
        "queue_url": plan["front-door-queue"].outputs["url"],
        "queue_urls": {},
        "dead_letter_queue_url": plan["front-door-dead-letters"].outputs["url"],
        "dead_letter_queue_urls": {},
        "api_keys": {},
        "domain_target": None,
        "access_log": plan["front-door-access-log"].outputs["name"],
        "authorizer_function": plan["authorizer-function"].outputs["name"],
        "authorizer_log": plan["authorizer-logs"].outputs["name"],
        "limiter": {
            "counters": plan["limiter-counters"].outputs["name"],
            "blocks": plan["limiter-blocks"].outputs["name"],
            "rules": plan.exports["limiter"]["rules"],
            "region": REGION,
            "mode": "block",
        },
        "front_door": {
            "region": REGION,
            "queues": {
                "queue": {
                    "url": plan["front-door-queue"].outputs["url"],
                    "dead_letter_url": plan["front-door-dead-letters"].outputs["url"],
                }
            },
        },
        "consumers": {
            "consumer": {
                "function": plan["consumer-function"].outputs["name"],
                "log": plan["consumer-logs"].outputs["name"],
                "table": plan["consumer-table"].outputs["name"],
                "idempotency_table": plan["consumer-idempotency-table"].outputs["name"],
            }
        },
        "retrier": None,
        "dashboard": "sluice-dev-dashboard",
        "alarm_topic": None,
        "key_policy_needs": None,
    }


def test_the_dev_stack_is_guarded_by_its_own_authorizer_and_drained_by_its_own_consumer() -> None:
    plan = run("dev")
    assert plan["front-door-method-POST/messages"].inputs["authorization"] == "CUSTOM"
    authorizer = plan["authorizer-function"].outputs["arn"]
    assert plan["front-door-authorizer-permission"].inputs["function"] == authorizer
    assert plan["consumer-mapping"].inputs["eventSourceArn"] == plan["front-door-queue"].outputs["arn"]


@pytest.mark.parametrize(
    ("stack", "authorization", "type_"),
    [
        ("function", "CUSTOM", "REQUEST"),
        ("jwt", "CUSTOM", "TOKEN"),
        ("cognito", "COGNITO_USER_POOLS", "COGNITO_USER_POOLS"),
        ("iam", "AWS_IAM", None),
        ("proxy", "CUSTOM", "REQUEST"),
    ],
)
def test_each_kind_has_a_stack_that_it_guards(stack: str, authorization: str, type_: str | None) -> None:
    plan = behind_a_proxy() if stack == "proxy" else run(stack)
    assert plan["front-door-method-POST/messages"].inputs["authorization"] == authorization
    assert [each.inputs["type"] for each in plan.of(AUTHORIZER)] == ([type_] if type_ else [])
    ours = stack in {"jwt", "proxy"}
    assert (plan.exports["authorizer_function"] is not None) is ours
    assert ("authorizer-function" in plan) is ours
    assert set(plan.exports) == set(run("dev").exports), "whoever reads the exports finds the same keys"


def test_a_function_of_one_s_own_is_asked_and_seen_on_the_dashboard() -> None:
    plan = run("function")
    function = json.loads(stack_config("function")["sluice:authorizer"])["function_arn"]
    assert plan["front-door-authorizer-permission"].inputs["function"] == function
    body = plan["dashboard-dashboard"].inputs["dashboardBody"]
    assert '"Authorizer: runs"' in body
    assert '"Authorizer: decisions"' not in body, "it tells nobody what it decided"


def test_the_retrier_stack_makes_calls_at_once_and_of_its_queue_s_messages() -> None:
    plan = run("retrier")
    components = {each.name: each.type.removeprefix(COMPONENT_PREFIX) for each in plan.components}
    assert components == {
        **{key: each for key, each in ALWAYS.items() if key != "limiter"},
        "retrier": "Retrier",
    }
    machine = plan["retrier-machine"].outputs["arn"]
    assert plan.exports["retrier"] == {
        "url": plan["retrier-url"].outputs["functionUrl"],
        "state_machine": machine,
        "functions": {"call": plan["retrier-call-function"].outputs["arn"]},
        "orchestrator": plan["retrier-orchestrator-function"].outputs["name"],
        "budgets": plan["retrier-budgets-table"].outputs["name"],
        "log": plan["retrier-machine-logs"].outputs["name"],
    }
    assert set(plan.exports) == set(run("dev").exports), "whoever reads the exports finds the same keys"


def test_the_retrier_stack_s_consumer_may_start_its_state_machine_and_waits_for_a_whole_call() -> None:
    plan = run("retrier")
    worker = plan["consumer-function"].inputs
    variables = worker["environment"]["variables"]
    assert variables["CALLS_STATE_MACHINE"] == plan["retrier-machine"].outputs["arn"]
    assert variables["SLUICE_ENTRY"] == "queued_calls:record_handler"
    assert plan["consumer-policy-0"].inputs == {
        "role": plan["consumer-role"].outputs["name"],
        "policyArn": plan["retrier-start-policy"].outputs["arn"],
    }
    deadline = json.loads(stack_config("retrier")["sluice:retrier"])["deadline_seconds"]
    assert worker["timeout"] >= deadline + 15, "the state machine's own timeout"
    assert plan["front-door-queue"].inputs["visibilityTimeoutSeconds"] >= 6 * worker["timeout"]
    assert plan["consumer-mapping"].inputs["batchSize"] == 1


def test_the_retrier_is_seen_on_the_dashboard_and_gets_what_is_set_once() -> None:
    plan = run("retrier", kms_key_arn=KEY, alarm_topic_arn=TOPIC, log_retention_days="7")
    body = plan["dashboard-dashboard"].inputs["dashboardBody"]
    assert '"retrier: calls"' in body
    assert plan["retrier-machine"].outputs["arn"] in body
    groups = [each for each in plan.of(LOG_GROUP) if each.name.startswith("retrier-")]
    assert {(each.inputs["kmsKeyId"], each.inputs["retentionInDays"]) for each in groups} == {(KEY, 7)}
    assert len(groups) == 3
    assert "retrier-failed-alarm" in plan


@pytest.mark.parametrize("stack", ["cognito", "iam"])
def test_without_a_function_that_decides_there_is_no_graph_of_one(stack: str) -> None:
    assert "Authorizer" not in run(stack)["dashboard-dashboard"].inputs["dashboardBody"]


def behind_a_proxy(secret: frozenset[str] = frozenset({"proxy"})) -> Plan:
    proxy = {**json.loads(stack_config("proxy")["sluice:proxy"]), "secrets": SECRETS}
    limiter = {**json.loads(stack_config("proxy")["sluice:limiter"]), "log_blocked": True}
    return run("proxy", secret, proxy=json.dumps(proxy), limiter=json.dumps(limiter))


def test_one_proxy_is_in_front_of_front_door_authorizer_and_limiter() -> None:
    plan = behind_a_proxy()
    header = json.loads(stack_config("proxy")["sluice:proxy"])["address_header"]
    sources = plan["front-door-authorizer"].inputs["identitySource"].split(",")
    assert f"method.request.header.{header}" in sources
    line = json.loads(plan["front-door-stage"].inputs["accessLogSettings"]["format"])
    assert line["ip"] == "$context.authorizer.clientIp"
    assert plan["front-door-api"].inputs["disableExecuteApiEndpoint"] is True
    first, *_ = plan["limiter-rule-group"].inputs["rules"]
    assert first["name"].endswith("-origin")
    assert f'"headerName": "{header}"' in json.dumps(plan["limiter-rule-group"].inputs["rules"])


@pytest.mark.parametrize("secret", [{"proxy"}, set[str]()], ids=["set with --secret", "set without"])
def test_a_proxy_s_secrets_are_in_no_state_in_plain_text(secret: set[str]) -> None:
    plan = behind_a_proxy(frozenset(secret))
    assert [plan.showing(each) for each in SECRETS] == [[], []]
    assert not [each for each in SECRETS if each in json.dumps(plan.exports)]
    assert {each.name for each in plan.registrations if each.secrets} == {"limiter-rule-group"}


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"authorizer": {"kind": "none"}}, "proxy"),
        ({"authorizer": {"kind": "iam"}}, "proxy"),
        ({"front_door": {}}, "front_door.domain_name"),
    ],
)
def test_a_proxy_that_cannot_be_is_one_problem_before_anything_exists(
    changes: dict[str, dict[str, object]], path: str
) -> None:
    sections: dict[str, dict[str, object]] = {
        "proxy": {"address_header": "X-Client-Ip", "secrets": SECRETS},
        "authorizer": {"kind": "token", "tokens": TOKENS},
        **changes,
    }
    refusal, plan = refused("proxy", {f"sluice:{key}": json.dumps(each) for key, each in sections.items()})
    assert [each.path for each in refusal.problems] == [f"sluice:{path}"]
    assert not plan.registrations
    assert not [each for each in SECRETS if each in str(refusal)]


def test_the_limiter_counts_and_protects_this_front_door_by_the_stack_s_windows() -> None:
    plan = run("dev")
    log = plan["front-door-access-log"].outputs
    assert plan["limiter-subscription"].inputs["logGroup"] == log["name"]
    assert plan["limiter-log-permission"].inputs["sourceArn"] == f"{log['arn']}:*"
    stage = plan["front-door-stage"].outputs["arn"]
    assert plan["limiter-web-acl-association"].inputs["resourceArn"] == stage
    written = rules.loads(plan.exports["limiter"]["rules"])
    given = json.loads(stack_config("dev")["sluice:limiter"])["windows"]
    assert {each.name: each.limit for each in written.windows} == {
        each["name"]: each["limit"] for each in given
    }


def test_the_stack_with_short_windows_is_guarded_by_its_limits_alone() -> None:
    plan = run("limits")
    assert plan["front-door-method-POST/messages"].inputs["authorization"] == "NONE"
    written = rules.loads(plan.exports["limiter"]["rules"])
    assert all(each.buckets.longest < 15 * 60 * 1000 for each in written.windows)


@pytest.mark.parametrize("stack", ["dev", "limits"])
def test_what_the_enforcer_writes_outlives_another_deployment(stack: str) -> None:
    # A changed IP set is written with the state's token and addresses: the state is to be as new as can be.
    assert yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["options"] == {"refresh": "always"}
    sets = run(stack).of(IP_SET)
    assert len(sets) >= 4
    assert all(each.ignore_changes == ("addresses",) for each in sets)


def test_the_open_stack_lets_everybody_call() -> None:
    plan = run("open")
    assert plan["front-door-method-POST/messages"].inputs["authorization"] == "NONE"
    assert [each.name for each in plan.of(FUNCTION)] == ["consumer-function"]
    absent = {key for key, value in plan.exports.items() if value is None}
    assert absent == {
        *("authorizer_function", "authorizer_log", "limiter", "retrier"),
        *("domain_target", "alarm_topic", "key_policy_needs"),
    }
    assert "limiter" not in plan
    assert set(plan.exports) == set(run("dev").exports), "whoever reads the exports finds the same keys"


def test_what_is_set_once_reaches_every_component() -> None:
    plan = run("dev", kms_key_arn=KEY, alarm_topic_arn=TOPIC, log_retention_days="7")
    groups = plan.of("aws:cloudwatch/logGroup:LogGroup")
    assert {each.name for each in groups} == {
        *("front-door-access-log", "authorizer-logs", "consumer-logs"),
        *("limiter-ingest-logs", "limiter-enforcer-logs"),
    }
    assert {(each.inputs["kmsKeyId"], each.inputs["retentionInDays"]) for each in groups} == {(KEY, 7)}
    assert {each.name.split("-")[0] for each in plan.of("aws:cloudwatch/metricAlarm:MetricAlarm")} == {
        "front",
        "authorizer",
        "limiter",
        "consumer",
    }


def test_a_key_that_is_made_encrypts_whatever_holds_data() -> None:
    plan = run("full")
    key = plan["key-key"].outputs["arn"]
    held = {
        QUEUE: [each.inputs.get("kmsMasterKeyId") for each in plan.of(QUEUE)],
        LOG_GROUP: [each.inputs.get("kmsKeyId") for each in plan.of(LOG_GROUP)],
        TABLE: [each.inputs["serverSideEncryption"].get("kmsKeyArn") for each in plan.of(TABLE)],
        SNS_TOPIC: [each.inputs.get("kmsMasterKeyId") for each in plan.of(SNS_TOPIC)],
    }
    assert all(set(keys) == {key} for keys in held.values()), held
    owners = {each.name.split("-")[0] for each in plan.of(LOG_GROUP)}
    assert owners == {"front", "limiter", "consumer"}, "every component with a log got it"
    using = {
        statement["Resource"][0]
        for _, statement in plan.statements(ROLE_POLICY)
        if any(action.startswith("kms:") for action in statement["Action"])
    }
    assert using == {key}
    assert plan.exports["key_policy_needs"] is None, "a key of ours has the whole policy"


def test_a_topic_that_is_made_is_told_by_every_component_s_alarms() -> None:
    plan = run("full")
    topic = plan["alarms-topic"].outputs["arn"]
    assert plan.exports["alarm_topic"] == topic
    assert {each.inputs["alarmActions"][0] for each in plan.of(ALARM)} == {topic}
    assert {each.name.split("-")[0] for each in plan.of(ALARM)} == {"front", "limiter", "consumer"}
    (subscription,) = plan.of("aws:sns/topicSubscription:TopicSubscription")
    assert (subscription.inputs["topic"], subscription.inputs["endpoint"]) == (topic, "oncall@example.com")


def test_the_full_stack_exports_its_queues_its_keys_and_where_dns_has_to_lead() -> None:
    plan = run("full")
    queues = {each: plan[f"front-door-{each}-queue"].outputs["url"] for each in ("events", "orders")}
    dead = {each: plan[f"front-door-{each}-dead-letters"].outputs["url"] for each in ("events", "orders")}
    assert plan.exports["queue_urls"] == queues
    assert plan.exports["queue_url"] == queues["events"], "the first of several"
    assert plan.exports["dead_letter_queue_urls"] == dead
    assert plan.exports["api_keys"] == {
        each: plan[f"front-door-key-{each}"].outputs["id"] for each in ("acme", "guest")
    }
    assert plan.exports["domain_target"] == plan["front-door-domain"].outputs["regionalDomainName"]
    assert plan.exports["base_url"] == "https://api.example.com/shop"
    assert plan.exports["url"] == "https://api.example.com/shop/events"
    assert plan.exports["invoke_url"] == plan["front-door-stage"].outputs["invokeUrl"]


def test_the_full_stack_s_consumer_drains_the_first_queue() -> None:
    plan = run("full")
    assert plan["consumer-mapping"].inputs["eventSourceArn"] == plan["front-door-events-queue"].outputs["arn"]


def test_the_full_stack_s_dashboard_shows_every_queue_and_the_cache() -> None:
    plan = run("full")
    body = plan["dashboard-dashboard"].inputs["dashboardBody"]
    queues = plan.of(QUEUE)
    shown = [each for each in queues if each.name.startswith("front-door-")]
    assert len(shown) == 4
    assert all(each.outputs["name"] in body for each in shown)
    assert '"Cache"' in body


def test_a_key_that_is_given_is_left_alone_and_its_owner_is_told_what_it_needs() -> None:
    plan = run("dev", kms_key_arn=KEY)
    assert not plan.of(KMS_KEY)
    needs = json.loads(plan.exports["key_policy_needs"])["Statement"]
    assert [each["Principal"] for each in needs] == [
        {"Service": f"logs.{REGION}.amazonaws.com"},
        {"Service": "delivery.logs.amazonaws.com"},
        {"Service": "cloudwatch.amazonaws.com"},
    ]


@pytest.mark.parametrize(
    ("given", "section"),
    [({"kms_key_arn": KEY}, "encryption_key"), ({"alarm_topic_arn": TOPIC}, "alarm_topic")],
    ids=["key", "topic"],
)
def test_what_is_both_given_and_made_is_one_problem(given: dict[str, str], section: str) -> None:
    refusal, plan = refused("full", {f"sluice:{key}": each for key, each in given.items()})
    assert [each.path for each in refusal.problems] == [f"sluice:{section}.enabled"]
    assert not plan.registrations


@pytest.mark.parametrize(
    ("secret", "marked"),
    [
        ({"consumer"}, {f"environment.variables.{name}" for name in ("API_KEY", "MODE")}),
        ({"authorizer", "front_door"}, set()),
        (set(), set()),
    ],
    ids=["the consumer's", "another's", "none"],
)
def test_the_variables_of_a_secret_consumer_are_secret_where_they_are_kept(
    secret: set[str], marked: set[str]
) -> None:
    section = {**RECORDER, "environment": {"API_KEY": "for nobody's eyes", "MODE": "fast"}}
    plan = run("dev", frozenset(secret), consumer=json.dumps(section))
    assert plan["consumer-function"].secrets == marked
    assert not {each.name for each in plan.registrations if each.secrets} - {"consumer-function"}
    assert plan.exports.keys() == run("dev").exports.keys()


def test_a_secret_is_not_shown_where_it_is_wrong() -> None:
    section = {**RECORDER, "environment": {"API_KEY": ["for nobody's eyes"]}, "memory_mb": "for nobody too"}
    refusal, plan = refused("open", {"sluice:consumer": json.dumps(section)}, ["sluice:consumer"])
    assert {each.path for each in refusal.problems} == {
        "sluice:consumer.environment.API_KEY",
        "sluice:consumer.memory_mb",
    }
    assert "for nobody" not in str(refusal)
    assert not plan.registrations


@pytest.mark.parametrize(
    ("wrong", "paths"),
    [
        ({"front_door": {"throttle_rat": 1}}, {"sluice:front_door.throttle_rat"}),
        ({"authorizer": {"kind": "token"}}, {"sluice:authorizer.tokens"}),
        (
            {"front_door": {"path": ""}, "consumer": {**RECORDER, "timeout_seconds": 40}},
            {"sluice:front_door.path", "sluice:consumer.timeout_seconds"},
        ),
    ],
)
def test_wrong_settings_are_refused_before_anything_exists(
    wrong: dict[str, dict[str, object]], paths: set[str]
) -> None:
    sections = {f"sluice:{key}": json.dumps(section) for key, section in wrong.items()}
    refusal, plan = refused("open", sections)
    assert {each.path for each in refusal.problems} == paths
    assert not plan.registrations
    assert not plan.exports
