import json
from typing import Any

import pytest

from .cases import CORS, EXISTING_QUEUE, PLANS, READS, SCHEMA, planned
from .doors import GUARDED, POST_MESSAGES, door, methods, plain, urns
from .recording import ACCOUNT, API_RESOURCE, MODEL, QUEUE, REGION, ROLE_POLICY, VALIDATOR, Plan

POST_EVENTS, PUT_ORDERS = "POST/events", "PUT/orders/{}"
POST_NOTES, PATCH_THEIRS = "POST/orders/{}/notes", "PATCH/theirs"


def several() -> Plan:
    return planned("front door with routes and queues")


def one(**route: object) -> Plan:
    return door(routes=[{"path": "messages", **route}])


def integration(plan: Plan, method: str) -> dict[str, Any]:
    return plan[f"unit-integration-{method}"].inputs


def template(plan: Plan, method: str) -> str:
    (text,) = set(integration(plan, method)["requestTemplates"].values())
    return str(text)


@pytest.mark.parametrize(
    ("method", "queue"), [(POST_EVENTS, "events"), (PUT_ORDERS, "orders"), (POST_NOTES, "events")]
)
def test_each_route_puts_its_messages_into_its_own_queue(method: str, queue: str) -> None:
    plan = several()
    name = plan[f"unit-{queue}-queue"].outputs["name"]
    made = integration(plan, method)
    assert made["uri"] == f"arn:aws:apigateway:{REGION}:sqs:path/{ACCOUNT}/{name}"
    assert made["credentials"] == plan["unit-role"].outputs["arn"]
    assert made["integrationHttpMethod"] == "POST", "whatever the caller's own method is"


def test_a_route_may_put_its_messages_into_a_queue_that_exists() -> None:
    assert integration(several(), PATCH_THEIRS)["uri"].endswith(f":sqs:path/{ACCOUNT}/orders")


def test_the_role_may_send_to_exactly_the_queues_of_the_routes() -> None:
    plan = several()
    sending = [
        each["Resource"] for _, each in plan.statements(ROLE_POLICY) if "sqs:SendMessage" in each["Action"]
    ]
    made = [plan[f"unit-{each}-queue"].outputs["arn"] for each in ("events", "orders")]
    assert sending == [sorted([*made, EXISTING_QUEUE["queue_arn"]])]


def test_each_of_several_queues_is_made_as_it_says_itself() -> None:
    plan = several()
    events, orders = (plan[f"unit-{each}-queue"].inputs for each in ("events", "orders"))
    assert (events["maxMessageSize"], orders["maxMessageSize"]) == (4096, 262_144)
    assert json.loads(events["redrivePolicy"])["maxReceiveCount"] == 3
    assert json.loads(orders["redrivePolicy"])["maxReceiveCount"] == 5
    assert orders["visibilityTimeoutSeconds"] == 60
    assert {each.name for each in plan.of(QUEUE) if each.inputs.get("fifoQueue")} == {
        "unit-orders-dead-letters",
        "unit-orders-queue",
    }


def test_the_size_that_a_413_tells_is_the_one_of_the_route_s_own_queue() -> None:
    plan = several()
    told = {
        method: plan[f"unit-refused-{method}"].inputs["responseTemplates"]["application/json"]
        for method in (POST_EVENTS, PUT_ORDERS, PATCH_THEIRS)
    }
    sizes = {POST_EVENTS: 4096, PUT_ORDERS: 262_144, PATCH_THEIRS: 1_048_576}
    for method, size in sizes.items():
        assert f"take more than {size} bytes" in told[method]


def test_outputs_name_each_of_several_queues_and_the_first_is_the_default() -> None:
    plan = several()
    events, orders = (plan[f"unit-{each}-queue"].outputs for each in ("events", "orders"))
    assert plan.result["queue_arns"] == {
        "events": events["arn"],
        "orders": orders["arn"],
        "theirs": EXISTING_QUEUE["queue_arn"],
    }
    assert plan.result["queue_urls"]["orders"] == orders["url"]
    assert plan.result["queue_arn"] == events["arn"]
    dead = {each: plan[f"unit-{each}-dead-letters"].outputs for each in ("events", "orders")}
    assert plan.result["dead_letter_queue_arns"] == {name: each["arn"] for name, each in dead.items()}
    assert plan.result["dead_letter_queue_urls"] == {name: each["url"] for name, each in dead.items()}
    assert plan.result["dead_letter_queue_url"] == dead["events"]["url"]


