"""Declared traffic that topologies share: what a government, its forces and its civil protection run over a network.

A flow is plain data: {"name", "kind", "src", "dst", "dscp", "rate_pps", "payload_bytes", "start_ns", "stop_ns"}, times
within the plan, and where it has them "deadline_ms", "acceptance", "codec", "srtp", "content"; `traffic.flows` gives it
meaning. Of the DSCPs the band of a link's queue is said, from docs/plans.md: 1 before 2 before 3 before 4.
"""

from __future__ import annotations

from typing import Any, Final

from testbed.plan.scenario import Choice, Switch
from traffic.alerts import Alert, alert_text, cap_xml

Flow = dict[str, Any]

SERVICES: Final = Choice(
    "services",
    "basic",
    "what runs: calls and documents; or also the forces', the civil protection's, SRTP, and what each must get",
    ("basic", "government"),
)

JUDGED: Final = Switch("judged", "off", "each service must get what it needs, or the run fails")

WARNING: Final = 51
"""DSCP of alerts, band 1, above all others: pool 2 of code points, for local use (RFC 2474, 6). It shares the band with
probes and key exchanges, which are as thin."""

EXPEDITED_FORWARDING: Final = 46
"""DSCP of voice, band 2 (RFC 3246)."""

VOICE_ADMIT: Final = 44
"""DSCP of emergency calls and SMS, band 2: capacity that was admitted (RFC 5865)."""

LOW_LATENCY_DATA: Final = 18
"""DSCP of commands and tracks, band 3: AF21 (RFC 4594, 4.7). CS5 would share the band of best effort."""

STREAMING: Final = 26
"""DSCP of sensor streams, band 3: AF31 (RFC 4594, 4.5)."""

BEST_EFFORT: Final = 0
"""DSCP of everything else, band 4 (RFC 2474)."""

VOICE_PAYLOAD_BYTES: Final = 12 + 160
"""RTP header (RFC 3550) and 20 ms of G.711 at 64 kbit/s (RFC 3551)."""

NARROW_VOICE_BYTES: Final = 12 + 60
"""RTP header and 20 ms at 24 kbit/s, such as of Opus."""

VOICE_RATE_PPS: Final = 50
"""One packet per 20 ms."""

BULK_PAYLOAD_BYTES: Final = 1_200
"""Assumption: a large packet that still fits every tunnel on an MTU of 1,500."""

SMS_PAYLOAD_BYTES: Final = 28 + 140
"""What marks the packet, and an SMS's user data (3GPP TS 23.040)."""

PAGE_PAYLOAD_BYTES: Final = 28 + 88
"""What marks the packet, and a cell broadcast page (3GPP TS 23.041)."""

SMALL_PAYLOAD_BYTES: Final = 64
"""Assumption: a command or a position report, and what marks the packet."""

QUIET_NS: Final = 500_000_000
"""Assumption: no traffic this close to the plan's start and end, so that every packet sent can arrive."""

ACCEPTABLE_CALL: Final = {"mos_min": 3.6, "loss_max": 0.02}
"""Most users are satisfied above R = 70, a MOS of 3.6 (G.107, table B.1). Assumption: at most 2 % lost."""

COMMAND_DEADLINE_MS: Final = 500
IN_TIME: Final = 0.99
"""Assumption: an order must be there within half a second, 99 of 100 times."""

SMS_DEADLINE_MS: Final = 10_000
ALERT_DEADLINE_MS: Final = 10_000
"""Assumption: an SMS takes seconds at most, and an alert reaches its phones within ten (EU-Alert has no figure)."""

STREAM_DELAY_MS: Final = 400
"""Assumption: who watches and steers needs what the camera sees within 400 ms, as in a talk (ITU-T G.114)."""

EARTHQUAKE: Final = Alert(
    identifier="IT-TEST-2026-0001",
    sender="protezione.civile@example.it",
    sent="2026-06-14T08:00:00+02:00",
    event="Terremoto",
    headline="IT-alert ESERCITAZIONE: terremoto a Taranto.",
    description="Alle 08:00 una scossa di magnitudo 5.9. Sono possibili altre scosse.",
    instruction="Lascia gli edifici, vai all'aperto, non usare l'ascensore. Segui la Protezione Civile.",
    area="Provincia di Taranto",
    polygon=((40.8, 16.8), (40.8, 17.8), (40.2, 17.8), (40.2, 16.8), (40.8, 16.8)),
)
"""An exercise made up for the testbed."""


