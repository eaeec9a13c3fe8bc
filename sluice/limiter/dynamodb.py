"""What both tables have in common."""

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from botocore.exceptions import ClientError
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

Item: TypeAlias = "Mapping[str, AttributeValueTypeDef]"


class ContentionError(RuntimeError):
    """So many others wrote to the same item at once that a write did not get through; repeat it."""


def refused_item(refused: "ClientError") -> Item:
    """Return the item that refused a conditional write, as it was; empty where there is none."""
    item: Item = refused.response.get("Item", {})  # type: ignore[assignment]
    return item
