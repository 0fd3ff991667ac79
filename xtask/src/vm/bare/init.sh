#!/bin/sh
# The only program of a bare machine: what is tested lies beside it.
/bin/busybox mkdir -p /proc /sys /dev /run/auditor /var/lib/auditor /tmp
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev 2>/dev/null
mount -t cgroup2 none /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf
ip link set lo up
failed=0
say() { echo "vm: $(uname -m): $*"; }
# mkdirat has another number on each processor.
case $(uname -m) in
x86_64) arch=SCMP_ARCH_X86_64 mkdirat=258 ;;
*) arch=SCMP_ARCH_AARCH64 mkdirat=34 ;;
esac
try() {
    what=$1
    shift
    if "$@"; then echo "vm: passed: $what"; else echo "vm: FAILED: $what"; failed=1; fi
}
echo "vm: Linux $(uname -r) on $(uname -m)"

# container ID PROGRAM...: in a cgroup of the name that the engine gives a container's.
container() {
    mkdir -p "/sys/fs/cgroup/docker/$1"
    /bin/sh -c 'echo $$ >"/sys/fs/cgroup/docker/$1/cgroup.procs"; shift; exec "$@"' sh "$@"
}
# numbers ID CALL: calls, those without a filter, errors, and refusals.
numbers() {
    /auditor show "$1" -o json | awk -v call="\"$2\"," '
        $1 == "\"name\":" { its = $2 == call }
        its && $1 ~ /^"(calls|unfiltered_calls|errors|denied)":$/ { sub(",", "", $2); printf "%s ", $2 }'
}
same() {
    say "$1: $(numbers "$id" "$1")"
    [ "$(numbers "$id" "$1")" = "$2" ]
}
has_counted() { same getsid "3000 1000 0 0 " && same getpgid "500 0 500 0 " && same mkdirat "0 0 0 7 "; }
starts() {
    /auditor daemon >/tmp/daemon.log 2>&1 &
    for _ in $(seq 120); do
        ! /auditor ps >/dev/null 2>&1 || return 0
        sleep 1
    done
    return 1
}
counts() {
    id=$(printf 'a1%.0s' $(seq 32))
    container "$id" /calls && has_counted
}
counts_32() {
    id=$(printf 'b2%.0s' $(seq 32))
    container "$id" /calls32 && has_counted && /auditor show "$id" -o json | grep -q '"abi": "arm"'
}
tells() {
    /auditor denials >/tmp/denials
    grep -q 'mkdirat(dfd=AT_FDCWD, .* mode=0755) = EPERM (SCMP_ACT_ERRNO) x7' /tmp/denials
}
reads_filter() {
    id=$(printf 'c3%.0s' $(seq 32))
    container "$id" /calls stay &
    for _ in $(seq 60); do
        ! [ "$(numbers "$id" mkdirat)" = "0 0 0 7 " ] || break
        sleep 1
    done
    /auditor filter "$id" --disassemble >/tmp/filter
    grep -q "if nr != $mkdirat goto 0003" /tmp/filter && grep -q 'return SCMP_ACT_ERRNO (EPERM)' /tmp/filter
}
records() {
    /auditor record -- /calls >/tmp/profile.json 2>/tmp/notes || { cat /tmp/notes; return 1; }
    grep -q $arch /tmp/profile.json && grep -q '"getsid"' /tmp/profile.json && ! grep -q '"mkdirat"' /tmp/profile.json
}
/auditor doctor
try "the daemon loads its programs and is ready" starts
try "calls of a 64-bit program are counted as they were issued" counts
[ ! -e /calls32 ] || try "calls of a 32-bit program are counted as they were issued" counts_32
try "refused calls are told of" tells
try "a filter in force is read from the kernel" reads_filter
try "a command is recorded and its profile suggested" records
[ $failed = 0 ] || cat /tmp/daemon.log
echo "vm: end: $failed"
poweroff -f
