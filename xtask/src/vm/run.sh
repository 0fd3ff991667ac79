# Runs in the machine, as root, with what `cargo xtask vm` put into /rig. One line for each thing that was tried.
set -u
# The tests know the workspace by the path that they were built in, and their programs are built already.
mkdir -p "$(dirname "$(cat /rig/workspace)")"
ln -s /rig/workspace-files "$(cat /rig/workspace)"
export CARGO=/bin/true HOME=/root PATH=/rig/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
failed=0
try() {
    what=$1
    shift
    if "$@"; then echo "vm: passed: $what"; else echo "vm: FAILED: $what"; failed=1; fi
}
echo "vm: Linux $(uname -r), systemd $(systemctl --version | sed -n '1s/systemd \([0-9]*\).*/\1/p')"
for test in "$(cat /rig/workspace)"/target/debug/deps/*; do
    try "the tests of $(basename "$test")" "$test" --test-threads=1
done
try "a unit under its suggestion" /bin/sh -eu /rig/unit.sh
try "a host with systemd and its own engine" /bin/sh -eu /rig/host.sh
echo "vm: end: $failed"
