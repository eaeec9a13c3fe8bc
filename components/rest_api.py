"""A REST API in front of a queue: everything that its stage answers with, and the deployment of that."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from . import api_definition
from .api_definition import JSON, Definition, GatewayAnswer, IntegrationAnswer


@dataclass(frozen=True)
class Backend:
    """Where requests go: a queue, and the role that puts them there once its policy is attached."""

    queue_arn: pulumi.Output[str]
    role_arn: pulumi.Output[str]
    policy: pulumi.Resource


@dataclass(frozen=True)
class Guard:
    """The function that decides who may call, from the Authorization header."""

    function_arn: pulumi.Input[str]
    cache_ttl_seconds: int
    token_pattern: str | None


@dataclass(frozen=True)
class RestApi:
    """Makes the resources of one API, all of them children of one component."""

    name: str
    definition: Definition
    backend: Backend
    guard: Guard | None
    parent: pulumi.Resource

    def create(self) -> tuple[aws.apigateway.RestApi, aws.apigateway.Deployment]:
        """Make the API and the deployment that takes a picture of it.

        The children are ``<name>-api``, ``<name>-path-<n>``, ``<name>-method``, ``<name>-integration``,
        ``<name>-<answer>`` and ``<name>-<answer>-method``, ``<name>-<type>`` for each gateway response,
        ``<name>-authorizer``, ``<name>-authorizer-permission`` and ``<name>-deployment``.
        """
        api = aws.apigateway.RestApi(
            f"{self.name}-api",
            # REGIONAL is IPv4 alone unless told otherwise.
            endpoint_configuration={"types": "REGIONAL", "ip_address_type": "dualstack"},
            opts=self._opts(),
        )
        return api, self._create_deployment(api, self._create_methods(api))

    def _opts(self, *waits_for: pulumi.Resource) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self.parent, depends_on=list(waits_for))

    def _create_methods(self, api: aws.apigateway.RestApi) -> list[pulumi.Resource]:
        """Make everything that a stage answers with, and return it: a deployment waits for it."""
        authorizer = self._create_authorizer(api, self.guard) if self.guard else None
        method = aws.apigateway.Method(
            f"{self.name}-method",
            rest_api=api.id,
            resource_id=self._create_path(api),
            http_method=self.definition.method,
            authorization="CUSTOM" if authorizer else "NONE",
            authorizer_id=authorizer.id if authorizer else None,
            opts=self._opts(),
        )
        integration = aws.apigateway.Integration(
            f"{self.name}-integration",
            rest_api=api.id,
            resource_id=method.resource_id,
            http_method=method.http_method,
            type="AWS",
            integration_http_method="POST",
            uri=self.backend.queue_arn.apply(api_definition.sqs_uri),
            credentials=self.backend.role_arn,
            passthrough_behavior="NEVER",
            request_templates=dict(self.definition.request_templates),
            request_parameters=dict(self.definition.request_parameters),
            opts=self._opts(self.backend.policy),
        )
        return [
            method,
            integration,
            *(self._create_answer(each, integration) for each in self.definition.answers),
            *(self._create_gateway_answer(each, api) for each in self.definition.gateway_answers),
            *([self._create_permission(api, authorizer, self.guard)] if authorizer and self.guard else []),
        ]

    def _create_path(self, api: aws.apigateway.RestApi) -> pulumi.Output[str]:
        """Make the resources of the path, one in the other, and return the id of the last."""
        parent_id = api.root_resource_id
        for depth, segment in enumerate(self.definition.segments, start=1):
            parent_id = aws.apigateway.Resource(
                f"{self.name}-path-{depth}",
                rest_api=api.id,
                parent_id=parent_id,
                path_part=segment,
                opts=self._opts(),
            ).id
        return parent_id

    def _create_authorizer(self, api: aws.apigateway.RestApi, guard: Guard) -> aws.apigateway.Authorizer:
        return aws.apigateway.Authorizer(
            f"{self.name}-authorizer",
            rest_api=api.id,
            type="TOKEN",
            authorizer_uri=pulumi.Output.from_input(guard.function_arn).apply(api_definition.invocation_uri),
            authorizer_result_ttl_in_seconds=guard.cache_ttl_seconds,
            identity_source="method.request.header.Authorization",
            identity_validation_expression=guard.token_pattern,
            opts=self._opts(),
        )

    def _create_permission(
        self, api: aws.apigateway.RestApi, authorizer: aws.apigateway.Authorizer, guard: Guard
    ) -> aws.lambda_.Permission:
        return aws.lambda_.Permission(
            f"{self.name}-authorizer-permission",
            action="lambda:InvokeFunction",
            function=guard.function_arn,
            principal="apigateway.amazonaws.com",
            source_arn=pulumi.Output.format("{0}/authorizers/{1}", api.execution_arn, authorizer.id),
            opts=self._opts(),
        )

    def _create_answer(
        self, answer: IntegrationAnswer, integration: aws.apigateway.Integration
    ) -> aws.apigateway.IntegrationResponse:
        where: dict[str, Any] = {
            "rest_api": integration.rest_api,
            "resource_id": integration.resource_id,
            "http_method": integration.http_method,
            "status_code": str(answer.status),
        }
        method_response = aws.apigateway.MethodResponse(
            f"{self.name}-{answer.name}-method",
            **where,
            response_parameters=dict.fromkeys([*answer.headers, api_definition.RETRY_AFTER], False),
            opts=self._opts(),
        )
        return aws.apigateway.IntegrationResponse(
            f"{self.name}-{answer.name}",
            **where,
            selection_pattern=answer.selection_pattern,
            response_templates={JSON: answer.template},
            response_parameters=dict(answer.headers),
            opts=self._opts(method_response, integration),
        )

    def _create_gateway_answer(
        self, answer: GatewayAnswer, api: aws.apigateway.RestApi
    ) -> aws.apigateway.Response:
        return aws.apigateway.Response(
            f"{self.name}-{answer.response_type.lower().replace('_', '-')}",
            rest_api_id=api.id,
            response_type=answer.response_type,
            status_code=str(answer.status) if answer.status else None,
            response_templates={JSON: answer.template},
            response_parameters=dict(answer.headers),
            opts=self._opts(),
        )

    def _create_deployment(
        self, api: aws.apigateway.RestApi, captured: Sequence[pulumi.Resource]
    ) -> aws.apigateway.Deployment:
        guard = self.guard
        wiring = {
            "queue": self.backend.queue_arn,
            "role": self.backend.role_arn,
            "authorizer": guard.function_arn if guard else None,
            "cache_ttl": guard.cache_ttl_seconds if guard else None,
            "token_pattern": guard.token_pattern if guard else None,
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
