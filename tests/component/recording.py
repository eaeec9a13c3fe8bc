"""One recording mock: a program runs in this process, and what it asked the engine for is kept as values."""

import asyncio
import json
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from unittest import mock

import pulumi
import pytest
from google.protobuf import json_format  # type: ignore[import-untyped]
from pulumi.output import Unknown
from pulumi.runtime import mocks, resource, rpc, settings, stack
from pulumi.runtime.proto import source_pb2

from components import InvalidArgsError
from local.program import at_rest

PROJECT, STACK = "sluice", "test"
REGION, ACCOUNT = "eu-central-1", "123456789012"
COMPONENT_PREFIX = "sluice:index:"
STACK_TYPE = "pulumi:pulumi:Stack"

QUEUE = "aws:sqs/queue:Queue"
QUEUE_POLICY = "aws:sqs/queuePolicy:QueuePolicy"
LOG_GROUP = "aws:cloudwatch/logGroup:LogGroup"
ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
TABLE = "aws:dynamodb/table:Table"
FUNCTION = "aws:lambda/function:Function"
ROLE = "aws:iam/role:Role"
ROLE_POLICY = "aws:iam/rolePolicy:RolePolicy"
BUCKET = "aws:s3/bucket:Bucket"
BUCKET_POLICY = "aws:s3/bucketPolicy:BucketPolicy"
IP_SET = "aws:wafv2/ipSet:IpSet"
SNS_TOPIC = "aws:sns/topic:Topic"
SNS_TOPIC_POLICY = "aws:sns/topicPolicy:TopicPolicy"
KMS_KEY = "aws:kms/key:Key"
AUTHORIZER = "aws:apigateway/authorizer:Authorizer"
PERMISSION = "aws:lambda/permission:Permission"
LAYER = "aws:lambda/layerVersion:LayerVersion"
RULE_GROUP = "aws:wafv2/ruleGroup:RuleGroup"
REST_API = "aws:apigateway/restApi:RestApi"
REST_API_POLICY = "aws:apigateway/restApiPolicy:RestApiPolicy"
API_RESOURCE = "aws:apigateway/resource:Resource"
METHOD = "aws:apigateway/method:Method"
MODEL = "aws:apigateway/model:Model"
VALIDATOR = "aws:apigateway/requestValidator:RequestValidator"
INTEGRATION = "aws:apigateway/integration:Integration"
INTEGRATION_RESPONSE = "aws:apigateway/integrationResponse:IntegrationResponse"
METHOD_RESPONSE = "aws:apigateway/methodResponse:MethodResponse"
GATEWAY_RESPONSE = "aws:apigateway/response:Response"
METHOD_SETTINGS = "aws:apigateway/methodSettings:MethodSettings"
RECORD = "aws:route53/record:Record"
STATE_MACHINE = "aws:sfn/stateMachine:StateMachine"
POLICY = "aws:iam/policy:Policy"
FUNCTION_URL = "aws:lambda/functionUrl:FunctionUrl"

Values = dict[str, Any]


def arn(service: str, rest: str) -> str:
    """Return an ARN in the account and Region of the tests."""
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{rest}"


def physical(name: str) -> str:
    """Return what a resource is called in AWS, as Pulumi's auto-naming would."""
    return f"{name}-1a2b3c4"


