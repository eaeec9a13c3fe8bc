import itertools
import json
import re
from collections.abc import Mapping
from typing import Any, cast

import pulumi
import pytest

from components import Dashboard, Limiter, LimiterArgs, web_acl
from components.limiter import environment_problems
from local import waf
from local.makers import firewall
from local.makers.registry import Inputs
from sluice.limiter import rules, sets
from sluice.limiter.sets import ALLOW, BLOCK
from sluice.limiter.windows import Calendar
from tests.unit.alarm_evaluation import names_in

from .cases import CASES, KEY, LIMITER_ARGS, PROTECTING, PROXY, SECRETS, STAGE_ARN, TOPIC, planned
from .recording import (
    ACCOUNT,
    ALARM,
    BUCKET,
    FUNCTION,
    IP_SET,
    LOG_GROUP,
    REGION,
    ROLE_POLICY,
    TABLE,
    Plan,
    Registration,
    Values,
    component_plan,
    plan_of,
    refused_plan,
)

LIMITERS = [name for name, case in CASES.items() if case.component is Limiter]
FULL = "limiter with everything"
MOST = "limiter with a key and as many sets as it may have"
WEB_ACL = "aws:wafv2/webAcl:WebAcl"
LARGEST_ENVIRONMENT = 4096


def plain() -> Plan:
    return planned("limiter")


def full() -> Plan:
    return planned(FULL)


def protecting() -> Plan:
    return planned("limiter with a stage")


def behind() -> Plan:
    return planned("limiter behind a proxy")


def made(**args: object) -> Plan:
    return component_plan(Limiter, {**PROTECTING, **args})


def arn(plan: Plan, name: str) -> str:
    found: str = plan[f"unit-{name}"].outputs["arn"]
    return found


def variables(plan: Plan, role: str) -> dict[str, str]:
    found: dict[str, str] = plan[f"unit-{role}-function"].inputs["environment"]["variables"]
    return found


def upstream(plan: Plan, name: str) -> set[str]:
    """Return the names of all that a resource needs to exist first, and so outlive it."""
    by_urn = {each.urn: each for each in plan.registrations}
    found: set[str] = set()
    waiting = [plan[name]]
    while waiting:
        for urn in waiting.pop().dependencies:
            each = by_urn[urn]
            if each.name not in found:
                found.add(each.name)
                waiting.append(each)
    return found


def ip_sets(plan: Plan) -> list[Registration]:
    return plan.of(IP_SET)


@pytest.mark.parametrize("case", LIMITERS)
def test_what_is_in_a_set_is_the_enforcer_s_and_nothing_of_a_set_ever_changes(case: str) -> None:
    for each in ip_sets(planned(case)):
        assert each.ignore_changes == ("addresses",)
        assert "description" not in each.inputs, "to change one would send the addresses of the state again"
        assert each.inputs.keys() == {"scope", "ipAddressVersion", "addresses"}


def test_what_else_there_is_changes_as_the_program_says() -> None:
    assert not [each.name for each in full().children if each.ignore_changes and each.type != IP_SET]


@pytest.mark.parametrize(("case", "per_family"), [("limiter", 1), (FULL, 2), (MOST, 10)])
def test_there_are_as_many_sets_of_each_family_as_asked(case: str, per_family: int) -> None:
    plan = planned(case)
    found = [(each.name, each.inputs["ipAddressVersion"], each.inputs["scope"]) for each in ip_sets(plan)]
    assert sorted(found) == sorted(
        [
            *(
                (f"unit-block-v{family}-{number}", f"IPV{family}", "REGIONAL")
                for family, number in itertools.product((4, 6), range(1, per_family + 1))
            ),
            *((f"unit-allow-v{family}", f"IPV{family}", "REGIONAL") for family in (4, 6)),
        ]
    )


def test_the_sets_begin_with_the_allow_list_and_without_blocks() -> None:
    held = {each.name: each.inputs["addresses"] for each in ip_sets(full())}
    assert held.pop("unit-allow-v4") == ["198.51.100.0/24", "203.0.113.9/32"]
    assert held.pop("unit-allow-v6") == ["2001:db8:7::/48"]
    assert set(map(tuple, held.values())) == {()}


