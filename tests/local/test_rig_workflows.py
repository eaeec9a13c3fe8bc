"""State machines, and functions with a URL or in a VPC, on the local AWS: made without the program."""

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from components import policies
from components.policies import Statement
from local.callers import IamUser
from local.emulator_workflow_rules import MOST_BYTES
from local.makers.compute import LocalSetupError
from local.stack import LocalAws
from local.surroundings import new_iam_user

from .support import Reply, call, wait_every
from .workflows import LOGS, ORCHESTRATOR, WORK, Rig, Values, may_invoke, meeting, task

MANY = 12
WAIT = {"Type": "Wait", "Seconds": "{% $states.input.seconds %}", "End": True}
DONE = {"Type": "Pass", "End": True}
JSON = {"Content-Type": "application/json"}
BOTH = ["lambda:InvokeFunctionUrl", "lambda:InvokeFunction"]


@pytest.fixture(scope="module")
def rig(cloud: LocalAws) -> Rig:
    cloud.aws.client("logs").create_log_group(logGroupName=LOGS)
    return Rig(cloud)


@pytest.fixture(scope="module")
def work(rig: Rig) -> Iterator[Values]:
    with rig.passing(WORK) as function:
        yield function


@pytest.fixture(scope="module")
def role(rig: Rig, work: Values) -> str:
    """The role of machines that may invoke ``work``."""
    return rig.role("states.amazonaws.com", may_invoke(work))


@pytest.fixture(scope="module")
def working(rig: Rig, work: Values, role: str) -> str:
    """A machine that has ``work`` done."""
    return rig.machine(role, {"Work": task(work)})


@pytest.fixture(scope="module")
def waiting(rig: Rig, role: str) -> str:
    """A Standard workflow that waits."""
    return rig.machine(role, {"Wait": WAIT}, "STANDARD")


def code(refused: pytest.ExceptionInfo[ClientError]) -> str:
    found: str = refused.value.response["Error"]["Code"]
    return found


def ended(rig: Rig, arn: str) -> Any:
    """Wait until an execution has ended, and return it."""

    def has_ended() -> bool:
        return rig.client.describe_execution(executionArn=arn)["status"] != "RUNNING"

    assert wait_every(0.05, 10, has_ended)
    return rig.client.describe_execution(executionArn=arn)


def test_an_exception_keeps_its_name_and_the_worker_goes_on(rig: Rig, work: Values) -> None:
    _, before = rig.invoke(work, {})

    kind, told = rig.invoke(work, {"fail": "later"})

    assert kind == "Unhandled"
    assert (told["errorType"], told["errorMessage"]) == ("NotYetError", "later")
    assert "in handler" in told["stackTrace"][0]
    assert rig.invoke(work, {})[1]["process"] == before["process"]


def test_a_machine_retries_and_catches_exceptions_by_their_class(rig: Rig, work: Values, role: str) -> None:
    caught = "{% $states.errorOutput %}"
    catch = [
        {"ErrorEquals": ["ValueError"], "Next": "Wrong"},
        {"ErrorEquals": ["NotYetError"], "Next": "Right", "Output": caught},
    ]
    machine = rig.machine(
        role, {"Work": task(work, Catch=catch), "Right": DONE, "Wrong": {"Type": "Fail", "Error": "Wrong"}}
    )

    answer = rig.run(machine, {"fail": "later"})

    assert answer["status"] == "SUCCEEDED"
    output = json.loads(answer["output"])
    assert output["Error"] == "NotYetError"
    assert json.loads(output["Cause"])["errorMessage"] == "later"


def test_a_failed_execution_has_an_error_and_no_output(rig: Rig, working: str) -> None:
    answer = rig.run(working, {"fail": "later"})

    assert (answer["status"], answer["error"]) == ("FAILED", "NotYetError")
    assert json.loads(answer["cause"])["errorMessage"] == "later"
    assert "output" not in answer


def test_a_machine_invokes_what_its_role_may_and_what_lets_the_role(rig: Rig, role: str) -> None:
    other = rig.function(WORK)
    machine = rig.machine(role, {"Work": task(other)})

    refused = rig.run(machine)
    rig.make(
        "aws:lambda/permission:Permission",
        function=other["name"],
        action="lambda:InvokeFunction",
        principal=role,
    )

    assert refused["error"] == "Lambda.AWSLambdaException"
    assert "is not authorized to perform: lambda:InvokeFunction on resource: " in refused["cause"]
    assert rig.run(machine)["status"] == "SUCCEEDED"


