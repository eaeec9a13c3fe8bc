"""Clients of AWS for a command: as the operator is, or of a local AWS."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, overload

if TYPE_CHECKING:
    from botocore.exceptions import BotoCoreError, ClientError
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient


@overload
def client(service: Literal["dynamodb"], region: str, outputs: Mapping[str, Any]) -> "DynamoDBClient": ...
@overload
def client(service: Literal["sqs"], region: str, outputs: Mapping[str, Any]) -> "SQSClient": ...
def client(service: Any, region: str, outputs: Mapping[str, Any]) -> Any:
    """Return the client of a service for a stack with these outputs."""
    # Here, since not every command needs it, and it takes most of a second.
    import boto3  # noqa: PLC0415

    local = outputs.get("local")
    if not local:
        return boto3.Session(region_name=region).client(service)
    # Any credentials are the local AWS's root user.
    session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=region)  # noqa: S106
    return session.client(service, endpoint_url=local["endpoint_url"])


def refusal(error: "BotoCoreError | ClientError") -> str:
    """Return what an operator is told of a call that did not go well, in a line."""
    from botocore.exceptions import ClientError  # noqa: PLC0415 - as above

    if not isinstance(error, ClientError):
        return f"{error}. Is the stack there, and are there credentials for it?"
    said = error.response["Error"]
    return f"AWS refused {error.operation_name}: {said.get('Message') or said['Code']}"