@pytest.mark.parametrize("case", LIMITERS)
def test_the_enforcer_is_told_every_set(case: str) -> None:
    plan = planned(case)
    told = sets.loads(variables(plan, "enforcer")["SLUICE_IP_SETS"])
    known = {(each.outputs["name"], each.outputs["id"]): each for each in ip_sets(plan)}
    assert {(each.name, each.id) for each in told} == known.keys()
    assert len(told) == len(known)
    for each in told:
        resource = known[each.name, each.id]
        assert resource.inputs["ipAddressVersion"] == f"IPV{each.family}"
        assert each.role == (ALLOW if "allow" in resource.name else BLOCK)


@pytest.mark.parametrize("case", LIMITERS)
@pytest.mark.parametrize("role", ["ingest", "enforcer"])
def test_the_variables_of_a_function_fit(case: str, role: str) -> None:
    # Names of a stack are longer than those here, and AWS's are up to 7 characters longer than ours.
    given = variables(planned(case), role)
    assert sum(len(name) + len(value) for name, value in given.items()) <= LARGEST_ENVIRONMENT


def test_with_the_most_sets_there_is_room_for_longer_names() -> None:
    given = variables(planned(MOST), "enforcer")
    told = len(sets.loads(given["SLUICE_IP_SETS"]))
    assert told == 22
    room = LARGEST_ENVIRONMENT - sum(len(name) + len(value) for name, value in given.items())
    assert room >= told * (len("limiter") - len("unit")), "the program's limiter has a longer name"


@pytest.mark.parametrize(("length", "count", "fits"), [(7, 10, True), (100, 10, False), (100, 5, True)])
def test_sets_whose_names_do_not_fit_are_refused(length: int, count: int, fits: bool) -> None:
    args = {**CASES[MOST].args, "sets_per_family": count}
    problems = environment_problems("x" * length, cast(LimiterArgs, args))
    assert [each.path for each in problems] == ([] if fits else ["sets_per_family"])


@pytest.mark.parametrize("case", LIMITERS)
@pytest.mark.parametrize("trigger", ["stream", "releases", "schedule-target"])
def test_whatever_wakes_the_enforcer_goes_before_it_and_it_before_the_sets(case: str, trigger: str) -> None:
    plan = planned(case)
    assert "unit-enforcer-function" in upstream(plan, f"unit-{trigger}")
    assert {each.name for each in ip_sets(plan)} <= upstream(plan, "unit-enforcer-function"), (
        "or it writes to sets that are being deleted"
    )


def test_the_enforcer_may_do_its_work_for_as_long_as_it_is_there() -> None:
    for role in ("ingest", "enforcer"):
        assert f"unit-{role}-policy" in upstream(plain(), f"unit-{role}-function")


def test_the_log_is_handed_over_only_when_that_is_permitted() -> None:
    plan = plain()
    assert "unit-log-permission" in upstream(plan, "unit-subscription")
    assert "unit-ingest-retries" in upstream(plan, "unit-subscription"), "or what fails first is lost"
    assert plan["unit-log-permission"].inputs == {
        "action": "lambda:InvokeFunction",
        "function": plan["unit-ingest-function"].outputs["name"],
        "principal": "logs.amazonaws.com",
        "sourceArn": f"{LIMITER_ARGS['access_log_arn']}:*",
        "sourceAccount": ACCOUNT,
    }


def test_all_lines_are_handed_over_but_those_that_waf_blocked() -> None:
    subscription = plain()["unit-subscription"].inputs
    assert subscription["logGroup"] == LIMITER_ARGS["access_log_name"]
    assert subscription["destinationArn"] == arn(plain(), "ingest-function")
    assert subscription["filterPattern"] == f"-{rules.WAF_BLOCK}", (
        "a pattern for JSON would drop lines that are not JSON before anybody counts them"
    )


def test_a_delivery_that_fails_comes_again_and_is_kept_at_last() -> None:
    assert plain()["unit-ingest-retries"].inputs == {
        "functionName": plain()["unit-ingest-function"].outputs["name"],
        "maximumRetryAttempts": 2,
        "maximumEventAgeInSeconds": 21_600,
        "destinationConfig": {"onFailure": {"destination": arn(plain(), "dead-letters")}},
    }


def test_a_tick_that_fails_is_left_to_the_next() -> None:
    assert plain()["unit-enforcer-retries"].inputs == {
        "functionName": plain()["unit-enforcer-function"].outputs["name"],
        "maximumRetryAttempts": 0,
        "maximumEventAgeInSeconds": 60,
    }
    target = plain()["unit-schedule-target"].inputs
    assert target["retryPolicy"] == {"maximumEventAgeInSeconds": 60, "maximumRetryAttempts": 0}
    assert target["arn"] == arn(plain(), "enforcer-function")
    assert target["rule"] == plain()["unit-schedule"].outputs["name"]
    assert plain()["unit-schedule"].inputs["scheduleExpression"] == "rate(1 minute)"


