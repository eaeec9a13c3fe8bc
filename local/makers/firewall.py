"""Makers for AWS WAF; the edge does what is made here."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from local import firewalls, waf

from .compute import LocalSetupError
from .registry import Inputs, Outputs, Workshop, auto_name, makes
from .shapes import api_shape

if TYPE_CHECKING:
    from mypy_boto3_wafv2.type_defs import CustomResponseBodyTypeDef

NAMES = {
    "arn": "ARN",
    "cloudwatchMetricsEnabled": "CloudWatchMetricsEnabled",
    "ipSetReferenceStatement": "IPSetReferenceStatement",
    "ipSetForwardedIpConfig": "IPSetForwardedIPConfig",
    "forwardedIpConfig": "ForwardedIPConfig",
}
LOG_PREFIX = "aws-waf-logs-"
LONGEST_SEARCH = 200
HEADER_NAME = re.compile(r"[0-9a-z_-]+")


@makes("aws:wafv2/ipSet:IpSet")
def ip_set(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Make an IP set."""
    physical: str = inputs.get("name") or auto_name(name)
    made = workshop.aws.client("wafv2").create_ip_set(
        Name=physical,
        Scope=inputs["scope"],
        IPAddressVersion=inputs["ipAddressVersion"],
        Addresses=inputs.get("addresses", []),
        **inputs.pick(Description="description"),
    )["Summary"]
    return made["Id"], {"name": physical, "arn": made["ARN"], "lockToken": made["LockToken"]}


