"""Functions and state machines on a local AWS, made without the program, and what tests do with them."""

import json
import socket
import time
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pulumi

from components import policies
from components.policies import Statement
from local.makers import make
from local.stack import LocalAws

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions.client import SFNClient
    from mypy_boto3_stepfunctions.type_defs import StartSyncExecutionOutputTypeDef

Values = dict[str, Any]

WORK = """
import os
import socket

class NotYetError(Exception):
    pass

def handler(event, context):
    if "meet" in event:
        with socket.create_connection(("127.0.0.1", event["meet"])) as met:
            met.recv(1)
    if "fail" in event:
        raise NotYetError(event["fail"])
    return {"process": os.getpid(), "text": "x" * event.get("size", 0)}
"""
ORCHESTRATOR = """
import json
import os
import boto3

client = boto3.client("stepfunctions")

def handler(event, context):
    answer = client.start_sync_execution(
        stateMachineArn=os.environ["MACHINE"], input=event.get("body") or "{}"
    )
    return {"statusCode": 200, "body": json.dumps({"status": answer["status"]})}
"""
LOGS = "workflows"
MEETING_SECONDS = 60.0
INVOKE = "arn:aws:states:::lambda:invoke"


@dataclass(frozen=True)
class Rig:
    """Makes what a test needs on a local AWS."""

    cloud: LocalAws

    @property
    def client(self) -> "SFNClient":
        """Step Functions."""
        return self.cloud.aws.client("stepfunctions")

    def make(self, kind: str, **inputs: Any) -> Values:
        """Make a resource as the program would, and return its outputs."""
        return make(self.cloud.workshop, kind, f"rig-{uuid.uuid4().hex[:6]}", inputs)[1]

    def role(self, service: str, *may: Statement) -> str:
        """Make a role that a service takes on, and return its ARN."""
        role = self.make("aws:iam/role:Role", assumeRolePolicy=policies.trusts(service))
        if may:
            self.make("aws:iam/rolePolicy:RolePolicy", role=role["name"], policy=policies.policy(*may))
        arn: str = role["arn"]
        return arn

    def function(self, code: str, *may: Statement, **inputs: Any) -> Values:
        """Make a function."""
        given = {
            "role": self.role("lambda.amazonaws.com", *may),
            "handler": "index.handler",
            "runtime": "python3.13",
            "timeout": int(MEETING_SECONDS),
            "code": pulumi.AssetArchive({"index.py": pulumi.StringAsset(code)}),
            "loggingConfig": {"logFormat": "JSON", "logGroup": LOGS},
        }
        return self.make("aws:lambda/function:Function", **{**given, **inputs})

    @contextmanager
    def passing(self, code: str, *may: Statement, **inputs: Any) -> Iterator[Values]:
        """Make a function that goes with all its workers, however many those are."""
        function = self.function(code, *may, **inputs)
        try:
            yield function
        finally:
            self.cloud.aws.client("lambda").delete_function(FunctionName=function["name"])

    def machine(self, role: str, states: Values, kind: str = "EXPRESS", **fields: Any) -> str:
        """Make a state machine in JSONata that starts with the first of its states, and return its ARN."""
        definition = {"QueryLanguage": "JSONata", "StartAt": next(iter(states)), "States": states, **fields}
        made = self.make(
            "aws:sfn/stateMachine:StateMachine", definition=json.dumps(definition), roleArn=role, type=kind
        )
        arn: str = made["arn"]
        return arn

    def run(self, machine: str, given: object = None) -> "StartSyncExecutionOutputTypeDef":
        """Run an Express workflow and wait for its end."""
        return self.client.start_sync_execution(stateMachineArn=machine, input=json.dumps(given or {}))

    def invoke(self, function: Values, event: Values) -> tuple[str | None, Any]:
        """Invoke a function, and return what kind of error it had and what it answered."""
        answer = self.cloud.aws.client("lambda").invoke(
            FunctionName=function["name"], Payload=json.dumps(event)
        )
        return answer.get("FunctionError"), json.load(answer["Payload"])

    def measured(self, machine: str) -> list[str]:
        """Return the names of the metrics that a machine has."""
        metrics = self.cloud.aws.client("cloudwatch").list_metrics(
            Namespace="AWS/States", Dimensions=[{"Name": "StateMachineArn", "Value": machine}]
        )["Metrics"]
        return sorted(each["MetricName"] for each in metrics)

    def errors(self, function: Values) -> float:
        """Return how often a function has failed, by its own metric."""
        now = datetime.now(UTC)
        found = self.cloud.aws.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/Lambda",
            MetricName="Errors",
            Dimensions=[{"Name": "FunctionName", "Value": function["name"]}],
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(hours=1),
            Period=7200,
            Statistics=["Sum"],
        )
        return sum(each["Sum"] for each in found["Datapoints"])


def task(
    function: Values | str, payload: object = "{% $states.input %}", then: str | None = None, **fields: Any
) -> Values:
    """Return a state that invokes a function, and then ends or goes on."""
    arn = function if isinstance(function, str) else function["arn"]
    return {
        "Type": "Task",
        "Resource": INVOKE,
        "Arguments": {"FunctionName": arn, "Payload": payload},
        "Output": "{% $states.result.Payload %}",
        **({"Next": then} if then else {"End": True}),
        **fields,
    }


def may_invoke(*functions: Mapping[str, str]) -> Statement:
    """Return what a machine's role needs to invoke functions."""
    return Statement(["lambda:InvokeFunction"], [each["arn"] for each in functions])


@contextmanager
def meeting(size: int) -> Iterator[tuple[int, list[str]]]:
    """Yield a port of loopback, whose callers wait until there are so many, and where they came from."""
    callers: list[str] = []
    with socket.create_server(("127.0.0.1", 0), backlog=size) as server, ThreadPoolExecutor(1) as host:
        server.settimeout(MEETING_SECONDS)

        def receive() -> None:
            guests: list[socket.socket] = []
            deadline = time.monotonic() + MEETING_SECONDS
            while len(guests) < size and time.monotonic() < deadline:
                connection, (address, _) = server.accept()
                guests.append(connection)
                callers.append(address)
            for each in guests:
                each.sendall(b".")
                each.close()

        received = host.submit(receive)
        yield server.getsockname()[1], callers
        received.result()