def identifier(name: str) -> str:
    """Return an identifier as WAF gives one to whatever has this name."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


def _state_machine(name: str, _inputs: Values) -> Values:
    machine = arn("states", f"stateMachine:{name}")
    return {"id": machine, "name": name, "arn": machine}


def _policy(name: str, _inputs: Values) -> Values:
    policy = f"arn:aws:iam::{ACCOUNT}:policy/{name}"
    return {"id": policy, "name": name, "arn": policy}


def _function_url(name: str, _inputs: Values) -> Values:
    url = f"https://{identifier(name)[:8]}.lambda-url.{REGION}.on.aws/"
    return {"id": name, "functionUrl": url, "urlId": identifier(name)[:8]}


def _queue(name: str, inputs: Values) -> Values:
    name = f"{name}.fifo" if inputs.get("fifoQueue") else name
    url = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{name}"
    return {"id": url, "url": url, "name": name, "arn": arn("sqs", name)}


def _role(name: str, _inputs: Values) -> Values:
    return {"name": name, "arn": f"arn:aws:iam::{ACCOUNT}:role/{name}", "uniqueId": "AROAEXAMPLE"}


def _log_group(name: str, _inputs: Values) -> Values:
    return {"name": name, "arn": arn("logs", f"log-group:{name}")}


def _function(name: str, _inputs: Values) -> Values:
    return {"name": name, "arn": arn("lambda", f"function:{name}")}


def _layer(_name: str, inputs: Values) -> Values:
    layer = arn("lambda", f"layer:{inputs['layerName']}")
    return {"id": f"{layer}:1", "arn": f"{layer}:1", "layerArn": layer, "version": "1"}


def _mapping(_name: str, _inputs: Values) -> Values:
    return {"id": "3f2d6c1e", "uuid": "3f2d6c1e", "arn": arn("lambda", "event-source-mapping:3f2d6c1e")}


def _table(name: str, inputs: Values) -> Values:
    table = arn("dynamodb", f"table/{name}")
    stream = {"streamArn": f"{table}/stream/2025-01-01T00:00:00.000"} if inputs.get("streamEnabled") else {}
    return {"id": name, "name": name, "arn": table, **stream}


def _bucket(name: str, _inputs: Values) -> Values:
    return {"id": name, "bucket": name, "arn": f"arn:aws:s3:::{name}"}


def _ip_set(name: str, _inputs: Values) -> Values:
    number = identifier(name)
    return {"id": number, "name": name, "arn": arn("wafv2", f"regional/ipset/{name}/{number}")}


def _rule_group(name: str, _inputs: Values) -> Values:
    number = identifier(name)
    return {"id": number, "name": name, "arn": arn("wafv2", f"regional/rulegroup/{name}/{number}")}


def _web_acl(name: str, _inputs: Values) -> Values:
    number = identifier(name)
    return {"id": number, "name": name, "arn": arn("wafv2", f"regional/webacl/{name}/{number}")}


def _event_rule(name: str, _inputs: Values) -> Values:
    return {"id": name, "name": name, "arn": arn("events", f"rule/{name}")}


def _named_log_group(name: str, inputs: Values) -> Values:
    return _log_group(inputs.get("name", name), inputs)


def _rest_api(name: str, _inputs: Values) -> Values:
    return {
        "id": "a1b2c3d4e5",
        "name": name,
        "arn": f"arn:aws:apigateway:{REGION}::/restapis/a1b2c3d4e5",
        "executionArn": arn("execute-api", "a1b2c3d4e5"),
        "rootResourceId": "root000000",
    }


def _authorizer(_name: str, _inputs: Values) -> Values:
    return {"id": "auth01", "arn": f"arn:aws:apigateway:{REGION}::/restapis/a1b2c3d4e5/authorizers/auth01"}


def _stage(_name: str, inputs: Values) -> Values:
    api, stage_name = inputs["restApi"], inputs["stageName"]
    return {
        "id": f"ags-{api}-{stage_name}",
        "arn": f"arn:aws:apigateway:{REGION}::/restapis/{api}/stages/{stage_name}",
        "executionArn": arn("execute-api", f"{api}/{stage_name}"),
        "invokeUrl": f"https://{api}.execute-api.{REGION}.amazonaws.com/{stage_name}",
    }


def _alarm(name: str, _inputs: Values) -> Values:
    return {"id": name, "name": name, "arn": arn("cloudwatch", f"alarm:{name}")}


def _topic(name: str, _inputs: Values) -> Values:
    return {"id": arn("sns", name), "name": name, "arn": arn("sns", name)}


def _key(name: str, _inputs: Values) -> Values:
    number = identifier(name)
    return {"id": number, "keyId": number, "arn": arn("kms", f"key/{number}")}


def _usage_plan(name: str, inputs: Values) -> Values:
    return {"id": identifier(name)[:6], "arn": arn("apigateway", f"/usageplans/{inputs['name']}")}


def _api_key(name: str, inputs: Values) -> Values:
    key = identifier(name)[:10]
    return {"id": key, "arn": arn("apigateway", f"/apikeys/{inputs['name']}"), "value": f"value-of-{key}"}


def _domain(_name: str, inputs: Values) -> Values:
    called = inputs["domainName"]
    return {
        "id": called,
        "arn": f"arn:aws:apigateway:{REGION}::/domainnames/{called}",
        "regionalDomainName": f"d-1a2b3c4d5e.execute-api.{REGION}.amazonaws.com",
        "regionalZoneId": "Z1U9ULNL0V5AJ3",
    }


def _certificate(name: str, inputs: Values) -> Values:
    certificate = arn("acm", f"certificate/{identifier(name)}")
    asked = {
        "domainName": inputs["domainName"],
        "resourceRecordName": f"_6a7b8c.{inputs['domainName']}.",
        "resourceRecordType": "CNAME",
        "resourceRecordValue": "_9d0e1f.acm-validations.aws.",
    }
    return {"id": certificate, "arn": certificate, "domainValidationOptions": [asked]}


def _validation(_name: str, inputs: Values) -> Values:
    return {"id": "2026-01-01 00:00:00 +0000 UTC", "certificateArn": inputs["certificateArn"]}


def _record(_name: str, inputs: Values) -> Values:
    called = inputs["name"].removesuffix(".")
    return {"id": f"{inputs['zoneId']}_{called}_{inputs['type']}", "fqdn": called}


def _dashboard(_name: str, inputs: Values) -> Values:
    shown = inputs["dashboardName"]
    return {"id": shown, "dashboardArn": f"arn:aws:cloudwatch::{ACCOUNT}:dashboard/{shown}"}


def _just_an_id(_name: str, _inputs: Values) -> Values:
    return {}


OUTPUTS: Mapping[str, Callable[[str, Values], Values]] = {
    QUEUE: _queue,
    QUEUE_POLICY: _just_an_id,
    "aws:sqs/redriveAllowPolicy:RedriveAllowPolicy": _just_an_id,
    ROLE: _role,
    ROLE_POLICY: _just_an_id,
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": _just_an_id,
    LOG_GROUP: _named_log_group,
    ALARM: _alarm,
    "aws:cloudwatch/dashboard:Dashboard": _dashboard,
    FUNCTION: _function,
    LAYER: _layer,
    "aws:lambda/eventSourceMapping:EventSourceMapping": _mapping,
    PERMISSION: _just_an_id,
    TABLE: _table,
    REST_API: _rest_api,
    AUTHORIZER: _authorizer,
    API_RESOURCE: _just_an_id,
    METHOD: _just_an_id,
    INTEGRATION: _just_an_id,
    METHOD_RESPONSE: _just_an_id,
    INTEGRATION_RESPONSE: _just_an_id,
    GATEWAY_RESPONSE: _just_an_id,
    "aws:apigateway/deployment:Deployment": _just_an_id,
    "aws:apigateway/stage:Stage": _stage,
    METHOD_SETTINGS: _just_an_id,
    "aws:apigateway/account:Account": _just_an_id,
    VALIDATOR: _just_an_id,
    MODEL: _just_an_id,
    REST_API_POLICY: _just_an_id,
    "aws:apigateway/usagePlan:UsagePlan": _usage_plan,
    "aws:apigateway/apiKey:ApiKey": _api_key,
    "aws:apigateway/usagePlanKey:UsagePlanKey": _just_an_id,
    "aws:apigateway/domainName:DomainName": _domain,
    "aws:apigateway/basePathMapping:BasePathMapping": _just_an_id,
    "aws:acm/certificate:Certificate": _certificate,
    "aws:acm/certificateValidation:CertificateValidation": _validation,
    RECORD: _record,
    "aws:cloudwatch/logMetricFilter:LogMetricFilter": _just_an_id,
    SNS_TOPIC: _topic,
    SNS_TOPIC_POLICY: _just_an_id,
    "aws:sns/topicSubscription:TopicSubscription": _just_an_id,
    KMS_KEY: _key,
    BUCKET: _bucket,
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": _just_an_id,
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": _just_an_id,
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": _just_an_id,
    BUCKET_POLICY: _just_an_id,
    IP_SET: _ip_set,
    RULE_GROUP: _rule_group,
    "aws:wafv2/webAcl:WebAcl": _web_acl,
    "aws:wafv2/webAclAssociation:WebAclAssociation": _just_an_id,
    "aws:wafv2/webAclLoggingConfiguration:WebAclLoggingConfiguration": _just_an_id,
    "aws:cloudwatch/logResourcePolicy:LogResourcePolicy": _just_an_id,
    "aws:cloudwatch/logSubscriptionFilter:LogSubscriptionFilter": _just_an_id,
    "aws:cloudwatch/eventRule:EventRule": _event_rule,
    "aws:cloudwatch/eventTarget:EventTarget": _just_an_id,
    "aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig": _just_an_id,
    STATE_MACHINE: _state_machine,
    POLICY: _policy,
    FUNCTION_URL: _function_url,
    "pulumi:providers:aws": _just_an_id,
}
"""What AWS adds to the inputs of a resource, by its type; a type that is not here is an error."""

CALLS: Mapping[str, Values] = {
    "aws:index/getPartition:getPartition": {"id": "aws", "partition": "aws", "dnsSuffix": "amazonaws.com"},
    "aws:index/getCallerIdentity:getCallerIdentity": {
        "id": ACCOUNT, "accountId": ACCOUNT, "userId": "AIDAEXAMPLE", "arn": f"arn:aws:iam::{ACCOUNT}:user/u",
    },
    "aws:index/getRegion:getRegion": {"id": REGION, "region": REGION, "name": REGION},
}  # fmt: skip
"""What the provider's functions answer."""


