# the service outlives a restart of the engine
. /rig/lib.sh
starts() { auditor ps -o json | jq '.[] | select(.name == "before") | .window.starts'; }
pid=$(property MainPID)
had=$(starts)
systemctl restart docker
again() { auditor ps -o json | jq -e --argjson had "$had" 'any(.[]; .name == "before" and .state == "running" and .window.starts > $had)' >/dev/null; }
patient 120 again || fail "$(auditor ps)"
is_ready
[ "$(property MainPID)" = "$pid" ]
docker run --name after-engine vm:image /groundtruth work '124*5' >/dev/null
[ "$(calls after-engine 124)" = '[5,0]' ] || fail "counted $(calls after-engine 124)"