def test_the_schedule_alone_may_call_and_before_it_does() -> None:
    plan = plain()
    assert "unit-schedule-permission" in upstream(plan, "unit-schedule-target")
    permission = plan["unit-schedule-permission"].inputs
    assert permission["principal"] == "events.amazonaws.com"
    assert permission["sourceArn"] == arn(plan, "schedule")
    assert permission["function"] == plan["unit-enforcer-function"].outputs["name"]


def test_new_blocks_wake_the_enforcer_at_once_and_a_broken_record_stops_nothing() -> None:
    plan = plain()
    mapping = dict(plan["unit-stream"].inputs)
    (pattern,) = mapping.pop("filterCriteria")["filters"]
    assert mapping == {
        "eventSourceArn": plan["unit-blocks"].outputs["streamArn"],
        "functionName": arn(plan, "enforcer-function"),
        "startingPosition": "TRIM_HORIZON",
        "batchSize": 1000,
        "maximumBatchingWindowInSeconds": 1,
        "bisectBatchOnFunctionError": True,
        "maximumRetryAttempts": 5,
        "maximumRecordAgeInSeconds": 300,
        "destinationConfig": {"onFailure": {"destinationArn": arn(plan, "dead-letters")}},
    }
    wanted = {"dynamodb": {"NewImage": {"state": {"S": ["on", "off", "allow"]}}}}
    assert json.loads(pattern["pattern"]) == wanted


def test_releases_wake_the_enforcer_by_a_queue_of_their_own() -> None:
    plan = full()
    mapping = plan["unit-releases"].inputs
    assert mapping["eventSourceArn"] == arn(plan, "wake-ups-queue")
    assert mapping["functionName"] == arn(plan, "enforcer-function")
    assert variables(plan, "enforcer")["SLUICE_WAKE_UPS"] == plan["unit-wake-ups-queue"].outputs["url"]
    queue = plan["unit-wake-ups-queue"].inputs
    timeout = plan["unit-enforcer-function"].inputs["timeout"]
    assert queue["visibilityTimeoutSeconds"] >= 6 * timeout
    assert queue["messageRetentionSeconds"] == 3600, "a wake-up of yesterday wakes nobody"


WRITING_LOGS = ["logs:CreateLogStream", "logs:PutLogEvents"]
KEY_OF_TABLES = [
    *("kms:Decrypt", "kms:DescribeKey", "kms:Encrypt"),
    *("kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:ReEncryptTo"),
]
Grants = list[tuple[list[str], list[str]]]


def granted(plan: Plan, role: str) -> Grants:
    return sorted(
        (statement["Action"], statement["Resource"])
        for name, statement in plan.statements(ROLE_POLICY)
        if name == f"unit-{role}-policy"
    )


def log_of(plan: Plan, role: str) -> tuple[list[str], list[str]]:
    return WRITING_LOGS, [f"{arn(plan, f'{role}-logs')}:*"]


def letters(plan: Plan) -> Grants:
    bucket = arn(plan, "dead-letters")
    return [(["s3:PutObject"], [f"{bucket}/*"]), (["s3:ListBucket"], [bucket])]


def keys(case: str) -> Grants:
    return [(["kms:Decrypt"], [KEY]), (KEY_OF_TABLES, [KEY])] if "kms_key_arn" in CASES[case].args else []


@pytest.mark.parametrize("case", LIMITERS)
def test_who_counts_may_do_exactly_that(case: str) -> None:
    plan = planned(case)
    assert granted(plan, "ingest") == sorted(
        [
            log_of(plan, "ingest"),
            (["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"], [arn(plan, "counters")]),
            (["dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem"], [arn(plan, "blocks")]),
            *letters(plan),
            *keys(case),
        ]
    )


@pytest.mark.parametrize("case", LIMITERS)
def test_who_blocks_may_do_exactly_that(case: str) -> None:
    plan = planned(case)
    queue = arn(plan, "wake-ups-queue")
    assert granted(plan, "enforcer") == sorted(
        [
            log_of(plan, "enforcer"),
            (["dynamodb:BatchGetItem"], [arn(plan, "counters")]),
            (
                [
                    *("dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem"),
                    *("dynamodb:Query", "dynamodb:UpdateItem"),
                ],
                [arn(plan, "blocks")],
            ),
            (
                [
                    *("dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"),
                    "dynamodb:ListStreams",
                ],
                [plan["unit-blocks"].outputs["streamArn"]],
            ),
            (
                ["wafv2:GetIPSet", "wafv2:UpdateIPSet"],
                sorted(each.outputs["arn"] for each in ip_sets(plan)),
            ),
            (
                [
                    *("sqs:ChangeMessageVisibility", "sqs:DeleteMessage"),
                    *("sqs:GetQueueAttributes", "sqs:ReceiveMessage"),
                ],
                [queue],
            ),
            (["sqs:SendMessage"], [queue]),
            *letters(plan),
            *keys(case),
        ]
    )


