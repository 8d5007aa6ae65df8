"""From what is asked to the plan: the one way there, whoever asks and whatever kind of topology it is."""

from __future__ import annotations

from dataclasses import replace

from testbed.plan.build import build_plan
from testbed.plan.inputs import Request, elements
from testbed.plan.model import Plan
from testbed.plan.scenario import Scenario


def make(asked: Scenario, request: Request) -> Plan:
    """The plan of what a topology asks, under the satellites and at the times of the request.

    What the catalogues warn of and assume goes into the plan. Raises InputError.
    """
    satellites, start_ns = elements(request.catalogues, request.start_ns, request.select)
    plan = build_plan(asked, satellites, start_ns, request.duration_ns, request.step_ns, request.seed)
    assumptions = dict.fromkeys(part.assumption for part in satellites.parts if part.assumption)
    return replace(
        plan,
        warnings=(*satellites.warnings, *plan.warnings),
        assumptions=(*plan.assumptions, *assumptions),
    )
