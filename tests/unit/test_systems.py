"""Every system over its own constellation: planned for a minute, held against what is published of it."""

from __future__ import annotations

import importlib
import re
import tomllib
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from orbit_data import START_NS
from plan_data import MS, S, walk

from testbed.ground.errors import PlanError, ScenarioError
from testbed.ground.units import parse_utc_ns
from testbed.orbits.horizon import Horizon
from testbed.orbits.presets import STARLINK_2026_D2C
from testbed.orbits.propagate import Ephemeris
from testbed.orbits.sites import ecef_m, great_circle_m
from testbed.orbits.walker import Shell, walker_catalogue
from testbed.plan.delays import breakdown
from testbed.plan.expected import path_delay_ns
from testbed.plan.inputs import Request
from testbed.plan.model import Plan, to_json
from testbed.plan.plans import make
from testbed.plan.scenario import Scenario
from topologies import sites
from traffic.flows import parse_flows

PROJECT = Path(__file__).parents[2]
SYSTEMS = ("national_leo", "iris2", "geo_milsat", "terrestrial", "starlink_italy", "direct_to_cell", "mediterranean")


def topology(name: str) -> Any:
    return importlib.import_module(f"topologies.{name}")


@cache
def planned(name: str, seconds: int = 60, **parameters: str) -> Plan:
    request = Request((), (), START_NS, seconds * S, S, 0)
    return make(topology(name).scenario(**parameters), request)


def trips_ms(plan: Plan) -> dict[tuple[str, str], np.ndarray]:
    """Round trips of every audited pair, each second; nan while there is no way."""
    times = np.arange(0, plan.duration_ns, S)
    there = {(path[0].nodes[0], path[0].nodes[-1]): path_delay_ns(plan, path, times) for path in plan.paths}
    return {pair: (delay + there[pair[::-1]]) / MS for pair, delay in there.items() if not pair[0].startswith("dc-")}


@pytest.mark.parametrize("name", SYSTEMS)
def test_each_plans_over_its_own_constellation(name: str) -> None:
    plan = planned(name)
    asked = topology(name).scenario()
    assert plan.topology == topology(name).NAME
    assert plan.manifest["title"] == topology(name).TITLE
    assert set(plan.manifest["sovereignty"]) == {"landing", "operator", "jurisdiction", "keys", "off"}
    assert all(plan.manifest["sovereignty"].values())
    assert len(set(plan.assumptions)) == len(plan.assumptions) > 5
    hosts = {lan.host for lan in plan.lans}
    assert len(parse_flows(plan.flows, hosts)) >= 4
    assert sum(flow["rate_pps"] for flow in plan.flows) <= 400  # what a Python sender manages in a slow machine
    named = asked.constellation if isinstance(asked, Scenario) else ()
    if named:
        sources = " ".join(part["source"] for part in plan.manifest["catalogue"]["parts"])
        assert all(one in sources for one in named)


@pytest.mark.parametrize(
    ("name", "parameters", "least_ms", "most_ms"),
    [
        ("starlink_italy", {}, 20, 55),  # Italy's customers: 24.5 to 31.8 to the PoP, and fibre to Rome and back
        ("starlink_italy", {"sites": "twelve"}, 20, 55),
        ("national_leo", {}, 20, 55),  # 600 km: two legs 8 to 24 ms, access, fibre
        ("iris2", {"orbits": "leo"}, 30, 50),  # 1,200 km: 16 to 29 and 15 to 20 on top
        ("iris2", {"orbits": "meo"}, 120, 160),  # 8,000 km: 107 to 140 and the same on top
        ("geo_milsat", {}, 560, 620),  # with modem and processing
        ("direct_to_cell", {}, 60, 150),  # idle
        ("mediterranean", {}, 20, 250),  # lasers: measured medians of slots 87 to 293
        ("terrestrial", {"sites": "twelve"}, 1, 10),
    ],
)
def test_round_trips_are_as_published(name: str, parameters: dict[str, str], least_ms: float, most_ms: float) -> None:
    for pair, trips in trips_ms(planned(name, **parameters)).items():
        assert np.isfinite(trips).mean() > 0.9, pair
        assert least_ms <= np.nanmin(trips), pair
        assert np.nanmedian(trips) <= most_ms, pair


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_parameter_reads_its_own_default_and_refuses_nonsense(name: str) -> None:
    module = topology(name)
    for parameter in module.PARAMETERS:
        assert module.scenario(**{parameter.name: parameter.default}).parameters == module.scenario().parameters
        assert parameter.meaning
        with pytest.raises(ScenarioError, match=f"{module.NAME}: parameter {parameter.name}='non sense'"):
            module.scenario(**{parameter.name: "non sense"})


