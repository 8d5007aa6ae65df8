"""What strongSwan is told: strongswan.conf and swanctl.conf of a host, from its tunnels to other hosts.

IKEv2 (RFC 7296) with a pre-shared key and a post-quantum one mixed in (RFC 8784), ESP in UDP on port 4500 (RFC 3948)
in every case. Only a tunnel's initiator renews keys: if both did at the same age they would collide each time.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

Kernel = Literal["netlink", "libipsec"]
"""Who does ESP: the kernel's XFRM, or charon itself behind a TUN interface where the kernel has no ESP."""

LOG: Final = "charon.log"
IKE_PROPOSAL: Final = "aes256gcm16-prfsha384-ecp384"
ESP_PROPOSAL: Final = "aes256gcm16-ecp384"  # each renewal of keys agrees on them anew: forward secrecy
_KEY_BYTES: Final = 32  # as long as the keys they protect: AES-256
_HARD: Final = 1.5  # a hard lifetime by its soft one; docs/keys.md
_GRACE_S: Final = 30.0  # Assumption: no shorter than so much beyond it, for tries that fail
_DPD_S: Final = 1  # Assumption: a peer that is not heard for so long is asked; strongSwan's own default never asks
_RETRANSMIT_S: Final = 1.0  # Assumption: strongSwan's own is 4 s; a satellite's round trip is below 0.2 s


@dataclass(frozen=True, slots=True)
class End:
    """A host at one end of a tunnel. `address`: outer; `inner`: what the tunnel protects, a single address."""

    host: str
    address: str
    inner: str


@dataclass(frozen=True, slots=True)
class Tunnel:
    """From the end that begins, which may be behind a NAT, to the one that answers. Keys are made for it."""

    initiator: End
    responder: End
    key: str = field(default_factory=lambda: secrets.token_hex(_KEY_BYTES), repr=False)
    ppk: str = field(default_factory=lambda: secrets.token_hex(_KEY_BYTES), repr=False)

    @property
    def name(self) -> str:
        """Of the connection and of its child, the same at both ends."""
        return f"{self.initiator.host}-{self.responder.host}"


@dataclass(frozen=True, slots=True)
class Options:
    """`rekey_s`: age at which ESP keys are renewed; `window`: of anti-replay, packets; `esn`: with the kernel alone."""

    kernel: Kernel = "netlink"
    rekey_s: float = 3600.0
    ike_rekey_s: float = 14_400.0  # strongSwan's own default: 4 h
    window: int = 1024
    esn: bool = True

    def __post_init__(self) -> None:
        if self.esn and self.kernel == "libipsec":
            raise ValueError("libipsec of strongSwan 5.9.8 has no ESN: say esn=False")


def strongswan(options: Options) -> str:
    """The daemon: what it loads, and a log with times since the epoch, in milliseconds, and connections by name."""
    return f"""charon {{
    load = random nonce openssl kdf {"kernel-libipsec " if options.kernel == "libipsec" else ""}kernel-netlink \
socket-default vici
    retransmit_timeout = {_RETRANSMIT_S}
    replay_window = {options.window}
    filelog {{
        log {{
            path = /run/{LOG}
            time_format = %s
            time_add_ms = yes
            ike_name = yes
            flush_line = yes
            default = 1
        }}
    }}
}}
"""


def swanctl(host: str, tunnels: Sequence[Tunnel], options: Options) -> str:
    """Connections and secrets of a host."""
    lines = ["connections {"]
    for tunnel in tunnels:
        lines += _connection(host, tunnel, options)
    lines += ["}", "secrets {"]
    for tunnel in tunnels:
        identities = [f"id-a = {tunnel.initiator.host}", f"id-b = {tunnel.responder.host}"]
        lines += _section(f"ike-{tunnel.name}", [*identities, f"secret = 0x{tunnel.key}"])
        lines += _section(f"ppk-{tunnel.name}", [f"id = {tunnel.name}", f"secret = 0x{tunnel.ppk}"])
    return "\n".join([*lines, "}", ""])


def _connection(host: str, tunnel: Tunnel, options: Options) -> list[str]:
    begins = host == tunnel.initiator.host
    own, other = (tunnel.initiator, tunnel.responder) if begins else (tunnel.responder, tunnel.initiator)
    hard_s = max(_HARD * options.rekey_s, options.rekey_s + _GRACE_S)
    child = [
        f"local_ts = {own.inner}",
        f"remote_ts = {other.inner}",
        f"esp_proposals = {ESP_PROPOSAL}{'-esn' if options.esn else ''}",
        f"rekey_time = {options.rekey_s if begins else 0:g}",
        f"life_time = {hard_s:g}",
        "rand_time = 0",
        f"replay_window = {options.window}",
        "dpd_action = restart" if begins else "dpd_action = clear",
    ]
    connection = [
        "version = 2",
        f"local_addrs = {own.address}",
        f"remote_addrs = {other.address if begins else '%any'}",  # behind a NAT it has another
        f"proposals = {IKE_PROPOSAL}",
        "encap = yes",
        "mobike = no",  # with it the responder follows only after an earlier probe of the NAT, which traffic holds up
        f"dpd_delay = {_DPD_S if begins else _GRACE_S:g}",
        f"rekey_time = {options.ike_rekey_s if begins else 0:g}",
        "rand_time = 0",
        f"ppk_id = {tunnel.name}",
        "ppk_required = yes",
        *_section("local", ["auth = psk", f"id = {own.host}"]),
        *_section("remote", ["auth = psk", f"id = {other.host}"]),
        *_section("children", _section(tunnel.name, child)),
    ]
    return _section(tunnel.name, connection)


def _section(name: str, lines: Sequence[str]) -> list[str]:
    return [f"{name} {{", *(f"    {line}" for line in lines), "}"]
