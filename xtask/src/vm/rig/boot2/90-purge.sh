# a purge leaves nothing
. /rig/lib.sh
apt_get purge auditor
docker ps --all --quiet | xargs docker rm --force >/dev/null
docker image rm vm:image >/dev/null
same() {
    /bin/sh -eu /rig/inventory.sh | sort >/var/lib/rig/after
    sort /var/lib/rig/before | diff - /var/lib/rig/after >/var/lib/rig/difference
}
# The kernel takes its time to free what nobody holds.
patient 60 same || fail "what differs: $(cat /var/lib/rig/difference)"
say "as before: $(wc -l </var/lib/rig/after) files, users, units, programs, maps and pins"
