# a removal stops the service and takes its programs out of the kernel, and leaves configuration and evidence
. /rig/lib.sh
began=$(date +%s)
apt_get remove auditor
say "removed in $(($(date +%s) - began)) s"
! systemctl is-active auditor || fail "the service still runs"
[ ! -e /usr/bin/auditor ]
[ -e /etc/auditor/auditor.toml ]
[ -e /var/lib/auditor ]
! bpftool --json prog list | jq -e 'any(.[]; .name == "sys_enter")' >/dev/null || fail "its programs still count"
[ -z "$(find /sys/fs/bpf -iname '*auditor*' -mindepth 1 2>/dev/null)" ] || fail "$(find /sys/fs/bpf)"
docker run --rm vm:image true
