# Dovecot's IMAP server with logins and reading; then with writing, searching and its own commands.
imap() {
    perl -MIO::Socket::INET -e '
        my $s = IO::Socket::INET->new("127.0.0.1:143") or exit 1;
        <$s>;
        my $n = 0;
        for my $line ("login reader secret", @ARGV, "logout") {
            my ($command, $rest) = split /\|/, $line, 2;
            $n++;
            print $s "$n $command\r\n";
            while (my $answer = <$s>) {
                print $answer;
                print $s "$rest\r\n" if $answer =~ /^\+/;
                last if $answer =~ /^$n /;
            }
        }' "$@"
}

begin() {
    id reader >/dev/null 2>&1 || useradd -m -d /var/reader reader
    rm -rf /var/reader/Maildir /tmp/backup
    echo 'reader:{PLAIN}secret' >/etc/dovecot/users
    chmod 644 /etc/dovecot/users
    cat >/etc/dovecot/dovecot.conf <<'EOF'
protocols = imap
ssl = no
disable_plaintext_auth = no
mail_location = maildir:~/Maildir
log_path = /tmp/dovecot.log
passdb {
  driver = passwd-file
  args = /etc/dovecot/users
}
userdb {
  driver = passwd
}
EOF
    mkdir -p /run/dovecot
    dovecot -F &
    server=$!
    until imap noop 2>/dev/null | grep -c '^2 OK NOOP'; do sleep 0.2; done
    for i in 1 2 3 4 5; do
        printf 'From: a@example.org\nSubject: letter %s\n\nHello.\n' $i | /usr/lib/dovecot/dovecot-lda -d reader
    done
}

first() {
    imap 'list "" *' 'select inbox' 'fetch 1:* (flags envelope)' 'fetch 1 body[]' | grep -c 'letter 5'
    for i in $(seq 8); do imap 'select inbox' "fetch 1:* body[header]" | grep -c '^3 OK' >/dev/null; done
    imap 'select inbox' 'store 2 +flags (\Seen)' 'status inbox (messages unseen)' 'close' | grep -c UNSEEN
    imap 'select nowhere' | grep -c '^2 NO'
}

second() {
    imap 'create kept' 'select inbox' 'copy 1:2 kept' 'search text hello' 'sort (reverse date) utf-8 all' 'thread references utf-8 all' >/tmp/answers
    cat /tmp/answers
    [ "$(grep -c '^[2-7] OK' /tmp/answers)" -eq 6 ]
    imap 'append inbox {18}|Subject: new

Text' 'select inbox' 'store 1 +flags (\Deleted)' 'expunge' 'idle|done' | grep -c EXPUNGE
    imap 'rename kept old' 'subscribe old' 'lsub "" *' 'delete old' >/tmp/answers
    [ "$(grep -c '^[2-5] OK' /tmp/answers)" -eq 4 ]
    says . doveadm search -u reader all
    doveadm who
    doveadm mailbox status -u reader messages INBOX
    doveadm backup -u reader maildir:/tmp/backup
    doveadm reload
    until imap noop | grep -c '^2 OK NOOP'; do sleep 0.2; done
}

end() {
    doveadm stop
    wait $server
}
