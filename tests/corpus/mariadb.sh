# MariaDB with tables, joins and transactions; then other engines, files, dumps and changes of tables.
begin() {
    install -d -o mysql /run/mysqld
    mariadbd --user=mysql >/dev/null 2>&1 &
    server=$!
    until mariadb-admin ping >/dev/null 2>&1; do sleep 0.2; done
}

first() {
    mariadb -e 'drop database if exists shop; create database shop'
    mariadb shop -e 'create table a (id int primary key auto_increment, name varchar(50), n int, key (n)) engine=innodb;
        create table b (id int primary key, a int, foreign key (a) references a (id))'
    for i in $(seq 15); do
        mariadb shop -e "begin; insert into a (name, n) select concat('name', seq), seq % 7 from seq_1_to_200; commit"
    done
    mariadb shop -e 'insert into b select id, id from a; select count(*) from a join b on b.a = a.id' | grep -x 3000
    mariadb shop -e 'begin; update a set n = n + 1; rollback; begin; delete from b where id % 2 = 0; commit'
    mariadb shop -e 'select n, count(*) from a group by n order by 2 desc; analyze table a; flush tables'
}

second() {
    mariadb -e 'create database if not exists shop; create or replace table shop.m (a int, b text) engine=aria;
        create or replace table shop.i (a int, b text) engine=myisam; create or replace table shop.n (a int, b text)'
    for table in m i n; do mariadb shop -e "insert into $table select seq, repeat('x', 500) from seq_1_to_2000"; done
    mariadb shop -e 'alter table n add column c int, add index (a); optimize table n; repair table i; truncate table m'
    rm -f /tmp/out.txt
    mariadb shop -e "select a from n into outfile '/tmp/out.txt'; load data infile '/tmp/out.txt' into table m (a)"
    mariadb-dump shop >/tmp/shop.sql
    mariadb -e 'create database if not exists again'
    mariadb again </tmp/shop.sql
    says xxx mariadb shop -e 'set max_heap_table_size = 16384, tmp_table_size = 16384; select b, count(*) from (select concat(b, a) b from n) s group by b order by 2 desc limit 1'
    says 'BUFFER POOL' mariadb -e "create or replace user reader@localhost identified by 'secret'; grant select on shop.* to reader@localhost; flush logs; show engine innodb status"
    mariadb -ureader -psecret -h127.0.0.1 shop -e 'select count(*) from n' | grep -x 2000
    mariadb -e 'drop database again'
}

end() {
    mariadb-admin shutdown
    wait $server
}
