//! What was seen over all starts: the store's word and the main loop's, put together.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::control::{Failure, FailureKind, Live, Source};
use crate::evidence::{Evidence, Start, Workload};
use crate::profile::oci::parse_seccomp;
use crate::profile::{Profile, Runtime};
use crate::report::history::WorkloadView;
use crate::report::resolve;
use crate::report::view::ContainerView;
use crate::store::{Forgotten, Library, StoreError, Taken};
use crate::suggest::Material;
use crate::syscall::Abi;

/// Digits of a start's or workload's id that are taken for one.
const SHORTEST_ID: usize = 4;

/// What is known of one workload: from the main loop, and how many of its containers are counted now.
type ByWorkload = BTreeMap<String, (Evidence, u32)>;

fn by_workload(live: Vec<Live>) -> ByWorkload {
    let mut known = ByWorkload::new();
    for Live { evidence, runs, .. } in live {
        let (all, running) = known.entry(evidence.workload.id()).or_insert_with(|| (without_starts(&evidence), 0));
        all.join(evidence);
        *running += u32::from(runs);
    }
    known
}

fn without_starts(evidence: &Evidence) -> Evidence {
    let Evidence { workload, .. } = evidence;
    Evidence { workload: workload.clone(), starts: Vec::new(), image_names: Vec::new() }
}

fn both(stored: Option<Evidence>, live: Option<Evidence>) -> Option<Evidence> {
    match (stored, live) {
        (Some(mut stored), Some(live)) => {
            stored.join(live);
            Some(stored)
        }
        (stored, live) => stored.or(live),
    }
}

/// All workloads at a glance, those seen last first.
pub(super) async fn list(source: &Source) -> Result<Vec<WorkloadView>, Failure> {
    let live = by_workload(source.evidence().await?);
    let views = |live: ByWorkload| live.into_values().map(|(evidence, running)| WorkloadView::of(&evidence, running));
    let mut all = if source.has_library() {
        let stored = source.library(move |library| {
            let mut live = live;
            let mut all = Vec::new();
            // One at a time: all of them may be more than one wants in memory.
            for named in library.workloads()? {
                let (live, running) = live.remove(&named.id).map_or((None, 0), |(live, running)| (Some(live), running));
                let evidence = both(library.evidence(&named.id)?, live);
                all.extend(
                    evidence.map(|evidence| WorkloadView {
                        left_out: named.left_out,
                        ..WorkloadView::of(&evidence, running)
                    }),
                );
            }
            all.extend(views(live));
            Ok(all)
        });
        stored.await?.unwrap_or_default()
    } else {
        views(live).collect()
    };
    all.sort_by(|a, b| (b.last_seen, &b.id).cmp(&(a.last_seen, &a.id)));
    Ok(all)
}

/// All that is known of one workload, and the profiles that it ran under.
pub(super) async fn evidence(source: &Source, workload: String) -> Result<(Evidence, Vec<serde_json::Value>), Failure> {
    let live = source.evidence().await?;
    let mut profiles = profiles_of(&live);
    let (live, _) = by_workload(live).remove(&workload).map_or((None, 0), |(live, running)| (Some(live), running));
    let id = workload.clone();
    let stored = source.library(move |library| library.evidence(&id)).await?.flatten();
    let Some(evidence) = both(stored, live) else {
        return Err(Failure::new(
            FailureKind::NoSuchContainer,
            format!("no such workload: {workload}; see auditor history"),
        ));
    };
    let wanted: BTreeSet<String> = evidence.starts.iter().filter_map(|start| start.profile.clone()).collect();
    profiles.retain(|sha256, _| wanted.contains(sha256));
    let missing: Vec<String> = wanted.into_iter().filter(|sha256| !profiles.contains_key(sha256)).collect();
    profiles.extend(source.library(move |library| stored_profiles(library, &missing)).await?.unwrap_or_default());
    let json = |profile: &Profile| serde_json::from_str(&profile.render_oci()).ok();
    Ok((evidence, profiles.values().filter_map(json).collect()))
}

fn profiles_of(live: &[Live]) -> BTreeMap<String, Profile> {
    live.iter().filter_map(|one| one.profile.clone()).collect()
}

fn stored_profiles(library: &Library, wanted: &[String]) -> Result<BTreeMap<String, Profile>, StoreError> {
    let mut found = BTreeMap::new();
    for sha256 in wanted {
        let profile = library.profile(sha256)?.and_then(|text| parse_seccomp(text.as_bytes()).ok());
        found.extend(profile.map(|profile| (sha256.clone(), profile)));
    }
    Ok(found)
}

