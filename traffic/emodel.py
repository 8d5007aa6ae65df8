"""The E-model: how good a telephone call is expected to be (ITU-T G.107, 06/2015). An estimate, for narrowband speech.

The transmission rating R = Ro - Is - Id - Ie,eff + A, equation 7-1; names and equation numbers are the
Recommendation's. R maps to the mean opinion score (MOS), Annex B. It is a planning model: it says what people would
have voted on average, not what was heard. Opus has no value in G.113: it borrows another codec's, and says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from traffic.errors import ConfigurationError

LABEL: Final = "estimate, narrowband, ITU-T G.107"


@dataclass(frozen=True)
class Codec:
    """How a codec stands loss, and the time it takes. `ie`, `bpl`: G.113 (11/2007), Appendix I.

    `stand_in`: whose values these are, where G.113 has none of the codec's own.
    """

    name: str
    ie: float  # equipment impairment factor
    bpl: float  # packet-loss robustness factor, percent
    look_ahead_ms: float = 0.0  # speech that the coder waits for beyond the packet's own
    stand_in: str = ""


CODECS: Final = {
    codec.name: codec
    for codec in (
        Codec("g711", 0.0, 4.3),
        Codec("g711-plc", 0.0, 25.1),  # loss concealed: G.711 Appendix I
        Codec("g729a", 11.0, 19.0, look_ahead_ms=5.0),  # look-ahead: G.729, 2.5
        Codec("amr-12.2", 5.0, 10.0, look_ahead_ms=5.0),  # look-ahead: all modes keep the same (3GPP TS 26.090)
        # Assumption: as good as G.711 with concealment. Look-ahead: that of the reference encoder, by default.
        Codec("opus-24", 0.0, 25.1, look_ahead_ms=6.5, stand_in="g711-plc"),
    )
}
"""Of these only `opus-24` stands in for what G.113 does not have."""


@dataclass(frozen=True)
class Call:
    """All inputs of the E-model, at their defaults (G.107, table 1), under which R is 93.2.

    Names as in the Recommendation, in lower case; dB unless said. `t_ms` is the mean one-way delay of the echo path,
    `tr_ms` the round trip in the four-wire loop, `ta_ms` the absolute delay mouth to ear: with one delay d and no
    echo canceller elsewhere, t = ta = d and tr = 2 d. `ppl`: lost packets, percent. `burst_r`: mean length of a loss
    burst over that of random loss, at least 1 here. Raises ConfigurationError.
    """

    slr: float = 8.0
    rlr: float = 2.0
    stmr: float = 15.0
    ds: float = 3.0
    dr: float = 3.0
    telr: float = 65.0
    wepl: float = 110.0
    t_ms: float = 0.0
    tr_ms: float = 0.0
    ta_ms: float = 0.0
    qdu: float = 1.0
    ie: float = 0.0
    bpl: float = 4.3
    ppl: float = 0.0
    burst_r: float = 1.0
    nc_dbm0p: float = -70.0
    nfor_dbmp: float = -64.0
    ps_dba: float = 35.0
    pr_dba: float = 35.0
    a: float = 0.0
    st: float = 1.0  # sensitivity to delay
    mt_ms: float = 100.0  # the least delay that is noticed

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not math.isfinite(value):
                raise ConfigurationError(f"E-model: {name} {value} is not a finite number")
        for name, least in (("t_ms", 0), ("tr_ms", 0), ("ta_ms", 0), ("ppl", 0), ("ie", 0), ("burst_r", 1), ("qdu", 1)):
            if getattr(self, name) < least:
                raise ConfigurationError(f"E-model: {name} {getattr(self, name)} is refused: use {least} or more")
        for name in ("bpl", "st", "mt_ms"):
            if getattr(self, name) <= 0:
                raise ConfigurationError(f"E-model: {name} {getattr(self, name)} is refused: use more than 0")
        if self.ppl > 100 or self.ie > 95:
            raise ConfigurationError(f"E-model: ppl {self.ppl} or ie {self.ie} is refused: use at most 100 and 95")


def call_over(codec: Codec, delay_ms: float, ppl: float, burst_r: float = 1.0) -> Call:
    """A call over packets with this delay mouth to ear, all else at its default: echo is cancelled to TELR 65 dB."""
    delays = {"t_ms": delay_ms, "ta_ms": delay_ms, "tr_ms": 2 * delay_ms}
    return Call(ie=codec.ie, bpl=codec.bpl, ppl=ppl, burst_r=burst_r, **delays)


def rating(call: Call) -> float:
    """The transmission rating factor R (7-1), at least 0."""
    no = _noise_dbm0p(call)
    ro = 15 - 1.5 * (call.slr + no)  # 7-2
    sidetone = _sidetone(call)
    simultaneous, delayed = _simultaneous(call, ro, no, sidetone), _delayed(call, ro, no, sidetone)
    return max(ro - simultaneous - delayed - loss_impairment(call) + call.a, 0.0)


def mean_opinion_score(r: float) -> float:
    """The mean opinion score of a rating R, 1 to 4.5 (B-4). Below R = 6.5 the formula falls under 1: it stays 1."""
    if r >= 100:
        return 4.5
    return max(1.0, 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6) if r > 0 else 1.0


def loss_impairment(call: Call) -> float:
    """Ie,eff: of the codec and of lost packets (7-29)."""
    return call.ie + (95 - call.ie) * call.ppl / (call.ppl / call.burst_r + call.bpl)


def delay_impairment(call: Call) -> float:
    """Idd: of a delay too long to talk with, even without any echo (7-27, 7-28)."""
    if call.ta_ms <= call.mt_ms:
        return 0.0
    x, power = math.log2(call.ta_ms / call.mt_ms), 6.0 * call.st
    impairment: float = 25 * ((1 + x**power) ** (1 / power) - 3 * (1 + (x / 3) ** power) ** (1 / power) + 2)
    return impairment


def _noise_dbm0p(call: Call) -> float:
    """No: all noise, at the 0 dBr point (7-3 to 7-7)."""
    olr = call.slr + call.rlr
    nos = call.ps_dba - call.slr - call.ds - 100 + 0.004 * (call.ps_dba - olr - call.ds - 14) ** 2
    lstr = call.stmr + call.dr
    pre = call.pr_dba + 10 * math.log10(1 + 10 ** ((10 - lstr) / 10))
    nor = call.rlr - 121 + pre + 0.008 * (pre - 35) ** 2
    nfo = call.nfor_dbmp + call.rlr
    return 10 * math.log10(sum(10 ** (noise / 10) for noise in (call.nc_dbm0p, nos, nor, nfo)))


def _sidetone(call: Call) -> float:
    """Ist: of a sidetone that is not what it should be (7-11, 7-12)."""
    stmro = -10 * math.log10(10 ** (-call.stmr / 10) + math.exp(-call.t_ms / 4) * 10 ** (-call.telr / 10))
    impairment: float = (
        12 * (1 + ((stmro - 13) / 6) ** 8) ** (1 / 8)
        - 28 * (1 + ((stmro + 1) / 19.4) ** 35) ** (1 / 35)
        - 13 * (1 + ((stmro - 3) / 33) ** 13) ** (1 / 13)
        + 29
    )
    return impairment


def _simultaneous(call: Call, ro: float, no: float, sidetone: float) -> float:
    """Is: what comes together with the voice: too loud, sidetone, quantisation (7-8 to 7-17)."""
    olr = call.slr + call.rlr
    xolr = olr + 0.2 * (64 + no - call.rlr)
    iolr: float = 20 * ((1 + (xolr / 8) ** 8) ** (1 / 8) - xolr / 8)
    q = 37 - 15 * math.log10(call.qdu)
    g = 1.07 + 0.258 * q + 0.0602 * q**2
    y, z = (ro - 100) / 15 + 46 / 8.4 - g / 9, 46 / 30 - g / 40
    return iolr + sidetone + 15 * math.log10(1 + 10**y + 10**z)


def _delayed(call: Call, ro: float, no: float, sidetone: float) -> float:
    """Id = Idte + Idle + Idd: echo to the talker, echo to the listener, delay itself (7-18 to 7-28)."""
    terv = call.telr - 40 * math.log10((1 + call.t_ms / 10) / (1 + call.t_ms / 150)) + 6 * math.exp(-0.3 * call.t_ms**2)
    if call.stmr < 9:
        terv += sidetone / 2  # sidetone masks the echo
    roe, re = -1.5 * (no - call.rlr), 80 + 2.5 * (terv - 14)
    half = (roe - re) / 2
    idte = (half + math.sqrt(half**2 + 100) - 1) * (1 - math.exp(-call.t_ms))
    if call.stmr > 20:
        idte = math.sqrt(idte**2 + sidetone**2)
    rle: float = 10.5 * (call.wepl + 7) * (call.tr_ms + 1) ** -0.25
    half = (ro - rle) / 2
    idle = half + math.sqrt(half**2 + 169)
    return idte + idle + delay_impairment(call)
