"""From fade to rate: modes against the standard's frame arithmetic, laws of the share, published effects, gateways."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_data import small_plan

from testbed.ground.errors import PlanError
from testbed.orbits.sites import Site
from testbed.plan.faults import parse_fault
from testbed.plan.losses import Loss
from testbed.plan.radio import (
    GROUND_NOISE_K,
    KA_DOWN,
    KA_UP,
    KU_DOWN,
    KU_UP,
    MODES,
    S_DOWN,
    S_UP,
    efficiency,
    given_up_db,
    loss_db,
    lost_gateways,
    rain_entries,
    rain_losses,
    share,
)
from testbed.plan.weather import RainEvent, event_db, fade_db

ROME = Site("rome", 41.90, 12.49)
S = 1_000_000_000
BANDS = [KU_DOWN, KU_UP, KA_DOWN, KA_UP, S_DOWN, S_UP]
FADES = st.floats(0.0, 80.0)


@pytest.mark.parametrize(
    ("es_n0_db", "bits", "numerator", "denominator", "corrected"),
    [
        # EN 302 307-1 table 5a and EN 302 307-2 table 5: information bits are the code's, less BCH of 12, 10 or 8
        # correctable errors at 16 bits each, less the base-band header of 80; a frame has one more slot of 90 symbols.
        (-2.85, 2, 2, 9, 12),
        (-2.03, 2, 13, 45, 12),
        (0.22, 2, 9, 20, 12),
        (1.00, 2, 1, 2, 12),
        (3.10, 2, 2, 3, 10),
        (4.73, 3, 5, 9, 12),
        (5.50, 3, 3, 5, 12),
        (5.97, 4, 1, 2, 12),
        (10.21, 4, 3, 4, 12),
        (11.61, 4, 5, 6, 10),
        (12.73, 5, 3, 4, 12),
        (13.98, 6, 32, 45, 12),
        (15.87, 6, 4, 5, 12),
        (16.55, 6, 5, 6, 10),
        (16.98, 8, 29, 45, 12),
        (19.57, 8, 3, 4, 12),
    ],
)
def test_a_modes_efficiency_is_that_of_its_frame(es_n0_db, bits, numerator, denominator, corrected):
    information = 64_800 * numerator // denominator - 16 * corrected - 80
    symbols = (64_800 // bits // 90 + 1) * 90
    assert efficiency(es_n0_db) == pytest.approx(information / symbols, abs=1e-6)


def test_modes_rise_and_none_beats_the_channel():
    """Each needs more than the one before and gives more; none is above Shannon's log2(1 + S/N), all within 3 dB."""
    es_n0_db, bits = np.array(MODES).T
    assert (np.diff(es_n0_db) > 0).all()
    assert (np.diff(bits) > 0).all()
    least_db = 10 * np.log10(2**bits - 1)
    assert ((es_n0_db > least_db) & (es_n0_db < least_db + 3.0)).all()


def test_efficiency_is_a_staircase():
    assert efficiency([-2.851, -2.85, -2.36, -2.35, 40.0, float("nan")]).tolist() == [
        0.0,
        0.434841,
        0.434841,
        0.490243,
        5.900855,
        0.0,
    ]


@given(st.sampled_from(BANDS), FADES, FADES)
def test_a_deeper_fade_never_leaves_more(band, a_db, b_db):
    less, more = share(band, [min(a_db, b_db), max(a_db, b_db)])
    assert 0.0 <= more <= less <= 1.0


@pytest.mark.parametrize("band", BANDS)
def test_a_clear_sky_leaves_all_and_a_deluge_nothing(band):
    assert share(band, [0.0, 60.0, float("inf"), float("nan")]).tolist() == [1.0, 0.0, 0.0, 0.0]


def test_rain_adds_its_own_noise_on_the_ground():
    """An attenuation of 10 log10 2 dB is half a black body of 275 K in front of 2.7 K (P.618, section 3)."""
    half_db = 10 * np.log10(2.0)
    noise_db = 10 * np.log10((GROUND_NOISE_K + (275.0 - 2.7) / 2) / GROUND_NOISE_K)
    assert float(loss_db(KU_DOWN, half_db)) == pytest.approx(half_db + noise_db)
    assert float(loss_db(KU_UP, half_db)) == pytest.approx(half_db)


def test_power_control_makes_up_for_the_first_decibels():
    assert loss_db(KA_UP, [0.0, 9.0, 10.0, 12.5]).tolist() == [0.0, 0.0, 0.0, 2.5]
    assert share(KA_UP, [0.0, 10.0]).tolist() == [1.0, 1.0]


def test_a_negative_fade_is_refused():
    with pytest.raises(PlanError, match="Ku up: a fade of -1 dB; give 0 or more"):
        share(KU_UP, [2.0, -1.0])


