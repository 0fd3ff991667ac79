# Pipelines of Debian's essential commands.
begin() {
    rm -rf /tmp/a
    mkdir -p /tmp/a
    cd /tmp/a
}

first() {
    dpkg --list >list
    grep -c '^ii' list
    sort list | uniq >lines
    test -s lines
    tar -czf all.tar.gz list
    tar -tzf all.tar.gz
    sed -n 1,3p list
    find /etc -type f | xargs md5sum | tail -1
    perl -e 'print scalar(localtime), "\n"'
    chmod 600 list
    id
    uname -a
    df /
    sleep 0.1
    for i in 1 2 3; do (echo $i; true) & done
    wait
}

second() {
    mkfifo pipe
    (seq 1000 >pipe) &
    sort -n -r pipe | head -3
    wait
    seq 200000 | split -l 50000 - part.
    cat part.* | sort --parallel=2 -S 1M | tail -1
    dd if=/dev/zero of=zeroes bs=64k count=16 conv=fsync 2>/dev/null
    truncate -s 100 zeroes
    cp --sparse=always zeroes copy
    cmp zeroes copy
    touch -d 2020-01-01 zeroes
    stat zeroes
    ln zeroes hard
    ln -s zeroes soft
    readlink -f soft
    chown 1000:1000 zeroes
    install -m 700 -o 1000 zeroes installed
    sed -i s/a/b/ zeroes
    flock zeroes true
    [ "$(seq 20 | xargs -P 4 -n 1 sh -c 'sleep 0.01; echo $0' | wc -l)" -eq 20 ]
    timeout 60 sh -c 'sleep 0.1'
    nice -n 1 true
    nohup true
    mktemp -d
    su -s /bin/sh nobody -c 'id -un'
    trap 'echo asked to stop' TERM
    kill -TERM $$
    trap - TERM
    shred -u copy
}

end() {
    cd /
    rm -rf /tmp/a
}
