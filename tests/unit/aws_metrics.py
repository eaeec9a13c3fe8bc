"""What AWS publishes in CloudWatch, as far as it is used here: namespace to metric to sets of dimensions.

"Amazon API Gateway dimensions and metrics", "Available CloudWatch metrics for Amazon SQS", "Using CloudWatch
metrics with Lambda"; Sluice's own metrics carry the dimension that Powertools gives to each.
"""

API = [{"ApiName", "Stage"}, {"ApiName", "Method", "Resource", "Stage"}, {"ApiName"}]
QUEUE = [{"QueueName"}]
FUNCTION = [{"FunctionName"}, {"FunctionName", "Resource"}, set[str]()]
SERVICE = [{"service"}]

METRICS = {
    "AWS/ApiGateway": {"Count": API, "4XXError": API, "5XXError": API, "Latency": API},
    "AWS/SQS": {
        "NumberOfMessagesSent": QUEUE,
        "NumberOfMessagesDeleted": QUEUE,
        "ApproximateNumberOfMessagesVisible": QUEUE,
        "ApproximateAgeOfOldestMessage": QUEUE,
    },
    "AWS/Lambda": {"Invocations": FUNCTION, "Errors": FUNCTION, "Throttles": FUNCTION, "Duration": FUNCTION},
    "Sluice": {"RecordsHandled": SERVICE, "RecordsFailed": SERVICE},
}

GAUGES = {"Latency", "Duration", "ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"}
"""Metrics whose samples are states: a sum of them means nothing."""
