"""Calls that a retrier makes of upstreams that limit, fail, hang and mislead, as its callers see them."""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest

from local.demo_checks import wait_until
from local.stack import LocalAws
from local.surroundings import CALLING, unique
from local.upstreams import (
    Exchange,
    Upstream,
    answers,
    most_within,
    rated,
    redirects,
    resets,
    slow,
    upstream,
    wants_seconds,
)
from sluice.dead_letters import ATTRIBUTE, Reason

from .deciding import json_lines
from .retriers import Outcome, Retrying, kill_workers, results, retrying, start_workers
from .support import Values, call, log_texts, made, take, wait_every

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions.type_defs import StartSyncExecutionOutputTypeDef as Run

SECRET = "s3cr3t-of-the-upstream"
BUSY = b"busy, come back later"
ATTEMPTS = 4
OPENS_AT = 6
"""How many calls have to fail before the circuit opens; no other test's upstream sees as many fail."""
OPEN_SECONDS = 5
START_SECONDS = 20
"""How long two workers may take to start."""
SIDE_BY_SIDE = 4
ORIGINS = (
    *("plain", "quiet", "seconds", "date", "fields", "patient", "paced", "ill", "choosy", "queued", "once"),
    *("500", "502", "reset", "slow", "half"),
)
Upstreams = Mapping[str, Upstream]


@pytest.fixture(scope="module")
def upstreams() -> Iterator[Upstreams]:
    """Upstreams that do not disturb each other: what one asks for holds for all its callers."""
    with ExitStack() as running:
        yield {each: running.enter_context(upstream()) for each in (*ORIGINS, "stranger")}


@pytest.fixture(scope="module")
def secret(cloud: LocalAws) -> str:
    """The ARN of a secret of Secrets Manager."""
    # There is no overload for it, since the program makes no secrets.
    secrets = cloud.aws.client(cast(Any, "secretsmanager"))
    found: str = secrets.create_secret(Name=unique("key"), SecretString=json.dumps({"key": SECRET}))["ARN"]
    return found


@pytest.fixture(scope="module")
def retrier(cloud: LocalAws, upstreams: Upstreams, secret: str) -> Iterator[Retrying]:
    """A retrier that is called with signatures, and whose calls also come from the front door's queue."""
    running = retrying(
        cloud,
        "retrier",
        [
            {"origin": upstreams[each].url, **({"calls": A_SECOND} if each == "paced" else {})}
            for each in ORIGINS
        ],
        {
            "attempts": ATTEMPTS,
            "deadline_seconds": 40,
            "timeout_seconds": 30,
            "circuit": {"minimum_calls": OPENS_AT, "window_seconds": 3600, "open_seconds": OPEN_SECONDS},
            "secrets": [
                {"name": "key", "secret_arn": secret, "origins": [upstreams["plain"].url], "json_key": "key"}
            ],
        },
        consumer={"calls": True, "retry_base_seconds": 0},
        front_door={"manage_account_logging": True, "visibility_timeout_seconds": 450},
        alarm_topic={"enabled": True},
    )
    yield running.signed_by(*CALLING)
    # With all its workers, however many those are.
    cloud.aws.client("lambda").delete_function(FunctionName=running.outputs["functions"]["call"])


@pytest.fixture(scope="module")
def broken(cloud: LocalAws, upstreams: Upstreams) -> Retrying:
    """A retrier that may call no private address, and that is broken piece by piece."""
    return retrying(
        cloud,
        "cognito",
        [by_name(upstreams)],
        {"access": "open", "private_networks": [], "deadline_seconds": 20},
        alarm_topic={"enabled": True},
    )


def by_name(upstreams: Upstreams) -> str:
    """Return the origin of an upstream by a name, which leads to loopback."""
    return upstreams["stranger"].url.replace("127.0.0.1", "localhost")


def test_who_signs_and_has_both_permissions_may_have_calls_made(
    retrier: Retrying, upstreams: Upstreams
) -> None:
    url = f"{upstreams['plain'].url}/signed"
    unsigned = Retrying(retrier.cloud, retrier.stack)

    refused = [
        each.have(url).status
        for each in (unsigned, retrier.signed_by(), *(retrier.signed_by(each) for each in CALLING))
    ]

    assert refused == [403] * 4
    assert retrier.have(url).status == 200
    assert len(upstreams["plain"].at("/signed")) == 1


