"""The program: settings become a front door, who may call it how often, and what drains its queue."""

import pulumi

from components import Authorizer, Consumer, Dashboard, FrontDoor, Limiter
from settings import stack_settings

settings = stack_settings()

authorizer = Authorizer("authorizer", settings.authorizer)

front_door = FrontDoor("front-door", {**settings.front_door, **authorizer.front_door_args()})

limiter = Limiter("limiter", {**settings.limiter, **front_door.limiter_args()}) if settings.limiter else None

consumer = Consumer(
    "consumer",
    {**settings.consumer, "queue_arn": front_door.queue_arn, "queue_url": front_door.queue_url},
)

dashboard = Dashboard(
    "dashboard",
    {
        "front_door": front_door.names(),
        "authorizer": authorizer.names(),
        "limiter": limiter.names() if limiter else None,
        "consumer": consumer.names(),
    },
)

pulumi.export("url", front_door.url)
pulumi.export("queue_url", front_door.queue_url)
pulumi.export("dead_letter_queue_url", front_door.dead_letter_queue_url)
pulumi.export("access_log", front_door.access_log_name)
pulumi.export("authorizer_function", authorizer.function_name)
pulumi.export("authorizer_log", authorizer.log_group_name)
pulumi.export("limiter", limiter.operator() if limiter else None)
pulumi.export("consumer_function", consumer.function_name)
pulumi.export("consumer_log", consumer.log_group_name)
pulumi.export("consumer_table", consumer.table_name)
pulumi.export("dashboard", dashboard.dashboard_name)
