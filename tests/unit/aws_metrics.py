"""What AWS publishes in CloudWatch, as far as it is used here: namespace to metric to sets of dimensions.

"Amazon API Gateway dimensions and metrics", "Available CloudWatch metrics for Amazon SQS", "Using CloudWatch
metrics with Lambda", "AWS WAF metrics and dimensions"; Sluice's own metrics carry the function's name in the
dimension ``service``, as Powertools gives it to each. What a metric filter reads from the access log has no
dimensions, and for each front door a namespace of its own.
"""

API = [{"ApiName", "Stage"}, {"ApiName", "Method", "Resource", "Stage"}, {"ApiName"}]
QUEUE = [{"QueueName"}]
FUNCTION = [{"FunctionName"}, {"FunctionName", "Resource"}, set[str]()]
SERVICE = [{"service"}]
WEB_ACL = [{"Region", "Rule", "WebACL"}]
"""Of a Regional web ACL; ``Rule`` is ``ALL`` for all of them together."""
FILTERED = [set[str]()]
DOOR_NAMESPACE = "Sluice/test-door"
"""Of a front door named ``door`` in a stack named ``test``."""

AUTHORIZER_COUNTS = {"Allowed", "Refused", "SettingsErrors"}
CONSUMER_COUNTS = {
    *("RecordsHandled", "RecordsRepeated", "RecordsFailed", "RecordsGivenUp", "RecordsReturned"),
    *("RecordAge", "AttemptsInterrupted"),
}
INGEST_COUNTS = {
    *("EventsPerDelivery", "EventsRepeated", "LinesMalformed", "RequestsSeen", "RequestsCounted"),
    *("RequestsUnattributed", "IngestLag", "BlocksStarted", "BlocksExtended"),
}
ENFORCER_COUNTS = {
    *("RunsBusy", "RunsPaused", "Conflicts", "SetsWritten", "RecordsUnreadable", "BlocksLive"),
    *("BlocksReleased", "BlocksExtended", "BlocksEvicted", "SetFill", "BlockLag", "ReleaseLag"),
}

METRICS = {
    "AWS/ApiGateway": {
        "Count": API,
        "4XXError": API,
        "5XXError": API,
        "Latency": API,
        "IntegrationLatency": API,
        "CacheHitCount": API,
        "CacheMissCount": API,
    },
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
        "FilteredOutEventCount": [{"EventSourceMappingUUID"}],
    },
    "AWS/WAFV2": {"BlockedRequests": WEB_ACL},
    "Sluice": dict.fromkeys(AUTHORIZER_COUNTS | CONSUMER_COUNTS | INGEST_COUNTS | ENFORCER_COUNTS, SERVICE),
    DOOR_NAMESPACE: {"RequestsThrottled": FILTERED},
}

GAUGES = {
    "RecordAge",
    *("Latency", "IntegrationLatency", "Duration"),
    *("ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"),
    *("IteratorAge", "EventsPerDelivery", "IngestLag", "BlockLag", "ReleaseLag"),
    *("SetFill", "BlocksLive", "RecordsUnreadable", "RunsPaused"),
}
"""Metrics whose samples are states: a sum of them means nothing."""

SHARES = {"4XXError", "5XXError", "CacheHitCount", "CacheMissCount"}
"""Metrics with a sample of 0 or 1 for each request: their average is a share, from 0 to 1."""
