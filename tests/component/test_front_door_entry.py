import json
from typing import Any

import pytest

from .cases import CERTIFICATE, CERTIFIED, MUTUAL_TLS, PLANS, ZONE, ZONED, planned
from .doors import door, plain, urns
from .recording import RECORD, REST_API_POLICY, Plan

EVERYBODY = {"Effect": "Allow", "Action": ["execute-api:Invoke"], "Principal": "*"}
NOBODY = {**EVERYBODY, "Effect": "Deny"}
ENDPOINT = "vpce-0a1b2c3d4e5f60718"


def statements(plan: Plan) -> list[dict[str, Any]]:
    return [statement for _, statement in plan.statements(REST_API_POLICY)]


def test_the_api_is_regional_and_reached_over_both_ip_versions() -> None:
    endpoint = plain()["unit-api"].inputs["endpointConfiguration"]
    assert endpoint == {"types": "REGIONAL", "ipAddressType": "dualstack"}
    assert plain()["unit-api"].inputs["disableExecuteApiEndpoint"] is False


def test_without_networks_the_api_has_no_policy() -> None:
    assert not plain().of(REST_API_POLICY)


def test_a_list_of_who_may_call_is_written_as_a_denial_of_all_others() -> None:
    plan = planned("front door for some networks")
    resource = [f"{plan['unit-api'].outputs['executionArn']}/*"]
    assert statements(plan) == [
        {**EVERYBODY, "Resource": resource},
        {
            **NOBODY,
            "Resource": resource,
            "Condition": {"NotIpAddress": {"aws:SourceIp": ["203.0.113.0/24", "2001:db8::/32"]}},
        },
        {
            **NOBODY,
            "Resource": resource,
            "Condition": {"IpAddress": {"aws:SourceIp": ["203.0.113.7/32"]}},
        },
    ], "an Allow alone does not stop whom an authorizer lets in"


@pytest.mark.parametrize(("key", "operator"), [("allow_cidrs", "NotIpAddress"), ("deny_cidrs", "IpAddress")])
def test_one_list_of_networks_is_one_denial(key: str, operator: str) -> None:
    _, denial = statements(door(**{key: ["192.0.2.0/24"]}))
    assert denial["Condition"] == {operator: {"aws:SourceIp": ["192.0.2.0/24"]}}


def test_the_policy_is_there_before_the_api_is_deployed() -> None:
    plan = planned("front door for some networks")
    assert urns(plan, "policy") <= plan["unit-deployment"].dependencies, "it would be open until then"


def test_a_private_api_is_reached_through_its_vpc_endpoints_alone() -> None:
    plan = planned("private front door")
    assert plan["unit-api"].inputs["endpointConfiguration"] == {
        "types": "PRIVATE",
        "ipAddressType": "dualstack",
        "vpcEndpointIds": [ENDPOINT],
    }
    allowance, *denials = statements(plan)
    assert allowance["Effect"] == "Allow"
    assert {json.dumps(each["Condition"]) for each in denials} == {
        json.dumps({"StringNotEquals": {"aws:SourceVpce": [ENDPOINT]}}),
        json.dumps({"NotIpAddress": {"aws:VpcSourceIp": ["10.0.0.0/8"]}}),
    }, "behind an endpoint there is no aws:SourceIp"


def test_a_plan_says_what_the_holder_of_a_key_may_ask_for() -> None:
    plan = planned("front door with usage plans")
    stage = plan["unit-stage"]
    gold, trial, partners = (plan[f"unit-plan-{each}"].inputs for each in ("gold", "trial", "partners"))
    for each in (gold, trial, partners):
        assert each["apiStages"] == [
            {"apiId": plan["unit-api"].outputs["id"], "stage": stage.outputs["stageName"]}
        ]
    assert gold["throttleSettings"] == {"rateLimit": 500, "burstLimit": 250}
    assert gold["quotaSettings"] == {"limit": 1_000_000, "period": "MONTH", "offset": 0}
    assert trial["quotaSettings"] == {"limit": 20, "period": "WEEK", "offset": 1}
    assert "throttleSettings" not in trial
    assert partners.keys() == {"apiStages", "name"}