def test_a_managed_policy_of_one_s_own_counts(rig: Rig) -> None:
    function = rig.function(WORK)
    role = rig.make("aws:iam/role:Role", assumeRolePolicy=policies.trusts("states.amazonaws.com"))
    policy = rig.make("aws:iam/policy:Policy", policy=policies.policy(may_invoke(function)), description="d")
    machine = rig.machine(role["arn"], {"Work": task(function)})

    before = rig.run(machine)["status"]
    rig.make("aws:iam/rolePolicyAttachment:RolePolicyAttachment", role=role["name"], policyArn=policy["arn"])

    assert (before, rig.run(machine)["status"]) == ("FAILED", "SUCCEEDED")


def test_a_function_that_is_not_there_is_told_as_such(rig: Rig) -> None:
    anything = rig.role("states.amazonaws.com", Statement(["lambda:InvokeFunction"], ["*"]))

    assert (
        rig.run(rig.machine(anything, {"Work": task("nobody")}))["error"]
        == "Lambda.ResourceNotFoundException"
    )


def test_throttling_by_lambda_has_a_name_of_its_own(rig: Rig) -> None:
    function = rig.function(WORK, reservedConcurrentExecutions=0)
    role = rig.role("states.amazonaws.com", may_invoke(function))

    answer = rig.run(rig.machine(role, {"Work": task(function)}))

    assert answer["error"] == "Lambda.TooManyRequestsException"


