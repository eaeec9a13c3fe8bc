"""Tables whose items are forgotten, the same way for every component."""

import pulumi
import pulumi_aws as aws

IDEMPOTENCY_KEY, IDEMPOTENCY_EXPIRY = "id", "expiration"
"""Powertools' names of the attributes ("Idempotency", Powertools for AWS Lambda)."""


def create_forgetting(
    name: str, key: str, expiry: str, kms_key_arn: pulumi.Input[str] | None, parent: pulumi.Resource
) -> aws.dynamodb.Table:
    """Make the child ``<name>-table``, whose items DynamoDB deletes at the time that ``expiry`` holds."""
    return aws.dynamodb.Table(
        f"{name}-table",
        billing_mode="PAY_PER_REQUEST",
        hash_key=key,
        attributes=[{"name": key, "type": "S"}],
        ttl={"enabled": True, "attribute_name": expiry},
        server_side_encryption={"enabled": True, "kms_key_arn": kms_key_arn},
        opts=pulumi.ResourceOptions(parent=parent),
    )


def create_idempotency(
    name: str, kms_key_arn: pulumi.Input[str] | None, parent: pulumi.Resource
) -> aws.dynamodb.Table:
    """Make the child ``<name>-idempotency-table``, as Powertools wants it."""
    return create_forgetting(f"{name}-idempotency", IDEMPOTENCY_KEY, IDEMPOTENCY_EXPIRY, kms_key_arn, parent)
