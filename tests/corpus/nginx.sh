# nginx as a web server; then as a proxy that compresses and caches.
begin() {
    rm -rf /var/cache/proxied
    mkdir -p /var/cache/proxied
    chown www-data /var/cache/proxied
    rm -f /etc/nginx/sites-enabled/default
    cat >/etc/nginx/conf.d/proxy.conf <<'EOF'
server {
    listen 80;
    root /usr/share/nginx/html;
}
proxy_cache_path /var/cache/proxied keys_zone=proxied:1m;
server {
    listen 81;
    gzip on;
    gzip_min_length 1;
    gzip_proxied any;
    location / { proxy_pass http://127.0.0.1:80; proxy_cache proxied; proxy_cache_valid 200 1m; }
    location /list/ { alias /usr/share/; autoindex on; }
}
EOF
    nginx -g 'daemon off;' &
    server=$!
    until busybox wget -q -O /dev/null http://127.0.0.1/; do sleep 0.1; done
}

first() {
    for i in $(seq 60); do busybox wget -q -O - http://127.0.0.1/ | grep -c nginx >/dev/null; done
    fails busybox wget -q -O - http://127.0.0.1/missing
    kill -HUP $server
    sleep 0.5
    busybox wget -q -O - http://127.0.0.1/ | grep -c nginx
}

second() {
    for i in $(seq 10); do busybox wget -q -O - http://127.0.0.1:81/ | grep -c nginx >/dev/null; done
    busybox wget -q -O /tmp/page.gz --header 'Accept-Encoding: gzip' http://127.0.0.1:81/
    gunzip -t /tmp/page.gz
    busybox wget -q -O - http://127.0.0.1:81/list/ | grep -c perl
    fails busybox wget -q -O - --post-data 'a=b' http://127.0.0.1:81/
    mv /var/log/nginx/access.log /var/log/nginx/access.log.1
    kill -USR1 $server
    until busybox wget -q -O /dev/null http://127.0.0.1:81/ && test -s /var/log/nginx/access.log; do sleep 0.1; done
}

end() {
    kill -QUIT $server
    wait $server
}
