"""Makers for DynamoDB."""

from typing import TYPE_CHECKING, Any

from .registry import Inputs, Outputs, Workshop, auto_name, makes

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import KeySchemaElementTypeDef


@makes("aws:dynamodb/table:Table")
def table(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Make a table."""
    # Settings that the emulator stores and does nothing with.
    inputs.only_on_aws("pointInTimeRecovery", "serverSideEncryption")
    physical = auto_name(name)
    dynamodb = workshop.aws.client("dynamodb")
    made = dynamodb.create_table(
        TableName=physical,
        KeySchema=_key_schema(inputs),
        AttributeDefinitions=[
            {"AttributeName": each["name"], "AttributeType": each["type"]} for each in inputs["attributes"]
        ],
        BillingMode=inputs["billingMode"],
        **_stream(inputs),
        **inputs.pick(DeletionProtectionEnabled="deletionProtectionEnabled"),
    )["TableDescription"]
    if ttl := inputs.get("ttl"):
        # The emulator looks for what has expired once a minute.
        dynamodb.update_time_to_live(
            TableName=physical,
            TimeToLiveSpecification={"AttributeName": ttl["attributeName"], "Enabled": ttl["enabled"]},
        )
    outputs = {"name": physical, "arn": made["TableArn"]}
    if "LatestStreamArn" in made:
        outputs["streamArn"] = made["LatestStreamArn"]
    return physical, outputs


def _key_schema(inputs: Inputs) -> "list[KeySchemaElementTypeDef]":
    schema: list[KeySchemaElementTypeDef] = [{"AttributeName": inputs["hashKey"], "KeyType": "HASH"}]
    if "rangeKey" in inputs:
        schema.append({"AttributeName": inputs["rangeKey"], "KeyType": "RANGE"})
    return schema


def _stream(inputs: Inputs) -> dict[str, Any]:
    view = inputs.get("streamViewType")
    if not inputs.get("streamEnabled"):
        return {}
    return {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": view}}
