# For every script of the rig.
say() { echo "vm: $(basename "$0" .sh | sed 's/^[0-9]*-//'): $*"; }

fail() {
    say "$*"
    exit 1
}

# patient SECONDS COMMAND...: until it succeeds, or that long.
patient() {
    patience=$(($(date +%s) + $1))
    shift
    while ! "$@"; do
        [ "$(date +%s)" -lt "$patience" ] || return 1
        sleep 1
    done
}

# The host can be audited; something to be seen to, such as a clock that nobody sets, there may be.
examine() { auditor doctor || [ $? = 1 ] || fail "doctor says that this host cannot be audited"; }

# apt_get install|remove|purge WHAT: unasked; what it says is shown only when it fails.
apt_get() {
    DEBIAN_FRONTEND=noninteractive apt-get --yes --quiet=2 --no-install-recommends "$@" >/tmp/apt.log 2>&1 </dev/null ||
        fail "apt-get $*: $(cat /tmp/apt.log)"
}

property() { systemctl show --property="$1" --value auditor; }

# Answers: systemd says that it is ready, and so does it itself.
is_ready() { [ "$(systemctl is-active auditor)" = active ] && auditor ps >/dev/null 2>&1; }

# The engine has told its name: after a start of the service that takes a while on an emulated processor.
is_known() { auditor show "$1" -o json >/dev/null 2>&1; }

# calls CONTAINER NR: what was counted of a call in all, as [calls, errors].
calls() {
    patient 120 is_known "$1" || fail "no container $1: $(auditor ps)"
    auditor show "$1" -o json |
        jq -c --argjson nr "$2" '.[0] // . | [.syscalls[] | select(.abi == "x86_64" and .nr == $nr) | .calls, .errors]'
}

# issued NR: what groundtruth, whose last line stands in standard input, did of a call, as [calls, errors].
issued() {
    jq -c --argjson nr "$1" '[.[] | select(.abi == "x86_64" and .nr == $nr)] | [map(.issued), map(.failed)] | map(add)'
}

# is_kept ARGUMENTS: there is evidence of whole starts of a program with these.
is_kept() {
    auditor history -o json |
        jq -e --arg arguments "$1" 'any(.[]; (.command[1:] | join(" ")) == $arguments and .starts >= 1 and .complete)' >/dev/null
}
