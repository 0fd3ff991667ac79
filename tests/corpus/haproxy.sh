# HAProxy between two web servers; then reloaded, asked for its state, and with one of the two gone.
begin() {
    mkdir -p /run/haproxy /tmp/web
    echo hello >/tmp/web/index.html
    cat >/tmp/haproxy.cfg <<'EOF'
global
    user haproxy
    group haproxy
    log 127.0.0.1:5514 local0
    stats socket /run/haproxy/admin.sock mode 660 level admin
defaults
    mode http
    log global
    option httplog
    timeout connect 1s
    timeout client 5s
    timeout server 5s
frontend web
    bind 127.0.0.1:80
    compression algo gzip
    compression type text/html text/plain
    stats enable
    stats uri /stats
    default_backend servers
frontend plain
    mode tcp
    option tcplog
    bind 127.0.0.1:81
    default_backend plain
backend servers
    balance roundrobin
    option httpchk GET /
    server one 127.0.0.1:8001 check inter 200
    server two 127.0.0.1:8002 check inter 200
backend plain
    mode tcp
    server one 127.0.0.1:8001
EOF
    busybox httpd -f -p 127.0.0.1:8001 -h /tmp/web &
    one=$!
    busybox httpd -f -p 127.0.0.1:8002 -h /tmp/web &
    two=$!
    haproxy -W -f /tmp/haproxy.cfg &
    proxy=$!
    until busybox wget -q -O /dev/null http://127.0.0.1/; do sleep 0.1; done
}

first() {
    for i in $(seq 50); do busybox wget -q -O - http://127.0.0.1/ | grep -c hello >/dev/null; done
    for i in $(seq 10); do busybox wget -q -O - http://127.0.0.1:81/ | grep -c hello >/dev/null; done
    fails busybox wget -q -O - http://127.0.0.1/missing
    sleep 0.5
}

second() {
    echo "show info" | busybox nc local:/run/haproxy/admin.sock | grep -c Name ||
        perl -MIO::Socket::UNIX -e '$s = IO::Socket::UNIX->new("/run/haproxy/admin.sock"); print $s "show info\n"; print <$s>' | grep -c Name
    busybox wget -q -O - http://127.0.0.1/stats | grep -c servers
    says . busybox wget -q -O - --header 'Accept-Encoding: gzip' http://127.0.0.1/
    kill -USR2 $proxy
    sleep 1
    busybox wget -q -O - http://127.0.0.1/ | grep -c hello
    kill $two
    sleep 0.8
    for i in $(seq 10); do busybox wget -q -O - http://127.0.0.1/ | grep -c hello >/dev/null; done
}

end() {
    kill -USR1 $proxy && wait $proxy || true
    kill $one $two || true
}
