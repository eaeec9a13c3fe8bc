"""Makers for DynamoDB."""

from .registry import Inputs, Outputs, Workshop, auto_name, makes


@makes("aws:dynamodb/table:Table")
def table(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Make a table."""
    # Settings that the emulator stores and does nothing with.
    inputs.only_on_aws("pointInTimeRecovery", "serverSideEncryption")
    physical = auto_name(name)
    key = inputs["hashKey"]
    made = workshop.aws.client("dynamodb").create_table(
        TableName=physical,
        KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
        AttributeDefinitions=[
            {"AttributeName": each["name"], "AttributeType": each["type"]} for each in inputs["attributes"]
        ],
        BillingMode=inputs["billingMode"],
    )["TableDescription"]
    return physical, {"name": physical, "arn": made["TableArn"]}
