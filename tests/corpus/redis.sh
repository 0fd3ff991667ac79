# Redis with its data on disk; then with a replica, scripts and subscribers.
begin() {
    cd /tmp
    rm -rf dump.rdb appendonlydir appendonly.aof
    redis-server --appendonly yes --unixsocket /tmp/redis.sock >/dev/null &
    server=$!
    until redis-cli ping | grep -c PONG; do sleep 0.1; done
}

# Nothing is being written in the background.
saved() {
    until redis-cli info persistence >/tmp/state &&
        grep rdb_bgsave_in_progress:0 /tmp/state && grep aof_rewrite_scheduled:0 /tmp/state && grep aof_rewrite_in_progress:0 /tmp/state
    do sleep 0.2; done
}

first() {
    redis-benchmark -q -n 2000 -c 10 -t set,get,incr,lpush >/dev/null
    redis-cli set key value
    redis-cli get key | grep -c value
    redis-cli save | grep -x OK
    redis-cli bgsave
    saved
    redis-cli bgrewriteaof
    saved
}

second() {
    redis-cli eval 'return redis.call("incr", KEYS[1])' 1 counter | grep -x 1
    redis-cli -s /tmp/redis.sock set other value
    timeout 60 redis-cli subscribe news >/tmp/news &
    reader=$!
    until redis-cli pubsub numsub news | grep -x 1; do sleep 0.1; done
    mkdir -p /tmp/replica
    redis-server --port 6380 --dir /tmp/replica --replicaof 127.0.0.1 6379 >/dev/null &
    replica=$!
    until redis-cli -p 6380 get other | grep -c value; do sleep 0.1; done
    redis-cli publish news hello
    until grep -x hello /tmp/news; do sleep 0.1; done
    kill $reader
    redis-cli config set maxmemory 100mb
    redis-cli config set maxmemory-policy allkeys-lru
    redis-cli debug sleep 0.1 || echo "no debug commands"
    redis-cli flushall async
    redis-cli -p 6380 shutdown nosave
    wait $replica
}

end() {
    redis-cli shutdown
    wait $server
}