@pytest.mark.parametrize("name", [*SYSTEMS, "global_shell", "trace"])
def test_each_is_registered_and_has_its_page(name: str) -> None:
    module = topology(name)
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["testbed.topologies"][module.NAME] == f"topologies.{name}:scenario"
    page = (PROJECT / "docs/systems" / f"{module.NAME}.md").read_text()
    shared = (PROJECT / "docs/systems/README.md").read_text()
    first = (PROJECT / "docs/systems/starlink-italy.md").read_text()  # parameters of the traffic are told there
    assert f"({module.NAME}.md)" in shared
    for parameter in module.PARAMETERS:
        told = page if module.NAME == "starlink-italy" else page + shared + first
        assert f"`{parameter.name}" in told, f"{module.NAME}: parameter {parameter.name} is not on its page"


@pytest.mark.parametrize("name", [*SYSTEMS, "global_shell", "trace"])
def test_each_page_has_a_picture_flows_checks_and_assumptions(name: str) -> None:
    page = (PROJECT / "docs/systems" / f"{topology(name).NAME}.md").read_text()
    heads = " ".join(line for line in page.splitlines() if line.startswith("#")).lower()
    assert all(word in heads for word in ("flows", "checks", "assumptions"))
    pictures = re.findall(r"!\[[^\]]+\]\(\.\./img/([a-z0-9-]+\.(?:png|svg))\)", page)
    assert pictures
    assert all(1_000 < (PROJECT / "docs/img" / picture).stat().st_size < 150_000 for picture in pictures)


@pytest.mark.parametrize("name", SYSTEMS)
def test_scapy_gets_fewer_packets_to_build(name: str) -> None:
    flows = topology(name).scenario(generator="scapy").flows(10 * S)
    assert sum(flow["rate_pps"] for flow in flows) <= 75


def test_the_same_request_is_the_same_plan() -> None:
    request = Request((), (), START_NS, 30 * S, S, 7)
    one, two = (make(topology("iris2").scenario(), request) for _ in range(2))
    assert to_json(one) == to_json(two)
    assert one.steps.tobytes() == two.steps.tobytes()


def test_a_catalogue_that_is_asked_for_comes_before_the_topologys_own() -> None:
    plan = make(topology("iris2").scenario(), Request(("oneweb",), (), START_NS, 15 * S, S, 0))
    assert plan.manifest["catalogue"]["source"] == "built-in: oneweb"


def test_the_layer_below_of_iris2_serves_while_it_is_in_view_and_is_nearer() -> None:
    """At 31° of elevation 600 km up are 1,060 km away; 1,200 km up are 1,200 at least, 2,200 at 25°: 2 to 15 ms."""
    iris2, begin_ns = topology("iris2"), parse_utc_ns("2026-06-14T19:38:00Z")
    request = Request((), (), begin_ns, 30 * S, S, 0)
    plans = {word: make(iris2.scenario(orbits=word), request) for word in ("all", "leo", "low")}
    served = {
        word: {link.a[:2] for link in plan.links if link.kind == "user" and link.b.startswith("ut-")}
        for word, plan in plans.items()
    }
    assert served == {"all": {"IB"}, "leo": {"IL"}, "low": {"IB"}}
    for pair, trips in trips_ms(plans["leo"]).items():
        assert 2.0 < np.nanmedian(trips) - np.nanmedian(trips_ms(plans["all"])[pair]) < 15.0
    with pytest.raises(PlanError, match="rome: no satellite stays above 25°"):
        planned("iris2", orbits="low")  # as for most of the day
    (told,) = [line for line in iris2.scenario().assumptions if "the layer below has 8" in line]
    assert "neither its number nor its orbits" in told