TROUBLES: Mapping[str, tuple[str, Values]] = {
    "limited twice": ("plain/limited/2", {}),
    "limited for ever": ("plain/status/429", {"retry": {"attempts": 3}}),
    "told by fields": ("fields/rate-limit/1", {}),
    "told too late": ("patient/retry-after/60", {"retry": {"deadline_seconds": 10}}),
    "500": ("500/status/500", {"retry": {"attempts": 2}}),
    "502": ("502/status/502", {"retry": {"attempts": 2}}),
    "reset": ("reset/reset", {"retry": {"attempts": 2}}),
    "slow": ("slow/slow/30", {"retry": {"attempts": 2}, "timeout_seconds": 0.5}),
    "half": ("half/half", {"retry": {"attempts": 2}}),
    "gone": ("reset/gone", {"retry": {"attempts": 2}}),
    "loop": ("plain/loop", {}),
    "large": ("plain/large", {}),
    "zipped": ("plain/gzip", {}),
    "posted": ("502/status/503", {"method": "POST", "body": "once"}),
}
"""Calls by what they meet: an upstream and its path, and what else is said of the call."""


@dataclass(frozen=True)
class Illness:
    """What callers of an upstream were answered that failed for a while."""

    failing: Sequence[Outcome]
    refused: Outcome
    probe: Outcome
    refused_again: Outcome
    well: Outcome
    stumbling: Outcome
    as_before: Outcome


def fall_ill(retrier: Retrying, upstream_: Upstream) -> Illness:
    """Let an upstream fail until its circuit opens, fail its probe, and be well again but for once."""

    def have(deadline_seconds: int) -> Outcome:
        retry = {"attempts": 1, "deadline_seconds": deadline_seconds}
        return retrier.have(f"{upstream_.url}/", retry=retry)

    upstream_.does("/", answers(500))
    # Who has less time is gone before the circuit lets anybody through.
    brief, long = OPEN_SECONDS - 2, 2 * OPEN_SECONDS
    failing = [have(long) for _ in range(OPENS_AT)]
    refused, probe, again = have(brief), have(long), have(brief)
    upstream_.does("/", answers(), answers(500), answers())
    well, stumbling, as_before = have(long), have(long), have(brief)
    return Illness(failing, refused, probe, again, well, stumbling, as_before)


@dataclass(frozen=True)
class Breakdown:
    """What callers of a retrier were answered that broke."""

    forbidden: Outcome
    raised_before: Sequence[str]
    late: Outcome
    failed: Outcome
    by_itself: "Run"
    """What was told to who started the state machine."""


def break_down(retrier: Retrying, url: str) -> Breakdown:
    """Have a call made that is not to be, then lose the budgets, with little time and with enough."""
    aws, machine = retrier.cloud.aws, retrier.machine
    workflows = aws.client("stepfunctions")
    forbidden, raised = retrier.have(url), retrier.raised()
    aws.client("dynamodb").delete_table(TableName=retrier.outputs["budgets"])
    definition = workflows.describe_state_machine(stateMachineArn=machine)["definition"]
    # Before the function has been tried as often as it is.
    hasty = json.dumps({**json.loads(definition), "TimeoutSeconds": 1})
    workflows.update_state_machine(stateMachineArn=machine, definition=hasty)
    late = retrier.have(url)
    workflows.update_state_machine(stateMachineArn=machine, definition=definition)
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(retrier.run, {"url": url})
        return Breakdown(forbidden, raised, late, retrier.have(url), run.result())


@dataclass(frozen=True)
class Beside:
    """What is done side by side, since it mostly waits."""

    calls: Mapping[str, Future[Outcome]]
    illness: Future[Illness]
    breakdown: Future[Breakdown]

    def met(self, trouble: str) -> Outcome:
        """Return what came of one of the calls that meet something."""
        return self.calls[trouble].result()


@pytest.fixture(scope="module")
def beside(retrier: Retrying, broken: Retrying, upstreams: Upstreams) -> Iterator[Beside]:
    upstreams["reset"].does("/gone", answers(503, body=BUSY), resets())
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        breakdown = pool.submit(break_down, broken, f"{by_name(upstreams)}/")
        illness = pool.submit(fall_ill, retrier, upstreams["ill"])
        calls: dict[str, Future[Outcome]] = {}
        for trouble, (where, fields) in TROUBLES.items():
            name, _, path = where.partition("/")
            calls[trouble] = pool.submit(retrier.have, f"{upstreams[name].url}/{path}", **fields)
        yield Beside(calls, illness, breakdown)


