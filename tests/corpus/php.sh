# PHP's own web server with pages and files; then sessions, child processes, sockets and locks.
begin() {
    rm -rf /tmp/php
    mkdir -p /tmp/php
    cd /tmp/php
    cat >index.php <<'EOF'
<?php
switch ($_SERVER["REQUEST_URI"]) {
case "/more":
    session_start();
    $_SESSION["n"] = 1;
    session_write_close();
    $process = proc_open(["cat"], [["pipe", "r"], ["pipe", "w"]], $pipes);
    fwrite($pipes[0], "piped"); fclose($pipes[0]); echo stream_get_contents($pipes[1]); proc_close($process);
    $file = fopen("/tmp/php/locked", "c+"); flock($file, LOCK_EX); ftruncate($file, 0); fwrite($file, "x"); fflush($file); fsync($file); flock($file, LOCK_UN);
    symlink("/tmp/php/locked", "/tmp/php/link"); rename("/tmp/php/locked", "/tmp/php/moved"); touch("/tmp/php/moved", 1); chmod("/tmp/php/moved", 0600);
    unlink("/tmp/php/link"); unlink("/tmp/php/moved"); usleep(1000); gethostbyname("localhost"); disk_free_space("/"); shell_exec("uname -a");
    break;
default:
    $name = tempnam("/tmp/php", "page");
    file_put_contents($name, str_repeat("x", 10000));
    echo "hello ", strlen(file_get_contents($name)), " ", count(scandir("/tmp/php")), " ", date("Y"), " ", hash("sha256", random_bytes(16));
    unlink($name);
}
EOF
    PHP_CLI_SERVER_WORKERS=2 php -S 127.0.0.1:8000 -t /tmp/php index.php 2>/dev/null &
    server=$!
    until busybox wget -q -O /dev/null http://127.0.0.1:8000/; do sleep 0.1; done
}

first() {
    for i in $(seq 50); do busybox wget -q -O - http://127.0.0.1:8000/ | grep -c 'hello 10000' >/dev/null; done
    busybox wget -q -O - --post-data 'a=b' http://127.0.0.1:8000/form | grep -c hello
    for i in 1 2 3; do php -r 'echo array_sum(range(1, 100000)), json_encode(get_loaded_extensions()), PHP_EOL;' | grep -c 5000050000; done
}

second() {
    for i in $(seq 3); do busybox wget -q -O - http://127.0.0.1:8000/more | grep -c piped; done
    php -r '
        $pair = stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, 0);
        if (pcntl_fork() == 0) { fwrite($pair[0], "child\n"); exit(0); }
        $read = [$pair[1]]; $none = null; stream_select($read, $none, $none, 5); echo fgets($pair[1]); pcntl_wait($status);
        pcntl_signal(SIGALRM, function () { echo "alarm\n"; }); pcntl_alarm(1); sleep(2); pcntl_signal_dispatch();
        $udp = stream_socket_server("udp://127.0.0.1:5555", $e, $s, STREAM_SERVER_BIND); stream_socket_sendto(stream_socket_client("udp://127.0.0.1:5555"), "x"); echo fread($udp, 1), PHP_EOL;'
    php -l index.php
    says 'PHP License' php -i
}

end() {
    # The workers do not end with their server.
    busybox killall php
    wait
}
