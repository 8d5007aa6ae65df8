"""Genuine packets over a bad hop raise no alarm, in either window; and what would raise one is noticed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from testbed.bench import genuine
from traffic import esp
from traffic.verdicts import Verdict

pytestmark = pytest.mark.netem

PACKETS = 20_000
RATES_BPS = (0, 100_000_000)


def judged(folder: Path, rate_bps: int) -> dict[str, Any]:
    return genuine.judged(folder, packets=PACKETS, pps=4_000, every_s=0.5, rate_bps=rate_bps)


def alarms(told: dict[str, Any], window: int) -> dict[str, int]:
    verdicts = told["windows"][str(window)]["verdicts"]
    return {name: count for name, count in verdicts.items() if Verdict[name].is_alarm}


@pytest.mark.parametrize("rate_bps", RATES_BPS)
def test_no_false_alarm_over_handovers_loss_and_copies(tmp_path: Path, rate_bps: int) -> None:
    told = judged(tmp_path, rate_bps)
    assert told["handovers"] >= 5
    for window in genuine.WINDOWS:
        assert alarms(told, window) == {}
        found = told["windows"][str(window)]["findings"]
        assert told["windows"][str(window)]["alarms"] == []
        assert 100 <= found["SUSPECT_DROP"]["count"] <= 290  # 200 expected: more than five standard deviations
        assert 0.9 * PACKETS < found["SUSPECT_DROP"]["total"] <= PACKETS  # without those of unknown time
    wide, narrow = (told["windows"][str(window)]["verdicts"] for window in (1024, 64))
    assert 3 <= wide["DUP_LINK"] == narrow["DUP_LINK"] <= 60
    assert "LATE_OUTSIDE_WINDOW" not in wide
    assert (narrow.get("LATE_OUTSIDE_WINDOW", 0) > 100) == (rate_bps == 0)  # with a rate nothing is overtaken


def test_without_the_second_pass_late_packets_would_be_called_forged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(esp, "_EARLIER_EPOCHS", 0)
    told = judged(tmp_path, 0)
    assert alarms(told, 64)["FORGED"] > 100
    assert alarms(told, 1024) == {}


def test_without_the_longest_lag_copies_of_the_link_would_be_called_replays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(genuine, "longest_lag_ns", lambda _: -1)
    told = judged(tmp_path, 0)
    assert alarms(told, 1024)["REPLAY_IN_WINDOW"] >= 3
    assert told["windows"]["1024"]["findings"]["REPLAY_OLD"]["alarm"]
