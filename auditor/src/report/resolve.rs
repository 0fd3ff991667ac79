//! Which containers a typed word means.
//!
//! Pure, over the snapshot, so that the command line, the control socket and the tests agree. Exact matches win over
//! prefixes, and a word that could mean two containers means neither: the caller is shown the candidates.

use thiserror::Error;

use crate::report::escape::{LABEL_WIDTH, capped};
use crate::report::near::near;
use crate::report::view::ContainerView;

/// Digits that are taken for the beginning of a workload's or an image's id.
const SHORTEST_ID: usize = 4;

/// Most candidates or near misses that a message lists.
const MAX_LISTED: usize = 8;

/// Why a word does not name one container.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ResolveError {
    /// Nothing matches.
    #[error("no such container: {name}{}", did_you_mean(.near))]
    NoSuch {
        /// The word, safe to print.
        name: String,
        /// Names that look like it.
        near: Vec<String>,
    },
    /// More than one matches.
    #[error("{name} is ambiguous: it could be {}; give a name or a longer id", .candidates.join(", "))]
    Ambiguous {
        /// The word, safe to print.
        name: String,
        /// `NAME (ID)` of each match.
        candidates: Vec<String>,
    },
}

fn did_you_mean(near: &[String]) -> String {
    if near.is_empty() { "; see auditor ps".to_owned() } else { format!("; did you mean {}?", near.join(" or ")) }
}

/// The one container that `word` names: by name, whole id, unique id prefix, or compose service.
///
/// # Errors
/// When none or more than one does.
pub fn container<'a>(containers: &'a [ContainerView], word: &str) -> Result<&'a ContainerView, ResolveError> {
    let word = word.strip_prefix('/').unwrap_or(word);
    if word.is_empty() {
        return Err(ResolveError::NoSuch { name: "''".to_owned(), near: Vec::new() });
    }
    if let Some(found) = containers.iter().find(|container| container.id == word) {
        return Ok(found);
    }
    // A name is the engine's to give away again: the one that runs now, else the latest, is the one that is meant.
    let named = containers.iter().filter(|container| container.name.as_deref() == Some(word));
    if let Some(found) = named.max_by_key(|container| (is_running(container), container.window.since)) {
        return Ok(found);
    }
    let by_prefix: Vec<_> = containers.iter().filter(|container| is_id_prefix(word, &container.id)).collect();
    let by_service: Vec<_> = containers.iter().filter(|container| container.service.as_deref() == Some(word)).collect();
    for mut matches in [by_prefix, by_service] {
        if matches.len() > 1 {
            // Replaced containers of a service stay known for a while; what runs is what is meant.
            let running: Vec<_> = matches.iter().copied().filter(|container| is_running(container)).collect();
            if running.len() == 1 && matches.iter().all(|container| container.service.as_deref() == Some(word)) {
                matches = running;
            }
        }
        match matches.as_slice() {
            [] => {}
            [one] => return Ok(one),
            many => {
                return Err(ResolveError::Ambiguous {
                    name: capped(word, LABEL_WIDTH),
                    candidates: list(many.iter().map(|container| describe(container))),
                });
            }
        }
    }
    Err(ResolveError::NoSuch {
        name: capped(word, LABEL_WIDTH),
        near: near(containers.iter().flat_map(|container| [&container.name, &container.service]).flatten(), word),
    })
}

/// The containers that `word` names for `suggest`: one by [`container`], else all that run this image.
///
/// # Errors
/// When it names neither.
pub fn container_or_image<'a>(
    containers: &'a [ContainerView],
    word: &str,
) -> Result<Vec<&'a ContainerView>, ResolveError> {
    match container(containers, word) {
        Ok(one) => Ok(vec![one]),
        Err(error @ ResolveError::Ambiguous { .. }) => Err(error),
        Err(error) => {
            let of_image: Vec<_> =
                containers.iter().filter(|container| is_image(container.image.as_deref(), word)).collect();
            if of_image.is_empty() { Err(error) } else { Ok(of_image) }
        }
    }
}

fn is_running(container: &ContainerView) -> bool {
    matches!(container.state.as_deref(), Some("running" | "paused" | "restarting"))
}

fn is_id_prefix(word: &str, id: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_hexdigit()) && id.starts_with(&word.to_ascii_lowercase())
}

/// Whether a word means a compose service: `project/service`, or the service alone.
#[must_use]
pub fn is_service(service: Option<&str>, word: &str) -> bool {
    service.is_some_and(|service| service == word || service.rsplit('/').next() == Some(word))
}

