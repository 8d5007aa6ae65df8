"""A packet socket that would skip netem is refused: the kernel is asked, not the caller."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from traffic.errors import ConfigurationError
from traffic.lint import check_socket
from traffic.session import HostSockets, SessionOptions, run_session

pytestmark = pytest.mark.netns

SOL_PACKET, PACKET_QDISC_BYPASS = 263, 20  # linux/socket.h, linux/if_packet.h


def test_a_socket_that_sends_past_the_queueing_discipline_is_refused(tmp_path: Path) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as tap, socket.socket() as udp:
        check_socket(tap)
        tap.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
        with pytest.raises(ConfigurationError, match="PACKET_QDISC_BYPASS is refused: it would skip netem"):
            check_socket(tap)
        host = HostSockets("rome", "10.0.0.1", "10.77.0.1", True, udp, tap)
        with pytest.raises(ConfigurationError, match="PACKET_QDISC_BYPASS is refused"):
            run_session([], SessionOptions(), {"rome": host}, 0, 0, tmp_path)
        assert not list(tmp_path.iterdir())
