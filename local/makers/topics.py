"""Makers for SNS."""

from .registry import Inputs, Outputs, Workshop, auto_name, makes


@makes("aws:sns/topic:Topic")
def topic(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Make a topic."""
    physical: str = inputs.get("name") or auto_name(name)
    attributes = inputs.pick(KmsMasterKeyId="kmsMasterKeyId")
    arn = workshop.aws.client("sns").create_topic(Name=physical, Attributes=attributes)["TopicArn"]
    return arn, {"arn": arn, "name": physical}


@makes("aws:sns/topicPolicy:TopicPolicy")
def topic_policy(workshop: Workshop, _name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Say who may publish."""
    arn: str = inputs["arn"]
    workshop.aws.client("sns").set_topic_attributes(
        TopicArn=arn, AttributeName="Policy", AttributeValue=inputs["policy"]
    )
    return arn, {}


@makes("aws:sns/topicSubscription:TopicSubscription")
def topic_subscription(workshop: Workshop, _name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Say who is told; nobody gets mail from the emulator."""
    arn = workshop.aws.client("sns").subscribe(
        ReturnSubscriptionArn=True,
        **inputs.pick(TopicArn="topic", Protocol="protocol", Endpoint="endpoint"),
    )["SubscriptionArn"]
    return arn, {"arn": arn}
