# The system packages, from Debian 12 or Ubuntu 24.04 (which has no user-mode-linux: there the native runner only).
PACKAGES="mininet iproute2 iptables ethtool net-tools iputils-ping procps kmod iperf3 tshark tcpdump openvswitch-switch python3-venv"
. /etc/os-release
if [ "${ID-}" = debian ]; then PACKAGES="user-mode-linux $PACKAGES"; fi
# What the tests need beyond that: `scripts/install --test`.
TEST_PACKAGES=
if [ "${ID-}" = debian ]; then TEST_PACKAGES="chromium vagrant vagrant-libvirt"; fi