@dataclass(frozen=True)
class Registration:
    """One resource as the program asked for it, and what came back."""

    type: str
    name: str
    urn: str
    parent: str
    inputs: Values
    outputs: Values
    dependencies: frozenset[str]
    """URNs, of ``depends_on`` and of the inputs together."""
    ignore_changes: tuple[str, ...]
    retain_on_delete: bool
    delete_before_replace: bool
    replace_on_changes: tuple[str, ...]
    aliases: tuple[str, ...]
    """The names that it had before."""
    provider: str
    """The URN and id of the provider that was chosen for it; empty for the default one."""
    secrets: frozenset[str]
    """Where in the inputs a value is marked secret: keys with dots between."""
    plain: str
    """The inputs as JSON, less every value that is marked secret."""


@dataclass(frozen=True)
class Plan:
    """All that a program asked for."""

    registrations: tuple[Registration, ...]
    registered_outputs: Mapping[str, Values]
    """What each component passed to ``register_outputs``, by its URN."""
    result: Any
    """What the program returned, with every Output resolved."""
    exports: Values
    """What the program exported."""
    asked: Mapping[str, str]
    """The provider, as a registration names it, of each of the provider's functions that was called."""

    def __getitem__(self, name: str) -> Registration:
        """Return the resource of that name."""
        (found,) = (each for each in self.registrations if each.name == name)
        return found

    def __contains__(self, name: object) -> bool:
        return any(each.name == name for each in self.registrations)

    @property
    def children(self) -> list[Registration]:
        """Every resource that is no component."""
        return [each for each in self.registrations if not each.type.startswith(COMPONENT_PREFIX)]

    @property
    def components(self) -> list[Registration]:
        """The components."""
        return [each for each in self.registrations if each.type.startswith(COMPONENT_PREFIX)]

    def of(self, type_: str) -> list[Registration]:
        """Return the resources of one type."""
        return [each for each in self.registrations if each.type == type_]

    def showing(self, secret: str) -> list[str]:
        """Return what tells a secret to whoever reads the state: resources by name, and components."""
        told = {each.name: each.plain for each in self.registrations}
        told |= {urn: json.dumps(outputs, default=str) for urn, outputs in self.registered_outputs.items()}
        return [name for name, text in told.items() if secret in text]

    def statements(self, *types: str) -> Iterator[tuple[str, Values]]:
        """Yield each statement of the policies of these types, with the name of the resource it is in."""
        for each in self.registrations:
            document = each.inputs.get("policy", each.inputs.get("assumeRolePolicy"))
            if each.type in types and document:
                yield from ((each.name, statement) for statement in json.loads(document)["Statement"])


