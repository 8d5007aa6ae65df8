"""Terminals with more than one system: ships that change to GEO and back, phones whose cells are lost."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

import numpy as np
import pytest
from orbit_data import START_NS
from plan_data import MS, S, walk

from testbed.ground.errors import ScenarioError
from testbed.plan.expected import path_delay_ns
from testbed.plan.inputs import Request
from testbed.plan.model import Plan
from testbed.plan.plans import make

GEO_ONE_WAY_MS = (240.0, 345.0)
"""35,786 km up and down at least, 41,679 km at most, with 60 ms of modem and processing at most."""


@cache
def planned(name: str, seconds: int = 40, catalogues: tuple[str, ...] = (), **parameters: str) -> Plan:
    scenario = importlib.import_module(f"topologies.{name}").scenario(**parameters)
    return make(scenario, Request(catalogues, (), START_NS, seconds * S, S, 0))


def one_way_ms(plan: Plan, host: str) -> np.ndarray[Any, Any]:
    """From the host, each second."""
    path = next(path for path in plan.paths if path[0].nodes[0] == host)
    return path_delay_ns(plan, path, np.arange(0, plan.duration_ns, S)) / MS


def over_geo(plan: Plan, host: str) -> list[bool | None]:
    """Each second; None without service."""
    low, high = GEO_ONE_WAY_MS
    return [None if np.isnan(took) else bool(low < took < high) for took in one_way_ms(plan, host)]


def test_a_jammed_frigate_goes_over_geo_and_comes_back() -> None:
    plan, calm = planned("mediterranean", jamming="heavy@8-18"), planned("mediterranean")
    # noticed after 1 s, two more without service; the same back
    assert over_geo(plan, "frigate-e") == [False] * 9 + [None] * 2 + [True] * 8 + [None] * 2 + [False] * 19
    for host in ("frigate-w", "frigate-s", "patrol", "taranto"):
        assert np.array_equal(one_way_ms(plan, host), one_way_ms(calm, host))
    assert not any(over_geo(calm, "frigate-e"))
    ways = [step.nodes for path in plan.paths for step in path if path[0].nodes[0] == "frigate-e"]
    assert [way[2] for way in ways][1].startswith("SICRAL")
    assert ways[1][3:5] == ("gw-vigna", "pop-vigna")
    for number, link in enumerate(plan.links):
        if "ut-frigate-e" in (link.a, link.b) and link.kind == "user":
            steps, geo = plan.link_steps(number), "SICRAL" in link.a + link.b
            assert {8_000_000, 2_000_000} >= set(steps["rate_bps"].tolist()) if geo else steps["loss"].max() == 0.8
            assert not (geo and steps["loss"].any())  # another band is not jammed
    there, back = [one for one in plan.events if one.kind == "outage"]
    assert (there.time_ns, there.cause) == (9 * S, "changes to the backup")
    assert (back.time_ns, back.cause) == (19 * S, "changes to the satellites")
    learnt_ms = 2_500  # two seconds of change, and half a second until the new NAT knows it,
    assert back.window_ns == learnt_ms * MS
    assert there.window_ns / MS - learnt_ms == pytest.approx(310, abs=5)  # once something has gone up over GEO


def test_what_is_sent_over_geo_arrives_both_ways() -> None:
    plan = planned("mediterranean", jamming="heavy@8-18")
    sent = range(12 * S, 18 * S, 100 * MS)
    up = walk(plan.links, plan.steps, plan.routes, [(t, "ut-frigate-e", "hq-rome", "ce-rome") for t in sent])
    down = walk(plan.links, plan.steps, plan.routes, [(t, "ce-rome", "frigate-e", "ut-frigate-e") for t in sent])
    assert None not in up + down
    low, high = GEO_ONE_WAY_MS
    assert all(low * MS < a - t < high * MS for t, a in zip(sent, up, strict=True) if a is not None)


def test_light_jamming_is_borne_and_without_a_fallback_all_is() -> None:
    assert not any(over_geo(planned("mediterranean", jamming="light@8-18"), "frigate-e"))
    bare = planned("mediterranean", jamming="heavy@8-18", fallback="none")
    assert over_geo(bare, "frigate-e") == [False] * 40
    assert not [node for node in bare.nodes if "vigna" in node.name]


def test_a_denied_frigate_goes_over_geo_and_an_aircraft_cannot() -> None:
    plan = planned("mediterranean", denied="account@8-20")
    assert over_geo(plan, "frigate-e")[8:11] == [None] * 3
    assert over_geo(plan, "frigate-e")[11:21] == [True] * 10
    assert over_geo(plan, "frigate-e")[23:] == [False] * 17
    assert over_geo(plan, "patrol")[8:21] == [None] * 13
    assert over_geo(plan, "patrol")[21:] == [False] * 19


def test_where_no_gateway_is_in_view_a_ship_has_geo_alone() -> None:
    plan = planned("mediterranean", lasers="off")
    assert all(over_geo(plan, "frigate-s"))
    assert not any(over_geo(plan, "taranto"))


def test_another_catalogue_keeps_the_backups_satellites() -> None:
    plan = planned("mediterranean", 20, ("starlink-broadband",), denied="account@5")
    assert [part["source"] for part in plan.manifest["catalogue"]["parts"]] == [
        "built-in: starlink-broadband",
        "built-in: sicral",
    ]
    assert over_geo(plan, "frigate-w")[-5:] == [True] * 5


def test_phones_go_from_their_cells_to_the_satellites() -> None:
    plan = planned("direct_to_cell", cells_lost="8")
    for host in ("amatrice", "rome"):
        took = one_way_ms(plan, host)
        assert np.all(took[:8] == pytest.approx(26.4, abs=1.0))  # 18 of radio, fibre to Milan and back
        assert np.isnan(took[8:11]).all()
        assert np.all(took[11:] > 45.0)
        ways = [step.nodes for path in plan.paths for step in path if path[0].nodes[0] == host]
        assert ways[0][2].startswith("gw-cell-")
        assert plan.node(ways[1][2]).role == "satellite"
        sent = range(0, 14 * S, 50 * MS)
        for walked in (
            walk(plan.links, plan.steps, plan.routes, [(t, f"ut-{host}", "alarm", "ce-rome") for t in sent]),
            walk(plan.links, plan.steps, plan.routes, [(t, "ce-rome", host, f"ut-{host}") for t in sent]),
        ):
            missing = [t for t, arrival in zip(sent, walked, strict=True) if arrival is None]
            assert 8 * S - 50 * MS <= missing[0] <= 8 * S
            assert 11 * S - 100 * MS <= missing[-1] < 11 * S
            assert missing == list(range(missing[0], missing[-1] + 1, 50 * MS))
    boat = planned("direct_to_cell")
    assert np.array_equal(one_way_ms(plan, "ionian"), one_way_ms(boat, "ionian"))


def test_no_satellite_lands_at_a_base_station() -> None:
    plan = planned("direct_to_cell", cells_lost="8")
    assert not [one for one in plan.links if one.kind == "feeder" and "cell" in one.a + one.b]
    assert {one.kind for one in plan.links if "gw-cell-am" in (one.a, one.b)} == {"user", "fibre"}


def test_without_cells_the_plan_and_its_assumptions_are_as_before() -> None:
    module = importlib.import_module("topologies.direct_to_cell")
    assert "terrestrial cells are gone: phones have satellites alone, outdoors" in module.scenario().assumptions
    assert any("until all cells are lost at second 8" in one for one in module.scenario(cells_lost="8").assumptions)
    assert not [node for node in planned("direct_to_cell").nodes if "cell" in node.name]


def test_a_fallback_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ScenarioError, match="parameter fallback='leo' is not one of geo, none"):
        importlib.import_module("topologies.mediterranean").scenario(fallback="leo")
