"""What IAM is asked about a call, where the emulator asks something else than AWS.

This runs inside the emulator.
"""

import json
from collections.abc import Callable, Collection
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


def naming(
    service: str, actions: Collection[str], name: Callable[[Data, str, str], str | None]
) -> Callable[[Callable[..., str]], Callable[..., str]]:
    """Return what makes a finder of a call's resource for IAM find that of some calls by what they are given.

    Args:
        service: whose calls they are.
        actions: which.
        name: returns the ARN that a call with these arguments is about, in a Region and an account; none
            where the emulator's own way is right.
    """

    def instead_of(extract: Callable[..., str]) -> Callable[..., str]:
        def extracted(  # noqa: PLR0913, PLR0917 - the emulator's own signature
            called: str,
            method: str,
            path: str,
            headers: dict[str, str],
            body: bytes,
            params: Data,
            region: str,
            account: str,
        ) -> str:
            found = None
            if called == service and headers.get("x-amz-target", "").rpartition(".")[2] in actions:
                found = name(_given(body), region, account)
            return found or extract(called, method, path, headers, body, params, region, account)

        return extracted

    return instead_of


def _given(body: bytes) -> Data:
    """Return the arguments of a call; nothing where they cannot be read."""
    try:
        given = json.loads(body)
    except ValueError:
        return {}
    return given if isinstance(given, dict) else {}


def ip_set(given: Data, region: str, account: str) -> str:
    """Return the IP set that a call is about; the emulator takes every call for one about a web ACL."""
    if not {"Scope", "Name", "Id"} <= given.keys():
        return "*"
    scope = "global" if given["Scope"] == "CLOUDFRONT" else "regional"
    return f"arn:aws:wafv2:{region}:{account}:{scope}/ipset/{given['Name']}/{given['Id']}"


def install() -> None:
    """Put all this in the place of the emulator's own."""
    iam_actions.extract_iam_action = sharing_permissions(iam_actions.extract_iam_action)
    iam_actions.extract_resource_arn = naming("wafv2", IP_SET_ACTIONS, ip_set)(
        iam_actions.extract_resource_arn
    )