def test_the_tables_have_the_keys_that_the_code_uses_and_forget_in_time() -> None:
    counters, blocks = (plain()[f"unit-{each}"].inputs for each in ("counters", "blocks"))
    assert counters["hashKey"] == "k"
    assert "rangeKey" not in counters
    assert (blocks["hashKey"], blocks["rangeKey"]) == ("partition", "client")
    assert counters["ttl"] == {"attributeName": "x", "enabled": True}
    assert blocks["ttl"] == {"attributeName": "expires", "enabled": True}
    for table in (counters, blocks):
        assert table["billingMode"] == "PAY_PER_REQUEST"
        attributes = {each["name"]: each["type"] for each in table["attributes"]}
        assert attributes == {table[key]: "S" for key in ("hashKey", "rangeKey") if key in table}


def test_blocks_can_be_restored_and_counters_would_count_twice() -> None:
    recovery = {each.name: each.inputs["pointInTimeRecovery"]["enabled"] for each in plain().of(TABLE)}
    assert recovery == {"unit-counters": False, "unit-blocks": True}


def test_the_stream_carries_what_became_of_a_block_and_there_is_none_of_counters() -> None:
    blocks = plain()["unit-blocks"].inputs
    assert (blocks["streamEnabled"], blocks["streamViewType"]) == (True, "NEW_IMAGE")
    assert "streamEnabled" not in plain()["unit-counters"].inputs


@pytest.mark.parametrize(("case", "key"), [("limiter", None), (FULL, KEY), (MOST, KEY)])
def test_tables_and_dead_letters_are_encrypted(case: str, key: str | None) -> None:
    plan = planned(case)
    for table in plan.of(TABLE):
        assert table.inputs["serverSideEncryption"]["enabled"] is True
        assert table.inputs["serverSideEncryption"].get("kmsKeyArn") == key
    (rule,) = plan["unit-dead-letters-encryption"].inputs["rules"]
    default = rule["applyServerSideEncryptionByDefault"]
    assert default.get("kmsMasterKeyId") == key
    assert default["sseAlgorithm"] == ("aws:kms" if key else "AES256")
    assert rule["bucketKeyEnabled"] is bool(key)


@pytest.mark.parametrize(("case", "protected"), [("limiter", False), (FULL, True)])
def test_what_holds_data_is_protected_where_that_is_asked_for(case: str, protected: bool) -> None:
    plan = planned(case)
    assert {each.inputs["deletionProtectionEnabled"] for each in plan.of(TABLE)} == {protected}
    (bucket,) = plan.of(BUCKET)
    assert bucket.inputs["forceDestroy"] is not protected


def test_dead_letters_are_private_and_go_after_ninety_days() -> None:
    plan = plain()
    access = dict(plan["unit-dead-letters-access"].inputs)
    assert access.pop("bucket") == plan["unit-dead-letters"].outputs["bucket"]
    assert access == dict.fromkeys(
        ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"), True
    )
    (rule,) = plan["unit-dead-letters-lifecycle"].inputs["rules"]
    assert (rule["status"], rule["expiration"]) == ("Enabled", {"days": 90})


def test_the_functions_are_told_where_to_count_and_where_to_look() -> None:
    plan = full()
    shared = {
        "SLUICE_COUNTERS": plan["unit-counters"].outputs["name"],
        "SLUICE_BLOCKS": plan["unit-blocks"].outputs["name"],
        "SLUICE_METRIC_NAMESPACE": "Sluice",
    }
    letters_ = {"SLUICE_DEAD_LETTERS": plan["unit-dead-letters"].outputs["bucket"]}
    assert variables(plan, "ingest") == {**shared, **letters_}
    enforcer = variables(plan, "enforcer")
    assert {key: value for key, value in enforcer.items() if key in shared} == shared
    assert enforcer.keys() - shared.keys() == {"SLUICE_WAKE_UPS", "SLUICE_IP_SETS"}