def calls_in(trouble: str, upstreams: Upstreams) -> int:
    """Return how many calls an upstream saw for one of these."""
    name, _, path = TROUBLES[trouble][0].partition("/")
    return len(upstreams[name].at(f"/{path}"))


def test_a_call_that_is_limited_twice_comes_through(beside: Beside, upstreams: Upstreams) -> None:
    outcome = beside.met("limited twice")

    assert (outcome.status, outcome.gave_up, outcome.error) == (200, None, None)
    assert outcome.results == [429, 429, 200]
    assert outcome.reply.answer == {"status": 200, "method": "GET", "path": "/limited/2"}
    assert outcome.reply.headers["content-type"] == "application/json"
    assert calls_in("limited twice", upstreams) == 3


def test_a_limit_that_never_ends_is_handed_back_as_the_upstream_says_it(
    beside: Beside, upstreams: Upstreams
) -> None:
    outcome = beside.met("limited for ever")

    assert (outcome.status, outcome.gave_up, outcome.error) == (429, "attempts", None)
    assert outcome.reply.answer["status"] == 429
    assert outcome.results == [429] * 3
    assert calls_in("limited for ever", upstreams) == 3


def test_rate_limit_fields_are_heeded(beside: Beside, upstreams: Upstreams) -> None:
    assert beside.met("told by fields").results == [429, 200]

    first, second = upstreams["fields"].calls
    assert second.at - first.at >= 1


def test_a_wait_beyond_the_deadline_is_not_begun(beside: Beside, upstreams: Upstreams) -> None:
    outcome = beside.met("told too late")

    assert (outcome.status, outcome.gave_up) == (429, "deadline")
    assert outcome.reply.headers["retry-after"] == "60"
    assert outcome.waited < 1
    assert calls_in("told too late", upstreams) == 1


@pytest.mark.parametrize(
    ("trouble", "status", "error", "result"),
    [
        ("500", 500, None, 500),
        ("502", 502, None, 502),
        ("reset", 502, "UpstreamUnreachable", "connection"),
        ("slow", 504, "UpstreamTimeout", "timeout"),
        ("half", 502, "UpstreamUnreachable", "connection"),
    ],
)
def test_what_fails_is_tried_again_and_told_truthfully(  # noqa: PLR0913, PLR0917 - a table's columns
    beside: Beside,
    upstreams: Upstreams,
    trouble: str,
    status: int,
    error: str | None,
    result: int | str,
) -> None:
    outcome = beside.met(trouble)

    assert (outcome.status, outcome.error, outcome.gave_up) == (status, error, "attempts")
    assert outcome.results == [result] * 2
    assert calls_in(trouble, upstreams) == 2
    assert outcome.reply.answer.get("code") == error


def test_an_answer_is_handed_back_though_the_upstream_then_broke_off(
    beside: Beside, upstreams: Upstreams
) -> None:
    outcome = beside.met("gone")

    assert (outcome.status, outcome.error, outcome.gave_up) == (503, None, "attempts")
    assert outcome.reply.body == BUSY
    assert outcome.results == [503, "connection"]
    assert calls_in("gone", upstreams) == 2


@pytest.mark.parametrize(
    ("trouble", "code", "words"),
    [("loop", "TooManyRedirects", "in a circle"), ("large", "ResponseTooLarge", "153600 bytes")],
)
def test_an_answer_that_cannot_be_had_is_an_error_of_our_own(
    beside: Beside, upstreams: Upstreams, trouble: str, code: str, words: str
) -> None:
    outcome = beside.met(trouble)

    assert (outcome.status, outcome.error, outcome.gave_up) == (502, code, None), outcome
    assert outcome.reply.answer["code"] == code
    assert words in outcome.reply.answer["message"]
    assert calls_in(trouble, upstreams) == 1, "nothing better would come of another try"


def test_a_compressed_answer_comes_as_it_was(beside: Beside) -> None:
    outcome = beside.met("zipped")

    assert outcome.reply.answer == {"zipped": True}
    assert "content-encoding" not in outcome.reply.headers


def test_a_call_that_may_not_come_twice_is_made_once(beside: Beside, upstreams: Upstreams) -> None:
    outcome = beside.met("posted")

    assert (outcome.status, outcome.gave_up) == (503, "method")
    (call_,) = upstreams["502"].at("/status/503")
    assert (call_.method, call_.body) == ("POST", b"once")


