# SPDX-License-Identifier: Apache-2.0
"""What mcpgate is held to: the one table of limits, and how a run is held against it."""
from . import report

BETTER, NGINX, FLOOR, ITSELF = "better of the row's rivals", "nginx", "floor", "itself"


class Goal:
    """At most `limit`: mcpgate's `figure` of a row (None: the row's main one) by that of `to`, paired by round, or, to
    ITSELF, the figure as it is. `of` is whose figure it is, where that is not mcpgate's."""

    def __init__(self, row, limit, to=BETTER, figure=None, of="mcpgate"):
        self.row, self.limit, self.to, self.figure, self.of = row, limit, to, figure, of


GOALS = [
    Goal("post64", 0.72),
    Goal("post64", 1.08, FLOOR),
    Goal("post64", 0.70, of="floor"),  # only then does the line before count
    Goal("post512", 0.70),
    Goal("post512", 1.08, FLOOR),
    Goal("mcp2026", 0.72),
    Goal("tools-list", 0.36, NGINX),
    Goal("fanout", 0.60, NGINX),
    Goal("sse-saturated", 0.95),
    Goal("sse-saturated", 1.0, NGINX, "p99_us"),
    Goal("sse-batched", 0.75),
    Goal("sse-added", 1.05),
    Goal("sse-added-spin", 0.35),
    Goal("latency1", 0.97),
    Goal("latency1-spin", 0.45),
    Goal("body-up", 1.0),
    Goal("body-down", 1.0),
    Goal("mem-sse", 0.25),
    Goal("mem-sse", 1024, ITSELF),
    Goal("mem-sse", 1.0, figure="total_mib"),
    Goal("mem-idle", 1.0),
    Goal("mem-idle", 512, ITSELF),
    Goal("mem-idle", 1.0, figure="total_mib"),
    Goal("start", 1.0),
    Goal("idle-beside", 1.10, ITSELF),
    Goal("active512", 1.5, ITSELF),
    Goal("workers", 1.15, ITSELF),
    Goal("bridge-call", 0.05),
    Goal("bridge-session", 0.05),
]


def _value(goal, row):
    figure = goal.figure or row["main"]
    if goal.to != ITSELF:
        return report.ratio(row["rounds"], figure, goal.of, row["rivals"] if goal.to == BETTER else [goal.to])
    summary = row["summary"].get(goal.of, {}).get(figure)
    return summary["median"] if summary else None


def held(row, result):
    """The row's result with its `goals`: [{figure, of, to, limit, value, met}]; value None: who it is compared with took
    no part."""
    result["goals"] = []
    for goal in (g for g in GOALS if g.row == row.name):
        value = _value(goal, result)
        met = None if value is None else value <= goal.limit
        figure = goal.figure or row.main
        to = report.better_of(row.rivals) if goal.to == BETTER else goal.to
        result["goals"].append({"figure": figure, "of": goal.of, "to": to, "limit": goal.limit, "value": value, "met": met})
    return result
