"""A REST API: everything that its stage answers with, and the deployment of that."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from . import api_definition
from .answers import GatewayAnswer
from .api_definition import ANSWER_HEADER, Definition, IntegrationAnswer, Kind, Method
from .guard import Guard
from .json_schema import DRAFT
from .resource_policy import Access
from .routes import JSON, place

Wiring = dict[str, pulumi.Input[Any]]


@dataclass(frozen=True)
class Backend:
    """Where messages go: queues, and the role that puts them there once its policy is attached."""

    queue_arns: Mapping[str | None, pulumi.Output[str]]
    """By what routes call them; the first is the default."""
    role_arn: pulumi.Output[str]
    policy: pulumi.Resource

    def uri(self, queue: str | None) -> pulumi.Output[str]:
        """Return the integration URI of a queue."""
        arn = self.queue_arns[queue or next(iter(self.queue_arns))]
        return arn.apply(api_definition.sqs_uri)


@dataclass(frozen=True)
class Api:
    """A REST API that methods are put into: ours, or somebody else's."""

    id: pulumi.Output[str]
    name: pulumi.Output[str]
    root_resource_id: pulumi.Output[str]
    arn: pulumi.Output[str]
    execution_arn: pulumi.Output[str]
    ours: bool


@dataclass(frozen=True)
class Entry:
    """How an API of ours is reached."""

    endpoints: Sequence[str]
    """VPC endpoints; none for an API that is public."""
    disabled: bool
    """Whether AWS's own name for it leads nowhere, so that only a domain does."""


@dataclass(frozen=True)
class Served:
    """What an API came to."""

    deployment: aws.apigateway.Deployment
    authorizer: aws.apigateway.Authorizer | None
    resource_ids: Mapping[str, pulumi.Output[str]]
    """By path; the empty one is where the paths begin."""