def test_a_plan_is_made_once_the_stage_is_there() -> None:
    plan = planned("front door with usage plans")
    assert urns(plan, "stage") <= plan["unit-plan-gold"].dependencies


def test_each_key_is_in_its_plan() -> None:
    plan = planned("front door with usage plans")
    for name, key in (("gold", "acme"), ("gold", "globex"), ("trial", "guest")):
        assert plan[f"unit-plan-key-{key}"].inputs == {
            "keyId": plan[f"unit-key-{key}"].outputs["id"],
            "keyType": "API_KEY",
            "usagePlanId": plan[f"unit-plan-{name}"].outputs["id"],
        }


def test_plans_and_keys_are_named_after_the_stack_and_their_values_are_aws_s() -> None:
    plan = planned("front door with usage plans")
    assert plan["unit-plan-gold"].inputs["name"] == "sluice-test-unit-gold"
    assert plan["unit-key-acme"].inputs == {
        "description": "Managed by Pulumi",
        "name": "sluice-test-unit-acme",
    }


def test_outputs_tell_the_ids_of_plans_and_keys_and_no_value_of_a_key() -> None:
    plan = planned("front door with usage plans")
    assert plan.result["usage_plan_ids"] == {
        each: plan[f"unit-plan-{each}"].outputs["id"] for each in ("gold", "trial", "partners")
    }
    keys = {each: plan[f"unit-key-{each}"].outputs for each in ("acme", "globex", "guest")}
    assert plan.result["api_key_ids"] == {name: each["id"] for name, each in keys.items()}
    told = json.dumps(plan.result)
    assert not [each for each in keys.values() if each["value"] in told]


def test_a_domain_leads_to_the_stage() -> None:
    plan = planned("front door with a domain and a certificate")
    domain = plan["unit-domain"]
    assert domain.inputs == {
        "domainName": "api.example.com",
        "regionalCertificateArn": CERTIFICATE,
        "endpointConfiguration": {"types": "REGIONAL", "ipAddressType": "dualstack"},
        "securityPolicy": "TLS_1_2",
    }
    assert plan["unit-base-path"].inputs == {
        "restApi": plan["unit-api"].outputs["id"],
        "stageName": plan["unit-stage"].outputs["stageName"],
        "domainName": "api.example.com",
    }
    assert urns(plan, "stage", "domain") <= plan["unit-base-path"].dependencies


def test_a_domain_without_a_zone_gets_no_records_and_its_target_is_told() -> None:
    plan = planned("front door with a domain and a certificate")
    assert not plan.of(RECORD)
    domain = plan["unit-domain"].outputs
    assert plan.result["domain_name"] == "api.example.com"
    assert plan.result["domain_target"] == domain["regionalDomainName"]
    assert plan.result["domain_target_zone_id"] == domain["regionalZoneId"]
    assert plan.result["certificate_arn"] == CERTIFICATE
    assert plan.result["base_url"] == "https://api.example.com"
    assert plan.result["url"] == "https://api.example.com/messages"


def test_a_certificate_is_made_and_validated_in_the_zone() -> None:
    plan = planned("front door with a domain in a zone")
    certificate = plan["unit-certificate"]
    assert (certificate.inputs["domainName"], certificate.inputs["validationMethod"]) == (
        "api.example.com",
        "DNS",
    )
    (asked,) = certificate.outputs["domainValidationOptions"]
    record = plan["unit-validation-record"]
    assert record.inputs == {
        "zoneId": ZONE,
        "name": asked["resourceRecordName"],
        "type": asked["resourceRecordType"],
        "records": [asked["resourceRecordValue"]],
        "ttl": 60,
        "allowOverwrite": True,
    }
    validation = plan["unit-validation"]
    assert validation.inputs == {
        "certificateArn": certificate.outputs["arn"],
        "validationRecordFqdns": [record.outputs["fqdn"]],
    }
    assert validation.urn in plan["unit-domain"].dependencies, "API Gateway refuses a pending certificate"
    assert plan["unit-domain"].inputs["regionalCertificateArn"] == certificate.outputs["arn"]
    assert plan.result["certificate_arn"] == certificate.outputs["arn"]


