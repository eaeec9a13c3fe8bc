"""Front doors in an API and in front of a queue that were there before."""

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from local.demo_checks import wait_until
from local.stack import LocalAws

from .doors import Door, attributes_of, open_door
from .support import call, take

if TYPE_CHECKING:
    from mypy_boto3_apigateway.type_defs import RestApiResponseTypeDef

CONSUMER = {
    "code": "examples/recorder",
    "entry": "recorder:record_handler",
    "table": "id",
    "queue_visibility_timeout_seconds": 180,
}


@pytest.fixture(scope="module")
def owned(cloud: LocalAws) -> "RestApiResponseTypeDef":
    """An API of somebody else's, with a method and an answer of its own."""
    gateway = cloud.aws.client("apigateway")
    api = gateway.create_rest_api(name=f"owned-{uuid.uuid4().hex}", description="theirs")
    where: Any = {"restApiId": api["id"], "resourceId": resource(cloud, api, api["rootResourceId"], "theirs")}
    gateway.put_method(**where, httpMethod="GET", authorizationType="NONE")
    gateway.put_integration(
        **where, httpMethod="GET", type="MOCK", requestTemplates={"application/json": '{"statusCode": 200}'}
    )
    gateway.put_method_response(**where, httpMethod="GET", statusCode="200")
    gateway.put_integration_response(
        **where, httpMethod="GET", statusCode="200", responseTemplates={"application/json": '{"of": "them"}'}
    )
    gateway.put_gateway_response(
        restApiId=api["id"],
        responseType="MISSING_AUTHENTICATION_TOKEN",
        statusCode="404",
        responseTemplates={"application/json": '{"their": "error"}'},
    )
    gateway.create_deployment(restApiId=api["id"], stageName="live")
    return api


def resource(cloud: LocalAws, api: "RestApiResponseTypeDef", parent: str, part: str) -> str:
    """Make a resource of an API."""
    made = cloud.aws.client("apigateway").create_resource(restApiId=api["id"], parentId=parent, pathPart=part)
    return made["id"]


def described(cloud: LocalAws, api: "RestApiResponseTypeDef") -> dict[str, Any]:
    """Return what an API's owner has set."""
    gateway = cloud.aws.client("apigateway")
    resources = gateway.get_resources(restApiId=api["id"], embed=["methods"])["items"]
    stage = gateway.get_stage(restApiId=api["id"], stageName="live")
    known = gateway.get_rest_api(restApiId=api["id"])
    return {
        "answers": [
            each
            for each in gateway.get_gateway_responses(restApiId=api["id"], limit=500)["items"]
            if not each.get("defaultResponse")
        ],
        "theirs": next(each for each in resources if each["path"] == "/theirs"),
        "deployment": stage["deploymentId"],
        "logs": stage.get("accessLogSettings"),
        "policy": known.get("policy"),
        "description": known.get("description"),
        "endpoint": known.get("endpointConfiguration"),
    }


def in_api(cloud: LocalAws, api: "RestApiResponseTypeDef", parent: str, **more: Any) -> Door:
    """Deploy a front door into an API."""
    given = {
        "api_id": api["id"],
        "api_name": api["name"],
        "root_resource_id": parent,
        "stage_name": f"ours{uuid.uuid4().hex[:6]}",
        "health_path": "up",
        **more,
    }
    return open_door(cloud, given)


def test_an_api_that_exists_gets_our_routes_and_keeps_its_own(
    cloud: LocalAws, owned: "RestApiResponseTypeDef"
) -> None:
    before = described(cloud, owned)

    door = in_api(
        cloud,
        owned,
        owned["rootResourceId"],
        queues=[{"name": "first"}, {"name": "kept"}],
        routes=[{"path": "orders/{id}", "queue": "kept", "attributes": {"id": "path.id"}}],
    )

    assert owned["id"] in door.url
    accepted = door.send("orders/7", {"n": 7})
    assert accepted.status == 202
    message = door.take("kept", accepted)
    assert (message["Body"], attributes_of(message)["id"]) == ('{"n": 7}', "7")
    assert door.send("up", None, None, "GET").status == 200
    theirs = door.send("theirs", None, None, "GET")
    assert (theirs.status, theirs.answer) == (200, {"of": "them"}), "our deployment has their methods too"
    live = f"{door.url.rpartition('/')[0]}/live/theirs"
    assert call(live, "GET", None).answer == {"of": "them"}
    assert described(cloud, owned) == before


def test_errors_of_an_api_that_exists_look_as_its_owner_has_them(
    cloud: LocalAws, owned: "RestApiResponseTypeDef"
) -> None:
    door = in_api(cloud, owned, resource(cloud, owned, owned["rootResourceId"], "under"))

    assert door.send("under/messages").status == 202
    missing = door.send("nothing")
    assert (missing.status, missing.answer) == (404, {"their": "error"})
    refused = door.send("under/messages", b"\x01")
    assert (refused.status, refused.answer["code"]) == (400, "BAD_REQUEST_BODY"), "what SQS says we tell"


