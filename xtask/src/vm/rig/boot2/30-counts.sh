# containers run, and what is counted is what was issued
. /rig/lib.sh
# The engine that Debian installs, with systemd's driver for control groups.
docker info --format '{{.CgroupVersion}} {{.CgroupDriver}}' | grep -qx '2 systemd'
docker run --name counted vm:image /groundtruth work --threads=2 --forks=3 '124*1000' '121@999999*500' | tail -n 1 >/tmp/counted.issued
for nr in 124 121; do
    want=$(issued $nr </tmp/counted.issued)
    got=$(calls counted $nr)
    [ "$want" = "$got" ] || fail "call $nr: issued $want, counted $got"
    say "call $nr: issued and counted $got"
done
