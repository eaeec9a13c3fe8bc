"""Functions by their URLs: who may call them, and that they are measured.

On AWS a caller needs two permissions, and the emulator asks for one:
``lambda:InvokeFunctionUrl``, and ``lambda:InvokeFunction`` with ``lambda:InvokedViaFunctionUrl``. Of a URL
without authorization the function's own policy has to give both to everybody.

("Control access to Lambda function URLs", Lambda guide)

This runs inside the emulator.
"""

# There is no other way in than the emulator's private names.
# ruff: noqa: SLF001

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Any

URL, FUNCTION = "lambda:InvokeFunctionUrl", "lambda:InvokeFunction"
KIND, BY_URL = "lambda:FunctionUrlAuthType", "lambda:InvokedViaFunctionUrl"
SERVICE = "lambda"
WORDS = (
    "Forbidden. For troubleshooting Function URL authorization issues, see: "
    "https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"
)
DENIED = "AccessDeniedException"
SCOPE = re.compile(r"Credential=(?P<key>[^/,]+)/\d+/[^/,]+/(?P<service>[^/,]+)/aws4_request")

Data = dict[str, Any]
Answer = tuple[int, Data, bytes]
Enforce = Callable[..., Answer | None]
Allows = Callable[[str, str, Mapping[str, str]], bool]
Execute = Callable[[Data, Any], Data]

_by_url: ContextVar[bool] = ContextVar("by_url", default=False)


def needed(keys: Mapping[str, str]) -> list[tuple[str, dict[str, str]]]:
    """Return each action that a caller of a URL needs, with what conditions may ask about it."""
    return [(URL, dict(keys)), (FUNCTION, {**keys, BY_URL: "true"})]


def scope(headers: Mapping[str, str], query: Mapping[str, Any]) -> str | None:
    """Return the service that a request is signed for; nothing if it is not signed."""
    presigned = query.get("X-Amz-Credential")
    value = presigned[0] if isinstance(presigned, list) else presigned
    found = SCOPE.search(f"Credential={value}" if value else headers.get("authorization", ""))
    return found["service"] if found else None


def refusal(code: str, **told: str) -> Answer:
    """Return what a caller is answered that is refused."""
    headers = {"Content-Type": "application/json", "x-amzn-ErrorType": code}
    return 403, headers, json.dumps(told).encode()


def forbidden() -> Answer:
    """Return what a caller is answered that may not."""
    return refusal(DENIED, Message=WORDS)


def misdirected() -> Answer:
    """Return what a caller is answered that signed for another service."""
    wrong = f"Credential should be scoped to correct service: '{SERVICE}'."
    return refusal("InvalidSignatureException", message=wrong)


def asking_for_both(enforce: Enforce, everybody_may: Allows) -> Enforce:
    """Return what refuses callers of URLs without both permissions.

    Args:
        enforce: refuses callers without one, and those whose signature is wrong.
        everybody_may: whether a function's policy allows an action to everybody, with what is known of it.
    """

    def enforced(
        service: str,
        action: str,
        headers: Data,
        query: Data,
        *more: Any,  # noqa: ANN401 - the emulator's own signature
        **named: Any,  # noqa: ANN401
    ) -> Answer | None:
        keys = named.get("service_context") or {}
        if action != URL or KIND not in keys:
            return enforce(service, action, headers, query, *more, **named)
        if keys[KIND] == "NONE":
            arn = named["resource_arn"]
            return (
                None if all(everybody_may(each, arn, known) for each, known in needed(keys)) else forbidden()
            )
        signed_for = scope(headers, query)
        if signed_for != SERVICE:
            return misdirected() if signed_for else forbidden()
        for each, known in needed(keys):
            if denied := enforce(service, each, headers, query, *more, **{**named, "service_context": known}):
                return forbidden() if DENIED.encode() in denied[2] else denied
        return None

    return enforced


def noting_url(serve: Callable[..., Awaitable[Answer]]) -> Callable[..., Awaitable[Answer]]:
    """Return what serves a call of a URL, and notes that it is one."""

    async def served(*given: object, **more: object) -> Answer:
        noted = _by_url.set(True)
        try:
            return await serve(*given, **more)
        finally:
            _by_url.reset(noted)

    return served


def measuring(execute: Execute, measured: Callable[[Execute, Data, Any], Data]) -> Execute:
    """Return what runs a function, and measures it if its URL was called: else its invoker does."""

    def executed(function: Data, event: Any) -> Data:  # noqa: ANN401 - any JSON
        return measured(execute, function, event) if _by_url.get() else execute(function, event)

    return executed


def install() -> None:
    """Put all this in the place of the emulator's own."""
    # All above is of use without the emulator, and tested without it.
    import emulator_measuring  # type: ignore[import-not-found]  # noqa: PLC0415  # a sibling: this runs by its path
    from ministack import app  # noqa: PLC0415
    from ministack.core import iam_evaluator  # noqa: PLC0415
    from ministack.services import lambda_svc  # noqa: PLC0415

    def everybody_may(action: str, arn: str, known: Mapping[str, str]) -> bool:
        lowered = {name.lower(): value for name, value in known.items()}
        region = arn.split(":")[3]
        nobody = iam_evaluator.EvalContext(
            "anonymous", "Anonymous", "", action, arn, region, service_context=lowered
        )
        policy, _ = lambda_svc.function_policy_for_arn(arn) or ({}, "")
        return bool(iam_evaluator.evaluate_resource_policy(policy, nobody).decision == "Allow")

    app._enforce_data_plane = asking_for_both(app._enforce_data_plane, everybody_may)
    lambda_svc.handle_function_url_request = noting_url(lambda_svc.handle_function_url_request)
    lambda_svc._execute_function_with_config_scope = measuring(
        lambda_svc._execute_function_with_config_scope, emulator_measuring.run_function
    )
