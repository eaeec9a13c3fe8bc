"""What AWS publishes in CloudWatch, as far as it is used here: namespace to metric to sets of dimensions.

"Amazon API Gateway dimensions and metrics", "Available CloudWatch metrics for Amazon SQS", "Using CloudWatch
metrics with Lambda", "AWS WAF metrics and dimensions"; Sluice's own metrics carry the function's name in the
dimension ``service``, as Powertools gives it to each.
"""

API = [{"ApiName", "Stage"}, {"ApiName", "Method", "Resource", "Stage"}, {"ApiName"}]
QUEUE = [{"QueueName"}]
FUNCTION = [{"FunctionName"}, {"FunctionName", "Resource"}, set[str]()]
SERVICE = [{"service"}]
WEB_ACL = [{"Region", "Rule", "WebACL"}]
"""Of a Regional web ACL; ``Rule`` is ``ALL`` for all of them together."""

CONSUMER_COUNTS = {"RecordsHandled", "RecordsFailed"}
INGEST_COUNTS = {
    *("EventsPerDelivery", "EventsRepeated", "LinesMalformed", "RequestsSeen", "RequestsCounted"),
    *("IngestLag", "BlocksStarted", "BlocksExtended"),
}
ENFORCER_COUNTS = {
    *("RunsBusy", "RunsPaused", "Conflicts", "SetsWritten", "RecordsUnreadable", "BlocksLive"),
    *("BlocksReleased", "BlocksExtended", "BlocksEvicted", "SetFill", "BlockLag", "ReleaseLag"),
}

METRICS = {
    "AWS/ApiGateway": {"Count": API, "4XXError": API, "5XXError": API, "Latency": API},
    "AWS/SQS": {
        "NumberOfMessagesSent": QUEUE,
        "NumberOfMessagesDeleted": QUEUE,
        "ApproximateNumberOfMessagesVisible": QUEUE,
        "ApproximateAgeOfOldestMessage": QUEUE,
    },
    "AWS/Lambda": {
        "Invocations": FUNCTION,
        "Errors": FUNCTION,
        "Throttles": FUNCTION,
        "Duration": FUNCTION,
        "AsyncEventsDropped": FUNCTION,
        "DestinationDeliveryFailures": FUNCTION,
        "IteratorAge": FUNCTION,
    },
    "AWS/WAFV2": {"BlockedRequests": WEB_ACL},
    "Sluice": dict.fromkeys(CONSUMER_COUNTS | INGEST_COUNTS | ENFORCER_COUNTS, SERVICE),
}

GAUGES = {
    *("Latency", "Duration", "ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"),
    *("IteratorAge", "EventsPerDelivery", "IngestLag", "BlockLag", "ReleaseLag"),
    *("SetFill", "BlocksLive", "RecordsUnreadable", "RunsPaused"),
}
"""Metrics whose samples are states: a sum of them means nothing."""