/// Takes in what others have counted.
pub(super) async fn import(
    source: &Source,
    evidence: Vec<Evidence>,
    profiles: Vec<serde_json::Value>,
) -> Result<Taken, Failure> {
    let mut texts = BTreeMap::new();
    for profile in profiles {
        let profile = parse_seccomp(profile.to_string().as_bytes());
        let profile = profile.map_err(|error| Failure::new(FailureKind::BadRequest, format!("a profile: {error}")))?;
        texts.insert(profile.sha256(), profile.render_oci());
    }
    source.library(move |library| library.merge(evidence, texts)).await?.ok_or_else(no_store)
}

/// Leaves a start out of suggestions, or takes it in again. Returns its whole id.
pub(super) async fn exclude(source: &Source, start: String, excluded: bool) -> Result<String, Failure> {
    if start.len() < SHORTEST_ID {
        return Err(Failure::new(
            FailureKind::BadRequest,
            format!("give {SHORTEST_ID} digits of the start's id at least"),
        ));
    }
    // What runs may not be stored yet.
    let live: Vec<Evidence> = source.evidence().await?.into_iter().map(|one| one.evidence).collect();
    let prefix = start.clone();
    let found = source.library(move |library| {
        library.merge(live, BTreeMap::new())?;
        let found = library.find(&prefix)?;
        if let [(workload, start)] = found.as_slice() {
            library.exclude(workload, start, excluded)?;
        }
        Ok(found)
    });
    match found.await?.ok_or_else(no_store)?.as_slice() {
        [(_, start)] => Ok(start.clone()),
        [] => Err(Failure::new(
            FailureKind::NoSuchContainer,
            format!("no such start: {start}; see auditor history IMAGE"),
        )),
        many => Err(Failure::new(
            FailureKind::Ambiguous,
            format!("{} starts have an id that begins with {start}; give more of it", many.len()),
        )),
    }
}

/// Forgets what was seen.
pub(super) async fn forget(
    source: &Source,
    workloads: Option<Vec<String>>,
    before: Option<Timestamp>,
) -> Result<Forgotten, Failure> {
    if !source.has_library() {
        return Err(no_store());
    }
    // Those first that are over and still known here: else they would come back from there.
    source.forget(workloads.as_ref().map(|workloads| workloads.iter().cloned().collect()), before).await?;
    let forgotten = source.library(move |library| {
        let workloads = match workloads {
            Some(workloads) => workloads,
            None => library.workloads()?.into_iter().map(|named| named.id).collect(),
        };
        library.forget(&workloads, before)
    });
    forgotten.await?.ok_or_else(no_store)
}

/// What a smaller profile is made from: for a container, all that was seen of its workload under its profile and runtime;
/// for an image or a workload, all that was seen of it.
pub(super) async fn material(
    source: &Source,
    containers: &[ContainerView],
    word: &str,
    profile: Option<&str>,
) -> Result<Material, Failure> {
    let not_found = match resolve::container(containers, word) {
        Ok(view) => return of_container(source, view.id.clone()).await,
        Err(error @ resolve::ResolveError::Ambiguous { .. }) => return Err(error.into()),
        Err(error) => error,
    };
    let live = source.evidence().await?;
    let mut profiles = profiles_of(&live);
    let mut found: Vec<(Evidence, bool)> = live
        .into_iter()
        .filter(|one| {
            let Evidence { workload, image_names, .. } = &one.evidence;
            resolve::is_workload(&workload.id(), &workload.image, image_names, word)
                || resolve::is_service(workload.command.service(), word)
        })
        .map(|one| (one.evidence, one.runs))
        .collect();
    let wanted_word = word.to_owned();
    let stored = source.library(move |library| {
        let mut found = Vec::new();
        for named in library.workloads()? {
            if resolve::is_workload(&named.id, &named.image, &named.image_names, &wanted_word)
                || resolve::is_service(named.service.as_deref(), &wanted_word)
            {
                found.extend(library.evidence(&named.id)?);
            }
        }
        let wanted: BTreeSet<String> =
            found.iter().flat_map(|one: &Evidence| &one.starts).filter_map(|start| start.profile.clone()).collect();
        Ok((found, stored_profiles(library, &wanted.into_iter().collect::<Vec<_>>())?))
    });
    if let Some((evidence, more)) = stored.await? {
        found.extend(evidence.into_iter().map(|evidence| (evidence, false)));
        profiles.extend(more);
    }
    if found.is_empty() {
        // Containers of the image of which nobody knows what they run: one by one they can still be named.
        return match resolve::container_or_image(containers, word)?.as_slice() {
            [one] => of_container(source, one.id.clone()).await,
            _ => Err(not_found.into()),
        };
    }
    one_group(found, &profiles, profile)
}

