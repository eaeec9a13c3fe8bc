"""The components: Pulumi resources for putting a queue in front of a back end."""

from sluice.limiter.windows import WindowKind, WindowPeriod

from .alarm_topic import AlarmTopic, AlarmTopicArgs
from .archives import LayerBuildError
from .arguments import InvalidArgsError, Problem
from .authorizer import Authorizer
from .authorizer_args import AuthorizerArgs, AuthorizerKind, TokenArgs
from .consumer import Consumer
from .consumer_args import ConsumerArgs, Idempotency, Pollers
from .dashboard import Dashboard, DashboardArgs
from .door_queues import QueueArgs
from .encryption_key import EncryptionKey, EncryptionKeyArgs
from .front_door import FrontDoor
from .front_door_args import FrontDoorArgs
from .limiter import Limiter, LimiterArgs
from .limiter_rules import OverrideArgs, WindowArgs
from .proxy import ProxyArgs
from .retrier import Retrier
from .retrier_args import CircuitArgs, EgressArgs, RetrierArgs, SecretArgs, UpstreamArgs
from .routes import ReadArgs, RouteArgs
from .templates import Answer
from .usage_plans import UsagePlanArgs

COMPONENTS = [AlarmTopic, Authorizer, Consumer, Dashboard, EncryptionKey, FrontDoor, Limiter, Retrier]
"""What programs in other languages are offered."""

__all__ = [
    "AlarmTopic",
    "AlarmTopicArgs",
    "Answer",
    "Authorizer",
    "AuthorizerArgs",
    "AuthorizerKind",
    "CircuitArgs",
    "Consumer",
    "ConsumerArgs",
    "Dashboard",
    "DashboardArgs",
    "EgressArgs",
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
    "Retrier",
    "RetrierArgs",
    "RouteArgs",
    "SecretArgs",
    "TokenArgs",
    "UpstreamArgs",
    "UsagePlanArgs",
    "WindowArgs",
    "WindowKind",
    "WindowPeriod",
]