def voice(name: str, src: str, dst: str, duration_ns: int) -> Flow:
    """One direction of a G.711-like call."""
    return _flow(name, "voice", src, dst, EXPEDITED_FORWARDING, VOICE_RATE_PPS, VOICE_PAYLOAD_BYTES, duration_ns)


def secure_voice(name: str, src: str, dst: str, duration_ns: int) -> Flow:
    """One direction of a G.711-like call by SRTP inside ESP, with what it must get."""
    return voice(name, src, dst, duration_ns) | {"srtp": True, "acceptance": dict(ACCEPTABLE_CALL)}


def emergency_voice(name: str, src: str, dst: str, duration_ns: int) -> Flow:
    """One direction of an emergency call, at the rate of Opus, before all other calls' admission."""
    call = _flow(name, "voice", src, dst, VOICE_ADMIT, VOICE_RATE_PPS, NARROW_VOICE_BYTES, duration_ns)
    return call | {"codec": "opus-24", "srtp": True, "acceptance": dict(ACCEPTABLE_CALL)}


def bulk(name: str, src: str, dst: str, rate_pps: int, duration_ns: int) -> Flow:
    """A steady transfer of large packets, one direction."""
    return _flow(name, "bulk", src, dst, BEST_EFFORT, rate_pps, BULK_PAYLOAD_BYTES, duration_ns)


def commands(name: str, src: str, dst: str, rate_pps: float, duration_ns: int) -> Flow:
    """Orders, each with a deadline."""
    flow = _flow(name, "message", src, dst, LOW_LATENCY_DATA, rate_pps, SMALL_PAYLOAD_BYTES, duration_ns)
    return flow | {"deadline_ms": COMMAND_DEADLINE_MS, "acceptance": {"delivered_within_deadline_min": IN_TIME}}


def tracks(name: str, src: str, dst: str, rate_pps: float, begin: str, duration_ns: int) -> Flow:
    """Position reports of something that begins at 'latitude longitude course speed'."""
    flow = _flow(name, "track", src, dst, LOW_LATENCY_DATA, rate_pps, SMALL_PAYLOAD_BYTES, duration_ns)
    return flow | {"content": begin, "acceptance": {"loss_max": 0.05}}


def sensor(name: str, src: str, dst: str, rate_pps: float, duration_ns: int) -> Flow:
    """A camera's or a radar's stream; 25 packets/s are 240 kbit/s."""
    flow = _flow(name, "stream", src, dst, STREAMING, rate_pps, BULK_PAYLOAD_BYTES, duration_ns)
    return flow | {"acceptance": {"delay_p99_ms": STREAM_DELAY_MS, "loss_max": 0.05}}


def sms(name: str, src: str, dst: str, rate_pps: float, text: str, duration_ns: int) -> Flow:
    """The same text again and again, in as many SMS as it takes."""
    flow = _flow(name, "sms", src, dst, VOICE_ADMIT, rate_pps, SMS_PAYLOAD_BYTES, duration_ns)
    return flow | {
        "content": text,
        "deadline_ms": SMS_DEADLINE_MS,
        "acceptance": {"delivered_within_deadline_min": IN_TIME},
    }


def alert(name: str, src: str, dst: str, rate_pps: float, what: Alert, duration_ns: int) -> Flow:
    """An alert as cell broadcast pages, which begin again after the last."""
    flow = _flow(name, "alert", src, dst, WARNING, rate_pps, PAGE_PAYLOAD_BYTES, duration_ns)
    return flow | {
        "content": alert_text(cap_xml(what)),
        "deadline_ms": ALERT_DEADLINE_MS,
        "acceptance": {"delivered_within_deadline_min": IN_TIME},
    }