def test_both_functions_ship_the_rules_of_the_arguments_and_the_zones_that_they_need() -> None:
    written = full().result["rules"]
    read = rules.loads(written)
    assert [(each.name, each.limit) for each in read.windows] == [
        ("day", 500),
        ("week", 2_000),
        ("month", 5_000),
    ]
    assert read.counting.weights == {"/orders": 5}
    assert read.site_limits == {"day": 50_000}
    assert isinstance(read.windows[0].buckets, Calendar)
    for role, module in (("ingest", "ingest"), ("enforcer", "enforce")):
        function = full()[f"unit-{role}-function"].inputs
        assert function["handler"] == f"sluice.handlers.{module}.handler"
        shipped = function["code"].assets
        assert shipped[f"sluice/handlers/{rules.FILE}"].text == written
        assert {"tzdata/zoneinfo/UTC", "tzdata/zoneinfo/Asia/Kolkata"} <= shipped.keys()
    rolling = plain()["unit-ingest-function"].inputs["code"].assets
    assert not [each for each in rolling if each.startswith("tzdata")]


def test_without_a_stage_there_is_no_web_acl_but_the_rule_group_for_one_of_yours() -> None:
    plan = plain()
    assert plan.of(WEB_ACL) == []
    assert not [each.name for each in plan.children if "web-acl" in each.name]
    assert plan.result["web_acl_arn"] is None
    assert plan.result["rule_group_arn"] == arn(plan, "rule-group")


def test_the_web_acl_lets_in_whom_no_rule_stops_and_is_the_stage_s() -> None:
    plan = protecting()
    acl = plan["unit-web-acl"]
    assert acl.inputs["defaultAction"] == {"allow": {}}
    assert acl.inputs["scope"] == "REGIONAL"
    association = plan["unit-web-acl-association"].inputs
    assert association == {"resourceArn": STAGE_ARN, "webAclArn": acl.outputs["arn"]}
    (rule,) = acl.inputs["rules"]
    assert rule["statement"] == {"ruleGroupReferenceStatement": {"arn": arn(plan, "rule-group")}}
    assert plan.result["web_acl_arn"] == acl.outputs["arn"]


def test_managed_groups_come_behind_ours_and_only_count() -> None:
    _, *theirs = full()["unit-web-acl"].inputs["rules"]
    assert [each["statement"]["managedRuleGroupStatement"]["name"] for each in theirs] == [
        "AWSManagedRulesCommonRuleSet",
        "AWSManagedRulesKnownBadInputsRuleSet",
    ]
    assert [each["overrideAction"] for each in theirs] == [{"count": {}}] * 2


def firewall_of(plan: Plan, addresses: Mapping[str, list[str]]) -> waf.WebAcl:
    """Return a plan's web ACL as the local AWS carries it out; sets hold these addresses, by their names."""
    group = plan["unit-rule-group"].inputs
    described = {
        "Rules": firewall.rules(group["rules"]),
        "CustomResponseBodies": firewall.bodies(Inputs(group)),
    }
    acl: dict[str, Any] = {
        "ARN": arn(plan, "web-acl"),
        "DefaultAction": {"Allow": {}},
        "Rules": firewall.rules(plan["unit-web-acl"].inputs["rules"]),
    }
    held = {arn(plan, name): waf.AddressSet(each) for name, each in addresses.items()}
    return waf.parse(acl, {arn(plan, "rule-group"): described}, held)


@pytest.mark.parametrize("name", ["block-v4-1", "block-v4-10", "block-v6-1", "block-v6-10"])
def test_every_set_of_blocked_clients_is_looked_into(name: str) -> None:
    address = "2001:db8:1:2::" if "v6" in name else "192.0.2.7"
    network = f"{address}/64" if "v6" in name else f"{address}/32"
    client = waf.Client.at(address)
    assert firewall_of(planned(MOST), {name: [network]}).decide(client).blocked
    allowed = {name: [network], f"allow-{name[6:8]}": [network]}
    assert not firewall_of(planned(MOST), allowed).decide(client).blocked


def test_the_answer_is_as_the_arguments_say() -> None:
    plan = made(retry_after_seconds=77, cors_origin="https://shop.example.com")
    decision = firewall_of(plan, {"block-v4-1": ["192.0.2.7/32"]}).decide(waf.Client.at("192.0.2.7"))
    assert decision.response is not None
    assert decision.response.status == 429
    assert decision.response.headers["Retry-After"] == "77"
    assert decision.response.headers["Access-Control-Allow-Origin"] == "https://shop.example.com"


