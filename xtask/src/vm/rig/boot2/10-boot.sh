# the service is ready by itself after a boot, before the engine starts containers again
. /rig/lib.sh
# What this script runs after is not all of the boot.
patient 120 is_ready || fail "the service is $(systemctl is-active auditor)"
[ "$(property NRestarts)" = 0 ] || fail "it was restarted $(property NRestarts) times"
say "ready $(($(property ActiveEnterTimestampMonotonic) / 1000000)) s after power-on"
examine
auditor ps
# Of the boot before: evidence, and a container that the engine started again.
patient 60 eval 'auditor ps -o json | jq -e "any(.[]; .name == \"before\" and .state == \"running\" and .window.complete)" >/dev/null' ||
    fail "of what started with the machine: $(auditor ps)"
is_kept 'work 124*77' || fail "the evidence of the boot before is gone: $(auditor history)"
