"""`Dashboard`: the graphs of all components on one page of CloudWatch."""

from collections.abc import Sequence
from typing import NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from . import (
    arguments,
    authorizer,
    consumer_metrics,
    front_door_metrics,
    limiter_metrics,
    naming,
    retrier_metrics,
)
from .arguments import Problem
from .authorizer import AuthorizerNames
from .consumer_metrics import ConsumerNames
from .front_door_metrics import FrontDoorNames
from .limiter_metrics import LimiterNames
from .monitoring import Panel
from .retrier_metrics import RetrierNames

SHOWN = ("front_door", "authorizer", "limiter", "consumers", "retrier")
COLUMNS = 24
PANEL_HEIGHT = 6
PERIOD_SECONDS = 60


class DashboardArgs(TypedDict):
    """What `Dashboard` takes: the names of what is to be seen."""

    front_door: NotRequired[FrontDoorNames | None]
    """A front door's names. Default: no graphs of one."""
    authorizer: NotRequired[AuthorizerNames | None]
    """An authorizer's names. Default: no graphs of one."""
    consumers: NotRequired[list[ConsumerNames]]
    """The names of consumers. Default: no graphs of any."""
    limiter: NotRequired[LimiterNames | None]
    """A limiter's names. Default: no graphs of one."""
    retrier: NotRequired[RetrierNames | None]
    """A retrier's names. Default: no graphs of one."""
    kms_key_arn: NotRequired[pulumi.Input[str]]
    """Taken by every component; a dashboard holds nothing to encrypt. Default: none."""
    log_retention_days: NotRequired[int]
    """Taken by every component; a dashboard writes no log. Default: none."""
    alarm_topic_arn: NotRequired[pulumi.Input[str]]
    """Taken by every component; a dashboard has no alarms of its own. Default: none."""


def problems(args: DashboardArgs) -> list[Problem]:
    """Return everything that is wrong with the arguments."""
    found = [*arguments.shared(args)]
    if not any(args.get(each) for each in SHOWN):
        found.append(Problem("front_door", None, "the names of at least one component to show"))
    return found


def panels(args: DashboardArgs) -> list[Panel]:
    """Return the graphs of all components that are to be seen."""
    joined: list[Panel] = []
    if names := args.get("front_door"):
        joined += front_door_metrics.panels(names)
    if guard := args.get("authorizer"):
        joined += authorizer.panels(guard)
    if counting := args.get("limiter"):
        joined += limiter_metrics.panels(counting)
    for worker in args.get("consumers", []):
        joined += consumer_metrics.panels(worker)
    if calling := args.get("retrier"):
        joined += retrier_metrics.panels(calling)
    return joined


def body(shown: Sequence[Panel], region: pulumi.Input[str]) -> dict[str, object]:
    """Return a dashboard's body: the panels from left to right, line by line ("Dashboard body structure")."""
    widgets: list[dict[str, object]] = []
    x = y = 0
    for panel in shown:
        if x + panel.width > COLUMNS:
            x, y = 0, y + PANEL_HEIGHT
        widgets.append(
            {
                "type": "metric", "x": x, "y": y, "width": panel.width, "height": PANEL_HEIGHT,
                "properties": {
                    "title": panel.title, "region": region, "period": PERIOD_SECONDS, "view": "timeSeries",
                    "metrics": [
                        [
                            metric.namespace, metric.name,
                            *(part for pair in metric.dimensions.items() for part in pair),
                            {"stat": metric.statistic},
                        ]
                        for metric in panel.metrics
                    ],
                },
            }
        )  # fmt: skip
        x += panel.width
    return {"widgets": widgets}


class Dashboard(pulumi.ComponentResource):
    """One page of CloudWatch with the graphs of the components that it is given.

    Children: ``<name>-dashboard``.
    """

    dashboard_name: pulumi.Output[str]
    """The dashboard's name."""

    def __init__(self, name: str, args: DashboardArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Make the dashboard.

        Raises:
            InvalidArgsError: with every problem in ``args``, before anything is created.
        """
        super().__init__("sluice:index:Dashboard", name, None, opts)
        admitted = arguments.admit(f"Dashboard {name!r}", args, DashboardArgs, problems)
        region = aws.get_region_output(opts=pulumi.InvokeOutputOptions(parent=self)).region
        dashboard = aws.cloudwatch.Dashboard(
            f"{name}-dashboard",
            dashboard_name=naming.stack_wide(name),
            dashboard_body=pulumi.Output.json_dumps(body(panels(admitted), region)),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.dashboard_name = dashboard.dashboard_name
        self.register_outputs({"dashboard_name": self.dashboard_name})