def test_a_certificate_that_is_given_is_used_also_with_a_zone() -> None:
    plan = door(**{**ZONED, **CERTIFIED})
    assert "unit-certificate" not in plan
    assert plan["unit-domain"].inputs["regionalCertificateArn"] == CERTIFICATE
    assert {each.inputs["type"] for each in plan.of(RECORD)} == {"A", "AAAA"}


def test_the_domain_s_records_lead_to_it_over_both_ip_versions() -> None:
    plan = planned("front door with a domain in a zone")
    domain = plan["unit-domain"].outputs
    for kind in ("A", "AAAA"):
        assert plan[f"unit-alias-{kind.lower()}"].inputs == {
            "zoneId": ZONE,
            "name": "api.example.com",
            "type": kind,
            "aliases": [
                {
                    "name": domain["regionalDomainName"],
                    "zoneId": domain["regionalZoneId"],
                    "evaluateTargetHealth": False,
                }
            ],
        }


def test_a_base_path_is_the_first_segment_of_the_domain_s_urls() -> None:
    plan = planned("front door with a domain in a zone")
    assert plan["unit-base-path"].inputs["basePath"] == "shop"
    assert plan.result["base_url"] == "https://api.example.com/shop"
    assert plan.result["url"] == "https://api.example.com/shop/messages"
    assert plan.result["invoke_url"] == plan["unit-stage"].outputs["invokeUrl"]


def test_mutual_tls_leaves_no_other_way_in() -> None:
    plan = planned("front door with mutual TLS")
    assert plan["unit-domain"].inputs["mutualTlsAuthentication"] == {
        "truststoreUri": "s3://example-trust/clients.pem",
        "truststoreVersion": "3",
    }
    ownership = plan["unit-domain"].inputs["ownershipVerificationCertificateArn"]
    assert ownership == MUTUAL_TLS["ownership_certificate_arn"]
    assert plan["unit-api"].inputs["disableExecuteApiEndpoint"] is True, "which asks for no certificate"


def test_the_execute_api_endpoint_may_be_disabled_without_mutual_tls() -> None:
    api = door(**CERTIFIED, disable_execute_api_endpoint=True)["unit-api"].inputs
    assert api["disableExecuteApiEndpoint"] is True
    open_again = door(**CERTIFIED)["unit-api"].inputs
    assert open_again["disableExecuteApiEndpoint"] is False, "what is left out would stay as it was"


def test_plans_and_domains_are_of_the_stage_in_an_api_that_exists() -> None:
    plan = door(**CERTIFIED, **PLANS, api_id="z9y8x7w6v5", api_name="shop", root_resource_id="abc123def4")
    assert plan["unit-base-path"].inputs["restApi"] == "z9y8x7w6v5"
    assert plan["unit-plan-gold"].inputs["apiStages"][0]["apiId"] == "z9y8x7w6v5"


def test_plans_are_made_one_after_the_other() -> None:
    plan = planned("front door with usage plans")
    assert urns(plan, "plan-gold") <= plan["unit-plan-trial"].dependencies, "AWS takes few changes of plans"


def test_a_key_leaves_its_plan_before_it_gets_into_another() -> None:
    plan = planned("front door with usage plans")
    assert plan["unit-plan-key-acme"].delete_before_replace


def test_one_api_and_one_deployment_are_all_that_the_control_plane_is_asked_for() -> None:
    plan = planned("front door with routes and queues")
    types = [each.type.rpartition(":")[2] for each in plan.children]
    assert (types.count("RestApi"), types.count("Deployment"), types.count("Stage")) == (1, 1, 1)
    assert types.count("Account") <= 1
