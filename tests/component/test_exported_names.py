import components


def test_the_public_names_are_these() -> None:
    assert components.__all__ == [
        "AlarmTopic",
        "AlarmTopicArgs",
        "Answer",
        "Authorizer",
        "AuthorizerArgs",
        "AuthorizerKind",
        "Consumer",
        "ConsumerArgs",
        "Dashboard",
        "DashboardArgs",
        "EncryptionKey",
        "EncryptionKeyArgs",
        "FrontDoor",
        "FrontDoorArgs",
        "Idempotency",
        "InvalidArgsError",
        "LayerBuildError",
        "Limiter",
        "LimiterArgs",
        "OverrideArgs",
        "Pollers",
        "Problem",
        "ProxyArgs",
        "QueueArgs",
        "ReadArgs",
        "RouteArgs",
        "TokenArgs",
        "UsagePlanArgs",
        "WindowArgs",
        "WindowKind",
        "WindowPeriod",
    ]
    assert all(hasattr(components, each) for each in components.__all__)
