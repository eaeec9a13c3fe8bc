"""What IAM is asked about a call, where the emulator asks something else than AWS.

This runs inside the emulator.
"""

import json
from collections.abc import Callable
from typing import Any

from ministack.core import iam_actions

IP_SET_ACTIONS = {"GetIPSet", "UpdateIPSet", "DeleteIPSet"}
SAME_AS = {
    "sqs:SendMessageBatch": "sqs:SendMessage",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
}
"""A permission for one message is one for ten ("Actions, resources, and condition keys for Amazon SQS")."""

Data = dict[str, Any]


def sharing_permissions(extract: Callable[..., str]) -> Callable[..., str]:
    """Return what finds a call's action for IAM, which several calls may share."""

    def extracted(*call: object) -> str:
        action = extract(*call)
        return SAME_AS.get(action, action)

    return extracted


def naming_ip_sets(extract: Callable[..., str]) -> Callable[..., str]:
    """Return what finds a call's resource for IAM; the emulator takes every call for one about a web ACL."""

    def extracted(  # noqa: PLR0913, PLR0917 - the emulator's own signature
        service: str,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        params: Data,
        region: str,
        account: str,
    ) -> str:
        action = headers.get("x-amz-target", "").rpartition(".")[2]
        if service != "wafv2" or action not in IP_SET_ACTIONS:
            return extract(service, method, path, headers, body, params, region, account)
        try:
            given = json.loads(body)
            scope = "global" if given["Scope"] == "CLOUDFRONT" else "regional"
            return f"arn:aws:wafv2:{region}:{account}:{scope}/ipset/{given['Name']}/{given['Id']}"
        except (ValueError, KeyError, TypeError):
            return "*"

    return extracted


def install() -> None:
    """Put all this in the place of the emulator's own."""
    iam_actions.extract_iam_action = sharing_permissions(iam_actions.extract_iam_action)
    iam_actions.extract_resource_arn = naming_ip_sets(iam_actions.extract_resource_arn)
