"""Makers for API keys and the plans that they are on."""

from .gateway_stage import check_stage
from .registry import Inputs, Outputs, Workshop, auto_name, makes


@makes("aws:apigateway/usagePlan:UsagePlan")
def usage_plan(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Make a plan; its quota counts from the first call here, not from the start of a day, week or month."""
    stages = inputs["apiStages"]
    for each in stages:
        check_stage(workshop, each["apiId"], each["stage"])
    physical: str = inputs.get("name") or auto_name(name)
    made = workshop.aws.client("apigateway").create_usage_plan(
        name=physical,
        apiStages=[{"apiId": each["apiId"], "stage": each["stage"]} for each in stages],
        **inputs.pick(description="description", throttle="throttleSettings", quota="quotaSettings"),
    )
    arn = f"arn:aws:apigateway:{workshop.aws.region}::/usageplans/{made['id']}"
    return made["id"], {"name": physical, "arn": arn}


@makes("aws:apigateway/apiKey:ApiKey")
def api_key(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Make a key."""
    physical: str = inputs.get("name") or auto_name(name)
    made = workshop.aws.client("apigateway").create_api_key(
        name=physical,
        enabled=inputs.get("enabled", True),
        **inputs.pick(description="description", value="value"),
    )
    arn = f"arn:aws:apigateway:{workshop.aws.region}::/apikeys/{made['id']}"
    return made["id"], {"name": physical, "value": made["value"], "arn": arn}


@makes("aws:apigateway/usagePlanKey:UsagePlanKey")
def usage_plan_key(workshop: Workshop, _name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Put a key on a plan."""
    made = workshop.aws.client("apigateway").create_usage_plan_key(
        **inputs.pick(usagePlanId="usagePlanId", keyId="keyId", keyType="keyType")
    )
    return made["id"], {"name": made["name"], "value": made["value"]}
