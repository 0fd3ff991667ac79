# Busybox alone: its shell and the usual commands.
begin() {
    rm -rf /tmp/a
    mkdir -p /tmp/a/b
    cd /tmp/a
}

first() {
    echo hello >one
    cp one two
    mv two b/three
    ln -s one four
    ls -lR /bin /etc /tmp >list
    grep -c busybox list
    sort list | uniq >lines
    test -s lines
    tar -cf all.tar .
    gzip all.tar
    sed -n 1,3p list
    awk '{ n += NF } END { print n }' list
    find . -type f -exec md5sum {} +
    chmod 600 one
    date
    id
    uname -a
    df /
    sleep 0.1
}

second() {
    mkfifo pipe
    (echo through >pipe) &
    cat pipe
    wait
    ln /tmp/a /tmp/never || echo "no second name for a directory"
    dd if=/dev/zero of=zeroes bs=4096 count=16 2>/dev/null
    truncate -s 100 zeroes
    touch -d 2020-01-01 zeroes
    stat zeroes
    chown 1000:1000 zeroes
    httpd -p 127.0.0.1:8080 -h /tmp/a
    wget -q -O - http://127.0.0.1:8080/zeroes | cmp - zeroes
    timeout 60 sleep 0.1
    renice 1 $$
}

end() {
    rm -rf /tmp/a
}