def test_the_first_of_several_queues_takes_over_the_only_one_of_before_with_its_messages() -> None:
    plan = door(queues=[{"name": "events"}, {"name": "orders"}])
    assert plan["unit-events-queue"].aliases == ("unit-queue",)
    assert plan["unit-events-dead-letters"].aliases == ("unit-dead-letters",)
    assert plan["unit-orders-queue"].aliases == ()
    assert plain()["unit-queue"].aliases == ()


def test_the_outputs_name_the_resource_of_each_path() -> None:
    plan = several()
    ids = {
        each.name.removeprefix("unit-path-").replace("{}", "{shop}"): each.outputs["id"]
        for each in plan.of(API_RESOURCE)
    }
    assert plan.result["resource_ids"] == {**ids, "": plan["unit-api"].outputs["rootResourceId"]}


def test_each_segment_of_a_path_is_a_resource_in_the_one_before() -> None:
    plan = door(path="orders/new/now")
    paths = ("orders", "orders/new", "orders/new/now")
    first, second, third = (plan[f"unit-path-{each}"] for each in paths)
    assert [each.inputs["pathPart"] for each in (first, second, third)] == ["orders", "new", "now"]
    assert [each.inputs["parentId"] for each in (first, second, third)] == [
        plan["unit-api"].outputs["rootResourceId"],
        first.outputs["id"],
        second.outputs["id"],
    ]
    assert plan["unit-method-POST/orders/new/now"].inputs["resourceId"] == third.outputs["id"]
    assert integration(plan, "POST/orders/new/now")["resourceId"] == third.outputs["id"]


def test_paths_that_begin_alike_share_their_parents() -> None:
    plan = several()
    assert sorted(each.name.removeprefix("unit-path-") for each in plan.of(API_RESOURCE)) == [
        *("events", "orders", "orders/{}", "orders/{}/notes", "theirs")
    ]
    parents = {each.name: each.inputs["parentId"] for each in plan.of(API_RESOURCE)}
    assert parents["unit-path-orders/{}"] == plan["unit-path-orders"].outputs["id"]
    assert parents["unit-path-orders/{}/notes"] == plan["unit-path-orders/{}"].outputs["id"]


def test_a_parameter_s_name_is_no_part_of_a_child_s_name() -> None:
    plan = several()
    assert plan["unit-path-orders/{}"].inputs["pathPart"] == "{shop}"
    renamed = door(routes=[{"path": "orders/{id}"}])
    assert renamed["unit-path-orders/{}"].inputs["pathPart"] == "{id}", (
        "a second resource beside the first would be refused: a sibling has a variable path part already"
    )


def test_methods_of_one_path_share_its_resource() -> None:
    routes = [{"path": "orders"}, {"path": "orders", "method": "PUT"}]
    plan = door(routes=routes, reads=[{"path": "orders", "url": "https://b.example.com"}])
    (resource,) = plan.of(API_RESOURCE)
    made = methods(plan)
    assert set(made) == {"POST/orders", "PUT/orders", "GET/orders"}
    assert {each["resourceId"] for each in made.values()} == {resource.outputs["id"]}


def test_there_is_neither_validator_nor_model_where_nothing_is_checked() -> None:
    plan = plain()
    assert not plan.of(VALIDATOR)
    assert not plan.of(MODEL)
    assert "requestValidatorId" not in methods(plan)[POST_MESSAGES]
    assert "requestModels" not in methods(plan)[POST_MESSAGES]


def test_there_is_one_validator_and_a_model_for_each_schema() -> None:
    plan = several()
    (validator,) = plan.of(VALIDATOR)
    assert validator.inputs["validateRequestBody"] is True
    assert validator.inputs["validateRequestParameters"] is True
    made = methods(plan)
    assert {name for name, each in made.items() if "requestModels" in each} == {POST_EVENTS, PUT_ORDERS}
    # The parameter of its path has to be there, as it always is.
    checked = {name for name, each in made.items() if "requestValidatorId" in each}
    assert checked == {POST_EVENTS, PUT_ORDERS, POST_NOTES}
    assert {made[each]["requestValidatorId"] for each in checked} == {validator.outputs["id"]}


