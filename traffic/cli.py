"""`python -m traffic`, also `testbed traffic`: the traffic side alone, between any two Linux hosts.

There are no attacks here: those run only inside the networks of a run.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

import click

from traffic.errors import TrafficError

EXIT_CODES: Final = {"intact": 0, "attacked": 1, "invalid": 4}
_FORMAT: Final = click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True
)
_KEYS: Final = click.option(
    "--keys", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The key file that both ends have."
)
_POSITIVE: Final = click.FloatRange(min=0, min_open=True)
_CLEAR: Final = click.option("--clear-port", type=int, multiple=True, help="UDP port that may be used in the clear.")
_ONLY_ESP: Final = click.option("--only-esp", is_flag=True, help="Whatever else arrives in the clear is an alarm.")


class Group(click.Group):
    """An error that this package raised on purpose is one line, not a trace."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except TrafficError as error:
            click.echo(f"traffic: {error}", err=True)
            sys.exit(error.exit_code)


@click.group("traffic", cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def command() -> None:
    """Send, receive, reflect and judge encrypted traffic between any two Linux hosts.

    \b
    keys --out FILE                         make keys for both ends
    receive --keys FILE --bind ADDRESS      judge and measure what arrives
    send --keys FILE --to HOST --rate 100   send a flow
    judge CAPTURE --keys FILE               judge a capture afterwards
    reflect, stamp                          two-way measurement (RFC 8762)

    Exit codes: 0 intact; 1 attacked; 2 bad usage or input; 3 the kernel refused a socket; 4 not valid; 130 interrupted.
    """


@command.command("keys")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="Never overwritten.")
@click.option("--dscp", type=click.IntRange(0, 63), multiple=True, help="A class with its own key; repeatable. [0]")
@click.option("--suite", type=click.Choice(["AES-256-GCM-16", "CHACHA20-POLY1305"]), default="AES-256-GCM-16")
@click.option("--window", type=int, default=1024, show_default=True, help="Anti-replay window, packets.")
@click.option("--esn/--no-esn", default=True, show_default=True, help="64-bit sequence numbers (RFC 4303).")
@click.option("--stamp", is_flag=True, help="A key for authenticated STAMP instead.")
def keys(out: Path, dscp: tuple[int, ...], suite: str, window: int, esn: bool, stamp: bool) -> None:
    """Make a file of fresh keys, mode 0600. Carry it to the other end by a safe way.

    \b
    testbed traffic keys --out keys.json
    testbed traffic keys --out keys.json --dscp 46 --dscp 0 --no-esn
    """
    from traffic.keys import make_associations, write_keys
    from traffic.lint import Protection, check

    if stamp:
        from traffic.stamp import write_key

        write_key(out)
    else:
        check(Protection(suite, window=window))
        classes = [("sender", "receiver", code) for code in dscp or (0,)]
        write_keys(make_associations(classes, esn=esn, window=window, suite=suite).values(), out)
    click.echo(f"{out}: the other end needs the same file", err=True)


@command.command("send")
@_KEYS
@click.option("--to", required=True, help="IPv4 address or name of the receiver.")
@click.option("--rate", type=_POSITIVE, default=100.0, show_default=True, help="Packets/s.")
@click.option("--duration", type=_POSITIVE, default=10.0, show_default=True, help="Seconds.")
@click.option("--size", type=int, default=1200, show_default=True, help="UDP payload of the inner packet, bytes.")
@click.option("--dscp", type=click.IntRange(0, 63), help="Which key of the file, if it has several.")
@click.option("--bind", default="0.0.0.0", help="Address to send from.")  # noqa: S104 - of a sending socket
@click.option("--port", type=click.IntRange(1, 65535), default=4500, show_default=True)
@_FORMAT
def send(
    keys: Path, to: str, rate: float, duration: float, size: int, dscp: int | None, bind: str, port: int, form: str
) -> None:
    """Send one flow in ESP over UDP. A key of the file sends once: its IVs must never come again.

    \b
    testbed traffic send --keys keys.json --to 192.0.2.7 --rate 100 --duration 30
    """
    from traffic import standalone
    from traffic.keys import load_keys

    associations = load_keys(keys)
    index = standalone.pick(associations, dscp)
    sending = standalone.Sending(standalone.resolve(to), rate, duration, size, port, bind)
    document = standalone.send(sending, keys, associations[index], index)
    if form == "json":
        _print_json(document)
    else:
        rate_told = "–" if document["achieved_pps"] is None else f"{document['achieved_pps']:,.1f}"
        click.echo(
            f"{document['sent']:,} of {document['due']:,} packets sent to {document['to']}, {rate_told} of "
            f"{rate:,.1f} packets/s"
        )
        if document["limited_by"]:
            click.echo("The flow was limited by its generator: ask for less, or send from a faster host.")
        for problem in document["problems"]:
            click.echo(problem)
    sys.exit(4 if document["limited_by"] or document["problems"] else 0)