SOMEWHERE_ELSE = {"subnet_ids": ["subnet-0a1b2c3d"], "security_group_ids": ["sg-0a1b2c3d"]}


@pytest.fixture(scope="module")
def wide_open(retrier: Retrying, upstreams: Upstreams) -> Retrying:
    """A retrier that everybody may call, with two egress addresses: the first one is the other retrier's."""
    return retrying(
        retrier.cloud,
        "open",
        [upstreams[each].url for each in ("choosy", "once", "slow")],
        {
            "access": "open",
            "attempts": ATTEMPTS,
            "deadline_seconds": 20,
            "egress": [
                {"name": "first", "function_arn": retrier.outputs["functions"]["call"]},
                {"name": "second", **SOMEWHERE_ELSE},
            ],
        },
    )


def test_what_one_address_may_not_another_does_at_once(wide_open: Retrying, upstreams: Upstreams) -> None:
    choosy = upstreams["choosy"]

    def only_from_elsewhere(exchange: Exchange) -> None:
        (wants_seconds(60) if exchange.called.client == "127.0.0.1" else answers())(exchange)

    choosy.does("/", only_from_elsewhere)

    first, again = wide_open.have(f"{choosy.url}/"), wide_open.have(f"{choosy.url}/")

    assert (first.status, first.results, first.egresses) == (200, [429, 200], ["first", "second"])
    assert first.waited < 10, "not the minute that the first address was told"
    # The limit of the first address is known to all callers.
    assert (again.status, again.egresses) == (200, ["second"])
    assert len({each.client for each in choosy.calls}) == 2


def started(retrier: Retrying) -> float:
    """Return how many executions have started."""
    now = datetime.now(UTC)
    found = retrier.cloud.aws.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/States",
        MetricName="ExecutionsStarted",
        Dimensions=[{"Name": "StateMachineArn", "Value": retrier.machine}],
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(hours=1),
        Period=7200,
        Statistics=["Sum"],
    )
    return sum(each["Sum"] for each in found["Datapoints"])


def test_one_idempotency_key_is_one_execution_and_one_call(wide_open: Retrying, upstreams: Upstreams) -> None:
    once, before = upstreams["once"], started(wide_open)
    once.does("/", slow(1))
    fields = {"method": "POST", "body": "order", "idempotency_key": "order-1"}

    with ThreadPoolExecutor(2) as pool:
        at_once = list(pool.map(lambda _: wide_open.have(f"{once.url}/", **fields), range(2)))
    later = wide_open.have(f"{once.url}/", **fields)
    other = wide_open.have(f"{once.url}/", **{**fields, "body": "another order"})

    assert [each.status for each in (*at_once, later)] == [200] * 3
    assert len({each.reply.body for each in (*at_once, later)}) == 1
    replayed = [each.reply.headers.get("sluice-replayed") for each in at_once]
    assert sorted(replayed, key=str) == [None, "true"]
    assert later.reply.headers["sluice-replayed"] == "true"
    assert (other.status, other.error) == (422, "IdempotencyKeyReused")
    (made_call,) = once.calls
    assert made_call.headers["idempotency-key"] == "order-1"
    assert wait_every(0.05, 5, lambda: started(wide_open) == before + 1)


@pytest.fixture(scope="module")
def standard(retrier: Retrying, upstreams: Upstreams, secret: str) -> Retrying:
    """A retrier whose callers ask later what came of a call."""
    plain = upstreams["plain"].url
    return retrying(
        retrier.cloud,
        "iam",
        [plain],
        {
            "workflow": "standard",
            "access": "open",
            "deadline_seconds": 20,
            "secrets": [{"name": "key", "secret_arn": secret, "origins": [plain], "json_key": "key"}],
        },
    )


def begin(retrier: Retrying, url: str, **fields: Any) -> str:
    """Have a call made, and return where to ask what came of it."""
    reply = retrier.ask("POST", "", {"url": url, **fields})
    return reply.headers["location"].removeprefix("/")


def ended(retrier: Retrying, location: str) -> Values:
    """Ask for an execution until it has ended, and return its outcome."""
    reply = wait_until(lambda: retrier.ask("GET", location), lambda found: found.status != 202)
    assert (reply.status, reply.answer["status"]) == (200, "ended"), reply
    outcome: Values = reply.answer["outcome"]
    return outcome


