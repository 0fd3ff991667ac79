# the live unit's exposure is 2.5 or less, and it runs as its own user with the documented capabilities
. /rig/lib.sh
exposure=$(systemd-analyze --no-pager security auditor.service | sed -n 's/.*Overall exposure level for [^:]*: *\([0-9.]*\).*/\1/p')
say "exposure $exposure"
[ "$(echo "$exposure" | tr -d .)" -le 25 ]
pid=$(property MainPID)
user=$(id -u auditor)
for status in /proc/"$pid"/task/*/status; do
    grep -Eq "^Uid:\s+$user\s+$user\s+$user\s+$user$" "$status" || fail "$(grep ^Uid: "$status") is not $user"
done
# What each thread's sets are. Bits 2, 38 and 39 (`include/uapi/linux/capability.h`) are CAP_DAC_READ_SEARCH, CAP_PERFMON
# and CAP_BPF; the last two are given up once the programs are attached.
while read -r set documented; do
    held=$(sed -n "s/^Cap$set:[^0-9a-f]*//p" /proc/"$pid"/task/*/status | sort -u | xargs)
    [ "$held" = "$documented" ] || fail "Cap$set is $held, not $documented"
    say "Cap$set is $held in every thread"
done <<'SETS'
Bnd 000000c000000004
Prm 0000000000000004
Eff 0000000000000004
Inh 0000000000000000
Amb 0000000000000000
SETS
