"""What strongSwan is told, and what its log is understood to say (in the form of 5.9.8's)."""

from __future__ import annotations

import re

import pytest

from testbed.emulation.swan.config import End, Options, Tunnel, strongswan, swanctl
from testbed.emulation.swan.watch import Renewal, renewals, sources, version

ROME, MILAN = End("rome", "100.64.0.2", "10.64.0.1"), End("milan", "198.51.100.2", "10.64.1.1")

LOG = """
1795599757.000 00[DMN] Starting IKE charon daemon (strongSwan 5.9.8, Linux 6.1.176, x86_64)
1795599757.100 08[IKE] <rome-milan|1> initiating IKE_SA rome-milan[1] to 10.0.2.2
1795599757.200 08[IKE] <rome-milan|1> establishing CHILD_SA rome-milan{1}
1795599757.210 09[IKE] <rome-milan|1> CHILD_SA rome-milan{1} established with SPIs 81071f87_i bf1c3768_o and TS 10.77.0
1795599759.270 05[KNL] creating rekey job for CHILD_SA ESP/0x18e6e56c/10.0.1.2
1795599759.270 09[IKE] <rome-milan|1> establishing CHILD_SA rome-milan{3} reqid 1
1795599759.270 10[IKE] <rome-turin|2> establishing CHILD_SA rome-turin{4} reqid 2
1795599759.271 09[ENC] <rome-milan|1> generating CREATE_CHILD_SA request 5 [ N(REKEY_SA) SA No KE TSi TSr ]
1795599759.271 09[NET] <rome-milan|1> sending packet: from 10.0.1.2[4500] to 10.0.2.2[4500] (301 bytes)
1795599759.274 11[NET] <rome-milan|1> received packet: from 10.0.2.2[4500] to 10.0.1.2[4500] (289 bytes)
1795599759.276 11[IKE] <rome-milan|1> inbound CHILD_SA rome-milan{3} established with SPIs a4ffdd11_i 7e34780b_o and TS
1795599759.276 11[IKE] <rome-milan|1> outbound CHILD_SA rome-milan{3} established with SPIs a4ffdd11_i 7e34780b_o and T
1795599759.276 11[IKE] <rome-milan|1> closing CHILD_SA rome-milan{2} with SPIs 18e6e56c_i (0 bytes) 853a245b_o (0 bytes
1795599760.742 12[IKE] <rome-milan|1> initiating IKE_SA rome-milan[2] to 10.0.2.2
1795599760.743 12[ENC] <rome-milan|1> generating CREATE_CHILD_SA request 8 [ SA No KE ]
1795599760.775 14[IKE] <rome-milan|2> IKE_SA rome-milan[2] rekeyed between 10.0.1.2[rome]...10.0.2.2[milan]
1795599761.000 14[NET] <rome-milan|2> received packet: from 10.0.2.2[4500] to 10.0.1.2[4500] (57 bytes)
1795599761.500 14[NET] <milan-other|3> received packet: from 10.0.9.9[4500] to 10.0.1.2[4500] (57 bytes)
1795599761.600 14[NET] <4> received packet: from 10.0.9.8[500] to 10.0.1.2[500] (57 bytes)
1795599762.000 14[NET] <rome-milan|2> received packet: from 10.0.3.1[17000] to 10.0.1.2[4500] (57 bytes)
1795599762.500 05[IKE] <rome-milan|2> establishing CHILD_SA rome-milan{4} reqid 1
1795599762.501 09[ENC] <rome-milan|2> generating CREATE_CHILD_SA request 5 [ N(REKEY_SA) SA No KE TSi TSr ]
"""


def test_renewals_are_told_from_beginnings_and_from_what_is_not_finished() -> None:
    assert renewals(LOG) == [
        Renewal("child", "rome-milan{3}", 1795599759.270, 0.006),
        Renewal("ike", "rome-milan[2]", 1795599760.742, 0.033),
    ]
    assert renewals("") == renewals("nothing of this") == []


def test_the_version_is_the_one_that_the_daemon_says() -> None:
    assert version(LOG) == "5.9.8"
    assert version("") == ""


def test_a_peer_that_moves_is_seen_once_for_each_place() -> None:
    assert sources(LOG, "rome-milan") == [(1795599759.274, "10.0.2.2", 4500), (1795599762.0, "10.0.3.1", 17000)]


def test_both_ends_are_told_the_same_keys_and_opposite_roles() -> None:
    tunnel = Tunnel(ROME, MILAN)
    texts = [swanctl(end.host, [tunnel], Options(rekey_s=15)) for end in (ROME, MILAN)]
    assert [re.findall(r"secret = (0x\w+)", text) for text in texts] == [[f"0x{tunnel.key}", f"0x{tunnel.ppk}"]] * 2
    assert "remote_addrs = 198.51.100.2" in texts[0]
    assert "remote_addrs = %any" in texts[1]  # rome's NAT has an address that nobody knows beforehand
    assert "rekey_time = 15" in texts[0]
    assert re.findall(r"rekey_time = (\S+)", texts[1]) == ["0", "0"]  # it never begins
    for text in texts:
        assert "ppk_required = yes" in text
        assert "encap = yes" in text
        assert "esp_proposals = aes256gcm16-ecp384-esn" in text
        assert "replay_window = 1024" in text
        assert "life_time = 45" in text  # as docs/keys.md: 30 s more, or half as much again
        assert text.count("{") == text.count("}")


def test_keys_are_made_anew_for_each_tunnel_and_never_printed() -> None:
    one, other = Tunnel(ROME, MILAN), Tunnel(ROME, MILAN)
    assert len({one.key, one.ppk, other.key, other.ppk}) == 4
    assert {len(bytes.fromhex(key)) for key in (one.key, one.ppk)} == {32}
    assert one.key not in repr(one)
    assert one.ppk not in repr(one)


def test_libipsec_goes_before_the_kernels_plugin_and_without_esn() -> None:
    assert "kdf kernel-libipsec kernel-netlink" in strongswan(Options(kernel="libipsec", esn=False))
    assert "libipsec" not in strongswan(Options())
    with pytest.raises(ValueError, match=r"^libipsec of strongSwan 5\.9\.8 has no ESN: say esn=False$"):
        Options(kernel="libipsec")