def test_a_standard_workflow_is_asked_later_and_started_once_for_a_key(
    standard: Retrying, upstreams: Upstreams
) -> None:
    def have(body: str) -> Any:
        url = f"{upstreams['plain'].url}/slow/1"
        keyed = {"url": url, "method": "POST", "body": body, "idempotency_key": "order-2"}
        return standard.ask("POST", "", keyed)

    first, same = have("order"), have("order")

    assert (first.status, first.answer["status"]) == (202, "running")
    assert first.headers["location"] == f"/executions/{first.answer['execution']}"
    location = first.headers["location"].removeprefix("/")
    assert standard.ask("GET", location).status == 202
    outcome = ended(standard, location)
    assert (outcome["ok"], outcome["status"], outcome["attempts"]) == (True, 200, 1)
    assert same.answer["execution"] == have("order").answer["execution"] == first.answer["execution"]
    assert have("another order").status == 422
    assert standard.ask("GET", "executions/nobody").status == 404
    assert len(upstreams["plain"].at("/slow/1")) == 1


def test_calls_of_one_worker_share_a_connection(standard: Retrying, upstreams: Upstreams) -> None:
    plain = upstreams["plain"]
    # One after the other, and nobody calls beside: of the free workers it is the same one that makes both.
    for _ in range(2):
        assert ended(standard, begin(standard, f"{plain.url}/pooled"))["status"] == 200

    first, second = plain.at("/pooled")
    assert first.port == second.port


def test_a_call_whose_worker_is_killed_is_made_again_if_it_may_be(
    standard: Retrying, upstreams: Upstreams
) -> None:
    plain, both = upstreams["plain"], threading.Barrier(2, lambda: kill_workers(standard), START_SECONDS)

    def meet(_: Exchange) -> None:
        both.wait()

    plain.does("/read", meet, answers())
    plain.does("/order", meet, answers())
    calls = [begin(standard, f"{plain.url}/read"), begin(standard, f"{plain.url}/order", method="POST")]
    read, order = [ended(standard, each) for each in calls]

    assert (read["ok"], results(read["history"])) == (True, ["lost", 200])
    assert len(plain.at("/read")) == 2
    assert (order.get("gave_up"), results(order["history"])) == ("method", ["lost"])
    assert order["error"]["code"] == "CallFailed"
    assert "Runtime.ExitError" in order["error"]["message"]
    assert len(plain.at("/order")) == 1


@pytest.mark.parametrize(
    "url",
    [
        "{stranger}/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:169.254.169.254]/",
        "{plain}@{stranger_host}/",
        "http://{plain_host}@{stranger_host}/",
        "{plain}%40{stranger_host}/",
        "{stranger}/#{plain}",
        "{stranger}\\@{plain_host}/",
        "https://{plain_host}/",
        "http://127.1:{plain_port}/",
        "file:///etc/passwd",
    ],
)
def test_nobody_is_called_who_is_no_upstream(retrier: Retrying, upstreams: Upstreams, url: str) -> None:
    plain, stranger = upstreams["quiet"], upstreams["stranger"]
    host = plain.url.removeprefix("http://")

    outcome = retrier.have(
        url.format(
            plain=plain.url,
            plain_host=host,
            plain_port=host.partition(":")[2],
            stranger=stranger.url,
            stranger_host=stranger.url.removeprefix("http://"),
        )
    )

    assert (outcome.status, outcome.error) == (403, "ForbiddenTarget")
    assert outcome.reply.answer["code"] == "ForbiddenTarget"
    assert outcome.reply.answer["message"]
    assert not stranger.calls
    assert not plain.calls


@pytest.mark.parametrize(
    "to", ["{stranger}/", "http://169.254.169.254/latest/meta-data/", "http://{stranger_host}@127.0.0.1/"]
)
def test_nobody_is_called_by_way_of_a_redirect_who_is_no_upstream(
    retrier: Retrying, upstreams: Upstreams, to: str
) -> None:
    plain, stranger, path = upstreams["plain"], upstreams["stranger"], unique("/redirect")
    location = to.format(stranger=stranger.url, stranger_host=stranger.url.removeprefix("http://"))
    plain.does(path, redirects(location))

    outcome = retrier.have(f"{plain.url}{path}")

    assert (outcome.status, outcome.error) == (403, "ForbiddenTarget")
    assert "a redirect leads where it may not" in outcome.reply.answer["message"]
    assert len(plain.at(path)) == 1
    assert not stranger.calls


