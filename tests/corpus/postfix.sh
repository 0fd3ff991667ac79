# Postfix with local letters; then over SMTP, with aliases, a program that takes letters, and its queue.
delivered() {
    for i in $(seq 300); do
        [ "$(grep -c '^Subject:' "$1" 2>/dev/null)" -ge "$2" ] && return
        sleep 0.2
    done
    echo "only $(grep -c '^Subject:' "$1") of $2 letters in $1"
    return 1
}

begin() {
    id reader >/dev/null 2>&1 || useradd -m reader
    rm -f /var/mail/reader /tmp/program
    cat >/etc/postfix/main.cf <<'EOF'
compatibility_level = 3.6
myhostname = mail.example.org
mydestination = mail.example.org, localhost
inet_interfaces = loopback-only
alias_maps = hash:/etc/aliases
alias_database = hash:/etc/aliases
mynetworks = 127.0.0.0/8
maillog_file = /dev/stdout
EOF
    printf 'postmaster: root\nlist: reader, reader\nprogram: "|/usr/bin/tee -a /tmp/program"\n' >/etc/aliases
    newaliases
    mkdir -p /var/spool/postfix/pid
    postfix start-fg >/tmp/postfix.log &
    until postfix status 2>/dev/null; do sleep 0.2; done
}

first() {
    for i in $(seq 6); do printf 'Subject: letter %s\n\nHello.\n' "$i" | sendmail reader@localhost; done
    delivered /var/mail/reader 6
    printf 'Subject: nobody\n\nHello.\n' | sendmail -f reader@localhost missing@localhost
    delivered /var/mail/reader 7
    mailq
}

second() {
    rm -f /var/mail/reader
    perl -MIO::Socket::INET -e '
        for my $n (1 .. 5) {
            my $s = IO::Socket::INET->new("127.0.0.1:25") or exit 1;
            <$s>;
            for ("EHLO here", "MAIL FROM:<reader\@localhost>", "RCPT TO:<list\@localhost>", "DATA", "Subject: smtp\r\n\r\nHello.\r\n.", "QUIT") {
                print $s "$_\r\n";
                while (my $answer = <$s>) { last if $answer =~ /^\d+ / }
            }
        }'
    delivered /var/mail/reader 5
    printf 'Subject: for a program\n\nHello.\n' | sendmail program@localhost
    printf 'Subject: held\n\nHello.\n' | sendmail someone@example.invalid
    sleep 1
    says example.invalid postqueue -p
    postsuper -h ALL
    postsuper -d ALL
    says myhostname postconf -n
    says reader postmap -q list /etc/aliases
    postfix reload
    sleep 0.5
    printf 'Subject: after\n\nHello.\n' | sendmail reader@localhost
    delivered /var/mail/reader 6
    grep -c program /tmp/program
}

end() {
    postfix stop
    wait
}