@dataclass(frozen=True)
class RestApi:
    """Makes the resources of one API, all of them children of one component."""

    name: str
    definition: Definition
    backend: Backend
    guard: Guard | None
    access: Access | None
    entry: Entry
    keys: bool
    """Whether callers need an API key."""
    redeploy: str
    """Whatever makes one more deployment when it changes."""
    parent: pulumi.Resource

    def create_api(self) -> Api:
        """Make the API itself, the child ``<name>-api``."""
        entry = self.entry
        private = list(entry.endpoints)
        api = aws.apigateway.RestApi(
            f"{self.name}-api",
            endpoint_configuration={
                "types": "PRIVATE" if private else "REGIONAL",
                # REGIONAL is IPv4 alone unless told otherwise.
                "ip_address_type": "dualstack",
                "vpc_endpoint_ids": private or None,
            },
            # Said in any case: what is not said stays as it is.
            disable_execute_api_endpoint=entry.disabled,
            opts=self._opts(),
        )
        return Api(api.id, api.name, api.root_resource_id, api.arn, api.execution_arn, ours=True)

    def create(self, api: Api) -> "Served":
        """Make what the API answers with, and the deployment that takes a picture of it.

        The children are ``<name>-path-<path>``, ``<name>-validator``, for each method
        ``<name>-method-<method>``, ``<name>-model-<method>``, ``<name>-integration-<method>``,
        ``<name>-<answer>-<method>`` and ``<name>-<answer>-response-<method>``, ``<name>-<type>`` for each
        gateway response, ``<name>-policy``, ``<name>-authorizer``, ``<name>-authorizer-permission`` and
        ``<name>-deployment``.
        """
        captured: list[pulumi.Resource] = []
        authorizer = self.guard.create(self.name, api.id, self._opts()) if self.guard else None
        if authorizer and self.guard and self.guard.function_arn is not None:
            captured.append(self._create_permission(api, authorizer, self.guard.function_arn))
        paths = self._create_paths(api)
        validator = self._create_validator(api)
        for method in self.definition.methods:
            captured += self._create_method(api, method, paths[method.path], authorizer, validator)
        if api.ours:
            captured += [self._create_gateway_answer(each, api) for each in self.definition.gateway_answers]
        if self.access:
            captured.append(self._create_policy(api, self.access))
        return Served(self._create_deployment(api, captured), authorizer, paths)

    def _opts(self, *waits_for: pulumi.Resource) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self.parent, depends_on=list(waits_for))

    def _create_paths(self, api: Api) -> dict[str, pulumi.Output[str]]:
        """Make the resources of the paths, one in the other, and return their ids by path."""
        ids = {"": api.root_resource_id}
        for path in self.definition.paths:
            parent, _, segment = path.rpartition("/")
            ids[path] = aws.apigateway.Resource(
                f"{self.name}-path-{place(path)}",
                rest_api=api.id,
                parent_id=ids[parent],
                path_part=segment,
                opts=self._opts(),
            ).id
        return ids

    def _create_validator(self, api: Api) -> aws.apigateway.RequestValidator | None:
        if not any(each.validated for each in self.definition.methods):
            return None
        return aws.apigateway.RequestValidator(
            f"{self.name}-validator",
            rest_api=api.id,
            validate_request_body=True,
            validate_request_parameters=True,
            opts=self._opts(),
        )

    def _create_method(
        self,
        api: Api,
        method: Method,
        resource_id: pulumi.Output[str],
        authorizer: aws.apigateway.Authorizer | None,
        validator: aws.apigateway.RequestValidator | None,
    ) -> list[pulumi.Resource]:
        """Make everything that one method answers with, and return it: a deployment waits for it."""
        guard = self.guard if method.guarded else None
        model = self._create_model(api, method)
        made = aws.apigateway.Method(
            f"{self.name}-method-{method.name}",
            rest_api=api.id,
            resource_id=resource_id,
            http_method=method.verb,
            authorization=guard.authorization if guard else "NONE",
            authorizer_id=authorizer.id if authorizer and guard else None,
            authorization_scopes=list(guard.scopes) or None if guard else None,
            api_key_required=(self.keys and method.guarded) or None,
            request_parameters=dict(method.parameters) or None,
            # For all types: one that is spelled in another way must not get past it.
            request_models={"$default": model.name} if model else None,
            request_validator_id=validator.id if validator and method.validated else None,
            opts=self._opts(),
        )
        integration = self._create_integration(method, made)
        responses = [
            each for answer in method.answers for each in self._create_answer(method, answer, integration)
        ]
        return [*([model] if model else []), made, integration, *responses]

    def _create_model(self, api: Api, method: Method) -> aws.apigateway.Model | None:
        if method.schema is None:
            return None
        return aws.apigateway.Model(
            f"{self.name}-model-{method.name}",
            rest_api=api.id,
            name=method.model(self.name),
            content_type=JSON,
            schema=json.dumps({"$schema": DRAFT, **method.schema}, sort_keys=True),
            opts=self._opts(),
        )

    def _create_integration(self, method: Method, made: aws.apigateway.Method) -> aws.apigateway.Integration:
        asked = method.integration
        queued = asked.kind is Kind.SQS
        return aws.apigateway.Integration(
            f"{self.name}-integration-{method.name}",
            rest_api=made.rest_api,
            resource_id=made.resource_id,
            http_method=made.http_method,
            type=asked.kind.value,
            integration_http_method={Kind.SQS: "POST", Kind.HTTP: method.verb, Kind.NOTHING: None}[
                asked.kind
            ],
            uri=self.backend.uri(asked.queue) if queued else asked.uri,
            credentials=self.backend.role_arn if queued else None,
            passthrough_behavior="NEVER",
            request_templates=dict(asked.templates),
            request_parameters=dict(asked.parameters) or None,
            cache_key_parameters=list(asked.cache_keys) or None,
            timeout_milliseconds=asked.timeout_ms,
            opts=self._opts(*([self.backend.policy] if queued else [])),
        )

    def _create_answer(
        self, method: Method, answer: IntegrationAnswer, integration: aws.apigateway.Integration
    ) -> list[pulumi.Resource]:
        where: dict[str, Any] = {
            "rest_api": integration.rest_api,
            "resource_id": integration.resource_id,
            "http_method": integration.http_method,
            "status_code": str(int(answer.status)),
        }
        # An answer of another status is another one, and two may not have the same pattern.
        changed = pulumi.ResourceOptions(
            parent=self.parent, replace_on_changes=["statusCode"], delete_before_replace=True
        )
        declared = [*answer.headers, *(f"{ANSWER_HEADER}{each}" for each in answer.may_override)]
        method_response = aws.apigateway.MethodResponse(
            f"{self.name}-{answer.name}-response-{method.name}",
            **where,
            response_parameters=dict.fromkeys(declared, False) or None,
            opts=changed,
        )
        integration_response = aws.apigateway.IntegrationResponse(
            f"{self.name}-{answer.name}-{method.name}",
            **where,
            selection_pattern=answer.selection_pattern,
            response_templates=None if answer.template is None else {JSON: answer.template},
            response_parameters=dict(answer.headers) or None,
            opts=pulumi.ResourceOptions.merge(changed, self._opts(method_response, integration)),
        )
        return [method_response, integration_response]

    def _create_gateway_answer(self, answer: GatewayAnswer, api: Api) -> aws.apigateway.Response:
        return aws.apigateway.Response(
            f"{self.name}-{answer.response_type.lower().replace('_', '-')}",
            rest_api_id=api.id,
            response_type=answer.response_type,
            status_code=str(answer.status) if answer.status else None,
            response_templates={JSON: answer.template},
            response_parameters=dict(answer.headers) or None,
            opts=self._opts(),
        )

    def _create_policy(self, api: Api, access: Access) -> aws.apigateway.RestApiPolicy:
        return aws.apigateway.RestApiPolicy(
            f"{self.name}-policy",
            rest_api_id=api.id,
            policy=self._policy(api, access),
            opts=self._opts(),
        )

    def _policy(self, api: Api, access: Access) -> pulumi.Output[str]:
        return access.policy(api.execution_arn, self.definition.unguarded)

    def _create_permission(
        self, api: Api, authorizer: aws.apigateway.Authorizer, function_arn: pulumi.Input[str]
    ) -> aws.lambda_.Permission:
        return aws.lambda_.Permission(
            f"{self.name}-authorizer-permission",
            action="lambda:InvokeFunction",
            function=function_arn,
            principal="apigateway.amazonaws.com",
            source_arn=pulumi.Output.format("{0}/authorizers/{1}", api.execution_arn, authorizer.id),
            opts=self._opts(),
        )

    def _create_deployment(self, api: Api, captured: Sequence[pulumi.Resource]) -> aws.apigateway.Deployment:
        wiring: Wiring = {
            "queues": [*self.backend.queue_arns.values()],
            "role": self.backend.role_arn,
            "guard": self.guard.wiring if self.guard else None,
            "root": None if api.ours else api.root_resource_id,
            "keys": self.keys,
            "endpoints": list(self.entry.endpoints),
            "disabled": self.entry.disabled,
            "redeploy": self.redeploy,
            "policy": self._policy(api, self.access) if self.access else None,
        }
        return aws.apigateway.Deployment(
            f"{self.name}-deployment",
            rest_api=api.id,
            triggers={
                "definition": pulumi.Output.all(**wiring).apply(
                    lambda known: api_definition.fingerprint(self.definition, known)
                )
            },
            opts=self._opts(*captured),
        )
