# a service that hangs is killed by systemd's watchdog, and started again
. /rig/lib.sh
pid=$(property MainPID)
had=$(property NRestarts)
kill -STOP "$pid"
restarted() { [ "$(property NRestarts)" -gt "$had" ] && is_ready; }
patient 240 restarted || fail "the service is $(systemctl is-active auditor), restarted $(property NRestarts) times"
[ "$(property MainPID)" != "$pid" ]
docker run --name after-hang vm:image /groundtruth work '124*5' >/dev/null
[ "$(calls after-hang 124)" = '[5,0]' ] || fail "counted $(calls after-hang 124)"