def test_published_effects_of_rain_are_plausible():
    """Median throughput in rain: -38 % down, -52 % up (arXiv 2505.04772). Nothing is fitted to it: both lie between
    what the model has for the attenuations exceeded in 0.1 % and in 0.01 % of the year at Rome."""
    for band, left in ((KU_DOWN, 1 - 0.3784), (KU_UP, 1 - 0.5227)):
        mild, strong = (float(share(band, fade_db(ROME, band.dish, percent, 40.0))) for percent in (0.1, 0.01))
        assert strong < left < mild < 1.0


def test_phones_hardly_feel_rain():
    """At 2 GHz the attenuation is 0.2 dB in the worst 53 minutes of a year: a step of the staircase at most."""
    for band in (S_DOWN, S_UP):
        assert float(fade_db(ROME, band.dish, 0.01, 40.0)) < 0.3
        assert float(share(band, 0.3)) > 0.9


def test_a_gateway_is_given_up_at_less_than_half_its_rate():
    limit_db = given_up_db()
    assert share(KA_UP, limit_db) < 0.5 <= share(KA_UP, limit_db - 0.011)
    assert lost_gateways([[0.0, limit_db - 0.1, limit_db + 0.1], [float("nan"), 60.0, 1.0]]).tolist() == [
        [False, False, True],
        [True, True, False],
    ]
    assert given_up_db(least_share=0.9) < limit_db < given_up_db(least_share=0.1)


def test_rain_over_one_gateway_loses_that_one():
    """Gateways are some 400 km apart: site diversity has something to choose from."""
    gateways = [Site("milano", 45.32, 9.19), Site("foggia", 41.51, 15.59), Site("marsala", 37.79, 12.49)]
    storm = RainEvent(41.5, 15.5, 50.0, 6.0, 10 * S, 20 * S)
    times = np.array([0, 10 * S, 20 * S])
    fade = event_db([storm], gateways, times, KA_UP.dish.frequency_ghz)
    assert fade[1, 1] > given_up_db()
    assert lost_gateways(fade).tolist() == [[False] * 3, [False, True, False], [False] * 3]


def test_rain_that_is_known_beforehand_is_a_loss():
    gateways = {"gw-milano": Site("milano", 45.32, 9.19), "gw-foggia": Site("foggia", 41.51, 15.59)}
    storms = [
        RainEvent(41.5, 15.5, 50.0, 6.0, 10 * S, 20 * S),
        RainEvent(41.5, 15.5, 50.0, 9.0, 20 * S, 30 * S),
        RainEvent(43.5, 12.0, 400.0, 1.0, 0, 90 * S),  # both gateways, and neither is given up for it
        RainEvent(45.3, 9.2, 10.0, 9.0, 50 * S, 60 * S),
    ]
    assert rain_losses(storms, gateways) == (
        Loss("gw-milano", 50 * S, 60 * S),
        Loss("gw-foggia", 10 * S, 30 * S),
    )
    assert rain_losses([], gateways) == ()


def test_rain_becomes_entries_that_a_plan_takes():
    plan = small_plan()
    rain = RainEvent(41.9, 12.5, 80.0, 4.0, 5 * S, 25 * S)  # Rome alone
    entries = rain_entries(rain, plan)
    assert [entry["node"] for entry in entries] == ["ut-rome"]
    fault = parse_fault(json.loads(json.dumps(entries[0])), plan, where="test")
    assert (fault.kind, fault.begin_ns, fault.end_ns) == ("rain", 5 * S, 25 * S)
    assert fault.rate == pytest.approx(float(min(share(KU_DOWN, 4.0), share(KU_UP, 5.84))), abs=0.05)
    assert not fault.down
    assert fault.extra_ns == 0
    assert "Ku down" in fault.cause


def test_rain_that_no_link_survives_loses_every_packet():
    plan = small_plan()
    deluge = RainEvent(40.44, 17.21, 10.0, 40.0, 0, 10 * S)
    (entry,) = rain_entries(deluge, plan)
    assert (entry["node"], entry["loss"]) == ("ut-taranto", 1.0)
    assert parse_fault(entry, plan, where="test").loss == 1.0


def test_rain_wets_gateways_too_and_spares_the_rest():
    plan = small_plan()
    everywhere = RainEvent(41.9, 12.5, 2_000.0, 3.0, 0, 10 * S)
    nodes = {entry["node"] for entry in rain_entries(everywhere, plan)}
    assert (
        {"ut-rome", "ut-taranto"} < nodes <= {node.name for node in plan.nodes if node.role in ("terminal", "gateway")}
    )
    assert any(name.startswith("gw-") for name in nodes)
    assert rain_entries(RainEvent(0.0, 0.0, 100.0, 30.0, 0, S), plan) == []
    assert rain_entries(RainEvent(41.9, 12.5, 100.0, 0.0, 0, S), plan) == []
