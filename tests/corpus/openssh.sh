# An OpenSSH server and its client, with keys; then files, forwarded ports, an agent and a terminal.
begin() {
    mkdir -p /run/sshd ~/.ssh
    chmod 700 ~/.ssh
    rm -f ~/.ssh/id_ed25519*
    ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519
    cp ~/.ssh/id_ed25519.pub ~/.ssh/authorized_keys
    printf 'Host *\n  StrictHostKeyChecking no\n  LogLevel ERROR\n' >~/.ssh/config
    useradd -m -d /var/visitor visitor 2>/dev/null || true
    install -d -o visitor -m 700 /var/visitor/.ssh
    install -o visitor -m 600 ~/.ssh/authorized_keys /var/visitor/.ssh/
    /usr/sbin/sshd -D &
    server=$!
    until ssh localhost true 2>/dev/null; do sleep 0.2; done
}

first() {
    for i in 1 2 3 4 5; do ssh root@localhost "echo hello $i"; done
    ssh visitor@localhost 'id -un; uname -a' | head -1 | grep -x visitor
    echo input | ssh visitor@localhost cat | grep -x input
    fails ssh -o BatchMode=yes nobody@localhost true 2>/dev/null
    seq 10000 | ssh localhost 'sort -n | tail -1' | grep -x 10000
}

second() {
    seq 1000 >/tmp/numbers
    scp -q /tmp/numbers visitor@localhost:numbers
    echo 'ls -l
get numbers /tmp/back
mkdir d
rename numbers d/numbers' | sftp -q -b - visitor@localhost
    cmp /tmp/numbers /tmp/back
    rm -f /tmp/back
    ssh visitor@localhost rm -r d
    ssh -tt visitor@localhost 'tty; stty size' </dev/null
    ssh -f -N -M -S /tmp/control -L 2222:localhost:22 localhost
    ssh -p 2222 visitor@localhost true
    ssh -S /tmp/control -O exit localhost
    eval "$(ssh-agent)" >/dev/null
    ssh-add -q ~/.ssh/id_ed25519
    ssh -A localhost ssh-add -l
    ssh-agent -k >/dev/null
    ssh -C -o Ciphers=aes256-ctr localhost true
    kill -HUP $server
    sleep 0.5
    until ssh localhost true; do sleep 0.2; done
}

end() {
    kill "$(cat /run/sshd.pid)" && wait $server || true
}
