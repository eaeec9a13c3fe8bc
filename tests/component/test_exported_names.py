import components


def test_the_public_names_are_these() -> None:
    assert components.__all__ == [
        "Answer",
        "Authorizer",
        "AuthorizerArgs",
        "AuthorizerKind",
        "Consumer",
        "ConsumerArgs",
        "Dashboard",
        "DashboardArgs",
        "FrontDoor",
        "FrontDoorArgs",
        "InvalidArgsError",
        "LayerBuildError",
        "Limiter",
        "LimiterArgs",
        "OverrideArgs",
        "Problem",
        "WindowArgs",
        "WindowKind",
        "WindowPeriod",
    ]
    assert all(hasattr(components, each) for each in components.__all__)