def test_without_such_arguments_a_client_is_to_wait_an_hour_and_every_page_may_read_that() -> None:
    decision = firewall_of(protecting(), {"block-v4-1": ["192.0.2.7/32"]}).decide(waf.Client.at("192.0.2.7"))
    assert decision.response is not None
    assert decision.response.headers["Retry-After"] == "3600"
    assert decision.response.headers["Access-Control-Allow-Origin"] == "*"


def test_to_only_count_stops_nobody() -> None:
    decision = firewall_of(full(), {"block-v4-2": ["192.0.2.7/32"]}).decide(waf.Client.at("192.0.2.7"))
    assert not decision.blocked
    assert decision.counted == ("sluice-test-unit-limit",)


def test_there_is_a_burst_rule_where_there_is_a_limit_for_it() -> None:
    assert len(protecting()["unit-rule-group"].inputs["rules"]) == 1
    _, burst = full()["unit-rule-group"].inputs["rules"]
    rate = burst["statement"]["rateBasedStatement"]
    assert (rate["limit"], rate["evaluationWindowSec"]) == (100, 120)
    _, burst = made(burst_limit=50)["unit-rule-group"].inputs["rules"]
    assert burst["statement"]["rateBasedStatement"]["evaluationWindowSec"] == 60


def test_a_web_acl_refers_to_no_more_sets_than_it_may() -> None:
    assert len(ip_sets(planned(MOST))) <= 50
    assert planned(MOST)["unit-rule-group"].inputs["capacity"] == web_acl.CAPACITY


def test_waf_logs_what_a_rule_matched_and_no_token() -> None:
    plan = full()
    group = plan["unit-web-acl-logs"]
    assert group.outputs["name"] == "aws-waf-logs-sluice-test-unit", "WAF takes no other name"
    logging = plan["unit-web-acl-logging"].inputs
    assert logging["resourceArn"] == arn(plan, "web-acl")
    assert logging["logDestinationConfigs"] == [group.outputs["arn"]]
    assert logging["redactedFields"] == [{"singleHeader": {"name": "authorization"}}]
    (kept,) = logging["loggingFilter"]["filters"]
    assert (logging["loggingFilter"]["defaultBehavior"], kept["behavior"]) == ("DROP", "KEEP")
    actions = {each["actionCondition"]["action"] for each in kept["conditions"]}
    assert actions == {"BLOCK", "COUNT"}
    assert "unit-web-acl-logs-policy" in upstream(plan, "unit-web-acl-logging")


def test_waf_logs_no_secret_of_the_proxy() -> None:
    redacted = behind()["unit-web-acl-logging"].inputs["redactedFields"]
    names = [each["singleHeader"]["name"] for each in redacted]
    assert names == ["authorization", "x-origin-secret"]
    proxy = {**PROXY, "secret_header": "X-Edge"}
    redacted = made(log_blocked=True, proxy=proxy)["unit-web-acl-logging"].inputs["redactedFields"]
    assert redacted[-1] == {"singleHeader": {"name": "x-edge"}}, "WAF takes it in lower case alone"


@pytest.mark.parametrize("secret", [False, True], ids=["text", "secret"])
def test_the_proxy_s_secrets_are_in_the_rule_group_alone_and_marked(secret: bool) -> None:
    def proxied(name: str, args: Mapping[str, object]) -> pulumi.ComponentResource:
        given: Any = [pulumi.Output.secret(each) for each in SECRETS] if secret else SECRETS
        more: Any = {**args, "proxy": {**PROXY, "secrets": given}}
        return Limiter(name, more)

    plan = component_plan(proxied, {**PROTECTING, "log_blocked": True, "alarm_topic_arn": TOPIC})
    assert [plan.showing(each) for each in SECRETS] == [[], []]
    marked = {each.name: each.secrets for each in plan.children if each.secrets}
    assert marked.keys() == {"unit-rule-group"}
    assert all(each.endswith("byteMatchStatement.searchString") for each in marked["unit-rule-group"]), (
        "a preview still shows the rest of the rules"
    )
    rules_made = json.dumps(plan["unit-rule-group"].inputs["rules"])
    assert all(each in rules_made for each in SECRETS)