def test_a_schema_holds_for_every_content_type_that_the_route_takes() -> None:
    plan = several()
    method = methods(plan)[PUT_ORDERS]
    model = plan[f"unit-model-{PUT_ORDERS}"].inputs
    taken = {"application/json", "application/vnd.shop.order+json"}
    assert method["requestModels"] == {"$default": model["name"]}, (
        "a body of a type without a model would not be checked"
    )
    assert set(integration(plan, PUT_ORDERS)["requestTemplates"]) == taken
    assert integration(plan, PUT_ORDERS)["passthroughBehavior"] == "NEVER"


def test_a_model_holds_the_schema_as_draft_4() -> None:
    model = several()[f"unit-model-{PUT_ORDERS}"].inputs
    assert model["name"].isalnum(), "API Gateway takes letters and digits alone"
    assert model["contentType"] == "application/json"
    assert json.loads(model["schema"]) == {"$schema": "http://json-schema.org/draft-04/schema#", **SCHEMA}


def test_each_of_several_models_has_a_name_of_its_own() -> None:
    names = [each.inputs["name"] for each in several().of(MODEL)]
    assert len(names) == len(set(names)) == 2


def test_a_batch_is_checked_as_an_array_of_what_may_be_in_it() -> None:
    schema = json.loads(several()[f"unit-model-{POST_EVENTS}"].inputs["schema"])
    assert (schema["type"], schema["minItems"], schema["maxItems"]) == ("array", 1, 10)
    assert schema["items"] == {"type": "object"}


def test_a_batch_without_a_schema_is_checked_for_its_size() -> None:
    plan = one(batch=True)
    assert json.loads(plan[f"unit-model-{POST_MESSAGES}"].inputs["schema"])["maxItems"] == 10
    assert template(plan, POST_MESSAGES).startswith("Action=SendMessageBatch")


def test_what_a_route_requires_is_required_and_what_it_only_reads_is_declared() -> None:
    assert methods(several())[PUT_ORDERS]["requestParameters"] == {
        "method.request.header.X-Tenant": True,
        "method.request.path.shop": True,
        "method.request.querystring.page": False,
        "method.request.querystring.source": True,
    }


def test_a_route_that_only_reads_parameters_is_not_checked() -> None:
    plan = one(attributes={"tenant": "header.X-Tenant", "page": "query.page"})
    method = methods(plan)[POST_MESSAGES]
    assert set(method["requestParameters"].values()) == {False}
    assert "requestValidatorId" not in method
    assert not plan.of(VALIDATOR)


def test_a_required_header_is_checked_without_a_model() -> None:
    plan = one(required_headers=["X-Tenant"])
    (validator,) = plan.of(VALIDATOR)
    assert methods(plan)[POST_MESSAGES]["requestValidatorId"] == validator.outputs["id"]
    assert not plan.of(MODEL)


def test_an_optional_attribute_is_left_out_where_its_value_is_absent() -> None:
    text = template(one(attributes={"tenant": "header.X-Tenant"}), POST_MESSAGES)
    before, _, after = text.partition("=tenant")
    # SQS refuses an empty value, and with it the message.
    assert before.rpartition('#if($value != "")')[1]
    assert "#end" in after


def test_a_fifo_message_carries_its_group_and_its_deduplication_id() -> None:
    text = template(planned("front door with a FIFO queue"), "POST/orders")
    assert "&MessageGroupId=$util.urlEncode($value)" in text
    assert "&MessageDeduplicationId=$util.urlEncode($value)" in text


def test_a_delay_is_written_into_the_form() -> None:
    assert "&DelaySeconds=1" in template(several(), POST_NOTES)
    assert "DelaySeconds" not in template(several(), POST_EVENTS)


