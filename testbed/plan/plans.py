"""From what is asked to the plan: the one way there, whoever asks and whatever kind of topology it is."""

from __future__ import annotations

from dataclasses import replace

from testbed.ground.errors import PlanError
from testbed.plan.build import build_plan
from testbed.plan.inputs import DEFAULT, Request, elements
from testbed.plan.model import Plan
from testbed.plan.multihomed import Multihomed, merged
from testbed.plan.replay import Replay, replay_plan
from testbed.plan.scenario import Scenario
from testbed.plan.shells import Shells, shells_plan
from testbed.plan.terrestrial import Terrestrial, terrestrial_plan

Asked = Scenario | Replay | Terrestrial | Shells | Multihomed
"""What a topology may ask for."""


def make(asked: Asked, request: Request) -> Plan:
    """The plan of what a topology asks, under the satellites and at the times of the request.

    What the catalogues warn of and assume goes into the plan. Raises InputError.
    """
    if isinstance(asked, Multihomed):
        return merged(asked, _parts(asked, request))
    given = bool(request.catalogues or request.select)
    if isinstance(asked, Shells) and not (given and asked.catalogued):
        if given:
            raise PlanError(
                f"topology {asked.name} brings its own shells: leave out --catalogue and --select, or add "
                "-p constellation=all"
            )
        return shells_plan(asked, request.start_ns, request.duration_ns, request.step_ns, request.seed)
    if not isinstance(asked, Scenario | Shells) and given:
        raise PlanError(f"topology {asked.name} has no orbits: leave out --catalogue and --select")
    if isinstance(asked, Terrestrial):
        return terrestrial_plan(asked, request.start_ns, request.duration_ns, request.seed)
    if isinstance(asked, Replay):
        return replay_plan(asked, request.start_ns, request.duration_ns, request.step_ns, request.seed)
    asked_for = request.catalogues if isinstance(asked, Shells) else catalogues(asked, request)
    satellites, start_ns = elements(asked_for, request.start_ns, request.select)
    if isinstance(asked, Shells):
        plan = shells_plan(asked, start_ns, request.duration_ns, request.step_ns, request.seed, satellites)
    else:
        plan = build_plan(asked, satellites, start_ns, request.duration_ns, request.step_ns, request.seed)
    assumptions = dict.fromkeys(part.assumption for part in satellites.parts if part.assumption)
    return replace(
        plan,
        warnings=(*satellites.warnings, *plan.warnings),
        assumptions=(*plan.assumptions, *assumptions),
    )


def _parts(asked: Multihomed, request: Request) -> list[Plan]:
    """The plan of each system, all from the same instant on.

    Catalogues and filters are for the one system that brings none of its own; it also says when the plan starts.
    """
    open_ = [part for part in asked.parts if isinstance(part.asked, Scenario) and not part.asked.constellation]
    first = open_[0] if open_ else asked.parts[0]
    leading = make(first.asked, request)
    others = replace(request, catalogues=(), select=(), start_ns=leading.start_ns)
    return [leading if part is first else make(part.asked, others) for part in asked.parts]


def catalogues(scenario: Scenario, request: Request) -> tuple[str, ...]:
    """What is asked for, or else the scenario's own, and those of its backup; none for `inputs.DEFAULT`."""
    asked = request.catalogues or scenario.constellation
    other = scenario.backup.constellation if scenario.backup is not None else ()
    return (*(asked or (DEFAULT,) * bool(other)), *(name for name in other if name not in asked))
