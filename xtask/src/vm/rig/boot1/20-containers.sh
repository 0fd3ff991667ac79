# containers of before the boot
. /rig/lib.sh
mkdir -p /tmp/tree/bin
cp /bin/busybox /tmp/tree/bin/busybox
for name in sh mkdir rmdir sleep true cat test; do ln -s busybox "/tmp/tree/bin/$name"; done
cp /rig/workspace-files/target/static/release/groundtruth /tmp/tree/groundtruth
tar -C /tmp/tree -c . | docker import - vm:image >/dev/null
rm -r /tmp/tree
docker run --detach --name before --restart always vm:image sleep 100000 >/dev/null
auditor ps -o json | jq -e 'any(.[]; .name == "before" and .state == "running" and .window.complete)' >/dev/null
docker run --name history vm:image /groundtruth work '124*77' >/dev/null
[ "$(calls history 124)" = '[77,0]' ] || fail "counted $(calls history 124)"
