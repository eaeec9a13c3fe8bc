"""The program: settings become a front door, who may call it, what drains its queues, and calls outside."""

import pulumi

from components import (
    AlarmTopic,
    Authorizer,
    Consumer,
    ConsumerArgs,
    Dashboard,
    EncryptionKey,
    FrontDoor,
    Limiter,
    Retrier,
)
from settings import stack_settings

settings = stack_settings()

shared = settings.shared
if settings.encryption_key is not None:
    shared["kms_key_arn"] = EncryptionKey("key", settings.encryption_key).key_arn
if settings.alarm_topic is not None:
    shared["alarm_topic_arn"] = AlarmTopic("alarms", {**settings.alarm_topic, **shared}).topic_arn

authorizer = Authorizer("authorizer", {**settings.authorizer, **shared})

front_door = FrontDoor("front-door", {**settings.front_door, **authorizer.front_door_args(), **shared})

limiter = None
if settings.limiter is not None:
    limiter = Limiter("limiter", {**front_door.limiter_args(), **settings.limiter, **shared})

retrier = Retrier("retrier", {**settings.retrier, **shared}) if settings.retrier is not None else None

consumers = {}
for each in settings.consumers:
    args: ConsumerArgs = {**each.args, **front_door.consumer_args(each.queue), **shared}
    if retrier is not None and each.makes_calls:
        args = {**retrier.consumer_args(), **args}
    consumers[each.name] = Consumer(each.name, args)

dashboard = Dashboard(
    "dashboard",
    {
        "front_door": front_door.names(),
        "authorizer": authorizer.names(),
        "limiter": limiter.names() if limiter else None,
        "retrier": retrier.names() if retrier else None,
        "consumers": [each.names() for each in consumers.values()],
    },
)

pulumi.export("url", front_door.url)
pulumi.export("base_url", front_door.base_url)
pulumi.export("invoke_url", front_door.invoke_url)
pulumi.export("queue_url", front_door.queue_url)
pulumi.export("queue_urls", front_door.queue_urls)
pulumi.export("dead_letter_queue_url", front_door.dead_letter_queue_url)
pulumi.export("dead_letter_queue_urls", front_door.dead_letter_queue_urls)
pulumi.export("access_log", front_door.access_log_name)
pulumi.export("api_keys", front_door.api_key_ids)
pulumi.export("domain_target", front_door.domain_target)
pulumi.export("authorizer_function", authorizer.function_name)
pulumi.export("authorizer_log", authorizer.log_group_name)
pulumi.export("limiter", limiter.operator() if limiter else None)
pulumi.export("front_door", front_door.operator())
pulumi.export("consumers", {name: each.operator() for name, each in consumers.items()})
pulumi.export("retrier", retrier.operator() if retrier else None)
pulumi.export("dashboard", dashboard.dashboard_name)
pulumi.export("alarm_topic", shared.get("alarm_topic_arn"))
pulumi.export("key_policy_needs", settings.key_policy_needs())