class Account(mocks.Mocks):
    """Gives resources what AWS would give them."""

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, Values]:
        """Return a resource's id and outputs."""
        if not args.custom:
            return "", {}
        name = physical(args.name)
        outputs = {**args.inputs, **OUTPUTS[args.typ](name, args.inputs)}
        return outputs.get("id", name), outputs

    def call(self, args: mocks.MockCallArgs) -> tuple[Values, list[tuple[str, str]] | None]:
        """Answer one of the provider's functions."""
        return CALLS[args.token], []


@dataclass
class Recorder(mocks.MockMonitor):
    """Keeps the requests themselves, since mocks do not see a resource's options."""

    registrations: list[Registration] = field(default_factory=list)
    registered_outputs: dict[str, Values] = field(default_factory=dict)
    asked: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__(Account())

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the protocol's name
        """Keep a resource."""
        response = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        if request.type != STACK_TYPE:
            sent = json_format.MessageToDict(request.object)
            self.registrations.append(
                Registration(
                    type=request.type,
                    name=request.name,
                    urn=response.urn,
                    parent=request.parent,
                    inputs=_values(request.object),
                    outputs={"id": response.id, **rpc.deserialize_properties(response.object)},
                    dependencies=frozenset(request.dependencies),
                    ignore_changes=tuple(request.ignoreChanges),
                    retain_on_delete=request.retainOnDelete,
                    delete_before_replace=request.deleteBeforeReplace,
                    replace_on_changes=tuple(request.replaceOnChanges),
                    aliases=tuple(each.spec.name for each in request.aliases),
                    provider=request.provider,
                    secrets=frozenset(secrets_in(sent)),
                    plain=json.dumps(without_secrets(sent)),
                )
            )
        return response

    def Invoke(self, request: Any) -> Any:  # noqa: N802 - the protocol's name
        """Keep whom a function of a provider was asked of."""
        self.asked[request.tok] = request.provider
        return super().Invoke(request)  # type: ignore[no-untyped-call]

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802 - the protocol's name
        """Keep what a component exports."""
        self.registered_outputs[request.urn] = rpc.deserialize_properties(request.outputs)
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call]


