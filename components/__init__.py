"""The components: Pulumi resources for putting a queue in front of a back end."""

from sluice.limiter.windows import WindowKind, WindowPeriod

from .archives import LayerBuildError
from .arguments import InvalidArgsError, Problem
from .authorizer import Authorizer, AuthorizerArgs, AuthorizerKind
from .consumer import Consumer, ConsumerArgs
from .dashboard import Dashboard, DashboardArgs
from .front_door import FrontDoor, FrontDoorArgs
from .limiter import Limiter, LimiterArgs
from .limiter_rules import OverrideArgs, WindowArgs
from .templates import Answer

COMPONENTS = [Authorizer, Consumer, Dashboard, FrontDoor, Limiter]
"""What programs in other languages are offered."""

__all__ = [
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
