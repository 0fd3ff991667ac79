//! The feed against an engine made up for the purpose, which misbehaves on demand as no real one does.

use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

use super::*;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

const QUICK: Pace = Pace {
    ping_every: Duration::from_millis(40),
    ping_deadline: Duration::from_millis(400),
    resync_every: Duration::from_secs(3_600),
    retry_first: Duration::from_millis(20),
    retry_limit: Duration::from_millis(100),
};

#[derive(Default)]
struct State {
    containers: Vec<Value>,
    /// Requests are taken and never answered, and no event comes any more: an engine that was stopped.
    stopped: bool,
    /// These are in the list and cannot be inspected.
    hidden: Vec<ContainerId>,
    /// Events the engine has kept, sent to whoever subscribes.
    kept: Vec<String>,
    requests: Vec<String>,
    /// How often events were subscribed to.
    subscriptions: usize,
}

struct FakeEngine {
    directory: tempfile::TempDir,
    state: Arc<Mutex<State>>,
    events: broadcast::Sender<String>,
    tasks: JoinSet<()>,
}

impl FakeEngine {
    fn absent() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            state: Arc::default(),
            events: broadcast::channel(1_024).0,
            tasks: JoinSet::new(),
        }
    }

    fn started() -> Self {
        let mut engine = Self::absent();
        engine.start();
        engine
    }

    fn start(&mut self) {
        let listener = UnixListener::bind(self.socket()).unwrap();
        let (state, events) = (Arc::clone(&self.state), self.events.clone());
        self.tasks.spawn(async move {
            let mut served = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                served.spawn(serve(stream, Arc::clone(&state), events.clone()));
            }
        });
    }

    async fn end(&mut self) {
        self.tasks.shutdown().await;
        std::fs::remove_file(self.socket()).unwrap();
    }

    fn socket(&self) -> std::path::PathBuf {
        self.directory.path().join("docker.sock")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn feed(&self, pace: Pace) -> Receiver<Change> {
        let (sender, receiver) = channel(64);
        let host = self.socket().to_str().unwrap().parse().unwrap();
        tokio::spawn(Feed::new(host, pace).run(sender));
        receiver
    }

    /// Says that something happened, to those who listen now.
    fn say(&self, text: String) {
        self.events.send(text).unwrap();
    }

    /// Waits until events were subscribed to so many times: the feed may have the list a moment before.
    async fn listened_to(&self, times: usize) {
        while self.state().subscriptions < times {
            sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn serve(mut stream: UnixStream, state: Arc<Mutex<State>>, events: broadcast::Sender<String>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let target = head.split(' ').nth(1).unwrap().to_owned();
    // Without the version in front.
    let path = target.trim_start_matches("/v1.").trim_start_matches(|c: char| c.is_ascii_digit()).to_owned();
    let answer = {
        let mut state = state.lock().unwrap();
        state.requests.push(path.clone());
        if state.stopped { None } else { Some(answer(&state, &path)) }
    };
    let Some((status, body)) = answer else { return std::future::pending().await };
    if path.starts_with("/events") {
        let (kept, mut subscribed) = {
            let mut state = state.lock().unwrap();
            state.subscriptions += 1;
            (state.kept.clone(), events.subscribe())
        };
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        for line in kept {
            write_chunk(&mut stream, &line).await;
        }
        while let Ok(line) = subscribed.recv().await {
            write_chunk(&mut stream, &line).await;
        }
        return;
    }
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}");
    // The feed may have given up.
    let _ = stream.write_all(head.as_bytes()).await;
}

async fn write_chunk(stream: &mut UnixStream, line: &str) {
    let chunk = format!("{:x}\r\n{line}\n\r\n", line.len() + 1);
    let _ = stream.write_all(chunk.as_bytes()).await;
}

fn answer(state: &State, path: &str) -> (&'static str, String) {
    let path = path.split('?').next().unwrap();
    if let Some(id) = path.strip_prefix("/containers/").and_then(|rest| rest.strip_suffix("/json")) {
        let id = ContainerId::parse(id).unwrap();
        let found = state.containers.iter().find(|container| container["Id"] == json!(id));
        return match found {
            Some(container) if !state.hidden.contains(&id) => ("200 OK", inspection(container).to_string()),
            Some(_) => ("500 Internal Server Error", json!({"message": "no"}).to_string()),
            None => ("404 Not Found", json!({"message": "No such container"}).to_string()),
        };
    }
    let body = match path {
        "/version" => json!({"ApiVersion": "1.41", "Version": "20.10.24"}),
        "/info" => json!({"ServerVersion": "20.10.24", "SecurityOptions": ["name=seccomp,profile=default"]}),
        "/_ping" => return ("200 OK", "OK".to_owned()),
        "/containers/json" => Value::Array(state.containers.clone()),
        _ => json!({}),
    };
    ("200 OK", body.to_string())
}

fn id(digits: &str) -> ContainerId {
    ContainerId::parse(&digits.repeat(32)).unwrap()
}

fn container(id: ContainerId, name: &str) -> Value {
    json!({"Id": id, "Names": [format!("/{name}")], "Image": "bb", "State": "running"})
}

fn inspection(container: &Value) -> Value {
    json!({"Id": container["Id"], "Name": container["Names"][0], "Config": {"Image": container["Image"]},
           "State": {"Status": container["State"], "Pid": 77}, "HostConfig": {"Privileged": false}})
}

fn event(id: ContainerId, action: &str, name: &str) -> String {
    let now = i64::try_from(Timestamp::now().as_nanosecond()).unwrap();
    json!({"Type": "container", "Action": action, "timeNano": now,
           "Actor": {"ID": id, "Attributes": {"name": name, "image": "bb"}}})
    .to_string()
}

async fn next(changes: &mut Receiver<Change>) -> Change {
    timeout(PATIENCE, changes.recv()).await.expect("the feed says something").expect("the feed goes on")
}

async fn connected(changes: &mut Receiver<Change>) -> Vec<Container> {
    match next(changes).await {
        Change::Connected { containers, .. } => containers,
        other => panic!("not connected: {other:?}"),
    }
}

async fn updated(changes: &mut Receiver<Change>) -> Container {
    match next(changes).await {
        Change::Updated(container) => container,
        other => panic!("not an update: {other:?}"),
    }
}

#[tokio::test]
async fn engine_absent_at_start_is_waited_for_and_named_once() {
    let mut engine = FakeEngine::absent();
    let mut changes = engine.feed(QUICK);
    let Change::Disconnected(reason) = next(&mut changes).await else { panic!("connected to nobody") };
    assert!(reason.contains("no such socket"), "{reason}");
    sleep(QUICK.retry_limit * 5).await;
    engine.state().containers.push(container(id("ab"), "web"));
    engine.start();
    // Not a second complaint: the engine.
    let containers = connected(&mut changes).await;
    assert_eq!((containers.len(), containers[0].name.as_deref(), containers[0].pid), (1, Some("web"), Some(77)));
}

#[tokio::test]
async fn restarted_engine_is_found_again_with_all_it_has_then() {
    let mut engine = FakeEngine::started();
    engine.state().containers.push(container(id("ab"), "old"));
    let mut changes = engine.feed(QUICK);
    assert_eq!(connected(&mut changes).await.len(), 1);
    engine.end().await;
    assert!(matches!(next(&mut changes).await, Change::Disconnected(_)));
    engine.state().containers = vec![container(id("cd"), "new"), container(id("ef"), "newer")];
    engine.start();
    loop {
        match next(&mut changes).await {
            // First the stream breaks, then the socket is gone.
            Change::Disconnected(_) => {}
            Change::Connected { containers, .. } => break assert_eq!(containers.len(), 2),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn stopped_engine_is_noticed_by_its_silence() {
    let engine = FakeEngine::started();
    let mut changes = engine.feed(QUICK);
    connected(&mut changes).await;
    engine.state().stopped = true;
    let Change::Disconnected(reason) = next(&mut changes).await else { panic!("nobody noticed") };
    assert!(reason.contains("no answer to ping"), "{reason}");
}

#[tokio::test]
async fn container_gone_before_inspection_is_known_from_its_events() {
    let engine = FakeEngine::started();
    let mut changes = engine.feed(QUICK);
    connected(&mut changes).await;
    engine.listened_to(1).await;
    for action in ["create", "start", "die", "destroy"] {
        engine.say(event(id("ab"), action, "brief"));
    }
    let mut told = Vec::new();
    loop {
        match next(&mut changes).await {
            Change::Updated(container) => told.push(container),
            Change::Removed(removed) => break assert_eq!(removed, id("ab")),
            other => panic!("{other:?}"),
        }
    }
    let last = told.last().expect("its name before its removal");
    assert_eq!((last.name.as_deref(), last.image.as_deref()), (Some("brief"), Some("bb")));
    assert_eq!(last.security_opt, None);
}

#[tokio::test]
async fn rename_is_told_though_the_inspection_agrees_with_the_event() {
    let engine = FakeEngine::started();
    engine.state().containers.push(container(id("ab"), "before"));
    let mut changes = engine.feed(QUICK);
    connected(&mut changes).await;
    engine.listened_to(1).await;
    engine.state().containers = vec![container(id("ab"), "after")];
    engine.say(event(id("ab"), "rename", "after"));
    assert_eq!(updated(&mut changes).await.name.as_deref(), Some("after"));
}

#[tokio::test]
async fn event_not_understood_is_one_lost_and_the_next_is_heard() {
    let engine = FakeEngine::started();
    let mut changes = engine.feed(QUICK);
    for (times, odd) in [
        r#"{"Type": "hologram", "Action": "start"}"#.to_owned(),
        r#"{"Type": 7}"#.to_owned(),
        "{]".to_owned(),
        event(id("ab"), "start", "x").replace("ab", "zz"),
    ]
    .into_iter()
    .enumerate()
    {
        connected(&mut changes).await;
        engine.listened_to(times + 1).await;
        engine.say(odd.clone());
        assert_eq!(next(&mut changes).await, Change::Lost(1), "{odd}");
    }
    connected(&mut changes).await;
    engine.listened_to(5).await;
    engine.state().containers.push(container(id("cd"), "fine"));
    engine.say(event(id("cd"), "start", "fine"));
    assert_eq!(updated(&mut changes).await.name.as_deref(), Some("fine"));
    let requests = engine.state().requests.clone();
    assert!(requests.iter().filter(|path| path.starts_with("/events")).all(|path| path.contains("since=")));
}

#[tokio::test]
async fn container_that_cannot_be_inspected_hides_no_other() {
    let engine = FakeEngine::started();
    engine.state().containers = vec![container(id("ab"), "odd"), container(id("cd"), "fine")];
    engine.state().hidden.push(id("ab"));
    let mut changes = engine.feed(QUICK);
    assert_eq!(next(&mut changes).await, Change::Lost(1));
    let containers = connected(&mut changes).await;
    let pids: Vec<_> = containers.iter().map(|container| (container.name.as_deref(), container.pid)).collect();
    assert_eq!(pids, [(Some("odd"), None), (Some("fine"), Some(77))]);
}

#[tokio::test]
async fn silent_stream_of_a_lively_engine_is_found_out_by_its_list() {
    let engine = FakeEngine::started();
    let mut changes = engine.feed(Pace { resync_every: Duration::from_millis(50), ..QUICK });
    assert_eq!(connected(&mut changes).await.len(), 0);
    // No event tells of it.
    engine.state().containers.push(container(id("ab"), "untold"));
    assert_eq!(connected(&mut changes).await.len(), 1);
}

#[tokio::test]
async fn engine_s_kept_events_are_asked_for_from_where_the_last_stream_ended() {
    let engine = FakeEngine::started();
    let mut changes = engine.feed(Pace { resync_every: Duration::from_millis(50), ..QUICK });
    connected(&mut changes).await;
    engine.listened_to(1).await;
    let said = event(id("ab"), "start", "web");
    {
        let mut state = engine.state();
        engine.say(said.clone());
        state.containers.push(container(id("ab"), "web"));
    }
    updated(&mut changes).await;
    engine.state().containers.clear();
    connected(&mut changes).await;
    engine.listened_to(2).await;
    let time = serde_json::from_str::<Value>(&said).unwrap()["timeNano"].as_i64().unwrap();
    let wanted = format!("since={}", engine_time(i128::from(time)));
    let last = engine.state().requests.iter().rfind(|path| path.starts_with("/events")).cloned().unwrap();
    assert!(last.contains(&wanted), "{last} should have {wanted}");
}

#[tokio::test]
async fn event_between_list_and_subscription_is_heard() {
    let engine = FakeEngine::started();
    engine.state().kept = ["create", "die", "destroy"].map(|action| event(id("ab"), action, "brief")).to_vec();
    let mut changes = engine.feed(QUICK);
    connected(&mut changes).await;
    loop {
        match next(&mut changes).await {
            Change::Updated(container) => assert_eq!(container.name.as_deref(), Some("brief")),
            Change::Removed(removed) => break assert_eq!(removed, id("ab")),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn feed_ends_when_nobody_listens() {
    let engine = FakeEngine::started();
    let (sender, receiver) = channel(1);
    let host = engine.socket().to_str().unwrap().parse().unwrap();
    let feed = tokio::spawn(Feed::new(host, QUICK).run(sender));
    drop(receiver);
    timeout(PATIENCE, feed).await.expect("it ends").expect("it does not panic");
}