@makes("aws:wafv2/webAcl:WebAcl")
def web_acl(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Make a web ACL, if the edge can do what it says."""
    physical: str = inputs.get("name") or auto_name(name)
    described: dict[str, Any] = {
        "DefaultAction": api_shape(inputs["defaultAction"], NAMES),
        "Rules": rules(inputs.get("rules", [])),
        "CustomResponseBodies": bodies(inputs),
    }
    _check_rules(workshop, described)
    made = workshop.aws.client("wafv2").create_web_acl(
        Name=physical,
        Scope=inputs["scope"],
        VisibilityConfig=api_shape(inputs["visibilityConfig"], NAMES),
        **described,
        **inputs.pick(Description="description"),
    )["Summary"]
    return made["Id"], {"name": physical, "arn": made["ARN"], "lockToken": made["LockToken"]}


@makes("aws:wafv2/ruleGroup:RuleGroup")
def rule_group(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Make a group of rules, if the edge can do what they say."""
    physical: str = inputs.get("name") or auto_name(name)
    described: dict[str, Any] = {
        "Rules": rules(inputs.get("rules", [])),
        "CustomResponseBodies": bodies(inputs),
    }
    _check_rules(workshop, {"DefaultAction": {"Allow": {}}, **described})
    if (needed := waf.capacity(described["Rules"])) > inputs["capacity"]:
        raise LocalSetupError(
            f"the rules need {needed} capacity units, and the group has {inputs['capacity']}"
        )
    made = workshop.aws.client("wafv2").create_rule_group(
        Name=physical,
        Scope=inputs["scope"],
        Capacity=inputs["capacity"],
        VisibilityConfig=api_shape(inputs["visibilityConfig"], NAMES),
        **described,
        **inputs.pick(Description="description"),
    )["Summary"]
    return made["Id"], {"name": physical, "arn": made["ARN"], "lockToken": made["LockToken"]}


@makes("aws:wafv2/webAclAssociation:WebAclAssociation")
def web_acl_association(workshop: Workshop, _name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Put a web ACL in front of a stage that exists."""
    stage: str = inputs["resourceArn"]
    gateway = workshop.aws.client("apigateway")
    try:
        _, _, api, _, stage_name = stage.rpartition(":")[2].split("/")
        gateway.get_stage(restApiId=api, stageName=stage_name)
    except (ValueError, gateway.exceptions.NotFoundException) as error:
        raise LocalSetupError(f"AWS WAF finds no stage of an API under {stage}") from error
    acl: str = inputs["webAclArn"]
    workshop.aws.client("wafv2").associate_web_acl(WebACLArn=acl, ResourceArn=stage)
    return f"{acl},{stage}", {}


@makes("aws:wafv2/webAclLoggingConfiguration:WebAclLoggingConfiguration")
def web_acl_logging_configuration(workshop: Workshop, _name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Check where a web ACL logs to; the emulator has no such log."""
    inputs.only_on_aws("redactedFields", "loggingFilter")
    acl: str = inputs["resourceArn"]
    name, uid = acl.split("/")[-2:]
    workshop.aws.client("wafv2").get_web_acl(Name=name, Scope=firewalls.SCOPE, Id=uid)
    if len(inputs["logDestinationConfigs"]) != 1:
        raise LocalSetupError("a web ACL logs to exactly one destination")
    destination: str = inputs["logDestinationConfigs"][0]
    _check_destination(workshop, destination)
    return acl, {}


def _check_destination(workshop: Workshop, arn: str) -> None:
    """Refuse a log group that AWS WAF cannot write to."""
    group = arn.partition(":log-group:")[2].removesuffix(":*")
    if not group.startswith(LOG_PREFIX):
        raise LocalSetupError(
            f"the ARN isn't valid: a log group's name has to begin with {LOG_PREFIX}, and {arn} is none such"
        )
    found = workshop.aws.client("logs").describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    if group not in {each["logGroupName"] for each in found}:
        raise LocalSetupError(f"AWS WAF finds no log group {group}")


def rules(given: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rules as AWS WAF's API wants them."""
    shaped: list[dict[str, Any]] = [_one_negated(each) for each in api_shape(given, NAMES)]
    return shaped


def _one_negated(value: Any) -> Any:  # noqa: ANN401 - any structure
    """Return a structure in which every negation holds one statement, not the provider's list of one."""
    if isinstance(value, list):
        return [_one_negated(each) for each in value]
    if not isinstance(value, dict):
        return value
    inner = {key: _one_negated(each) for key, each in value.items()}
    negated = inner.get("NotStatement", {})
    if "Statements" in negated:
        if len(negated["Statements"]) != 1:
            raise LocalSetupError("a negation holds exactly one statement")
        inner["NotStatement"] = {"Statement": negated["Statements"][0]}
    return inner


def bodies(inputs: Inputs) -> "dict[str, CustomResponseBodyTypeDef]":
    """Return the bodies of custom responses by their keys."""
    return {
        each["key"]: {"Content": each["content"], "ContentType": each["contentType"]}
        for each in inputs.get("customResponseBodies", [])
    }


def _check_byte_match(statement: Mapping[str, Any]) -> None:
    """Refuse what the provider or AWS WAF would refuse."""
    if len(statement["SearchString"].encode()) > LONGEST_SEARCH:
        raise LocalSetupError(f"AWS WAF searches for at most {LONGEST_SEARCH} bytes")
    header = statement["FieldToMatch"].get("SingleHeader")
    if header and not HEADER_NAME.fullmatch(header["Name"]):
        raise LocalSetupError(f"the provider takes a header's name in lower case only, not {header['Name']}")


def _check_rules(workshop: Workshop, described: Mapping[str, Any]) -> None:
    """Refuse rules that the edge could not carry out, or that refer to what AWS WAF would not find."""
    reader = firewalls.Firewalls(workshop.aws)
    try:
        groups = {arn: reader.group(arn) for arn in waf.references(waf.GROUP, described)}
        for arn in waf.references(waf.IP_SET, described):
            reader.ip_set(arn)
        waf.parse({"ARN": "", **described}, groups, {})
        for each in waf.statements("ByteMatchStatement", described):
            _check_byte_match(each)
    except ClientError as error:
        raise LocalSetupError(f"AWS WAF does not find what the rules refer to: {error}") from error
    except KeyError as error:
        raise LocalSetupError(f"the rules lack {error}") from error
    except waf.UnsupportedError as error:
        raise LocalSetupError(f"the local AWS cannot carry out these rules: {error}") from error
