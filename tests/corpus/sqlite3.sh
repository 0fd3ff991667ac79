# SQLite with tables and queries; then a write-ahead log, several writers, backups and changes of the file.
begin() {
    rm -rf /tmp/sqlite
    mkdir /tmp/sqlite
    cd /tmp/sqlite
}

first() {
    sqlite3 a.db 'create table t (id integer primary key, name text); create index i on t (name)'
    for i in $(seq 15); do
        sqlite3 a.db "begin; with recursive n (x) as (select 1 union all select x + 1 from n where x < 100)
            insert into t (name) select 'name' || x from n; commit"
    done
    sqlite3 a.db 'select count(*), max(name) from t' | grep -c 1500
    sqlite3 a.db 'begin; delete from t where id > 100; rollback; update t set name = upper(name); delete from t where id % 2'
    says 'USING COVERING INDEX' sqlite3 a.db .schema .dump 'explain query plan select * from t where name = 1'
    fails sqlite3 a.db 'select * from missing'
}

second() {
    sqlite3 a.db 'pragma journal_mode = wal; create table if not exists w (n)'
    for i in 1 2 3 4; do
        (for k in 1 2 3 4 5; do sqlite3 -cmd '.timeout 5000' a.db "insert into w values ($k)"; done) &
    done
    wait
    sqlite3 a.db 'select count(*) from w' | grep -x 20
    sqlite3 a.db '.backup b.db' 'vacuum' 'pragma wal_checkpoint(truncate)' 'pragma integrity_check'
    sqlite3 a.db 'pragma temp_store = file; pragma cache_size = 1; pragma mmap_size = 1000000;
        with recursive n (x) as (select 1 union all select x + 1 from n where x < 50000)
        select count(*) from (select x, hex(randomblob(50)) r from n order by r)'
    seq 1000 >numbers
    sqlite3 a.db 'create table c (n)' '.import numbers c' '.output out' 'select * from c'
    [ "$(wc -l <out)" -eq 1000 ]
    sqlite3 a.db 'attach "b.db" as b; pragma journal_mode = delete; create virtual table f using fts5 (text); insert into f values ("hello there"); select * from f where f match "hello"'
    echo '.shell uname -s' | sqlite3 b.db
}