def _values(message: Any) -> Values:
    """Return a request's values, of those that hold a secret what they hold."""
    found = rpc.deserialize_properties(message)
    return {key: rpc.unwrap_rpc_secret(value) for key, value in found.items()}


def secrets_in(value: object, path: str = "") -> Iterator[str]:
    """Yield where a request's inputs hold a value that is marked secret."""
    if rpc.is_rpc_secret(value):
        yield path
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from secrets_in(item, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list):
        for item in value:
            yield from secrets_in(item, path)


def without_secrets(value: object) -> object:
    """Return a request's inputs without what is marked secret."""
    if rpc.is_rpc_secret(value):
        return "(secret)"
    if isinstance(value, dict):
        return {key: without_secrets(item) for key, item in value.items()}
    return [without_secrets(item) for item in value] if isinstance(value, list) else value


def plan_of(
    program: Callable[[], object],
    stack_name: str = STACK,
    config: Mapping[str, str] | None = None,
    secret_keys: Collection[str] = (),
    *,
    preview: bool = False,
) -> Plan:
    """Run a program and return all that it asked for, once nothing is under way any more.

    In a preview, what is made of an `unknown` output is unknown too.
    """
    # The mock monitor would make an event loop for each of its threads and never close one.
    with closing(asyncio.new_event_loop()) as lent:
        monitors_thread = ThreadPoolExecutor(1, initializer=partial(asyncio.set_event_loop, lent))
        begin = partial(mocks.set_mocks, Account(), PROJECT, stack_name, preview)
        run = _plan_of(program, begin, dict(config or {}), list(secret_keys), monitors_thread)
        return asyncio.run(run)


async def _plan_of(
    program: Callable[[], object],
    begin: Callable[..., None],
    config: dict[str, str],
    secret_keys: list[str],
    monitors_thread: ThreadPoolExecutor,
) -> Plan:
    asyncio.get_running_loop().set_default_executor(monitors_thread)
    recorder = Recorder()
    results: list[object] = []
    settings.SETTINGS.outputs.clear()
    settings.set_root_resource(None)  # type: ignore[arg-type]
    begin(monitor=recorder)
    pulumi.runtime.set_all_config(config, secret_keys)

    async def run() -> None:
        results.append(program())
        await at_rest()

    try:
        with mock.patch.object(resource, "_get_stack_trace", source_pb2.StackTrace):
            await stack.run_pulumi_func(run)
        root = settings.get_root_resource()
        exports = root.outputs if isinstance(root, stack.Stack) else {}
        return Plan(
            registrations=tuple(recorder.registrations),
            registered_outputs=recorder.registered_outputs,
            result=await pulumi.Output.from_input(results[0]).future(),
            exports={key: await pulumi.Output.from_input(each).future() for key, each in exports.items()},
            asked=recorder.asked,
        )
    finally:
        settings.set_root_resource(None)  # type: ignore[arg-type]
        pulumi.runtime.set_all_config({})


def unknown() -> pulumi.Output[Any]:
    """Return an output of a resource that is yet to be made, as a preview has it."""
    return pulumi.Output.from_input(Unknown())  # type: ignore[no-untyped-call]


def is_unknown(value: object) -> bool:
    """Whether a plan's value is one that a preview cannot know."""
    return isinstance(value, Unknown)


def component_plan(
    component: Callable[..., pulumi.ComponentResource], args: Mapping[str, object], name: str = "unit"
) -> Plan:
    """Return the plan of one component alone; its result is what the component's class says it exports."""

    def program() -> Values:
        made = component(name, args)
        return {key: getattr(made, key) for key in type(made).__annotations__}

    return plan_of(program)


def refused_plan(
    component: Callable[..., pulumi.ComponentResource], args: Mapping[str, object]
) -> tuple[InvalidArgsError, Plan]:
    """Return a component's refusal of its arguments, and what was asked for all the same."""
    refusals: list[InvalidArgsError] = []

    def program() -> None:
        with pytest.raises(InvalidArgsError) as refusal:
            component("unit", args)
        refusals.append(refusal.value)

    plan = plan_of(program)
    return refusals[0], plan