/// Whether a word means a workload: by its id, by one of its image's names, or by the image's own id.
#[must_use]
pub fn is_workload(id: &str, image: &str, names: &[String], word: &str) -> bool {
    let digest = image.strip_prefix("sha256:").unwrap_or(image);
    let begins = |id: &str, word: &str| word.len() >= SHORTEST_ID && is_id_prefix(word, id);
    begins(id, word)
        || names.iter().any(|name| is_image(Some(name), word))
        || image == word
        || begins(digest, word.strip_prefix("sha256:").unwrap_or(word))
}

/// `nginx` is `nginx:latest`, as for the engine.
fn is_image(image: Option<&str>, word: &str) -> bool {
    image.is_some_and(|image| {
        image == word || image.strip_suffix(":latest") == Some(word) || word.strip_suffix(":latest") == Some(image)
    })
}

fn describe(container: &ContainerView) -> String {
    let id: String = container.id.chars().take(12).collect();
    match &container.name {
        Some(name) => format!("{} ({id})", capped(name, LABEL_WIDTH)),
        None => id,
    }
}

fn list(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = names.collect();
    names.sort();
    names.dedup();
    let more = names.len().saturating_sub(MAX_LISTED);
    if more > 0 {
        names.truncate(MAX_LISTED);
        names.push(format!("{more} more"));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::view::sample;

    fn fleet() -> Vec<ContainerView> {
        let mut all = Vec::new();
        for (id, name, service, state) in [
            ("aaaa1", Some("web"), Some("front"), "running"),
            ("aaaa2", Some("api"), Some("back"), "running"),
            ("bbbb1", Some("db"), Some("store"), "running"),
            ("bbbb2", Some("db-old"), Some("store"), "exited"),
            ("cccc1", Some("twin"), None, "exited"),
            ("cccc2", Some("twin"), None, "running"),
            ("dddd1", Some("cafe"), Some("pool"), "running"),
            ("dddd2", None, Some("pool"), "running"),
            ("cafe1", Some("other"), None, "running"),
        ] {
            let mut view = sample(&format!("{id:0<64}"), "nginx");
            view.name = name.map(str::to_owned);
            view.service = service.map(str::to_owned);
            view.state = Some(state.to_owned());
            all.push(view);
        }
        all
    }

    #[test]
    fn a_word_names_one_container_or_the_answer_says_why_not() {
        for (word, expected) in [
            ("web", Ok("aaaa1")),
            ("/web", Ok("aaaa1")),
            ("aaaa2", Ok("aaaa2")),
            ("AAAA2", Ok("aaaa2")),
            ("front", Ok("aaaa1")),
            // Of the two containers of a service only one runs.
            ("store", Ok("bbbb1")),
            // The name's present holder.
            ("twin", Ok("cccc2")),
            // A name wins over an id prefix.
            ("cafe", Ok("dddd1")),
            ("cafe1", Ok("cafe1")),
            (
                "aaaa",
                Err(
                    "aaaa is ambiguous: it could be api (aaaa20000000), web (aaaa10000000); give a name or a longer id",
                ),
            ),
            (
                "pool",
                Err("pool is ambiguous: it could be cafe (dddd10000000), dddd20000000; give a name or a longer id"),
            ),
            ("wbe", Err("no such container: wbe; did you mean web?")),
            ("fornt", Err("no such container: fornt; did you mean front?")),
            ("nothing-like-it", Err("no such container: nothing-like-it; see auditor ps")),
            ("", Err("no such container: ''; see auditor ps")),
            ("\x1b[2J", Err("no such container: \\u{1b}[2J; see auditor ps")),
        ] {
            let fleet = fleet();
            let got = container(&fleet, word).map(|view| view.id.get(..5).unwrap_or_default());
            assert_eq!(got.map_err(|error| error.to_string()), expected.map_err(str::to_owned), "{word:?}");
        }
    }

    #[test]
    fn an_image_names_all_its_containers() {
        let fleet = fleet();
        assert_eq!(container_or_image(&fleet, "nginx").unwrap().len(), fleet.len());
        assert_eq!(container_or_image(&fleet, "nginx:latest").unwrap().len(), fleet.len());
        assert_eq!(container_or_image(&fleet, "web").unwrap().len(), 1);
        assert!(container_or_image(&fleet, "redis").is_err());
        assert!(container_or_image(&fleet, "aaaa").is_err());
    }
}
