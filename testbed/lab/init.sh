#!/bin/sh
# Process 1 of the guest. The host's file tree is the read-only root; an overlay in memory makes it writable, and the
# run directory alone is mounted through to the host. Expects from the file that sources it:
#   RUN_DIR   host folder to mount writable     COMMAND   shell-quoted command      WORK_DIR   where to run it
# Console 1 is the control channel (JSON lines), console 2 the command's standard input, output and error, console 3
# for those who join a run (testbed/emulation/join).
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /mnt
release=$(uname -r)
modules=/usr/lib/uml/modules/$release
insmod "$modules/kernel/fs/overlayfs/overlay.ko"
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work overlay /mnt/root
cd /mnt/root || exit 1
mount --rbind /proc proc
mount --rbind /sys sys
mount -t tmpfs tmpfs run
mount -t devtmpfs devtmpfs dev
mkdir -p dev/pts dev/shm
mount -t devpts -o ptmxmode=0666 devpts dev/pts
mount -t tmpfs tmpfs dev/shm
ln -sf pts/ptmx dev/ptmx
mkdir -p "lib/modules/$release" ".$RUN_DIR"
mount --bind "$modules" "lib/modules/$release"
mount -t hostfs none ".$RUN_DIR" -o "$RUN_DIR"
# The kernel asks for modules from outside the overlay, iptables from inside, both by the path written here.
printf '#!/bin/sh\nexec chroot /mnt/root /sbin/modprobe "$@"\n' > /mnt/modprobe
chmod +x /mnt/modprobe
ln -s /sbin/modprobe mnt/modprobe
echo /mnt/modprobe > /proc/sys/kernel/modprobe
cat > run/guest-job <<JOB
stty raw -echo < /dev/tty1
printf '{"stage": "booted"}\\n' > /dev/tty1
$TERMINAL_SETUP
ip link set lo up
modprobe ipv6 # the one that nothing asks for by itself
cd '$WORK_DIR' || exit 1
export TESTBED_GUEST=1 TESTBED_CHANNEL=/dev/tty1 HOME=/root TERM=\${TERM:-linux}
$COMMAND
JOB
chroot . /usr/bin/setsid -c -w /bin/sh /run/guest-job <dev/tty2 >dev/tty2 2>&1
code=$?
sync
printf '{"exit": %d}\n' "$code" > dev/tty1
sleep 0.1
echo o > /proc/sysrq-trigger
sleep 10
