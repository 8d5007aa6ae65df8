"""The E-model gives what is published of it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traffic.emodel import CODECS, Call, call_over, delay_impairment, loss_impairment, mean_opinion_score, rating
from traffic.errors import ConfigurationError


def test_the_defaults_give_93_2() -> None:
    assert rating(Call()) == pytest.approx(93.2, abs=0.05)  # G.107 (06/2015), 7.7
    assert mean_opinion_score(93.2) == pytest.approx(4.41, abs=0.005)


@pytest.mark.parametrize(("r", "mos"), [(90, 4.34), (80, 4.03), (70, 3.60), (60, 3.10), (50, 2.58)])
def test_mean_opinion_scores_of_the_recommendation(r: float, mos: float) -> None:
    assert mean_opinion_score(r) == pytest.approx(mos, abs=0.011)  # G.107, table B.1


# Telektronikk 2/3.2001, "Internet Traffic Engineering", table 3: the delays mouth to ear (ms) at which the rating falls
# to 70, with perfect echo control and with an echo loss of 50 dB, by an older edition of the E-model. It starts at
# "about 94" and not 93.2, so the impairments are compared. Ie is that of G.113 at the time.
BOUNDS = {
    "G.711": (0, 400, 291),
    "G.726, 40 kbit/s": (2, 375, 276),
    "GSM-EFR": (5, 342, 256),
    "G.726, 32 kbit/s": (7, 322, 243),
    "G.729": (10, 294, 223),
    "G.723.1, 6.3 kbit/s": (15, 251, 187),
    "G.723.1, 5.3 kbit/s": (19, 219, 131),
    "G.728, 12.8 kbit/s": (20, 210, 106),
}


@pytest.mark.parametrize("codec", BOUNDS)
def test_published_bounds_of_delay_without_and_with_echo(codec: str) -> None:
    ie, silent_ms, echoing_ms = BOUNDS[codec]
    edition = 94.15 - rating(Call())
    assert rating(Call(ie=ie, ta_ms=silent_ms)) + edition == pytest.approx(70, abs=0.25)
    echoing = Call(ie=ie, t_ms=echoing_ms, ta_ms=echoing_ms, tr_ms=2 * echoing_ms, telr=50 + 8 + 2)  # EL + SLR + RLR
    assert rating(echoing) + edition == pytest.approx(70, abs=0.25)


@pytest.mark.parametrize(
    ("percent", "ie"),
    [(0, 11), (0.5, 13), (1, 15), (1.5, 17), (2, 19), (3, 23), (4, 26), (8, 36), (16, 49)],
)
def test_g729a_under_loss_is_as_g113_had_it_by_listening_tests(percent: float, ie: float) -> None:
    codec = CODECS["g729a"]
    found = loss_impairment(Call(ie=codec.ie, bpl=codec.bpl, ppl=percent))
    assert found == pytest.approx(ie, abs=0.6)  # G.113 (02/2001), table I.2, of whole numbers


def test_bursts_hurt_more_than_the_same_loss_at_random() -> None:
    random, bursty = Call(ppl=2), Call(ppl=2, burst_r=4)
    assert loss_impairment(random) == pytest.approx(95 * 2 / (2 + 4.3))
    assert loss_impairment(bursty) == pytest.approx(95 * 2 / (2 / 4 + 4.3))


def test_people_who_mind_delay_less_are_modelled() -> None:
    lecture = Call(ta_ms=400, st=0.55, mt_ms=120)  # G.107 (06/2015), table 2: low sensitivity
    assert delay_impairment(lecture) < delay_impairment(Call(ta_ms=400))
    assert delay_impairment(Call(ta_ms=100)) == 0


def test_an_opus_call_names_its_stand_in() -> None:
    assert CODECS["opus-24"].stand_in == "g711-plc"
    assert not any(codec.stand_in for name, codec in CODECS.items() if name != "opus-24")
    ours, lender = CODECS["opus-24"], CODECS["g711-plc"]
    assert (ours.ie, ours.bpl) == (lender.ie, lender.bpl)


@settings(deadline=None)
@given(delay_ms=st.floats(20, 2_000), more_ms=st.floats(1, 500), loss=st.floats(0, 90), more=st.floats(0.1, 10))
def test_delay_and_loss_never_improve_a_call(delay_ms: float, more_ms: float, loss: float, more: float) -> None:
    codec = CODECS["g711-plc"]
    here = rating(call_over(codec, delay_ms, loss))
    assert 0 <= rating(call_over(codec, delay_ms + more_ms, loss)) <= here + 1e-9
    assert rating(call_over(codec, delay_ms, loss + more)) <= here
    assert 1 <= mean_opinion_score(here) <= 4.5


@pytest.mark.parametrize("r", [-5, 0, 3, 6.4, 100, 120])
def test_scores_stay_within_their_scale(r: float) -> None:
    assert mean_opinion_score(r) == (4.5 if r >= 100 else 1.0)


def test_masked_and_faint_sidetone_are_cases_of_their_own() -> None:
    echo = {"t_ms": 100.0, "ta_ms": 100.0, "tr_ms": 200.0, "telr": 45.0}
    masked, heard, normal, faint = (rating(Call(stmr=stmr, **echo)) for stmr in (8.999, 9.001, 20.0, 20.001))
    assert masked > heard + 0.05  # 7-22: a loud sidetone hides the echo
    assert faint < normal  # 7-24: a faint one adds to it


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ppl": -1}, "ppl -1 is refused: use 0 or more"),
        ({"ppl": 101}, "ppl 101 or ie 0.0 is refused"),
        ({"ie": 96}, "ie 96 is refused"),
        ({"burst_r": 0.5}, "burst_r 0.5 is refused: use 1 or more"),
        ({"bpl": 0}, "bpl 0 is refused: use more than 0"),
        ({"ta_ms": math.nan}, "ta_ms nan is not a finite number"),
    ],
)
def test_impossible_calls_are_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Call(**change)
