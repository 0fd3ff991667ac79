//! What is said over sockets: to the daemon, by the daemon, and by scrapers.

use auditor::control::{FollowItem, Response};
use auditor::hostile;
use auditor::report::filter::{EnforcedView, Held};
use auditor::report::table::Style;
use auditor::report::{arguments, denial, history, ps, show};
use auditor::suggest::Options;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::daemon;

/// A client that sends these bytes and ends.
pub(super) fn request(bytes: &[u8]) {
    daemon::run(async {
        let source = daemon::source();
        let (mut client, theirs) = UnixStream::pair().unwrap();
        let asking = async {
            client.write_all(bytes).await.unwrap();
            client.shutdown().await.unwrap();
            let mut answers = Vec::new();
            // A daemon that hangs up while it is still told something resets the connection.
            let _ = client.read_to_end(&mut answers).await;
            answers
        };
        let (_, answers) = tokio::join!(hostile::talk(theirs, &source), asking);
        let mut lines = answers.split_inclusive(|byte| *byte == b'\n');
        assert!(lines.clone().count() <= bytes.split_inclusive(|byte| *byte == b'\n').count());
        assert!(lines.all(|line| {
            line.ends_with(b"\n")
                && (serde_json::from_slice::<Response>(line).is_ok()
                    || serde_json::from_slice::<FollowItem>(line).is_ok())
        }));
    });
}

/// A daemon that answers with this line.
pub(super) fn answer(bytes: &[u8]) {
    if let Ok(FollowItem::Denial(view)) = serde_json::from_slice(bytes) {
        printed(&denial::lines(&view, &Style::default()));
    }
    let Ok(response) = serde_json::from_slice::<Response>(bytes) else { return };
    let style = Style::default();
    match &response {
        Response::Containers { containers } => printed(&ps::table(containers, &style)),
        Response::Container { container } => {
            printed(&show::table(container, &style, true));
            if let Some(views) = &container.arguments {
                printed(&arguments::table(views, &style));
            }
        }
        Response::Material(material) => {
            let _ = material.suggest(&Options::default());
        }
        Response::History { workloads } => printed(&history::workloads_table(workloads, &style)),
        Response::Evidence { evidence, .. } => {
            printed(&history::starts_table(&history::starts(evidence), &style));
        }
        Response::Denials(answer) => printed(&denial::list(&answer.denials, &style)),
        Response::Filter(answer) => filter((**answer).clone(), &style),
        Response::Imported { .. }
        | Response::Excluded { .. }
        | Response::Forgotten { .. }
        | Response::Health(_)
        | Response::Failed(_) => {}
    }
}

fn filter(answer: auditor::report::filter::FilterAnswer, style: &Style) {
    let Ok(held) = Held::of(answer) else { return };
    if let Ok(listing) = held.listing(None, style) {
        printed(&listing);
    }
    let call = ["mkdir".to_owned()];
    if let Ok(view) = EnforcedView::of(&held, &call, None) {
        printed(&view.table(style, true));
    }
}

/// A terminal takes it for text.
fn printed(text: &str) {
    assert!(text.chars().all(|character| character == '\n' || !character.is_control()), "{text:?}");
}

/// A scraper that sends these bytes and ends.
pub(super) fn http(bytes: &[u8]) {
    daemon::run(async {
        let (mut client, theirs) = tokio::io::duplex(4096);
        let asking = async {
            let _ = client.write_all(bytes).await;
            let _ = client.shutdown().await;
            let mut answers = Vec::new();
            let _ = client.read_to_end(&mut answers).await;
            answers
        };
        let (_, answers) = tokio::join!(hostile::web(theirs, daemon::source()), asking);
        if !answers.is_empty() {
            assert!(answers.starts_with(b"HTTP/1."), "{answers:?}");
            let is_page = answers.starts_with(b"HTTP/1.1 200") || answers.starts_with(b"HTTP/1.0 200");
            assert!(
                !is_page
                    || bytes.trim_ascii_start().starts_with(b"GET ")
                    || bytes.trim_ascii_start().starts_with(b"HEAD ")
            );
        }
    });
}