def test_a_redirect_among_the_upstreams_is_followed(retrier: Retrying, upstreams: Upstreams) -> None:
    plain, other = upstreams["plain"], upstreams["queued"]

    outcome = retrier.have(
        f"{plain.url}/redirect?to={other.url}/arrived",
        headers={"Authorization": "Bearer mine", "X-Key": {"secret": "key"}},
    )

    assert (outcome.status, outcome.reply.answer["path"]) == (200, "/arrived")
    (arrived,) = other.at("/arrived")
    assert not {"authorization", "x-key"} & arrived.headers.keys()


def test_a_secret_is_sent_and_nowhere_else_to_be_read(
    retrier: Retrying, standard: Retrying, upstreams: Upstreams
) -> None:
    plain, headers = upstreams["plain"], {"Authorization": {"secret": "key", "prefix": "Bearer "}}

    outcome = retrier.have(f"{plain.url}/secret", headers=headers)
    location = begin(standard, f"{plain.url}/secret", headers=headers)
    ended(standard, location)

    assert [each.headers["authorization"] for each in plain.at("/secret")] == [f"Bearer {SECRET}"] * 2
    execution = location.removeprefix("executions/")
    arn = f"{standard.machine.replace(':stateMachine:', ':execution:')}:{execution}"
    workflows = standard.cloud.aws.client("stepfunctions")
    history = workflows.get_execution_history(executionArn=arn, includeExecutionData=True, maxResults=1000)
    groups = standard.cloud.aws.client("logs").describe_log_groups()["logGroups"]
    told = {
        "the answer": f"{outcome.reply}",
        "the history": f"{history['events']} {workflows.describe_execution(executionArn=arn)}",
        "the emulator's log": (standard.cloud.folder / "emulator.log").read_text(),
        **{each["logGroupName"]: f"{log_texts(standard.cloud, each['logGroupName'])}" for each in groups},
    }
    assert "Bearer " in told["the history"], "it is what a call says"
    assert any('"attempt"' in each for each in told.values()), "the functions' logs are among them"
    assert [where for where, text in told.items() if SECRET in text] == []


def test_a_secret_goes_to_its_own_upstreams_alone(retrier: Retrying, upstreams: Upstreams) -> None:
    once = upstreams["once"]
    before = len(once.calls)

    outcome = retrier.have(f"{once.url}/secret", headers={"X-Key": {"secret": "key"}})

    assert (outcome.status, outcome.error) == (403, "ForbiddenTarget")
    assert len(once.calls) == before


def send(retrier: Retrying, message: object) -> str:
    """Send a message to the stack's front door, and return its id in the queue."""
    reply = call(retrier.stack.outputs["url"], body=json.dumps(message).encode())
    assert reply.status == 202
    found: str = reply.answer["messageId"]
    return found


def test_a_message_of_the_queue_is_a_call_which_comes_again_until_it_is_made(
    retrier: Retrying, upstreams: Upstreams
) -> None:
    queued = upstreams["queued"]
    queued.does("/orders", answers(503), answers())

    order = {"url": f"{queued.url}/orders", "method": "POST", "body": "order", "idempotency_key": "order-1"}
    message = send(retrier, {**order, "retry": {"attempts": 1}})

    calls = wait_until(lambda: queued.at("/orders"), lambda found: len(found) == 2)
    assert [(each.method, each.body) for each in calls] == [("POST", b"order")] * 2
    assert [each.headers["idempotency-key"] for each in calls] == ["order-1"] * 2

    def said() -> list[str]:
        lines = json_lines(retrier.cloud, retrier.stack.consumer["log"])
        return [each["message"] for each in lines if each.get("message_id") == message]

    assert wait_until(said, lambda found: "handled" in found) == ["failed", "handled"]


def test_messages_with_one_idempotency_key_are_one_call(retrier: Retrying, upstreams: Upstreams) -> None:
    plain = upstreams["plain"]
    order = {"url": f"{plain.url}/twice", "method": "POST", "body": "order", "idempotency_key": "order-2"}
    for outcome in ("handled", "handled before"):
        message = send(retrier, order)

        def said(message: str = message) -> list[str]:
            lines = json_lines(retrier.cloud, retrier.stack.consumer["log"])
            return [each["message"] for each in lines if each.get("message_id") == message]

        assert wait_until(said, bool) == [outcome]
    assert len(plain.at("/twice")) == 1


