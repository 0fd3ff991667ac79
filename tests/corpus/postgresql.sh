# PostgreSQL under pgbench; then copies, dumps, larger queries and a new database.
sql() {
    su postgres -c "psql -q -t -A -v ON_ERROR_STOP=1 $1"
}

begin() {
    bin=$(echo /usr/lib/postgresql/*/bin)
    version=$(basename "$(dirname "$bin")")
    pg_ctlcluster "$version" main start
    cd /
}

first() {
    su postgres -c "$bin/pgbench -q -i -s 2 postgres && $bin/pgbench -c 4 -j 2 -t 100 postgres" >/dev/null
    sql "-c 'vacuum analyze' -c checkpoint -c 'select count(*) from pgbench_history'" | grep -x 400
}

second() {
    su postgres -c "$bin/pgbench -q -i -s 1 postgres"
    sql "-c 'drop database if exists other' -c 'create database other'"
    su postgres -c "pg_dump postgres | psql -q other" >/dev/null
    sql "-c \"copy pgbench_tellers to '/tmp/tellers'\" -c 'create temp table t (like pgbench_tellers)' -c \"copy t from '/tmp/tellers'\""
    sql "-c \"set work_mem = '64kB'\" -c 'select count(*) from (select * from generate_series(1, 200000) n order by n desc) s'"
    sql "-c 'listen news' -c \"notify news, 'hello'\""
    sql "-c 'vacuum full pgbench_accounts' -c 'reindex table pgbench_accounts' -c 'cluster pgbench_branches using pgbench_branches_pkey'"
    sql "-c \"copy (select 1) to program 'cat >/tmp/one'\" -c \"select lo_from_bytea(0, 'abc')\" -c 'select pg_reload_conf()'"
    sql "-c 'create unlogged table if not exists u (a int)' -c 'truncate u' -c 'drop database other'"
    pg_ctlcluster "$version" main reload
}

end() {
    pg_ctlcluster "$version" main stop
}