@command.command("receive")
@_KEYS
@click.option("--bind", required=True, help="IPv4 address at which the flow arrives.")
@click.option("--interface", help="Its interface. [the one with that address]")
@click.option("--wait", type=float, default=3.0, show_default=True, help="Seconds after which a packet is lost.")
@click.option("--patience", type=float, default=60.0, show_default=True, help="Seconds until the first packet.")
@click.option("--duration", type=float, default=86_400.0, show_default=True, help="Seconds at most.")
@click.option("--synchronised", is_flag=True, help="The clocks of both hosts agree: take one-way delays at their word.")
@_CLEAR
@_ONLY_ESP
@_FORMAT
def receive(
    keys: Path,
    bind: str,
    interface: str | None,
    wait: float,
    patience: float,
    duration: float,
    synchronised: bool,
    clear_port: tuple[int, ...],
    only_esp: bool,
    form: str,
) -> None:
    """Judge and measure what arrives, until the flow is over. Needs CAP_NET_RAW.

    \b
    testbed traffic receive --keys keys.json --bind 192.0.2.7
    """
    from traffic import reception
    from traffic.keys import load_keys
    from traffic.packets import NAT_T_PORT
    from traffic.timestamps import deafen, open_tap, open_udp

    associations = load_keys(keys)
    tap = open_tap(interface or reception.interface_of(bind))
    udp = open_udp(bind, NAT_T_PORT, no_checksum=True)  # so that the host does not answer 'port unreachable'
    deafen(udp)
    receiving = reception.Receiving(wait, patience, duration, clear_port, only_esp)
    with tap, udp:
        arriving = reception.Reception(associations, receiving, tap)
        click.echo(f"receiving at {bind}, port {NAT_T_PORT}", err=True)
        interrupted = False
        try:
            arriving.run()
        except KeyboardInterrupt:
            interrupted = True
    document = reception.document(arriving, synchronised=synchronised, waiting_s=wait)
    if form == "json":
        _print_json(document)
    else:
        _print_reception(document)
    sys.exit(130 if interrupted else EXIT_CODES[document["verdict"]])


@command.command("judge")
@click.argument("capture", type=click.Path(dir_okay=False, path_type=Path))
@_KEYS
@_CLEAR
@_ONLY_ESP
@click.option("--packets", is_flag=True, help="Name the verdict of every packet.")
@_FORMAT
def judge(capture: Path, keys: Path, clear_port: tuple[int, ...], only_esp: bool, packets: bool, form: str) -> None:
    """Judge a pcap or pcapng with the keys of its flows, packet by packet.

    \b
    testbed traffic judge capture.pcapng --keys keys.json --format json
    """
    from traffic.judge import as_json, judge_capture
    from traffic.keys import load_keys
    from traffic.pcapng import read_capture

    associations = load_keys(keys)
    captured = list(read_capture(capture))
    finding = judge_capture(captured, associations, clear_udp_ports=clear_port, only_esp=only_esp)
    document = as_json(finding, associations)
    if packets:
        document["by_packet"] = [[number, judgement.verdict.name] for number, judgement in finding.judged]
    if form == "json":
        _print_json(document)
    else:
        click.echo(f"{document['verdict'].upper()}  {document['judged']:,} of {document['packets']:,} packets judged")
        for name, count in document["counts"].items():
            click.echo(f"  {count:>9,}  {name}")
        for number, name in document.get("by_packet", ()):
            click.echo(f"packet {number}: {name}")
        _print_alarms(document, "packet")
        for reason in document["invalid_reasons"]:
            click.echo(f"not valid: {reason}")
    sys.exit(EXIT_CODES[document["verdict"]])


@command.command("reflect")
@click.option("--bind", required=True, help="Address to answer at, IPv4 or IPv6.")
@click.option("--port", type=click.IntRange(1, 65535), default=862, show_default=True)
@click.option("--peer", multiple=True, required=True, help="Address or prefix that is answered; repeatable.")
@click.option("--stateless", is_flag=True, help="Copy the sender's numbers instead of counting replies.")
@click.option("--key", type=click.Path(dir_okay=False, path_type=Path), help="Authenticated: file of `keys --stamp`.")
@click.option("--duration", type=_POSITIVE, help="Seconds. [until interrupted]")
@_FORMAT
def reflect(
    bind: str, port: int, peer: tuple[str, ...], stateless: bool, key: Path | None, duration: float | None, form: str
) -> None:
    """Answer STAMP probes (RFC 8762) of the peers named, and of nobody else, with as many bytes as came.

    \b
    testbed traffic reflect --bind 192.0.2.7 --peer 192.0.2.1
    """
    import time

    from traffic import stamp

    secret = None if key is None else stamp.read_key(key)
    reflector = stamp.Reflector(stamp.ReflectorRules(stamp.networks(peer), not stateless, secret))
    until_ns = None if duration is None else time.monotonic_ns() + round(duration * 1e9)
    interrupted = False
    with stamp.open_stamp(bind, port) as sock:
        click.echo(f"reflecting at {bind}, port {port}", err=True)
        try:
            stamp.reflect(sock, reflector, until_ns)
        except KeyboardInterrupt:
            interrupted = True
    counts = {"reflected": reflector.counts["reflected"]} | dict(reflector.counts)
    if form == "json":
        _print_json({"role": "reflect", "counts": counts})
    else:
        click.echo(", ".join(f"{name} {count:,}" for name, count in counts.items()))
    sys.exit(130 if interrupted else 0)