def test_a_trace_goes_on_with_the_message_where_asked() -> None:
    routes = [{"path": "a", "trace_header": True}, {"path": "b"}]
    plan = door(tracing=True, routes=routes)
    assert "AWSTraceHeader" in template(plan, "POST/a")
    assert "AWSTraceHeader" not in template(plan, "POST/b")


@pytest.mark.parametrize(("method", "status"), [(POST_EVENTS, "202"), (PUT_ORDERS, "200")])
def test_a_route_answers_with_its_own_status(method: str, status: str) -> None:
    assert several()[f"unit-accepted-{method}"].inputs["statusCode"] == status


def test_an_answer_with_204_has_no_body_when_the_message_was_accepted() -> None:
    accepted = several()[f"unit-accepted-{PATCH_THEIRS}"].inputs
    assert accepted["statusCode"] == "204"
    text = accepted["responseTemplates"]["application/json"]
    assert '#if($id && $id != "")#else' in text
    assert "responseOverride.status = 502" in text, "and no 2xx where SQS named no message"


@pytest.mark.parametrize("method", [POST_EVENTS, PUT_ORDERS, POST_NOTES, PATCH_THEIRS])
def test_no_route_answers_2xx_where_sqs_named_no_message(method: str) -> None:
    text = several()[f"unit-accepted-{method}"].inputs["responseTemplates"]["application/json"]
    assert "#set($context.responseOverride.status = 502)" in text


WITH_ALL = {**READS, **CORS}
NOT_GUARDED = {
    "GET/health",
    *(f"OPTIONS/{each}" for each in ("messages", "catalog/{}", "status", "health")),
}
FOR_CALLERS = {POST_MESSAGES, "GET/catalog/{}", "GET/status"}


def test_a_key_is_asked_for_everywhere_but_at_the_health_check_and_preflights() -> None:
    made = methods(door(**WITH_ALL, **PLANS))
    assert {name for name, each in made.items() if each.get("apiKeyRequired")} == FOR_CALLERS
    assert made.keys() == FOR_CALLERS | NOT_GUARDED


def test_no_key_is_asked_for_without_plans() -> None:
    assert not any(each.get("apiKeyRequired") for each in methods(door(**WITH_ALL)).values())


def test_the_authorizer_decides_everywhere_but_at_the_health_check_and_preflights() -> None:
    plan = door(**WITH_ALL, **GUARDED)
    by_kind: dict[str, set[str]] = {}
    for name, each in methods(plan).items():
        by_kind.setdefault(each["authorization"], set()).add(name)
    assert by_kind == {"CUSTOM": FOR_CALLERS, "NONE": NOT_GUARDED}
    assert {each["authorizerId"] for each in methods(plan).values() if "authorizerId" in each} == {
        plan["unit-authorizer"].outputs["id"]
    }


def test_every_method_waits_for_its_model() -> None:
    plan = several()
    assert urns(plan, f"model-{PUT_ORDERS}") <= plan[f"unit-method-{PUT_ORDERS}"].dependencies


@pytest.mark.parametrize("answer", ["accepted", "accepted-response", "refused", "broken-response"])
def test_an_answer_of_another_status_takes_the_place_of_the_one_before(answer: str) -> None:
    # An update would look for a status that is not there, and two answers may not have one pattern.
    made = door(routes=[{"path": "orders", "success_status": 200}])[f"unit-{answer}-POST/orders"]
    assert made.delete_before_replace
    assert "statusCode" in made.replace_on_changes


def test_a_parameter_of_a_path_may_get_another_name() -> None:
    before, after = (
        {each.name for each in door(routes=[{"path": path, "attributes": {"x": f"path.{name}"}}]).children}
        for path, name in (("orders/{shop}", "shop"), ("orders/{id}", "id"))
    )
    assert before == after, "else the new one would be made beside the old one, which API Gateway refuses"


def test_the_default_of_several_queues_is_the_only_one_of_before() -> None:
    plan = door(queues=[{"name": "events"}, {"name": "orders"}], routes=[{"path": "events"}])
    assert plan["unit-events-queue"].aliases == ("unit-queue",)
    assert plan["unit-events-dead-letters"].aliases == ("unit-dead-letters",)
    assert plan["unit-orders-queue"].aliases == ()