def government(duration_ns: int, ministry: str, base: str, centre: str, *, light: bool = False) -> tuple[Flow, ...]:
    """A ministry and a naval base talk with their data centre: 350 packets/s in all.

    Few enough for a Python sender in a slow virtual machine; a call each, documents down, surveillance up. `light`: one
    direction of a call and thin transfers, 60 packets/s, which Scapy can build there too.
    """
    if light:
        return (
            voice(f"voice-{ministry}-up", ministry, centre, duration_ns),
            bulk(f"bulk-{ministry}-down", centre, ministry, 5, duration_ns),
            bulk(f"bulk-{base}-up", base, centre, 5, duration_ns),
        )
    return (
        voice(f"voice-{ministry}-up", ministry, centre, duration_ns),
        voice(f"voice-{ministry}-down", centre, ministry, duration_ns),
        voice(f"voice-{base}-up", base, centre, duration_ns),
        voice(f"voice-{base}-down", centre, base, duration_ns),
        bulk(f"bulk-{ministry}-down", centre, ministry, 100, duration_ns),
        bulk(f"bulk-{base}-up", base, centre, 50, duration_ns),
    )


def meeting(duration_ns: int, one: str, other: str) -> tuple[Flow, ...]:
    """Two sites call each other: 100 packets/s in all."""
    return (
        voice(f"call-{one}-{other}", one, other, duration_ns),
        voice(f"call-{other}-{one}", other, one, duration_ns),
    )


def military(duration_ns: int, unit: str, centre: str, begin: str = "40.3 17.1 200 15") -> tuple[Flow, ...]:
    """A unit sends tracks and a sensor's stream and gets commands: 30 packets/s. `begin`: of its track."""
    return (
        commands(f"commands-{unit}", centre, unit, 4, duration_ns),
        tracks(f"tracks-{unit}", unit, centre, 1, begin, duration_ns),
        sensor(f"sensor-{unit}", unit, centre, 25, duration_ns),
    )


def emergency(
    duration_ns: int,
    phones: tuple[str, ...],
    centre: str,
    callers: tuple[str, ...] = (),
    what: Alert = EARTHQUAKE,
) -> tuple[Flow, ...]:
    """The civil protection warns phones, which send SMS; `callers` of them also call.

    6 packets/s for each phone, and 100 for each call. A phone is a host: many phones behind one send as one.
    """
    flows = []
    for phone in phones:
        flows += [
            alert(f"alert-{phone}", centre, phone, 4, what, duration_ns),
            sms(
                f"sms-{phone}",
                phone,
                centre,
                2,
                "Siamo in 4 sotto le macerie in via Roma 12, serve aiuto.",
                duration_ns,
            ),
        ]
    for phone in callers:
        flows += [
            emergency_voice(f"call-{phone}-up", phone, centre, duration_ns),
            emergency_voice(f"call-{phone}-down", centre, phone, duration_ns),
        ]
    return tuple(flows)


def unjudged(flows: tuple[Flow, ...]) -> tuple[Flow, ...]:
    """The same flows, but nothing is demanded of them."""
    return tuple({name: value for name, value in flow.items() if name != "acceptance"} for flow in flows)


def services(
    word: str, duration_ns: int, ministry: str, base: str, centre: str, *, light: bool = False
) -> tuple[Flow, ...]:
    """What the parameter `services` means.

    'basic' is `government`. 'government' adds SRTP and acceptance to its calls, the forces' flows at the base and the
    civil protection's at the ministry: 386 packets/s in all.
    """
    main = government(duration_ns, ministry, base, centre, light=light)
    if word == "basic":
        return main
    calls = [
        flow | {"srtp": True, "acceptance": dict(ACCEPTABLE_CALL)} if flow["kind"] == "voice" else flow for flow in main
    ]
    more = (*military(duration_ns, base, centre), *emergency(duration_ns, (ministry,), centre))
    if light:
        more = tuple(flow for flow in more if flow["rate_pps"] <= 4)
    return (*calls, *more)


def _flow(
    name: str, kind: str, src: str, dst: str, dscp: int, rate_pps: float, payload_bytes: int, duration_ns: int
) -> Flow:
    quiet_ns = min(QUIET_NS, duration_ns // 4)  # a plan of less than two seconds still carries traffic in its middle
    return {
        "name": name,
        "kind": kind,
        "src": src,
        "dst": dst,
        "dscp": dscp,
        "rate_pps": rate_pps,
        "payload_bytes": payload_bytes,
        "start_ns": quiet_ns,
        "stop_ns": duration_ns - quiet_ns,
    }