@command.command("stamp")
@click.option("--to", required=True, help="Address of the reflector, IPv4 or IPv6.")
@click.option("--port", type=click.IntRange(1, 65535), default=862, show_default=True)
@click.option("--bind", help="Address to send from.")
@click.option("--count", type=click.IntRange(1, 10_000_000), default=100, show_default=True)
@click.option("--interval", type=_POSITIVE, default=0.1, show_default=True, help="Seconds.")
@click.option("--wait", type=_POSITIVE, default=3.0, show_default=True, help="Seconds after which a reply is lost.")
@click.option("--dscp", type=click.IntRange(0, 63), default=0, show_default=True)
@click.option("--padding", type=click.IntRange(0, 1300), default=0, show_default=True, help="Further bytes per packet.")
@click.option("--key", type=click.Path(dir_okay=False, path_type=Path), help="Authenticated: file of `keys --stamp`.")
@click.option("--stateful", is_flag=True, help="The reflector counts its replies: tell loss there from loss back.")
@_FORMAT
def stamp_sender(
    to: str,
    port: int,
    bind: str | None,
    count: int,
    interval: float,
    wait: float,
    dscp: int,
    padding: int,
    key: Path | None,
    stateful: bool,
    form: str,
) -> None:
    """Probe a STAMP reflector (RFC 8762): round trip, one-way delays, loss. Exit code 4 if it never answers.

    \b
    testbed traffic stamp --to 192.0.2.7 --count 100 --interval 0.1
    """
    from traffic import stamp, stamp_sender

    secret = None if key is None else stamp.read_key(key)
    with stamp.open_stamp(bind or ("::" if ":" in to else "0.0.0.0"), dscp=dscp, tx_stamps=True) as sock:  # noqa: S104
        result = stamp_sender.run_sender(
            sock, (to, port), count=count, interval_s=interval, waiting_s=wait, key=secret, padding_bytes=padding
        )
    document = stamp_sender.document(result, stateful=stateful or None, waiting_s=wait)
    if form == "json":
        _print_json(document)
    else:
        loss, trip_ms = document["loss"], document["round_trip_ms"]
        click.echo(f"{loss['answered']:,} of {loss['sent']:,} probes answered")
        if trip_ms["p50"] is not None:
            click.echo(f"round trip min {trip_ms['min']:.3f}, p50 {trip_ms['p50']:.3f}, p99 {trip_ms['p99']:.3f} ms")
            there, back = document["there_ms"]["p50"], document["back_ms"]["p50"]
            click.echo(f"one way p50 {there:.3f} ms there, {back:.3f} ms back (clocks: {document['clocks']})")
        if "lost_there" in loss:
            click.echo(f"lost {loss['lost_there']:,} there, {loss['lost_back']:,} back")
    sys.exit(0 if document["loss"]["answered"] else 4)


def _print_json(document: dict[str, Any]) -> None:
    click.echo(json.dumps(document, indent=1, allow_nan=False))


def _print_alarms(document: dict[str, Any], key: str) -> None:
    for alarm in document["alarms"][:8]:
        click.echo(f"{key} {alarm[key]}: {alarm['verdict']}, {alarm['detail']}")
    if document["alarm_count"] > 8:
        click.echo(f"and {document['alarm_count'] - 8:,} more alarms")


def _print_reception(document: dict[str, Any]) -> None:
    click.echo(document["verdict"].upper())
    for flow in document["flows"]:
        counts = ", ".join(f"{name} {count:,}" for name, count in flow["integrity"]["counts"].items())
        click.echo(
            f"flow {flow['name']}: {flow['received']:,} of {flow['sent']:,} packets, {flow['lost']:,} lost; {counts}"
        )
        delay_ms = flow["one_way_delay_ms"]
        if delay_ms["p50"] is not None:
            click.echo(
                f"  one-way delay p50 {delay_ms['p50']:.3f}, p95 {delay_ms['p95']:.3f} ms (clocks: {flow['clocks']})"
            )
        jitter_ms = flow["measures"]["rtp_jitter_ms"]["mean"]
        if jitter_ms is not None:
            click.echo(
                f"  jitter {jitter_ms:.3f} ms, reordered {flow['reordered']:,}, duplicated {flow['duplicated']:,}"
            )
        if flow["rate"]["limited_by"]:
            click.echo("  limited by its generator: less was sent than declared")
    _print_alarms(document, "time_ns")
    for reason in document["invalid_reasons"]:
        click.echo(f"not valid: {reason}")


def main() -> None:
    """Entry point of `python -m traffic`."""
    command(prog_name="traffic")
