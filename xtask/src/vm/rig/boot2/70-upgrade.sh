# an upgrade of the package restarts the service and loses neither counts nor evidence
. /rig/lib.sh
mkdir -p /tmp/upgrade
docker run --detach --name upgraded --volume /tmp/upgrade:/out vm:image \
    sh -c 'for n in 1 2 3 4 5 6 7 8; do /groundtruth work 124*5000; done; : >/out/done; sleep 100000' >/dev/null
pid=$(property MainPID)
# A file of the operator's, with a setting of his own, stays as it is, unasked.
sed -i 's/^poll_interval = .*/poll_interval = "2s"/' /etc/auditor/auditor.toml
apt_get install /rig/deb/auditor-later.deb
dpkg-query --show auditor | grep -- '-2$'
is_ready || fail "the service is $(systemctl is-active auditor)"
[ "$(property MainPID)" != "$pid" ] || fail "it was not restarted"
grep -qx 'poll_interval = "2s"' /etc/auditor/auditor.toml
patient 300 test -e /tmp/upgrade/done
[ "$(calls upgraded 124)" = '[40000,0]' ] || fail "of one that went on: $(calls upgraded 124)"
auditor ps -o json | jq -e 'any(.[]; .name == "upgraded" and .window.complete)' >/dev/null || fail "$(auditor ps)"
is_kept 'work 124*77' || fail "the evidence of the first boot is gone: $(auditor history)"
docker rm --force upgraded >/dev/null
