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
    fails busybox wget -q -O - http://127.0.0.1/missing
    # Of these no list is made.
    fails busybox wget -q -O - http://127.0.0.1/icons/
    kill -USR1 $server
    sleep 0.5
    says Apache busybox wget -q -O - http://127.0.0.1/
}

second() {
    for i in $(seq 5); do says 'hello from 127.0.0.1' busybox wget -q -O - http://127.0.0.1/cgi-bin/hello; done
    busybox wget -q -O /tmp/page.gz --header 'Accept-Encoding: gzip' http://127.0.0.1/
    gunzip -t /tmp/page.gz
    busybox wget -q -O /tmp/whole http://127.0.0.1/
    head -c 10 /tmp/whole >/tmp/part
    busybox wget -q -c -O /tmp/part http://127.0.0.1/
    cmp /tmp/whole /tmp/part
    says Apache busybox wget -q -O - http://127.0.0.1/server-status
    apache2 -t
    says VirtualHost apache2 -S
    kill -HUP $server
    sleep 0.5
    says Apache busybox wget -q -O - http://127.0.0.1/
}

end() {
    kill -WINCH $server
    wait $server
}
