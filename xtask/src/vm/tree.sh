# Makes a Debian tree with systemd, a container engine and kernels: tree.sh TREE KERNEL...
# In a mount namespace of its own, so that nothing stays mounted, and with this machine's own apt sources.
set -eu
tree=$1
shift
sources() { cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null; }
mirror=$(sources | sed -nE 's,^(URIs:|deb)( \[[^]]*\])? +([^ ]+/debian)/?( .*|)$,\3,p' | head -n 1)
: "${mirror:?no mirror of Debian in the sources of apt}"
. /etc/os-release
packages=systemd,systemd-sysv,dbus,udev,kmod,docker.io,apparmor,busybox-static,initramfs-tools,iptables,jq,libpcap0.8
# What the checks of the package ask: which eBPF programs there are, and what metrics say.
packages=$packages,bpftool,curl,procps
debootstrap --variant=minbase --include="$packages" "$VERSION_CODENAME" "$tree" "$mirror"

# Kernels may come from another archive than the release's first one.
cp -a /etc/apt/sources.list.d/*.sources "$tree/etc/apt/sources.list.d/" 2>/dev/null || true
! [ -e /etc/apt/sources.list ] || cp /etc/apt/sources.list "$tree/etc/apt/sources.list"
cp -a /usr/share/keyrings/debian-* "$tree/usr/share/keyrings/"
cp /etc/resolv.conf "$tree/etc/resolv.conf"
# Services are for the machine that is booted from it.
printf '#!/bin/sh\nexit 101\n' >"$tree/usr/sbin/policy-rc.d"
chmod +x "$tree/usr/sbin/policy-rc.d"
for dir in proc sys dev; do mount --rbind "/$dir" "$tree/$dir"; done
chroot "$tree" apt-get update -qq
for kernel in "$@"; do
    # The newest of the series; signed where there is one of it. `-rt` and `-cloud` are other builds.
    package=$(chroot "$tree" apt-cache search --names-only "^linux-image-$kernel\.[0-9][^ ]*-amd64(-unsigned)?$" |
        cut -d' ' -f1 | grep -vE -- '-(rt|cloud)-' | sed 's/-unsigned$/~&/' | sort -V | tail -n 1 | tr -d '~')
    [ -n "$package" ] || { echo "no Linux $kernel in the sources of apt" >&2; exit 1; }
    chroot "$tree" env DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq --no-install-recommends "$package"
done
rm "$tree/usr/sbin/policy-rc.d"

echo auditor-vm >"$tree/etc/hostname"
echo '/dev/vda / ext4 errors=remount-ro 0 1' >"$tree/etc/fstab"
cat >"$tree/etc/systemd/system/rig.service" <<'UNIT'
[Unit]
Description=What the rig wants run
After=docker.service

[Service]
Type=oneshot
# However it ends, the machine goes off, but for a boot that it asked for itself.
ExecStart=/bin/sh -c 'mkdir -p /rig && mount /dev/vdb /rig && exec /bin/sh /rig/run.sh >/dev/ttyS1 2>&1'
ExecStopPost=/bin/sh -c '[ -e /run/rig.again ] || exec systemctl --no-block --force poweroff'

[Install]
WantedBy=multi-user.target
UNIT
chroot "$tree" systemctl enable --quiet rig.service
rm -rf "$tree"/var/cache/apt/archives/*.deb "$tree"/var/lib/apt/lists/* "$tree"/usr/share/doc "$tree"/usr/share/locale
