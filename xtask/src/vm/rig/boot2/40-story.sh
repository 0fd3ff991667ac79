# the story in short: refusals are told of, and a container runs under a smaller profile
. /rig/lib.sh
# Under the engine's own profile it makes a directory.
docker run --name story vm:image sh -c 'mkdir /x && rmdir /x' >/dev/null
auditor suggest story >/tmp/story.json
jq -e 'any(.syscalls[].names[]; . == "mkdir")' /tmp/story.json >/dev/null || fail "mkdir was used and is not suggested"
jq 'del(.syscalls[].names[] | select(. == "mkdir"))' /tmp/story.json >/tmp/no-mkdir.json
! docker run --name refused --security-opt seccomp=/tmp/no-mkdir.json vm:image sh -c 'mkdir /x && rmdir /x' || fail "mkdir was not refused"
auditor denials refused | tee /tmp/denials
grep -q mkdir /tmp/denials
say "a refused mkdir is told of"

! jq -e 'any(.syscalls[].names[]; . == "ptrace")' /tmp/story.json >/dev/null || fail "ptrace is still allowed"
say "ptrace is taken out"
docker run --rm --security-opt seccomp=/tmp/story.json vm:image sh -c 'mkdir /x && rmdir /x' >/dev/null
say "a container runs under its suggestion"
