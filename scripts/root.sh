# Bare Debian 12 roots with this checkout in them, and what it takes to work in one. Sourced by scripts/bare,
# scripts/container and scripts/vm-proof, which have changed to the checkout's folder.

CHECKOUT=/home/lab/satcom-testbed # where the checkout stands in a root

need_tools() { # name:package…
    missing=
    for each in "$@"; do
        command -v "${each%:*}" >/dev/null || missing="$missing ${each#*:}"
    done
    [ -z "$missing" ] && return
    echo "$0: tools are missing. Run: sudo apt-get install --no-install-recommends$missing" >&2
    exit 3
}

# Starts the script again where nothing that is mounted is mounted for anybody else.
alone() {
    [ "$(id -u)" = 0 ] || { echo "$0: must be root. Run: sudo $0" >&2; exit 3; }
    [ "${TESTBED_ALONE-}" = 1 ] || TESTBED_ALONE=1 exec unshare --mount "$0" "$@"
}

# A root of Debian 12's smallest variant in the folder $1, which must not be there yet. $2…: more packages. Names,
# certificates and index of this machine's network are those of the root too: it could not install anything otherwise.
make_root() {
    folder=$1
    shift
    mmdebstrap --quiet --mode=root --variant=minbase ${1:+--include="$*"} bookworm "$folder"
    rm -f "$folder/etc/resolv.conf" "$folder"/etc/apt/apt.conf.d/*mmdebstrap*
    cat /etc/resolv.conf >"$folder/etc/resolv.conf"
    index=$(python3 -m pip config get global.index-url 2>/dev/null || true)
    authorities=${PIP_CERT:-$(python3 -m pip config get global.cert 2>/dev/null || true)}
    echo '[global]' >"$folder/etc/pip.conf"
    [ -z "$index" ] || echo "index-url = $index" >>"$folder/etc/pip.conf"
    [ -z "$authorities" ] || {
        cp "$authorities" "$folder/etc/authorities.crt"
        echo 'cert = /etc/authorities.crt' >>"$folder/etc/pip.conf"
    }
}

# This checkout as it is now, new files too, without what git ignores, in the root $1.
copy_checkout() {
    mkdir -p "$1$CHECKOUT"
    git ls-files -z --cached --others --exclude-standard | tar --create --null --files-from=- | tar --extract --no-same-owner --directory="$1$CHECKOUT"
}

# A command in the root $1, in the checkout's folder, as root, with process numbers and mounts of its own: when the command
# ends, whatever it started ends too and nothing stays mounted. Network and devices are this machine's.
in_root() {
    folder=$1
    shift
    unshare --mount --pid --fork --kill-child sh -c '
        set -e
        root=$1 checkout=$2
        shift 2
        mount --rbind /dev "$root/dev"
        mount -t proc proc "$root/proc"
        mount -t sysfs sysfs "$root/sys"
        mount -t tmpfs tmpfs "$root/run"
        mount -t tmpfs tmpfs "$root/tmp"
        exec chroot "$root" /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb COLUMNS=120 \
            ${http_proxy+http_proxy="$http_proxy"} ${https_proxy+https_proxy="$https_proxy"} \
            sh -c "cd \"\$0\" && exec \"\$@\"" "$checkout" "$@"' sh "$folder" "$CHECKOUT" "$@"
}