def test_a_satellite_in_geo_stands_half_a_second_away_and_never_hands_over() -> None:
    """The round trip against the plain geometry of a ring of 42,164 km, and the published 500 to 510 ms."""
    plan = planned("geo_milsat", 600)
    assert plan.handovers == 0
    assert plan.satellites_used == 1
    assert not [event for event in plan.events if event.window_ns]
    used = next(node.name for node in plan.nodes if node.role == "satellite")
    longitude = np.radians({"SICRAL-1B": 11.8, "SICRAL-2": 37.0, "ATHENA-F": 37.77, "SPAINSAT": 29.0}[used])
    satellite_m = 42_164e3 * np.array([np.cos(longitude), np.sin(longitude), 0.0])
    for path in plan.paths:
        parts = breakdown(plan, path[0].nodes, 300 * S)
        one_way_ms = (parts["user"]["propagation"] + parts["feeder"]["propagation"]) / MS
        assert 250.0 <= one_way_ms <= 255.0
        site = next(site for site in (sites.ROME, sites.TARANTO) if site.name in (path[0].nodes[0], path[0].nodes[-1]))
        ends_m = [np.linalg.norm(ecef_m(end) - satellite_m) for end in (site, sites.VIGNA_DI_VALLE)]
        assert one_way_ms == pytest.approx(sum(ends_m) / 299_792.458, abs=0.3)  # 0.1° of its place are 0.25 ms
    assert {part["source"] for part in plan.manifest["catalogue"]["parts"]} == {
        "built-in: sicral",
        "built-in: govsatcom",
    }


CORE_MS = {"rome-dc-milan": 7.0, "taranto-dc-rome": 6.3, "palermo-dc-rome": 6.3, "cagliari-dc-rome": 6.1}
"""Round trips over core fibre at 1.5 times the great circle, index 1.468."""


def test_fibre_takes_what_textbooks_say() -> None:
    trips = trips_ms(planned("terrestrial", sites="twelve"))
    assert 7.0 <= trips["rome", "dc-milan"].min() <= trips["rome", "dc-milan"].max() <= 9.5
    accesses_ms = 4 * 0.5
    for pair, core_ms in CORE_MS.items():
        host, centre = pair.split("-", 1)
        assert trips[host, centre][0] - accesses_ms == pytest.approx(core_ms, rel=0.12)
    slow = trips_ms(planned("terrestrial", sites="twelve", last_mile="fwa"))
    assert slow["rome", "dc-milan"][0] - trips["rome", "dc-milan"][0] == pytest.approx(29.0)


def test_a_cut_backbone_loses_a_second_and_goes_round() -> None:
    """By packets that walk through the plan: every 5 ms one from Rome to Milan, one back."""
    plan = planned("terrestrial", 60, sites="twelve", cut="bologna-firenze@20-40")
    sent = np.arange(0, 60 * S - 100 * MS, 5 * MS)
    for source, home, destination, end in (
        ("rome", "ce-rome", "dc-milan", "ce-dc-milan"),
        ("dc-milan", "ce-dc-milan", "rome", "ce-rome"),
    ):
        arrivals = walk(plan.links, plan.steps, plan.routes, [(int(at), home, destination, end) for at in sent])
        lost = np.array([arrival is None for arrival in arrivals])
        assert sent[lost].min() / S == pytest.approx(20.0, abs=0.02)
        assert sent[lost].max() / S == pytest.approx(21.0, abs=0.02)
        assert lost[(sent >= 20 * S) & (sent < 21 * S - 20 * MS)].all()
        path = next(path for path in plan.paths if (path[0].nodes[0], path[0].nodes[-1]) == (source, destination))
        expected = path_delay_ns(plan, path, sent)
        # Around a change of routes a packet may go on by the new ones half-way: that is inside an event's window.
        windows = [(event.time_ns, event.time_ns + event.window_ns) for event in plan.events]
        calm = np.array([not any(begin - 100 * MS <= at < end for begin, end in windows) for at in sent.tolist()])
        took = np.array([np.nan if a is None else a - at for a, at in zip(arrivals, sent.tolist(), strict=True)])
        assert np.array_equal(took[calm], expected[calm])
        inside = (sent >= 22 * S) & (sent < 40 * S)
        assert {hop for step in path[1:2] for hop in step.nodes} & {"pe-pisa", "pe-genova", "pe-pescara"}
        assert (took[inside] > took[0]).all()
    assert [(event.time_ns // S, event.kind) for event in plan.events] == [(20, "cut")] * 2 + [(41, "mended")] * 2


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("bologna-firenze@40-20", "has a window that ends before it begins: write bologna-firenze@20-40"),
        ("bologna-firenze", "is not understood"),
        ("bologna-firenz@3", r"no span 'bologna-firenz' to cut \(did you mean 'bologna-firenze'\?\)"),
    ],
)
def test_a_cut_that_makes_no_sense_is_refused(written: str, said: str) -> None:
    with pytest.raises(ScenarioError, match=said):
        topology("terrestrial").scenario(cut=written)