@pytest.fixture
def queue_url(cloud: LocalAws) -> str:
    """A queue of somebody else's."""
    made = cloud.aws.client("sqs").create_queue(
        QueueName=f"owned-{uuid.uuid4().hex}",
        Attributes={"VisibilityTimeout": "180", "MaximumMessageSize": "2048", "DelaySeconds": "0"},
        tags={"owner": "them"},
    )
    return made["QueueUrl"]


def queue_of(cloud: LocalAws, url: str) -> dict[str, str]:
    """Return what a queue's owner has set."""
    sqs = cloud.aws.client("sqs")
    counted = ("ApproximateNumberOf", "LastModified")
    known = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    tags = sqs.list_queue_tags(QueueUrl=url).get("Tags", {})
    told = {str(name): value for name, value in (*known.items(), *tags.items())}
    return {name: value for name, value in told.items() if not name.startswith(counted)}


def test_a_queue_that_exists_gets_messages_and_is_not_changed(cloud: LocalAws, queue_url: str) -> None:
    before = queue_of(cloud, queue_url)

    door = open_door(
        cloud, {"queue_arn": before["QueueArn"], "queue_url": queue_url, "path": "in"}, consumer=CONSUMER
    )

    assert queue_of(cloud, queue_url) == before
    assert door.stack.outputs["queue_url"] == queue_url
    assert door.stack.outputs["dead_letter_queue_url"] is None
    cloud.aws.client("lambda").delete_event_source_mapping(UUID=door.made("consumer-mapping").id)
    accepted = door.send("in", {"n": 1})
    assert accepted.status == 202
    message = take(cloud, queue_url)
    assert (message["MessageId"], message["Body"]) == (accepted.answer["messageId"], '{"n": 1}')
    assert attributes_of(message)["requestId"] == accepted.answer["requestId"]
    over = door.send("in", b"x" * 3000)
    assert (over.status, over.answer["code"]) == (413, "REQUEST_TOO_LARGE"), "its own limit holds"


def test_a_queue_that_exists_can_be_one_of_several(cloud: LocalAws, queue_url: str) -> None:
    before = queue_of(cloud, queue_url)
    theirs = {"name": "theirs", "queue_arn": before["QueueArn"], "queue_url": queue_url}

    door = open_door(
        cloud,
        {
            "queues": [{"name": "ours"}, theirs],
            "routes": [{"path": "ours"}, {"path": "theirs", "queue": "theirs"}],
        },
    )

    assert [door.send(path, json.dumps(path)).status for path in ("ours", "theirs")] == [202, 202]
    assert take(cloud, queue_url)["Body"] == '"theirs"'
    assert queue_of(cloud, queue_url) == before
    assert set(door.stack.outputs["dead_letter_queue_urls"]) == {"ours"}


def test_the_consumer_drains_a_queue_that_exists(cloud: LocalAws, queue_url: str) -> None:
    arn = queue_of(cloud, queue_url)["QueueArn"]
    door = open_door(cloud, {"queue_arn": arn, "queue_url": queue_url}, consumer=CONSUMER)

    accepted = door.send("messages")

    found = wait_until(
        lambda: cloud.aws.client("dynamodb").get_item(
            TableName=door.stack.consumer["table"],
            Key={"id": {"S": accepted.answer["messageId"]}},
            ConsistentRead=True,
        ),
        lambda seen: "Item" in seen,
    )
    assert found["Item"]["id"]["S"] == accepted.answer["messageId"]


def test_a_fifo_queue_that_exists_keeps_its_order(cloud: LocalAws) -> None:
    sqs = cloud.aws.client("sqs")
    url = sqs.create_queue(
        QueueName=f"owned-{uuid.uuid4().hex}.fifo",
        Attributes={"FifoQueue": "true", "ContentBasedDeduplication": "true", "VisibilityTimeout": "180"},
    )["QueueUrl"]
    door = open_door(
        cloud,
        {
            "queues": [
                {"name": "ours"},
                {"name": "theirs", "queue_arn": queue_of(cloud, url)["QueueArn"], "queue_url": url},
            ],
            "routes": [
                {
                    "path": "in",
                    "queue": "theirs",
                    "group_id": "header.X-Group",
                    "deduplication_id": "context.request_id",
                }
            ],
        },
    )

    replies = [door.send("in", {"n": number}, {"X-Group": "a"}) for number in range(3)]

    assert [each.status for each in replies] == [202] * 3
    assert [json.loads(take(cloud, url)["Body"])["n"] for _ in range(3)] == [0, 1, 2]
    missing = door.send("in")
    assert (missing.status, missing.answer["code"]) == (400, "BAD_GROUP_ID")