async fn of_container(source: &Source, id: String) -> Result<Material, Failure> {
    let mut material = source.material(vec![id]).await?;
    if material.evidence.starts.is_empty() {
        // It runs and is not counted: what others of its kind did says nothing of what it does meanwhile.
        return Ok(material);
    }
    let sha256 = material.profile.as_ref().map(Profile::sha256);
    let (workload, runtime) = (material.evidence.workload.clone(), material.runtime);
    let mut others: Vec<Evidence> = source.evidence().await?.into_iter().map(|one| one.evidence).collect();
    let id = workload.id();
    others.extend(source.library(move |library| library.evidence(&id)).await?.flatten());
    for mut other in others.into_iter().filter(|other| other.workload == workload) {
        other.starts.retain(|start| start.runtime == runtime && start.profile == sha256 && is_known(start));
        material.evidence.join(other);
    }
    Ok(material)
}

/// It is known what the start ran under.
const fn is_known(start: &Start) -> bool {
    start.profile.is_some() || matches!(start.confined, Some(false))
}

/// What was seen under one profile and runtime.
struct Group {
    evidence: Evidence,
    /// Of which workloads it is.
    workloads: BTreeSet<Workload>,
    /// Whether any of it runs now.
    runs: bool,
}

impl Group {
    fn of(evidence: &Evidence) -> Self {
        Self { evidence: without_starts(evidence), workloads: BTreeSet::new(), runs: false }
    }
}

/// The evidence of several workloads or containers, as far as it is of one profile and runtime.
fn one_group(
    found: Vec<(Evidence, bool)>,
    profiles: &BTreeMap<String, Profile>,
    wanted: Option<&str>,
) -> Result<Material, Failure> {
    let mut groups: BTreeMap<(Option<String>, Runtime), Group> = BTreeMap::new();
    for (mut evidence, runs) in found {
        let mut starts: BTreeMap<(Option<String>, Runtime), Vec<Start>> = BTreeMap::new();
        for start in std::mem::take(&mut evidence.starts).into_iter().filter(is_known) {
            starts.entry((start.profile.clone(), start.runtime)).or_default().push(start);
        }
        for (key, starts) in starts {
            let group = groups.entry(key).or_insert_with(|| Group::of(&evidence));
            group.evidence.join(Evidence { starts, ..evidence.clone() });
            group.workloads.insert(evidence.workload.clone());
            group.runs |= runs;
        }
    }
    if let Some(prefix) = wanted {
        groups.retain(|(sha256, _), _| sha256.as_ref().is_some_and(|sha256| sha256.starts_with(prefix)));
    }
    // What runs now is what is meant, where all of it runs the same way.
    if groups.values().filter(|group| group.runs).count() == 1 {
        groups.retain(|_, group| group.runs);
    }
    let candidates: Vec<String> = groups.iter().map(|(key, group)| candidate(key, &group.evidence)).collect();
    let mut groups = groups.into_iter();
    match (groups.next(), groups.next()) {
        (Some(((sha256, runtime), Group { evidence, workloads, .. })), None) => {
            let profile = sha256.map(|sha256| {
                profiles.get(&sha256).cloned().ok_or_else(|| {
                    let text =
                        format!("the profile {sha256}, under which it ran, is not known; import it with its evidence");
                    Failure::new(FailureKind::NoProfile, text)
                })
            });
            let others = workloads.into_iter().filter(|workload| *workload != evidence.workload).collect();
            Ok(Material { evidence, profile: profile.transpose()?, runtime, host: Abi::NATIVE, others })
        }
        (None, _) => Err(Failure::new(
            FailureKind::NoProfile,
            "nothing was seen of it of which it is known under which profile that was; see auditor history IMAGE",
        )),
        (Some(_), Some(_)) => Err(Failure::new(
            FailureKind::Ambiguous,
            format!(
                "it ran under different profiles or runtimes: {}; name a container, or give --profile SHA256",
                candidates.join(", ")
            ),
        )),
    }
}

fn candidate((sha256, runtime): &(Option<String>, Runtime), evidence: &Evidence) -> String {
    let profile = sha256.as_ref().map_or("no filter", |sha256| sha256.get(..12).unwrap_or(sha256));
    let starts = evidence.starts.len();
    format!("{profile} ({runtime}, {starts} {})", if starts == 1 { "start" } else { "starts" })
}

fn no_store() -> Failure {
    Failure::new(FailureKind::NoStore, "the daemon keeps no evidence; give it a --state-dir")
}