def test_phones_are_served_by_the_low_shell_alone_and_share_a_beam() -> None:
    plan = planned("direct_to_cell")
    low = tuple(shell.name for shell in STARLINK_2026_D2C)
    serving = [link for link in plan.links if link.kind == "user" and link.a.startswith("ut-")]
    assert serving
    assert all(link.b.startswith(low) for link in serving)
    for sharing, down_bps in (("8", 500_000), ("80", 50_000)):
        phones = topology("direct_to_cell").scenario(sharing=sharing).terminals
        assert {phone.down_bps for phone in phones} == {down_bps}  # of 4 Mbit/s
    assert not any(phone.bound for phone in phones)


def test_mountains_hide_what_is_below_them() -> None:
    """All round 60°: whoever serves stands higher; without them lower ones serve too."""
    open_sky = topology("direct_to_cell").scenario(terrain="off", lasers="off")
    wall = Horizon(((0.0, 360.0, 60.0),))
    walled = replace(open_sky, terminals=(replace(open_sky.terminals[0], horizon=wall), *open_sky.terminals[1:]))
    request = Request(("starlink-broadband",), (), START_NS, 60 * S, S, 0)
    seen = {}
    for word, asked in (("open", open_sky), ("walled", walled)):
        plan = make(replace(asked, maximum_altitude_m=1e9), request)
        rows = [
            plan.link_steps(n) for n, link in enumerate(plan.links) if link.kind == "user" and link.a == "ut-amatrice"
        ]
        seen[word] = min(float(steps["elevation_deg"][steps["up"]].min()) for steps in rows)
    assert seen["open"] < 58.0
    assert seen["walled"] >= 59.0  # a link is made 1 s ahead and kept 1 s longer, in which a satellite moves by 0.5°


def test_the_navy_lands_in_italy_and_the_red_sea_needs_lasers() -> None:
    plan = planned("mediterranean")
    gateways = {node.name for node in plan.nodes if node.role == "gateway"}
    assert gateways == {"gw-milano", "gw-foggia", "gw-marsala", "gw-vigna"}  # the last for GEO alone
    ways = [step.nodes for path in plan.paths for step in path if path[0].nodes[0] == "frigate-s"]
    satellites = {node.name for node in plan.nodes if node.role == "satellite"}
    assert all(len(satellites.intersection(way)) >= 2 for way in ways)
    bent = topology("mediterranean").scenario(lasers="off", fallback="none")
    assert "frigate-s" not in {terminal.host for terminal in bent.terminals}
    assert all("frigate-s" not in (flow["src"], flow["dst"]) for flow in bent.flows(60 * S))


def test_jamming_in_the_levant_takes_its_share_of_one_frigates_packets_for_a_time() -> None:
    plan, calm = (planned("mediterranean", fallback="none", jamming=word) for word in ("medium@20-40", "none"))
    for number, link in enumerate(plan.links):
        steps, before = plan.link_steps(number), calm.link_steps(number)
        inside = (steps["time_ns"] >= 20 * S) & (steps["time_ns"] < 40 * S)
        hit = link.kind == "user" and "ut-frigate-e" in (link.a, link.b)
        assert np.array_equal(steps["loss"], np.where(inside & hit, 0.3, 0.0))
        assert inside.any() or not hit
        at = np.searchsorted(before["time_ns"], steps["time_ns"], side="right") - 1
        for column in ("up", "delay_ns", "rate_bps"):
            assert np.array_equal(steps[column], before[column][at])
    jam = [event for event in plan.events if event.kind == "jam"]
    assert [(one.node, one.time_ns, one.window_ns) for one in jam] == [("ut-frigate-e", 20 * S, 20 * S)]
    assert any("jamming takes 30%" in line for line in plan.assumptions)
    assert not any("jamming" in line for line in calm.assumptions)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("strong@3", "is not understood: write none, or one of light, medium, heavy and @BEGIN or @BEGIN-END"),
        ("heavy@9-3", "has a window that ends before it begins: write heavy@3-9"),
    ],
)
def test_jamming_that_makes_no_sense_is_refused(written: str, said: str) -> None:
    with pytest.raises(ScenarioError, match=f"mediterranean: parameter jamming='{written}' {said}"):
        topology("mediterranean").scenario(jamming=written)