def test_behind_a_proxy_the_firewall_knows_clients_by_its_header() -> None:
    acl = firewall_of(behind(), {"block-v4-1": ["192.0.2.7/32"]})
    edge = waf.Client.at("198.51.100.77")
    seen = {"x-origin-secret": SECRETS[1], "x-client-ip": "192.0.2.7"}
    assert acl.decide(edge, 0, seen).counted == ("sluice-test-unit-limit",)
    assert acl.decide(edge, 0, {**seen, "x-client-ip": "192.0.2.8"}).counted == ()
    stopped = acl.decide(edge, 0, {**seen, "x-origin-secret": "guessed"})
    assert (stopped.blocked, stopped.rule) == (True, "sluice-test-unit-origin")
    assert stopped.response is not None
    assert (stopped.response.status, json.loads(stopped.response.body)["code"]) == (403, "FORBIDDEN")


def test_behind_a_proxy_nothing_is_sampled() -> None:
    plan = behind()
    shown = [plan["unit-rule-group"].inputs, plan["unit-web-acl"].inputs]
    shown += [rule for each in shown for rule in each["rules"]]
    assert [each["visibilityConfig"]["sampledRequestsEnabled"] for each in shown] == [False] * len(shown)
    assert plan["unit-rule-group"].inputs["capacity"] == web_acl.CAPACITY


@pytest.mark.parametrize(
    ("proxy", "path"),
    [
        ({"address_header": "X-Client-Ip"}, "proxy.secrets"),
        ({**PROXY, "secrets": ["short"]}, "proxy.secrets[0]"),
        ({**PROXY, "address_header": "X-Forwarded-For"}, "proxy.address_header"),
        ({**PROXY, "hops": 2}, "proxy.hops"),
    ],
)
def test_a_wrong_proxy_is_refused_before_anything_exists(proxy: Mapping[str, object], path: str) -> None:
    refusal, plan = refused_plan(Limiter, {**PROTECTING, "proxy": proxy})
    assert [each.path for each in refusal.problems] == [path]
    assert not plan.children
    assert "short" not in str(refusal)


def test_only_this_account_s_waf_logs_may_be_delivered_there() -> None:
    plan = full()
    policy = json.loads(plan["unit-web-acl-logs-policy"].inputs["policyDocument"])
    (statement,) = policy["Statement"]
    assert statement["Principal"] == {"Service": "delivery.logs.amazonaws.com"}
    assert statement["Action"] == WRITING_LOGS
    assert statement["Resource"] == [f"{arn(plan, 'web-acl-logs')}:*"]
    assert statement["Condition"] == {
        "StringEquals": {"aws:SourceAccount": ACCOUNT},
        "ArnLike": {"aws:SourceArn": f"arn:aws:logs:{REGION}:{ACCOUNT}:*"},
    }


def test_waf_logs_nothing_unless_asked() -> None:
    groups = {each.name for each in protecting().of(LOG_GROUP)}
    assert groups == {"unit-ingest-logs", "unit-enforcer-logs"}


def test_the_alarm_of_many_blocks_is_at_the_owner_s_number() -> None:
    assert full()["unit-block-rate-alarm"].inputs["threshold"] == 7
    assert made(alarm_topic_arn=TOPIC)["unit-block-rate-alarm"].inputs["threshold"] == 100


def test_the_alarm_of_silence_takes_silence_for_bad() -> None:
    alarm = full()["unit-enforcer-silent-alarm"].inputs
    assert alarm["comparisonOperator"] == "LessThanThreshold"
    assert (alarm["threshold"], alarm["treatMissingData"]) == (1, "breaching")
    others = {
        each.inputs["treatMissingData"]
        for each in full().of(ALARM)
        if each.name != "unit-enforcer-silent-alarm"
    }
    assert others == {"notBreaching"}


def test_what_is_missing_is_computed_of_the_stack_s_own_metrics() -> None:
    plan = full()
    alarm = plan["unit-missing-alarm"].inputs
    assert not {"metricName", "namespace", "statistic", "period", "dimensions"} & alarm.keys()
    *parts, result = alarm["metricQueries"]
    shown = [each for each in alarm["metricQueries"] if each.get("returnData")]
    assert shown == [result], "an alarm looks at exactly one value"
    assert names_in(result["expression"]) == {each["id"] for each in parts}
    looked: dict[str, Values] = {each["id"]: each["metric"] for each in parts}
    assert looked["count"]["dimensions"] == {"ApiName": "door-api", "Stage": "v1"}
    assert looked["seen"]["dimensions"] == {"service": plan["unit-ingest-function"].outputs["name"]}
    metric = plan["unit-web-acl"].inputs["visibilityConfig"]["metricName"]
    assert looked["blocked"]["dimensions"] == {"WebACL": metric, "Rule": "ALL", "Region": REGION}
    assert {each["metric"]["period"] for each in parts} == {900}
    assert {each["metric"]["stat"] for each in parts} == {"Sum"}


