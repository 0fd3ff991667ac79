# the package is installed, and its service is ready
. /rig/lib.sh
# What there was before it, to be compared with what it leaves behind.
/bin/sh -eu /rig/inventory.sh >/var/lib/rig/before
apt_get install /rig/deb/auditor.deb
is_ready || fail "the service is $(systemctl is-active auditor)"
[ "$(systemctl is-enabled auditor)" = enabled ]
examine