def test_a_message_that_is_no_call_to_be_made_goes_to_the_dead_letters_and_says_why(
    retrier: Retrying, upstreams: Upstreams
) -> None:
    stranger = upstreams["stranger"]
    wrong: dict[str, tuple[object, str]] = {
        "list": ([1, 2], "the message is no JSON object"),
        "call": ({"uri": "x"}, "InvalidCall: uri: no such thing"),
        "target": ({"url": f"{stranger.url}/"}, "ForbiddenTarget: "),
    }
    once = upstreams["queued"]
    once.does("/unsafe", answers(503))
    unsafe = send(retrier, {"url": f"{once.url}/unsafe", "method": "POST"})
    sent = {send(retrier, message): words for message, words in wrong.values()}

    found: dict[str, Reason] = {}
    for _ in (*sent, unsafe):
        dead = take(retrier.cloud, retrier.stack.outputs["dead_letter_queue_url"])
        reason = Reason.loads(dead["MessageAttributes"][ATTRIBUTE]["StringValue"])
        found[reason.message_id] = reason

    refused = found.pop(unsafe)
    assert refused.error == "queued_calls.RefusedError"
    assert "without an idempotency key the call is not sent again" in refused.message
    assert len(once.at("/unsafe")) == 1
    assert found.keys() == sent.keys()
    for message, words in sent.items():
        assert found[message].error == "queued_calls.UnmakeableCallError"
        assert words in found[message].message
        assert found[message].receives == 1
    assert not stranger.calls


def test_a_circuit_opens_and_a_probe_closes_it(beside: Beside, upstreams: Upstreams) -> None:
    illness = beside.illness.result()

    assert [each.results for each in illness.failing] == [[500]] * OPENS_AT
    for refused in (illness.refused, illness.refused_again):
        assert (refused.status, refused.error, refused.gave_up) == (503, "CircuitOpen", "circuit")
        assert refused.results == []
        assert int(refused.reply.headers["retry-after"]) >= 1
    assert (illness.probe.status, illness.probe.results) == (500, [500])
    assert (illness.well.status, illness.well.results) == (200, [200])
    # A circuit that is closed counts from the beginning.
    assert (illness.stumbling.status, illness.as_before.status) == (500, 200)
    assert min(illness.probe.waited, illness.well.waited) > 0
    assert illness.as_before.waited < 1
    assert len(upstreams["ill"].calls) == OPENS_AT + 4


def test_what_the_circuit_s_alarm_looks_at_is_what_the_function_measures(
    retrier: Retrying, beside: Beside
) -> None:
    # The local AWS makes no metrics of a log's lines: what is there is the line.
    assert beside.illness.result().refused.gave_up == "circuit"
    alarm, group = retrier.alarm("circuit"), made(retrier.stack, "retrier-call-logs")

    def measured() -> list[Values]:
        lines = json_lines(retrier.cloud, group.outputs["name"])
        return [each for each in lines if alarm["MetricName"] in each]

    opened, *_ = wait_until(measured, bool)
    (directive,) = opened["_aws"]["CloudWatchMetrics"]
    dimensions = {each["Name"]: each["Value"] for each in alarm["Dimensions"]}
    assert directive["Namespace"] == alarm["Namespace"]
    assert alarm["MetricName"] in {each["Name"] for each in directive["Metrics"]}
    assert directive["Dimensions"] == [[*dimensions]]
    assert {name: opened[name] for name in dimensions} == dimensions
    assert sum(opened[alarm["MetricName"]]) >= alarm["Threshold"]


def test_a_machine_that_fails_tells_how_far_it_came_and_no_url(retrier: Retrying) -> None:
    workflows = retrier.cloud.aws.client("stepfunctions")
    deployed = workflows.describe_state_machine(stateMachineArn=retrier.machine)
    failed = json.loads(deployed["definition"])["States"]["Failed"]
    sent = {"at": 1.5, "status": 307, "url": "https://api.example.com/?signature=1"}
    progress = {"began": 1, "attempts": 1, "history": [{"at": 0.5, "status": 503}], "ready": {}}

    def cause(number: int) -> Values:
        """Have only its last state run, after so many redirects."""
        carried = {**progress, "followed": [sent] * number}
        given = {"Type": "Pass", "Assign": {"lost": "X", "losses": 1, "progress": carried}, "Next": "Failed"}
        machine = {
            "QueryLanguage": "JSONata",
            "StartAt": "Given",
            "States": {"Given": given, "Failed": failed},
        }
        arn = workflows.create_state_machine(
            name=f"failing-{number}",
            definition=json.dumps(machine),
            roleArn=deployed["roleArn"],
            type="EXPRESS",
        )["stateMachineArn"]
        run = workflows.start_sync_execution(stateMachineArn=arn, input="{}")
        assert (run["status"], run["error"]) == ("FAILED", "CallFailed")
        told: Values = json.loads(run["cause"])
        return told

    for number in range(3):
        followed = [{"at": 1.5, "status": 307}] * number
        assert cause(number) == {"error": "X", "losses": 1, "progress": {**progress, "followed": followed}}


