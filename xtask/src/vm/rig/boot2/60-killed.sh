# a kill -9 of the service loses no count: systemd starts it again, and calls made meanwhile are in the totals
. /rig/lib.sh
# One that was there before and goes on, and one that lives while there is no service.
mkdir -p /tmp/killed
docker run --detach --name through --volume /tmp/killed:/out vm:image \
    sh -c 'for n in 1 2 3 4 5 6 7 8; do /groundtruth work 124*5000 121@999999*100; done; : >/out/done; sleep 100000' >/dev/null
sleep 3
counted=$(calls through 124)
# Longer than systemd would wait.
trap 'rm -rf /run/systemd/system/auditor.service.d; systemctl daemon-reload' EXIT
mkdir -p /run/systemd/system/auditor.service.d
printf '[Service]\nRestartSec=60\n' >/run/systemd/system/auditor.service.d/rig.conf
systemctl daemon-reload
pid=$(property MainPID)
kill -KILL "$pid"
sleep 1
! auditor ps >/dev/null 2>&1 || fail "it is still there"
docker run --name meanwhile vm:image /groundtruth work --threads=2 '124*3000' | tail -n 1 >/tmp/killed/meanwhile
[ "$(property ActiveState)/$(property SubState)" = activating/auto-restart ] || fail "it came back too soon for this test"
patient 300 is_ready || fail "the service is $(systemctl is-active auditor)"
[ "$(property MainPID)" != "$pid" ]
say "counted $counted before the kill"
patient 300 test -e /tmp/killed/done
got=$(calls through 124)/$(calls through 121)
[ "$got" = '[40000,0]/[800,800]' ] || fail "of one that went on: $got instead of [40000,0]/[800,800]"
say "of one that went on: $got"
want=$(issued 124 </tmp/killed/meanwhile)
got=$(calls meanwhile 124)
[ "$got" = "$want" ] || fail "of one that lived meanwhile: $got instead of $want"
say "of one that lived meanwhile: $got"
auditor ps -o json | jq -e 'any(.[]; .name == "through" and .window.complete)' >/dev/null || fail "$(auditor ps)"
docker rm --force through >/dev/null
