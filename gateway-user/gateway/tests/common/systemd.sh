# Boots systemd as process 1 of namespaces of its own, over a copy-on-write view of this machine's root that is gone when
# it ends. Arguments: its cgroup, an empty directory, the binary, the directory of unit files, the one of resources.
set -eu
if [ "${INSIDE:-}" = "" ]; then
    echo $$ > "$1/cgroup.procs"
    INSIDE=1 exec unshare --mount --pid --fork --cgroup --kill-child --propagation private -- sh "$0" "$@"
fi
top=$2 binary=$3 units=$4 resources=$5
mount -t tmpfs tmpfs "$top"
root=$top/root
mkdir "$top/upper" "$top/work" "$root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$top/upper,workdir=$top/work" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
ln -s /proc/self/fd "$root/dev/fd"
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts devpts "$root/dev/pts" -o newinstance,ptmxmode=0666
ln -s pts/ptmx "$root/dev/ptmx"

# Of the machine's own services none.
rm -rf "$root"/etc/systemd/system/* "$root"/lib/systemd/system/*.wants
mkdir -p "$root/etc/systemd/system/sluice.service.d" "$root/etc/sysusers.d" "$root/etc/tmpfiles.d"
install -m 755 "$binary" "$root/usr/bin/sluice"
cp "$units/sluice.service" "$units/run-sluicebpf.mount" "$root/etc/systemd/system/"
cp "$units/sluice.sysusers" "$root/etc/sysusers.d/sluice.conf"
cp "$units/sluice.tmpfiles" "$root/etc/tmpfiles.d/sluice.conf"
cp "$units/sluice.env" "$root/etc/default/sluice"
# There is no journal here.
printf '[Service]\nStandardOutput=append:/run/sluice.log\nStandardError=append:/run/sluice.log\n' \
    > "$root/etc/systemd/system/sluice.service.d/log.conf"
printf '[Unit]\nDefaultDependencies=no\n' > "$root/etc/systemd/system/idle.target"
chroot "$root" systemd-sysusers sluice.conf
chroot "$root" systemd-tmpfiles --create /etc/tmpfiles.d/sluice.conf
cp -r "$resources/." "$root/etc/sluice/resources/"
chroot "$root" chgrp -R sluice /etc/sluice/resources
chmod -R g+rX "$root/etc/sluice/resources"
cd "$root"
# Not chroot(2): systemd makes namespaces of its own, for which this must be the root of the tree of mounts.
pivot_root . mnt
umount --lazy /mnt
container=test exec /lib/systemd/systemd --system --unit=idle.target --log-target=console --show-status=0
