# RabbitMQ with messages through a queue; then durable ones, users, policies and its management commands.
stomp() {
    perl -MIO::Socket::INET -e '
        my ($do, $queue, $count, $extra) = @ARGV;
        my $s = IO::Socket::INET->new("127.0.0.1:61613") or exit 1;
        $/ = "\0";
        my $send = sub { print $s join("\n", @_), "\0" };
        $send->("CONNECT", "accept-version:1.2", "host:/", "login:guest", "passcode:guest", "", "");
        <$s> =~ /CONNECTED/ or exit 1;
        if ($do eq "send") {
            $send->("SEND", "destination:/queue/$queue", $extra ? ("persistent:true") : (), "", "message $_") for 1 .. $count;
        } else {
            $send->("SUBSCRIBE", "id:0", "destination:/queue/$queue", "ack:auto", "", "");
            for (1 .. $count) { <$s> =~ /message/ or exit 1 }
        }
        $send->("DISCONNECT", "receipt:1", "", "");
        <$s> =~ /RECEIPT/ or exit 1;' "$@"
}

begin() {
    echo '[rabbitmq_stomp].' >/etc/rabbitmq/enabled_plugins
    export RABBITMQ_NODENAME=rabbit@localhost
    rabbitmq-server >/tmp/rabbit.log 2>&1 &
    server=$!
    until stomp send first 1 2>/dev/null; do sleep 0.3; done
}

first() {
    stomp send work 500
    stomp take work 500
    for i in $(seq 5); do stomp send work 20; stomp take work 20; done
    says work rabbitmqctl -q list_queues
}

second() {
    stomp send durable 300 persistent
    rabbitmqctl -q eval 'file:write_file("/tmp/definitions", <<"x">>), rabbit_misc:version().'
    rabbitmqctl -q add_user reader secret || rabbitmqctl -q change_password reader secret
    rabbitmqctl -q set_permissions reader '.*' '.*' '.*'
    rabbitmqctl -q set_policy expire '^work' '{"message-ttl": 1000}'
    says RabbitMQ rabbitmqctl -q status
    stomp take durable 300
    rabbitmqctl -q stop_app
    rabbitmqctl -q start_app
}

end() {
    rabbitmqctl -q shutdown
    wait $server || true
    epmd -kill
}
