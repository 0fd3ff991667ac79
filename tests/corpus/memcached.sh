# memcached over TCP; then over a socket file, with values on disk.
ask() {
    perl -MIO::Socket::INET -MIO::Socket::UNIX -e '
        my ($where, @words) = @ARGV;
        my $s = $where =~ m{^/} ? IO::Socket::UNIX->new($where) : IO::Socket::INET->new($where);
        exit 1 unless $s;
        for (@words) { my $w = $_; $w =~ s/\|/\r\n/g; print $s "$w\r\n" }
        print $s "quit\r\n";
        print <$s>;' "$@"
}

begin() {
    rm -f /tmp/cache.sock /tmp/extra
    memcached -u nobody -l 127.0.0.1 -t 2 &
    server=$!
    until ask 127.0.0.1:11211 version | grep -c VERSION; do sleep 0.1; done
}

first() {
    for i in $(seq 30); do
        ask 127.0.0.1:11211 "set key$i 0 0 5|hello" "get key$i" "incr key$i 1" | grep -c hello >/dev/null
    done
    ask 127.0.0.1:11211 "set gone 0 1 1|x" "delete key1" "get key1" "stats" | grep -c STAT
    sleep 1.2
    ask 127.0.0.1:11211 "get gone" "flush_all" >/tmp/answers
    grep -x 'OK.*' /tmp/answers
    fails grep VALUE /tmp/answers
}

second() {
    touch /tmp/extra
    chown nobody /tmp/extra
    memcached -u nobody -s /tmp/cache.sock -a 777 -m 8 -t 2 -o ext_path=/tmp/extra:64m,ext_item_age=1,ext_item_size=512 &
    other=$!
    until ask /tmp/cache.sock version | grep -c VERSION; do sleep 0.1; done
    large=$(head -c 20000 /dev/zero | tr '\0' x)
    for i in $(seq 60); do ask /tmp/cache.sock "set large$i 0 0 20000|$large" >/dev/null; done
    sleep 2
    says END ask /tmp/cache.sock "get large1"
    says 'STAT active_slabs' ask 127.0.0.1:11211 "lru_crawler crawl all" "slabs automove 1" "stats slabs" "stats items" "verbosity 1"
    kill $other && wait $other || true
}

end() {
    kill $server && wait $server || true
}
