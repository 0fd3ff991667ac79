# What a machine has that a package can leave behind; two of these are compared.
# Files: not what the engine, the journal, apt and systemd themselves write while the machine runs.
find / -xdev \( -path /var/lib/docker -o -path /var/lib/containerd -o -path /var/log -o -path /var/cache \
    -o -path /var/lib/rig -o -path /var/lib/systemd/catalog -o -path /var/lib/dpkg -o -path /var/lib/apt \
    -o -path /tmp -o -path /var/tmp -o -path /root -o -path /rig \) -prune -o -printf 'file %p\n' |
    # Copies that `useradd` and others make of what they change.
    grep -vxE 'file /etc/(passwd|group|shadow|gshadow|subuid|subgid)-|file /etc/\.pwd\.lock' || true
find /var/lib/dpkg/info /var/log /var/cache /run /tmp /var/tmp /sys/fs/cgroup -iname '*auditor*' -printf 'file %p\n' 2>/dev/null || true
find /sys/fs/bpf -printf 'pin %p\n'
for file in passwd group shadow gshadow subuid subgid; do
    ! [ -e "/etc/$file" ] || cut -d: -f1 "/etc/$file" | sed "s/^/$file /"
done
# Groups' members.
sed 's/^/member /' /etc/group
systemctl list-units --all --no-legend --no-pager --plain '*auditor*' | sed 's/^/loaded /'
# systemd's own and the engine's are for devices and addresses of cgroups.
bpftool --json prog list | jq -r '.[] | select(.type | startswith("cgroup") | not) | "program \(.type) \(.name)"'
bpftool --json map list | jq -r '.[] | "map \(.type) \(.name)"' | grep -v ' sd_' || true
dpkg-query --show --showformat='package ${Package} ${db:Status-Status}\n'