def test_an_execution_that_takes_too_long_times_out_and_tries_no_more(rig: Rig) -> None:
    function = rig.function(WORK)
    role = rig.role("states.amazonaws.com", may_invoke(function))
    later = {"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1}
    machine = rig.machine(role, {"Work": task(function, Retry=[later])}, TimeoutSeconds=1)
    longer = rig.machine(role, {"Wait": {**WAIT, "Seconds": 1}})

    started = time.monotonic()
    answer = rig.run(machine, {"fail": "later"})

    assert 1 <= time.monotonic() - started < 2
    assert (answer["status"], answer["error"]) == ("TIMED_OUT", "States.Timeout")
    assert "output" not in answer
    # By then it would have tried again.
    rig.run(longer)
    assert rig.errors(function) == 1


def test_a_standard_workflow_times_out_and_stays_so_whatever_its_task_does_then(rig: Rig) -> None:
    function = rig.function(WORK)
    role = rig.role("states.amazonaws.com", may_invoke(function))
    machine = rig.machine(role, {"Work": task(function)}, "STANDARD", TimeoutSeconds=1)

    with meeting(2) as (port, _):
        given = json.dumps({"meet": port, "fail": "later"})
        arn = rig.client.start_execution(stateMachineArn=machine, input=given)["executionArn"]
        assert ended(rig, arn)["status"] == "TIMED_OUT"
        socket.create_connection(("127.0.0.1", port)).close()

    assert wait_every(0.05, 5, lambda: rig.errors(function) == 1)
    assert ended(rig, arn)["error"] == "States.Timeout"
    types = [each["type"] for each in rig.client.get_execution_history(executionArn=arn)["events"]]
    assert "ExecutionTimedOut" in types
    assert "ExecutionFailed" not in types


def test_a_standard_workflow_that_fails_has_an_error_and_no_output(rig: Rig, work: Values, role: str) -> None:
    machine = rig.machine(role, {"Work": task(work)}, "STANDARD")

    started = rig.client.start_execution(stateMachineArn=machine, input='{"fail": "later"}')

    execution = ended(rig, started["executionArn"])
    assert (execution["status"], execution["error"]) == ("FAILED", "NotYetError")
    assert "output" not in execution


def test_a_retry_waits_no_longer_than_its_longest_delay(rig: Rig, work: Values, role: str) -> None:
    again = {"ErrorEquals": ["NotYetError"], "MaxAttempts": 2, "BackoffRate": 30, "MaxDelaySeconds": 1}
    machine = rig.machine(role, {"Work": task(work, Retry=[again])})

    started = time.monotonic()
    answer = rig.run(machine, {"fail": "later"})

    assert answer["error"] == "NotYetError"
    assert 2 <= time.monotonic() - started < 5


def test_nothing_larger_than_256_kib_goes_through_a_machine(rig: Rig, work: Values, role: str) -> None:
    catch = [{"ErrorEquals": ["States.ALL"], "Next": "Caught"}]
    doubled = {"Type": "Pass", "Output": "{% [$states.input, $states.input] %}", "End": True}
    machine = rig.machine(
        role,
        {
            "Choose": {
                "Type": "Choice",
                "Choices": [
                    {"Condition": f"{{% $exists($states.input.{each.lower()}) %}}", "Next": each}
                    for each in ("Double", "Last", "Keep")
                ],
                "Default": "Work",
            },
            "Double": doubled,
            "Last": {"Type": "Succeed", "Output": doubled["Output"]},
            "Keep": {"Type": "Pass", "Assign": {"both": doubled["Output"]}, "End": True},
            "Work": task(
                work, {"size": "{% $states.input.size %}", "of": "{% $states.input %}"}, Catch=catch
            ),
            "Caught": DONE,
        },
    )
    half = "x" * (MOST_BYTES // 2)

    assert rig.run(machine, {"size": MOST_BYTES // 2})["status"] == "SUCCEEDED"
    for large in (
        {"size": MOST_BYTES},
        {"size": 1, "a": half, "b": half[:-30]},
        {"double": half},
        {"last": half},
        {"keep": half},
    ):
        answer = rig.run(machine, large)
        assert (answer["status"], answer.get("error")) == ("FAILED", "States.DataLimitExceeded")
    # Even where nobody hands it on.
    forgetting = rig.machine(
        role, {"Work": task(work, {"size": MOST_BYTES}, Output="little", Catch=catch), "Caught": DONE}
    )
    assert rig.run(forgetting).get("error") == "States.DataLimitExceeded"


@pytest.mark.parametrize("call_name", ["start_execution", "start_sync_execution"])
def test_an_execution_is_not_started_with_what_step_functions_does_not_take(
    rig: Rig, working: str, call_name: str
) -> None:
    start = getattr(rig.client, call_name)

    for given, expected in (
        ({"input": json.dumps("é" * MOST_BYTES, ensure_ascii=False)[:MOST_BYTES]}, "ValidationException"),
        ({"name": "a:b"}, "InvalidName"),
        ({"input": "{"}, "InvalidExecutionInput"),
    ):
        with pytest.raises(ClientError) as refused:
            start(stateMachineArn=working, **given)
        assert code(refused) == expected
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_a_name_is_one_execution_as_long_as_it_runs_with_the_same_input(rig: Rig, waiting: str) -> None:
    def start(seconds: int) -> str:
        given = json.dumps({"seconds": seconds})
        return rig.client.start_execution(stateMachineArn=waiting, name="once", input=given)["executionArn"]

    arn = start(60)

    assert start(60) == arn
    with pytest.raises(ClientError) as other:
        start(61)
    rig.client.stop_execution(executionArn=arn)
    with pytest.raises(ClientError) as over:
        start(60)
    assert (code(other), code(over)) == ("ExecutionAlreadyExists", "ExecutionAlreadyExists")
    assert ended(rig, arn)["status"] == "ABORTED"
    assert wait_every(0.05, 5, lambda: "ExecutionsAborted" in rig.measured(waiting))


def test_express_and_standard_workflows_are_told_apart(rig: Rig, working: str, waiting: str) -> None:
    with pytest.raises(ClientError) as sync:
        rig.run(waiting, {"seconds": 0})
    one, other = (
        rig.client.start_execution(stateMachineArn=working, name="same")["executionArn"] for _ in range(2)
    )
    asked = (rig.client.describe_execution, rig.client.get_execution_history, rig.client.stop_execution)
    codes = set()
    for ask_about in asked:
        with pytest.raises(ClientError) as refused:
            ask_about(executionArn=one)
        codes.add(code(refused))

    assert code(sync) == "StateMachineTypeNotSupported"
    assert ":express:" in one
    assert one != other
    assert codes == {"InvalidArn"}


def test_variables_are_assigned_at_once_and_expressions_are_evaluated_everywhere(
    rig: Rig, work: Values, role: str
) -> None:
    late = {
        "TimeoutSeconds": "{% 10 * $b %}",
        "Output": "{% [$states.input.chosen, $states.result.Payload.text] %}",
    }
    machine = rig.machine(
        role,
        {
            "Begin": {"Type": "Pass", "Assign": {"a": 1, "b": 2, "which": work["arn"]}, "Next": "Swap"},
            "Swap": {
                "Type": "Wait",
                "Seconds": "{% $a - 1 %}",
                "Assign": {"a": "{% $b %}", "b": "{% $a %}"},
                "Next": "Choose",
            },
            "Choose": {
                "Type": "Choice",
                "Choices": [{"Condition": "{% $a = 1 %}", "Next": "End"}],
                "Default": "Work",
                "Output": {"chosen": "{% $b + 6 %}"},
                "Assign": {"c": "{% $a + 3 %}"},
            },
            "Work": task("{% $which %}", {"size": "{% $a %}"}, "End", **late),
            "End": {"Type": "Succeed", "Output": "{% [$a, $b, $c, $states.input] %}"},
        },
    )

    answer = rig.run(machine)

    assert answer["status"] == "SUCCEEDED", answer
    assert json.loads(answer["output"]) == [2, 1, 5, 7, "xx"]


def test_executions_are_measured_and_alarms_look_at_them(rig: Rig, work: Values, role: str) -> None:
    machine = rig.machine(role, {"Work": task(work)})
    cloudwatch = rig.cloud.aws.client("cloudwatch")
    dimensions: Any = [{"Name": "StateMachineArn", "Value": machine}]
    cloudwatch.put_metric_alarm(
        AlarmName="failing",
        Namespace="AWS/States",
        MetricName="ExecutionsFailed",
        Dimensions=dimensions,
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
    )

    def state() -> str:
        return cloudwatch.describe_alarms(AlarmNames=["failing"])["MetricAlarms"][0]["StateValue"]

    rig.run(machine)
    assert wait_every(0.05, 5, lambda: "ExecutionsSucceeded" in rig.measured(machine))
    assert state() != "ALARM"

    rig.run(machine, {"fail": "later"})

    assert wait_every(0.05, 5, lambda: state() == "ALARM")
    assert rig.measured(machine) == [
        "ExecutionTime",
        "ExecutionsFailed",
        "ExecutionsStarted",
        "ExecutionsSucceeded",
    ]


def test_what_a_machine_invokes_is_measured(rig: Rig) -> None:
    function = rig.function(WORK)
    role = rig.role("states.amazonaws.com", may_invoke(function))
    rig.run(rig.machine(role, {"Work": task(function)}), {"fail": "later"})

    assert wait_every(0.05, 5, lambda: rig.errors(function) == 1)


def test_what_a_url_invokes_is_measured(rig: Rig) -> None:
    function = rig.function(
        WORK.replace("def handler(event, context):", "def handler(event, context):\n    1 / 0")
    )
    url = url_of(rig, function, "AWS_IAM")

    assert ask(url, caller(rig, Statement(BOTH, [function["arn"]]))).status == 502

    assert wait_every(0.05, 5, lambda: rig.errors(function) == 1)


def test_functions_leave_by_the_address_of_their_subnets(rig: Rig) -> None:
    interfaces = Statement(
        ["ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DeleteNetworkInterface"], ["*"]
    )

    def seen(*subnets: str) -> str:
        vpc = {"vpcConfig": {"subnetIds": subnets, "securityGroupIds": ["sg-1"]}} if subnets else {}
        function = rig.function(WORK, interfaces, **vpc)
        with meeting(1) as (port, callers):
            assert rig.invoke(function, {"meet": port})[0] is None
        return callers[0]

    nowhere, one, same, other = (
        seen(),
        seen("subnet-a", "subnet-b"),
        seen("subnet-b", "subnet-a"),
        seen("subnet-c"),
    )

    assert nowhere == "127.0.0.1"
    assert one == same
    assert len({nowhere, one, other}) == 3
    assert all(each.startswith("127.0.0.") for each in (one, other))


@pytest.fixture(scope="module")
def orchestrator(rig: Rig, working: str) -> Iterator[Values]:
    """A function that has ``working`` run, by a role that may do just that."""
    may_start = Statement(["states:StartSyncExecution"], [working])
    variables = {"variables": {"MACHINE": working}}
    with rig.passing(ORCHESTRATOR, may_start, environment=variables) as function:
        yield function


def url_of(rig: Rig, function: Values, kind: str) -> str:
    made = rig.make(
        "aws:lambda/functionUrl:FunctionUrl", functionName=function["name"], authorizationType=kind
    )
    url: str = made["functionUrl"]
    return url


@pytest.fixture(scope="module")
def url(rig: Rig, orchestrator: Values) -> str:
    return url_of(rig, orchestrator, "AWS_IAM")


def caller(rig: Rig, *may: Statement) -> IamUser:
    """Make a user who may do something."""
    user = new_iam_user(rig.cloud.aws, "caller")
    if may:
        rig.cloud.aws.client("iam").put_user_policy(
            UserName=user.name, PolicyName="calling", PolicyDocument=policies.policy(*may)
        )
    return user


def ask(url: str, who: IamUser, body: bytes = b"{}", service: str = "lambda", signed: str = "") -> Reply:
    """Call a URL, signed for it or for another one."""
    return call(url, "POST", body, who.sign("POST", signed or url, body, JSON, service=service))


def test_a_url_is_for_who_may_invoke_the_url_and_by_it_the_function(
    rig: Rig, url: str, orchestrator: Values
) -> None:
    arn = [orchestrator["arn"]]
    by_url = Statement(
        ["lambda:InvokeFunction"], arn, condition={"Bool": {"lambda:InvokedViaFunctionUrl": "true"}}
    )
    url_only = Statement(["lambda:InvokeFunctionUrl"], arn)
    may, half, other_half, nobody = (
        caller(rig, url_only, by_url),
        caller(rig, url_only),
        caller(rig, by_url),
        caller(rig),
    )

    assert ask(url, may).answer["status"] == "SUCCEEDED"
    for refused in (
        *(ask(url, each) for each in (half, other_half, nobody)),
        ask(url, may, service="execute-api"),
        ask(url, may, signed=f"{url}elsewhere"),
        call(url, "POST", b"{}"),
    ):
        assert refused.status == 403, refused.body


def test_a_function_s_own_policy_lets_users_in(rig: Rig, url: str, orchestrator: Values) -> None:
    user = caller(rig)

    def permit(**inputs: Any) -> None:
        given = {"function": orchestrator["name"], "principal": user.arn, **inputs}
        rig.make("aws:lambda/permission:Permission", **given)

    permit(action="lambda:InvokeFunctionUrl", functionUrlAuthType="AWS_IAM")
    before = ask(url, user).status
    permit(action="lambda:InvokeFunction", invokedViaFunctionUrl=True)

    assert (before, ask(url, user).status) == (403, 200)


def test_a_url_without_authorization_is_for_everybody_whom_the_function_s_policy_lets(rig: Rig) -> None:
    function = rig.function(WORK)
    url = url_of(rig, function, "NONE")

    def permit(**inputs: Any) -> int:
        rig.make("aws:lambda/permission:Permission", function=function["name"], principal="*", **inputs)
        return call(url, "POST", b"{}").status

    assert call(url, "POST", b"{}").status == 403
    assert permit(action="lambda:InvokeFunctionUrl", functionUrlAuthType="NONE") == 403
    assert permit(action="lambda:InvokeFunction", invokedViaFunctionUrl=True) == 200
    assert (
        rig.cloud.aws.client("lambda").get_policy(FunctionName=function["name"])["Policy"].count("Bool") == 1
    )


def test_many_executions_run_at_the_same_time(rig: Rig, working: str) -> None:
    with meeting(MANY) as (port, callers), ThreadPoolExecutor(MANY) as pool:
        answers = list(pool.map(lambda _: rig.run(working, {"meet": port}), range(MANY)))

    assert len(callers) == MANY
    assert {each["status"] for each in answers} == {"SUCCEEDED"}


def test_many_callers_of_a_url_are_served_at_the_same_time(rig: Rig, url: str, orchestrator: Values) -> None:
    user = caller(rig, Statement(BOTH, [orchestrator["arn"]]))

    with meeting(MANY) as (port, callers), ThreadPoolExecutor(MANY) as pool:
        body = json.dumps({"meet": port}).encode()
        replies = list(pool.map(lambda _: ask(url, user, body), range(MANY)))

    assert len(callers) == MANY
    assert {each.answer["status"] for each in replies} == {"SUCCEEDED"}


LOGGING = {"level": "ALL", "logDestination": "arn:aws:logs:us-east-1:000000000000:log-group:workflows:*"}
ONE = json.dumps({"QueryLanguage": "JSONata", "StartAt": "Done", "States": {"Done": DONE}})
LOST = json.dumps({"StartAt": "Done", "States": {"Done": {"Type": "Pass", "Next": "Gone"}}})
TYPO = ONE.replace('"Pass"', '"Pass", "Output": "{% $( %}"')


@pytest.mark.parametrize(
    ("definition", "words"),
    [
        ("{", "INVALID_JSON_DESCRIPTION"),
        ("[]", "INVALID_JSON_DESCRIPTION"),
        (ONE.replace('"StartAt": "Done"', '"StartAt": "Other"'), "Missing 'StartAt' target: Other"),
        (LOST, "Missing 'Next' target: Gone at /States/Done"),
        (TYPO, "INVALID_JSONATA_EXPRESSION"),
    ],
)
def test_a_definition_that_step_functions_cannot_run_is_refused(
    rig: Rig, role: str, definition: str, words: str
) -> None:
    with pytest.raises(LocalSetupError, match=words):
        rig.make("aws:sfn/stateMachine:StateMachine", definition=definition, roleArn=role)


def test_a_machine_s_role_has_to_be_for_step_functions_and_for_the_log(rig: Rig, role: str) -> None:
    logging = {**LOGGING, "includeExecutionData": False}
    deliveries = [
        f"logs:{each}"
        for each in (
            *(f"{verb}LogDelivery" for verb in ("Create", "Get", "Update", "Delete")),
            *("ListLogDeliveries", "PutResourcePolicy", "DescribeResourcePolicies", "DescribeLogGroups"),
        )
    ]
    logger = rig.role("states.amazonaws.com", Statement(deliveries, ["*"]))
    key = {"type": "AWS_OWNED_KEY"}

    def attempt(role_arn: str, **inputs: Any) -> Values:
        given = {"definition": ONE, "roleArn": role_arn, "type": "EXPRESS", **inputs}
        return rig.make("aws:sfn/stateMachine:StateMachine", **given)

    with pytest.raises(LocalSetupError, match=r"principal states\.amazonaws\.com"):
        attempt(rig.role("lambda.amazonaws.com"))
    with pytest.raises(LocalSetupError, match="not authorized to access the Log Destination"):
        attempt(role, loggingConfiguration=logging)
    with pytest.raises(LocalSetupError, match="Invalid Logging Configuration"):
        attempt(
            logger, loggingConfiguration={**logging, "logDestination": "arn:aws:logs:::log-group:workflows"}
        )
    made = attempt(
        logger,
        loggingConfiguration=logging,
        tracingConfiguration={"enabled": True},
        encryptionConfiguration=key,
        name="logged",
    )

    assert made["name"] == "logged"
    told = rig.client.describe_state_machine(stateMachineArn=made["arn"])["loggingConfiguration"]
    assert told["level"] == "ALL"
    assert told["destinations"][0]["cloudWatchLogsLogGroup"]["logGroupArn"] == LOGGING["logDestination"]


def test_a_function_in_a_vpc_needs_a_role_that_may_attach_it(rig: Rig) -> None:
    vpc = {"subnetIds": ["subnet-1"], "securityGroupIds": ["sg-1"]}

    with pytest.raises(LocalSetupError, match="permissions to call CreateNetworkInterface on EC2"):
        rig.function(WORK, vpcConfig=vpc)
    with pytest.raises(LocalSetupError, match="permissions to call DeleteNetworkInterface on EC2"):
        rig.function(
            WORK,
            Statement(["ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces"], ["*"]),
            vpcConfig=vpc,
            tracingConfig={"mode": "Active"},
        )