@pytest.mark.parametrize("case", [FULL])
def test_alarms_look_at_the_functions_that_were_made(case: str) -> None:
    plan = planned(case)
    functions = {each.outputs["name"] for each in plan.of(FUNCTION)}
    for alarm in plan.of(ALARM):
        dimensions = alarm.inputs.get("dimensions", {})
        named = {dimensions[key] for key in ("FunctionName", "service") if key in dimensions}
        assert named <= functions
        if "QueueName" in dimensions:
            assert dimensions["QueueName"] == plan["unit-wake-ups-dead-letters"].outputs["name"]


@pytest.mark.parametrize("args", [LIMITER_ARGS, PROTECTING], ids=["no stage", "stage"])
def test_a_dashboard_shows_the_limiter_whether_or_not_the_web_acl_is_ours(
    args: Mapping[str, object],
) -> None:
    def both(name: str, given: Mapping[str, object]) -> pulumi.ComponentResource:
        shown = Limiter("limiter", given)  # type: ignore[arg-type]
        return Dashboard(name, {"limiter": shown.names()})

    body = json.loads(component_plan(both, args)["unit-dashboard"].inputs["dashboardBody"])
    titles = {each["properties"]["title"] for each in body["widgets"]}
    assert ("Limiter: blocked requests" in titles) == ("stage_arn" in args)
    assert {"Limiter: requests", "Limiter: lag (ms)"} <= titles


def test_names_may_be_outputs_of_another_component() -> None:
    def flowing(name: str, args: Mapping[str, object]) -> pulumi.ComponentResource:
        outputs: Any = {key: pulumi.Output.from_input(value) for key, value in args.items()}
        return Limiter(name, outputs)

    args = {**PROTECTING, "alarm_topic_arn": TOPIC, "kms_key_arn": KEY}
    plan, given = component_plan(flowing, args), component_plan(Limiter, args)
    assert {each.name: each.inputs for each in plan.children if each.type != FUNCTION} == {
        each.name: each.inputs for each in given.children if each.type != FUNCTION
    }


def test_the_operator_s_command_finds_the_tables_and_the_rules() -> None:
    def operated() -> dict[str, pulumi.Output[str]]:
        return Limiter("unit", LIMITER_ARGS).operator()  # type: ignore[arg-type]

    plan = plan_of(operated)
    assert plan.result == {
        "counters": plan["unit-counters"].outputs["name"],
        "blocks": plan["unit-blocks"].outputs["name"],
        "rules": plain().result["rules"],
        "region": REGION,
        "mode": "block",
    }


@pytest.mark.parametrize(("count_only", "mode"), [(False, "block"), (True, "count")])
def test_the_operator_s_command_is_told_whether_waf_only_counts(count_only: bool, mode: str) -> None:
    def operated() -> dict[str, pulumi.Output[str]]:
        args: Any = {**LIMITER_ARGS, "count_only": count_only}
        return Limiter("unit", args).operator()

    assert plan_of(operated).result["mode"] == mode


def told(monkeypatch: pytest.MonkeyPatch, **args: object) -> list[tuple[str, str]]:
    """Return what is said in a preview: how loud, and what."""
    said: list[tuple[str, str]] = []

    def keep(level: str) -> None:
        monkeypatch.setattr(pulumi.log, level, lambda message, *_: said.append((level, message)))

    for level in ("info", "warn", "error"):
        keep(level)
    made(**args)
    return said


DAYS = [{"name": f"d{each}", "limit": 1000 * each, "length_seconds": 86_400 * each} for each in (1, 7, 30)]


def test_nothing_is_said_of_what_is_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(monkeypatch) == []
    assert told(monkeypatch, allow_short_windows=False) == []


def test_short_windows_are_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    ((level, message),) = told(monkeypatch, allow_short_windows=True)
    assert level == "warn"
    assert "15 minutes" in message


def test_items_that_cost_two_units_are_told_with_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    ((level, message),) = told(monkeypatch, windows=DAYS)
    assert level == "info"
    size = re.search(r"(\d+) bytes: two write units", message)
    assert size is not None
    assert int(size[1]) > 1024


def test_the_names_of_metrics_are_the_stack_s() -> None:
    plan = full()
    names = [each["visibilityConfig"]["metricName"] for each in plan["unit-rule-group"].inputs["rules"]]
    assert names == ["sluice-test-unit-limit", "sluice-test-unit-burst"]
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,128}", each) for each in names)
