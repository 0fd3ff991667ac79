# A service of the machine's systemd: a start of it is counted, and it is started again under the filter that is suggested.
. /rig/lib.sh
units=/run/systemd/system
mkdir -p "$units/audited.service.d"
# Much to set up, and a program that itself calls little: not even write.
cat >"$units/audited.service" <<'UNIT'
[Service]
Type=exec
User=daemon
PrivateTmp=yes
ProtectSystem=strict
ProtectHome=yes
PrivateMounts=yes
CapabilityBoundingSet=CAP_CHOWN
ExecStart=/bin/sleep 1000
UNIT
# The first time it has no filter, the second time the one that was suggested.
for round in without with; do
    systemctl daemon-reload
    # That of the round before would be taken for the watcher's word.
    : >/tmp/audited.notes
    auditor suggest --unit audited >/tmp/audited.conf 2>/tmp/audited.notes &
    watcher=$!
    for _ in $(seq 120); do ! grep -q 'next start is waited for' /tmp/audited.notes || break; sleep 1; done
    systemctl start audited
    sleep 3
    systemctl stop audited
    kill -TERM $watcher
    wait $watcher || { cat /tmp/audited.notes; exit 1; }
    grep -q '1 start seen, 1 counted from the first call' /tmp/audited.notes || { cat /tmp/audited.notes; exit 1; }
    for name in mount umount2 unshare setgroups setresuid pivot_root capset; do
        ! tr ' =' '\n\n' </tmp/audited.conf | grep -qx "$name" || { cat /tmp/audited.conf; say "$name is systemd's"; exit 1; }
    done
    tr ' =' '\n\n' </tmp/audited.conf | grep -qx execve
    cp /tmp/audited.conf "$units/audited.service.d/filter.conf"
    systemctl daemon-reload
    systemctl start audited
    sleep 2
    pid=$(systemctl show --property=MainPID --value audited)
    grep -q '^Seccomp:.*2' "/proc/$pid/status"
    grep -qx sleep "/proc/$pid/comm"
    systemctl stop audited
    say "a unit $round a filter starts under its suggestion: $(grep -c . /tmp/audited.conf) lines"
done
rm -r "$units/audited.service" "$units/audited.service.d"
systemctl daemon-reload
