//! A suggestion is a profile that the container really starts and works under.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::auditord::rows;
use tests::engine::CgroupMode;
use tests::groundtruth::Key;
use tests::image::{self, BUSYBOX, DEBIAN};
use tests::profile;
use tests::stage::Stage;

/// Something to run, and the work it is given; fails when the work does not succeed.
struct Workload {
    name: &'static str,
    image: &'static str,
    script: &'static str,
}

const BUSYBOX_WORK: Workload = Workload {
    name: "busybox",
    image: BUSYBOX,
    script: "
        mkdir -p /tmp/a/b && cd /tmp/a && echo hello > one && cp one two && mv two b/three && ln -s one four
        ls -lR / > list 2>/dev/null; grep -c busybox list && sort list | uniq | wc -l && tar -cf all.tar . && gzip all.tar
        sed -n 1,3p list && awk '{ n += NF } END { print n }' list && find . -type f -exec md5sum {} + && chmod 600 one
        date && id && uname -a && df / && sleep 0.1 && rm -r /tmp/a",
};

const DEBIAN_WORK: Workload = Workload {
    name: "debian",
    image: DEBIAN,
    script: "
        mkdir -p /tmp/a && cd /tmp/a && dpkg --list > list && grep -c '^ii' list && sort list | uniq | wc -l
        tar -czf all.tar.gz list && tar -tzf all.tar.gz && sed -n 1,3p list && find /etc -type f | xargs md5sum | tail -1
        perl -e 'print scalar(localtime), \"\\n\"' && chmod 600 list && id && uname -a && df / && sleep 0.1
        for i in 1 2 3; do (echo $i; true) & done; wait; rm -r /tmp/a",
};

const NGINX_WORK: Workload = Workload {
    name: "nginx",
    image: DEBIAN,
    script: "
        nginx -g 'daemon off;' & server=$!
        until busybox wget -q -O /dev/null http://127.0.0.1/; do sleep 0.1; done
        for i in $(seq 100); do busybox wget -q -O - http://127.0.0.1/ | grep -q nginx || exit 1; done
        ! busybox wget -q -O - http://127.0.0.1/missing
        kill -HUP $server && sleep 0.5 && busybox wget -q -O - http://127.0.0.1/ | grep -q nginx && kill -QUIT $server && wait $server",
};

const REDIS_WORK: Workload = Workload {
    name: "redis",
    image: DEBIAN,
    script: "
        cd /tmp && redis-server --appendonly yes > /dev/null & server=$!
        until redis-cli ping | grep -q PONG; do sleep 0.1; done
        redis-benchmark -q -n 2000 -c 10 -t set,get,incr,lpush > /dev/null && redis-cli set key value && redis-cli get key | grep -q value
        redis-cli save && redis-cli bgsave && sleep 1 && redis-cli bgrewriteaof && sleep 1
        redis-cli shutdown && wait $server",
};

const POSTGRES_WORK: Workload = Workload {
    name: "postgres",
    image: DEBIAN,
    script: "
        bin=$(echo /usr/lib/postgresql/*/bin) && cluster=$(echo /var/lib/postgresql/*/main)
        pg_ctlcluster $(basename $(dirname $cluster)) main start
        cd / && su postgres -c \"$bin/pgbench -q -i -s 2 postgres && $bin/pgbench -c 4 -j 2 -t 100 postgres\" > /dev/null || exit 1
        su postgres -c \"psql -c 'vacuum analyze' -c 'checkpoint' -c 'select count(*) from pgbench_history'\" | grep -q 400 || exit 1
        pg_ctlcluster $(basename $(dirname $cluster)) main stop",
};

const PYTHON_WORK: Workload = Workload {
    name: "python",
    image: DEBIAN,
    script: "
        python3 -c '
import os, re, subprocess, threading, time, hashlib, tempfile
done = []
threads = [threading.Thread(target=lambda: done.append(hashlib.sha256(os.urandom(1000)).hexdigest())) for _ in range(20)]
[t.start() for t in threads]; [t.join() for t in threads]
assert len(done) == 20
assert subprocess.run([\"/bin/echo\", \"hello\"], stdout=subprocess.PIPE, check=True).stdout == b\"hello\\n\"
with tempfile.TemporaryDirectory() as d:
    open(d + \"/f\", \"w\").write(\"x\" * 100000)
    assert os.stat(d + \"/f\").st_size == 100000 and os.listdir(d) == [\"f\"]
if os.fork() == 0: os._exit(7)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 7
time.sleep(0.05)
assert re.match(\"a+\", \"aaa\")
'",
};

/// Which calls were refused, and by what errno.
fn denied(shown: &Value) -> Result<BTreeSet<(Key, Option<u64>)>> {
    Ok(rows(shown)?.into_iter().filter(|(_, row)| row.denied > 0).map(|(key, row)| (key, row.errno)).collect())
}

fn works_under_its_suggestion(work: &Workload) -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    if work.image == DEBIAN {
        image::import_debian(&stage.engine)?;
    }
    let (learned, confined) = (format!("{}-learn", work.name), format!("{}-confined", work.name));
    let line = [work.image, "/bin/sh", "-e", "-c", work.script];
    stage.engine.client([&["run", "--name", &learned][..], &line].concat())?;
    // A second start under the same load: rare calls have their chance to be seen.
    stage.engine.client(["start", "--attach", &learned])?;
    let before = stage.auditor.show(&learned)?;
    let (suggestion, notes) = stage.auditor.suggest(&learned)?;
    ensure!(!notes.is_empty(), "the suggestion does not say what it rests on");

    let dir = tempfile::tempdir()?;
    let option = profile::option(&suggestion, dir.path(), work.name)?;
    for start in ["first", "second"] {
        let container = format!("{confined}-{start}");
        let ran = stage.engine.client([&["run", "--name", &container, &option][..], &line].concat());
        let after = stage.auditor.settled(&container)?;
        let denied_now = denied(&after)?;
        ran.with_context(|| format!("the {start} start under the suggestion; denied: {denied_now:?}\n{suggestion}"))?;
        let new: Vec<_> = denied_now.difference(&denied(&before)?).cloned().collect();
        ensure!(new.is_empty(), "denied under the suggestion alone: {new:?}");
        ensure!(after["profile"]["kind"] == "custom", "{}", after["profile"]);
        let number = |shown: &Value, name: &str| shown[name].as_u64().with_context(|| format!("no {name}"));
        let now = number(&after, "allowed")? + number(&after, "conditional")?;
        let then = number(&before, "allowed")? + number(&before, "conditional")?;
        ensure!(now * 2 < then, "{now} of {then} calls are still allowed");
        println!("{}: {now} of {then} calls allowed ({start} start)", work.name);
    }
    Ok(())
}

#[test]
fn busybox_works_under_its_suggestion() -> Result<()> {
    works_under_its_suggestion(&BUSYBOX_WORK)
}

#[test]
fn debian_works_under_its_suggestion() -> Result<()> {
    works_under_its_suggestion(&DEBIAN_WORK)
}

#[test]
fn nginx_works_under_its_suggestion() -> Result<()> {
    works_under_its_suggestion(&NGINX_WORK)
}

#[test]
fn redis_works_under_its_suggestion() -> Result<()> {
    works_under_its_suggestion(&REDIS_WORK)
}

#[test]
fn postgres_works_under_its_suggestion() -> Result<()> {
    works_under_its_suggestion(&POSTGRES_WORK)
}

#[test]
fn python_works_under_its_suggestion() -> Result<()> {
    works_under_its_suggestion(&PYTHON_WORK)
}
