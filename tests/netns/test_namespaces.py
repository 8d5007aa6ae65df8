"""testbed.kernel.namespaces: anonymous, apart from each other, and gone with whoever held them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel_lab import MACS, Pair, command, ip, open_netlink, wait_for

from testbed.ground.errors import MachineError
from testbed.kernel import links
from testbed.kernel.namespaces import Namespace, set_sysctl

pytestmark = pytest.mark.netns


def here() -> int:
    """Inode of the calling thread's network namespace."""
    return Path("/proc/thread-self/ns/net").stat().st_ino


@pytest.fixture
def space() -> Iterator[Namespace]:
    space = Namespace()
    yield space
    space.close()


def test_a_new_namespace_is_empty_and_nameless_and_we_are_still_at_home() -> None:
    home, names = here(), subprocess.run(["ip", "netns"], capture_output=True, check=True).stdout
    space = Namespace()
    assert here() == home
    assert os.fstat(space.fd).st_ino != home
    (lo,) = ip(space, "link", "show")
    assert (lo["ifname"], lo["operstate"]) == ("lo", "DOWN")
    assert subprocess.run(["ip", "netns"], capture_output=True, check=True).stdout == names
    space.close()
    space.close()  # a second time is no error


def test_the_thread_is_inside_for_the_time_of_the_block_alone(space: Namespace) -> None:
    home, other = here(), Namespace()
    with space.entered():
        assert here() == os.fstat(space.fd).st_ino
        with other.entered():
            assert here() == os.fstat(other.fd).st_ino
        assert here() == os.fstat(space.fd).st_ino
    assert here() == home
    with pytest.raises(ZeroDivisionError), space.entered():
        raise ZeroDivisionError
    assert here() == home
    other.close()


def test_a_program_starts_inside(space: Namespace) -> None:
    assert command(space, "readlink", "/proc/self/ns/net").stdout == f"net:[{os.fstat(space.fd).st_ino}]\n"


def test_a_sysctl_holds_in_its_namespace_alone(space: Namespace) -> None:
    outside = Path("/proc/sys/net/ipv4/ip_forward").read_text()
    other = Namespace()
    with space.entered():
        set_sysctl("net/ipv4/ip_forward", 1)
        assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == "1\n"
    with other.entered():
        assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == "0\n"
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == outside
    other.close()


def test_closing_ends_a_namespace_once_no_socket_is_in_it() -> None:
    pair = Pair()
    pair.spaces[0].close()
    assert len(ip(pair.spaces[1], "link", "show")) == 2  # its socket still holds it
    pair.netlinks[0].close()
    wait_for(lambda: len(ip(pair.spaces[1], "link", "show")) == 1)
    pair.close()


def test_a_namespace_dies_with_its_process(space: Namespace) -> None:
    """A child joins a namespace of its own with ours, and is killed: our end goes with it."""
    ready, done = os.pipe()
    child = os.fork()
    if child == 0:
        inner = Namespace()
        names, namespaces = ("inner", "outer"), (inner.fd, space.fd)
        pair = links.veth(names=names, indices=(2, 2), macs=MACS, namespaces=namespaces, mtu=1500)
        open_netlink(inner).send([pair])
        os.write(done, b"!")
        signal.pause()
    assert os.read(ready, 1) == b"!"
    assert len(ip(space, "link", "show")) == 2
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    wait_for(lambda: len(ip(space, "link", "show")) == 1)
    os.close(ready)
    os.close(done)


def test_without_root_the_error_says_what_is_needed() -> None:
    script = (
        "import os\nfrom testbed.kernel.namespaces import Namespace\nos.setresuid(65534, 65534, 65534)\nNamespace()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == (
        f"{MachineError.__module__}.MachineError: unshare: Operation not permitted: "
        "network namespaces need root (CAP_SYS_ADMIN, CAP_NET_ADMIN)"
    )
