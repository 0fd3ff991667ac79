# The engine that Debian installs, under systemd, with systemd's driver for control groups.
say() { echo "vm: host: $*"; }
docker info --format '{{.CgroupVersion}} {{.CgroupDriver}}' | grep -qx '2 systemd'
mkdir -p /tmp/tree/bin
cp /bin/busybox /tmp/tree/bin/busybox
for name in sh mkdir sleep true cat; do ln -s busybox "/tmp/tree/bin/$name"; done
cp /rig/workspace-files/target/static/release/groundtruth /tmp/tree/groundtruth
tar -C /tmp/tree -c . | docker import - vm:image >/dev/null

docker run --detach --name before vm:image sleep 600 >/dev/null
# Type=notify: it returns when the daemon is ready.
systemd-run --quiet --unit=auditor --property=Type=notify --property=WatchdogSec=60 \
    --property=StateDirectory=auditor --property=RuntimeDirectory=auditor /rig/bin/auditor daemon
say "the service is ready"
auditor doctor

# A container from before, whose cgroup the engine has under system.slice.
auditor ps -o json | jq -e '.[] | select(.name == "before") | .window.complete == false and .effective.mode == "filter"'
issued=$(docker run --name counted vm:image /groundtruth work --threads=2 --forks=3 '124*1000' '121@999999*500' | tail -n 1)
shown=$(auditor show counted -o json)
for nr in 124 121; do
    want=$(echo "$issued" | jq -c --argjson nr $nr '[.[] | select(.abi == "x86_64" and .nr == $nr)] | [map(.issued), map(.failed)] | map(add)')
    got=$(echo "$shown" | jq -c --argjson nr $nr '.[0] // . | .syscalls[] | select(.abi == "x86_64" and .nr == $nr) | [.calls, .errors]')
    [ "$want" = "$got" ] || { say "call $nr: issued $want, counted $got"; exit 1; }
done
say "counts under systemd's control groups are equal to what was issued"

auditor suggest counted >/tmp/counted.json
docker run --rm --security-opt seccomp=/tmp/counted.json vm:image /groundtruth work '124*10' >/dev/null
say "a container runs under its suggestion"
jq 'del(.syscalls[].names[] | select(. == "getsid"))' /tmp/counted.json >/tmp/less.json
docker run --name denied --security-opt seccomp=/tmp/less.json vm:image /groundtruth work '124*7' >/dev/null || true
auditor show denied -o json | jq -e '.[0] // . | any(.syscalls[]; .name == "getsid" and .denied >= 7)' >/dev/null
auditor denials denied | grep -q getsid
say "refused calls are told of"

systemctl restart docker
docker start before >/dev/null
again() { auditor ps -o json | jq -e 'any(.name == "before" and .state == "running" and .window.starts >= 1)' >/dev/null; }
for _ in $(seq 60); do ! again || break; sleep 1; done
again
say "the daemon outlived its engine's restart"
docker rm --force before >/dev/null
began=$(date +%s)
systemctl stop auditor
[ $(($(date +%s) - began)) -le 10 ]
say "stopped"