def test_the_patrol_aircraft_flies_and_frigates_sail() -> None:
    terminals = {one.host: one for one in topology("mediterranean").scenario().starting_at(START_NS).terminals}
    for host, knots in (("patrol", 250.0), ("frigate-w", 15.0)):
        track = terminals[host].site
        gone_m = great_circle_m(track.site_at(START_NS), track.site_at(START_NS + 600 * S))
        assert gone_m == pytest.approx(knots * 1852 / 6, rel=0.01)


@pytest.mark.parametrize("constellation", ["italy", "first"])
def test_a_whole_shell_is_there_and_its_pings_are_no_faster_than_light(constellation: str) -> None:
    """Rome to New York, 6,890 km apart: 23 ms of vacuum along the ground at least, less for ends nearer together."""
    module = topology("global_shell")
    plan = make(module.scenario(constellation=constellation), Request((), (), START_NS, 5 * S, 100 * MS, 0))
    shells = module.CONSTELLATIONS[constellation]
    assert plan.satellites_used == len(plan.nodes) == sum(len(shell) for shell in shells)
    assert {"sovereignty", "title", "parameters", "seed"} <= set(plan.manifest)
    there, back = plan.paths
    assert there[0].nodes[0] == back[0].nodes[-1]
    catalogue = walker_catalogue(list(shells), START_NS, "")
    position_m = Ephemeris(catalogue, START_NS, S).position_m(np.array([START_NS]))[0]
    ends_m = [position_m[catalogue.node_names.index(there[0].nodes[end])] for end in (0, -1)]
    for path in (there, back):
        took_ns = path_delay_ns(plan, path, np.array([0]))[0]
        straight_ns = np.linalg.norm(ends_m[0] - ends_m[1]) / 299_792_458.0 * S
        assert straight_ns - 10_000 <= took_ns < 2.0 * straight_ns
    if constellation == "first":
        assert 18 * MS < path_delay_ns(plan, there, np.array([0]))[0] < 60 * MS


def test_a_whole_shell_says_what_is_wrong() -> None:
    module = topology("global_shell")
    with pytest.raises(ScenarioError, match=r"parameter a='Rome' is not a place: write degrees like 41\.90,12\.49"):
        module.scenario(a="Rome")
    request = Request((), (), START_NS, S, 100 * MS, 0)
    thin = replace(module.scenario(), shells=(Shell("X", 600e3, 53.0, 2, 2, 0),))  # neighbours beyond the horizon
    with pytest.raises(PlanError, match=r"no way that stays lit between satellites near 41\.9,12\.49 and 40\.71"):
        make(thin, request)
    with pytest.raises(PlanError, match="brings its own shells: leave out --catalogue"):
        make(module.scenario(), Request(("iris2",), (), START_NS, S, 100 * MS, 0))


def test_twelve_sites_are_at_least_twelve_and_reach_both_data_centres() -> None:
    for name in ("starlink_italy", "national_leo", "iris2", "geo_milsat"):
        asked = topology(name).scenario(sites="twelve")
        assert len(asked.terminals) >= 12
        assert {centre.host for centre in asked.centres} == {"dc-rome", "dc-milan"}
        assert "twelve sites to data centres in Rome and Milan" in asked.title
        assert {host for host, _ in asked.pairs} == {terminal.host for terminal in asked.terminals}
    two = topology("starlink_italy").scenario()
    assert [terminal.host for terminal in two.terminals] == ["rome", "taranto"]


def test_lasers_are_an_assumption_of_their_own() -> None:
    for name in ("starlink_italy", "national_leo", "iris2", "mediterranean"):
        on, off = (topology(name).scenario(lasers=word) for word in ("on", "off"))
        assert on.lasers is not None
        assert off.lasers is None
        assert any("laser links join" in line for line in on.assumptions)
        assert not any("laser links join" in line for line in off.assumptions)
        assert any("no laser links" in line for line in off.assumptions)