def test_a_name_of_an_address_that_is_not_public_is_not_called(beside: Beside, upstreams: Upstreams) -> None:
    outcome = beside.breakdown.result().forbidden

    assert (outcome.status, outcome.error) == (403, "ForbiddenTarget")
    assert outcome.reply.answer["message"] == "localhost has no address that may be connected to"
    assert not upstreams["stranger"].calls


def test_a_call_that_cannot_be_carried_out_is_told_and_raises_the_alarms(
    broken: Retrying, beside: Beside, upstreams: Upstreams
) -> None:
    breakdown = beside.breakdown.result()

    assert (breakdown.late.status, breakdown.late.error) == (504, "DeadlineExceeded")
    assert (breakdown.failed.status, breakdown.failed.error) == (500, "CallFailed")
    assert breakdown.failed.results == []
    assert (breakdown.by_itself["status"], breakdown.by_itself["error"]) == ("FAILED", "CallFailed")
    told = json.loads(breakdown.by_itself["cause"])
    assert told == {"error": "BudgetUnavailableError", "progress": None, "losses": 0}
    assert breakdown.raised_before == []
    assert wait_until(broken.raised, lambda found: len(found) == 2) == ["failed", "timed-out"]
    assert not upstreams["stranger"].calls


@pytest.mark.clock
def test_a_wait_is_never_shorter_than_asked_for_and_hardly_longer(
    retrier: Retrying, upstreams: Upstreams
) -> None:
    # Else it is a start that takes long.
    assert retrier.have(f"{upstreams['plain'].url}/warm").status == 200

    with ThreadPoolExecutor(2) as pool:
        begun = [
            pool.submit(retrier.have, f"{upstreams[name].url}{path}")
            for name, path in (("seconds", "/retry-after/2"), ("date", "/retry-at/2"))
        ]
        results = [each.result().results for each in begun]

    assert results == [[429, 200]] * 2
    asked, came = upstreams["seconds"].calls
    assert 2 <= came.at - asked.at <= 3.5
    asked, came = upstreams["date"].calls
    # As the upstream said it: at the next whole second.
    assert 0 <= came.at - -(-(asked.at + 2) // 1) <= 1.5


CALLERS = 40
A_SECOND = 10
"""Calls of the budget; the upstream allows no more either."""
WINDOW_SECONDS = 3
"""Slots are evenly spaced, but each call comes a little after its own, and one later than another: by so much
longer is the time whose calls come within a window. A tenth more, one call of 15, is for that."""


@pytest.mark.clock
def test_many_callers_together_stay_within_one_budget(retrier: Retrying, upstreams: Upstreams) -> None:
    paced, plain = upstreams["paced"], upstreams["plain"]
    paced.does("/", rated(A_SECOND))

    start_workers(retrier, plain, CALLERS)

    with ThreadPoolExecutor(CALLERS) as pool:
        runs = list(pool.map(lambda _: retrier.run({"url": f"{paced.url}/"}), range(CALLERS)))

    assert {each["status"] for each in runs} == {"SUCCEEDED"}
    outcomes: list[Values] = [json.loads(each["output"]) for each in runs]
    assert all(each["ok"] or each["gave_up"] in {"deadline", "budget", "pause"} for each in outcomes)
    moments = [each.at for each in paced.calls]
    assert len(moments) == sum(each["attempts"] for each in outcomes)
    assert sum(each["ok"] for each in outcomes) >= 0.9 * CALLERS
    assert most_within(moments, WINDOW_SECONDS) <= 1.1 * A_SECOND * WINDOW_SECONDS
    assert len(moments) <= 1.1 * A_SECOND * (max(moments) - min(moments)) + 1
