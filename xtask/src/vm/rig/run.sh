# Runs in the machine after each boot, as root, with what `cargo xtask vm` put into /rig. A line for each thing tried.
set -u
export HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
state=/var/lib/rig
mkdir -p $state
boot=$(($(cat $state/boot 2>/dev/null || echo 0) + 1))
echo $boot >$state/boot
sync
wanted() { grep -qx "$1" /rig/parts; }
try() {
    what=$1
    shift
    if "$@"; then echo "vm: passed: $what"; else echo "vm: FAILED: $what"; touch $state/failed; fi
}
# Each script says in its first line what it shows.
try_all() {
    for script in "$1"/*.sh; do
        try "$(sed -n '1s/^# //p' "$script")" /bin/sh -eu "$script"
    done
}
case $boot in
1)
    echo "vm: Linux $(uname -r), systemd $(systemctl --version | sed -n '1s/systemd \([0-9]*\).*/\1/p')"
    if wanted kernel; then
        # The tests know the workspace by the path that they were built in, and their programs are built already.
        mkdir -p "$(dirname "$(cat /rig/workspace)")"
        ln -s /rig/workspace-files "$(cat /rig/workspace)"
        for test in "$(cat /rig/workspace)"/target/debug/deps/*; do
            try "the tests of $(basename "$test")" env CARGO=/bin/true PATH="/rig/bin:$PATH" "$test" --test-threads=1
        done
        rm "$(cat /rig/workspace)"
    fi
    ! wanted unit || try "a unit under its suggestion" env PATH="/rig/bin:$PATH" /bin/sh -eu /rig/unit.sh
    if wanted service; then
        try_all /rig/boot1
        if [ ! -e $state/failed ]; then
            echo "vm: booting again"
            touch /run/rig.again
            sync
            systemctl --no-block reboot
            exit 0
        fi
    fi
    ;;
2) try_all /rig/boot2 ;;
*)
    echo "vm: FAILED: this is boot $boot, and nobody asked for it"
    touch $state/failed
    ;;
esac
if [ -e $state/failed ]; then
    # What a person wants to know next.
    ! wanted service || journalctl --no-pager --unit=auditor --lines=40
    echo "vm: end: 1"
else
    echo "vm: end: 0"
fi
