# Apache as a web server; then with programs of its own behind it.
begin() {
    . /etc/apache2/envvars
    mkdir -p "$APACHE_RUN_DIR/socks" "$APACHE_LOCK_DIR" /usr/lib/cgi-bin
    chown www-data "$APACHE_RUN_DIR/socks"
    echo "ServerName localhost" >/etc/apache2/conf-enabled/name.conf
    a2enmod -q cgid >/dev/null
    printf '#!/bin/sh\necho Content-Type: text/plain\necho\necho hello from $REMOTE_ADDR\n' >/usr/lib/cgi-bin/hello
    chmod 755 /usr/lib/cgi-bin/hello
    rm -f "$APACHE_PID_FILE"
    apache2 -DFOREGROUND &
    server=$!
    until busybox wget -q -O /dev/null http://127.0.0.1/; do sleep 0.1; done
}

first() {
    for i in $(seq 60); do busybox wget -q -O - http://127.0.0.1/ | grep -c Apache >/dev/null; done
    ! busybox wget -q -O - http://127.0.0.1/missing
    busybox wget -q -O - http://127.0.0.1/icons/ | wc -c || echo "no list of icons"
    kill -USR1 $server
    sleep 0.5
    busybox wget -q -O - http://127.0.0.1/ | grep -c Apache
}

second() {
    for i in $(seq 5); do busybox wget -q -O - http://127.0.0.1/cgi-bin/hello; done
    busybox wget -q -O - --header 'Accept-Encoding: gzip' http://127.0.0.1/ | wc -c
    busybox wget -q -O - --header 'Range: bytes=10-19' http://127.0.0.1/ | wc -c
    busybox wget -q -O - http://127.0.0.1/server-status | grep -c Apache
    apache2 -t
    apache2 -S | wc -l
    kill -HUP $server
    sleep 0.5
    busybox wget -q -O - http://127.0.0.1/ | grep -c Apache
}

end() {
    kill -WINCH $server
    wait $server
}
