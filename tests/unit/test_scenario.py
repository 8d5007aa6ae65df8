"""What a topology may declare, and how its parameters are read."""

from __future__ import annotations

from dataclasses import replace

import pytest
from plan_data import italy

from testbed.ground.errors import ScenarioError
from testbed.orbits.sites import Site
from testbed.plan.losses import Loss
from testbed.plan.scenario import Centre, Choice, Gateway, Pop, Switch, Terminal, Whole, parse_parameters

DECLARED = (
    Choice("order", "hold", "what a handover does", ("hold", "drop", "reorder")),
    Switch("esn", "on", "extended sequence numbers"),
    Whole("window", "1024", "anti-replay window", 64, 4096),
    Whole("outage", "isl", "a cut", 1, 900, {"isl": 490}),
)
HERE = Site("here", 41.0, 12.0)


def test_defaults_and_given_values():
    assert parse_parameters("t", DECLARED, {}) == {"order": "hold", "esn": True, "window": 1024, "outage": 490}
    given = {"window": "64", "esn": "off", "order": "drop"}
    assert parse_parameters("t", DECLARED, given) == {"order": "drop", "esn": False, "window": 64, "outage": 490}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"oder": "hold"},
            "starlink: unknown parameter 'oder' (did you mean 'order'?); it takes order, esn, window, outage",
        ),
        ({"zzz": "1"}, "starlink: unknown parameter 'zzz'; it takes order, esn, window, outage"),
        (
            {"order": "hodl"},
            "starlink: parameter order='hodl' is not one of hold, drop, reorder (did you mean 'hold'?)",
        ),
        ({"order": ""}, "starlink: parameter order='' is not one of hold, drop, reorder"),
        ({"esn": "yes"}, "starlink: parameter esn='yes' is not one of on, off"),
        ({"outage": "0"}, "starlink: parameter outage='0' is not a whole number from 1 to 900, nor 'isl'"),
        ({"window": "63"}, "starlink: parameter window='63' is not a whole number from 64 to 4096"),
        ({"window": "4097"}, "starlink: parameter window='4097' is not a whole number from 64 to 4096"),
        ({"window": "1e3"}, "starlink: parameter window='1e3' is not a whole number from 64 to 4096"),
        ({"window": "1_024"}, "starlink: parameter window='1_024' is not a whole number from 64 to 4096"),
    ],
)
def test_bad_parameters_name_the_value_and_the_way_out(given, message):
    with pytest.raises(ScenarioError) as caught:
        parse_parameters("starlink", DECLARED, given)
    assert str(caught.value) == message


def test_a_topology_without_parameters_says_so():
    with pytest.raises(ScenarioError, match="unknown parameter 'a'; it takes none"):
        parse_parameters("t", (), {"a": "1"})


def test_choices_are_there_for_help():
    assert [parameter.choices for parameter in DECLARED] == [
        ("hold", "drop", "reorder"),
        ("on", "off"),
        ("64..4096",),
        ("1..900", "isl"),
    ]


def terminal(host, site=HERE):
    return Terminal(host, site, 25.0, 1, 1)


def gateway(name, pop="pop-milan"):
    return Gateway(name, HERE, 25.0, (pop,), 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: {"terminals": (*s.terminals, terminal("tenletters"))},
            "'tenletters' is not a name: write",
        ),
        (lambda s: {"terminals": (*s.terminals, terminal("Napoli"))}, "'Napoli' is not a name"),
        (lambda s: {"terminals": (*s.terminals, terminal("default"))}, "'default' is not a name"),
        (
            lambda s: {"terminals": (*s.terminals, terminal("x", Site("tenletters", 0, 0)))},
            "'tenletters' is not a name",
        ),
        (lambda s: {"terminals": (*s.terminals, terminal("rome"))}, "two nodes are named 'rome'"),
        (lambda s: {"terminals": (*s.terminals, terminal("dc-rome"))}, "two nodes are named 'dc-rome'"),
        (lambda s: {"gateways": (*s.gateways, gateway("milano"))}, "node 'milano' must be named gw-<site>"),
        (lambda s: {"gateways": (*s.gateways, gateway("gw-foggia"))}, "two nodes are named 'gw-foggia'"),
        (lambda s: {"gateways": (*s.gateways, gateway("gw-bari", "pop-ibi"))}, "'gw-bari' is at PoP 'pop-ibi'"),
        (
            lambda s: {"gateways": (*s.gateways, replace(gateway("gw-bari"), pops=()))},
            "'gw-bari' leads to no PoP; give it one of pop-milan",
        ),
        (
            lambda s: {"access": replace(s.access, landing=("MT",))},
            "no gateway in MT, where alone satellites may land; gateways stand in DE, ES, FR, IT, PL, TR",
        ),
        (
            lambda s: {"pops": (*s.pops, Pop("pop-sofia", HERE)), "routing": "frr"},
            "routing=frr with 2 PoPs",
        ),
        (
            lambda s: {"lost": (Loss("gw-foggia", 5, 5),)},
            "the loss of gw-foggia ends at 5e-09 s, before it begins",
        ),
        (lambda s: {"pops": (Pop("milan", HERE),)}, "node 'milan' must be named pop-<site>"),
        (
            lambda s: {"centres": (*s.centres, Centre("dc2", HERE, "router", "pop-milan"))},
            "'router' must be named ce-<site>",
        ),
        (lambda s: {"centres": ()}, "needs a terminal, a gateway and a data centre"),
        (lambda s: {"pairs": (("rome", "taranto"),)}, "audited pair rome-taranto is not"),
        (lambda s: {"pairs": (("rome", "dc-rome"),)}, "'taranto' is in no audited pair"),
    ],
)
def test_what_does_not_fit_together_is_refused(change, message):
    scenario = italy()
    with pytest.raises(ScenarioError) as caught:
        replace(scenario, **change(scenario))
    assert str(caught.value).startswith("topology starlink-italy: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_terminals_are_named_after_their_host():
    assert [t.name for t in italy().terminals] == ["ut-rome", "ut-taranto"]
