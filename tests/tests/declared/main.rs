//! What the auditor says that a profile does, against what libseccomp makes of it: for every ABI and call the same
//! function of the arguments.
//!
//! `AUDITOR_PROFILES` says how many random profiles are compared, `AUDITOR_SEED` where they begin.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod compile;
mod random;

use std::collections::BTreeMap;

use auditor::filter::{Diagrams, Program};
use auditor::profile::oci::parse_seccomp;
use auditor::profile::{HostArch, Profile, Undetermined};
use auditor::syscall::{Abi, SyscallNr, known_name};

use crate::compile::{Compiled, compile};
use crate::random::{NAMES, Numbers, profile};

/// Numbers of interest: those that a rule may name, and one that none does.
fn calls(abi: Abi) -> Vec<SyscallNr> {
    let named = NAMES.iter().filter_map(|name| auditor::syscall::number(abi, name));
    named.chain([SyscallNr(1), SyscallNr(39)]).collect()
}

#[derive(Debug, Default)]
struct Tally {
    filters: u32,
    refused: u32,
    not_followed: u32,
    compared: u32,
    conditional: u32,
    unknown: BTreeMap<String, u32>,
}

/// Holds what the auditor says of a profile against what libseccomp makes of it.
fn compare(profile: &Profile, tree: bool, tally: &mut Tally) -> Result<(), String> {
    let host = HostArch { newest_known: Some(SyscallNr(456)), ..HostArch::of(Abi::X86_64) };
    let policy = profile.evaluate(host);
    let refused = parse_seccomp(profile.render_oci().as_bytes()).err();
    let mut diagrams = Diagrams::new();
    let mut declared = Vec::new();
    for (abi, nr) in Abi::ALL.into_iter().flat_map(|abi| calls(abi).into_iter().map(move |nr| (abi, nr))) {
        if policy.stub_above(abi).is_some_and(|highest| nr > highest) {
            continue;
        }
        match policy.diagram(&mut diagrams, abi, nr) {
            Ok(diagram) => declared.push((abi, nr, diagram)),
            // libseccomp itself may not come back from the one, and what it refuses after the other depends on its
            // version.
            Err(Undetermined::TooLarge | Undetermined::Version) => {
                tally.not_followed += 1;
                return Ok(());
            }
            Err(error) => *tally.unknown.entry(error.to_string()).or_default() += 1,
        }
    }
    let compiled = compile(profile, tree).map_err(|error| format!("{error:#}"))?;
    let bytes = match (compiled, refused) {
        (Compiled::Refused(_), Some(_)) => {
            tally.refused += 1;
            return Ok(());
        }
        (Compiled::Refused(why), None) => return Err(format!("libseccomp refuses {why}, and the auditor does not")),
        (Compiled::Filter(_), Some(error)) => return Err(format!("libseccomp takes it, and the auditor says {error}")),
        (Compiled::Filter(bytes), None) => bytes,
    };
    if let Some(path) = std::env::var_os("AUDITOR_DUMP") {
        std::fs::write(path, &bytes).unwrap();
    }
    let program = Program::parse(&bytes).map_err(|error| error.to_string())?;
    tally.filters += 1;
    for (abi, nr, declared) in declared {
        let made = program.analyze(&mut diagrams, abi, nr).map_err(|error| error.to_string())?;
        tally.compared += 1;
        tally.conditional += u32::from(diagrams.as_constant(made).is_none());
        if declared != made {
            let args = diagrams.pair_witness(declared, made, |a, b| a != b).unwrap();
            return Err(format!(
                "{abi} {} ({:?}) differs for {args:x?}: auditor {:?}, libseccomp {:?}",
                nr.0,
                known_name(abi, nr),
                diagrams.evaluate(declared, &args),
                diagrams.evaluate(made, &args)
            ));
        }
    }
    Ok(())
}

#[test]
fn what_libseccomp_makes_of_random_profiles_is_what_the_auditor_says() {
    let wanted: u32 = std::env::var("AUDITOR_PROFILES").ok().and_then(|text| text.parse().ok()).unwrap_or(1000);
    let mut tally = Tally::default();
    let mut seed = std::env::var("AUDITOR_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut wrong = 0;
    while tally.filters < wanted && wrong < 10 {
        let mut numbers = Numbers(seed);
        if std::env::var_os("AUDITOR_TRACE").is_some() {
            println!("seed {seed}");
        }
        let profile = profile(&mut numbers);
        if let Err(difference) = compare(&profile, numbers.chance(20), &mut tally) {
            wrong += 1;
            if wrong < 4 {
                println!("seed {seed}: {difference}\n{}", profile.render_oci());
            }
        }
        seed += 1;
    }
    println!("{tally:?}, {wrong} wrong, {seed} seeds");
    assert_eq!(wrong, 0);
    // Nothing wrong is worth nothing where nothing was compared. Usual are 1.5 conditional calls in each filter, 0.6 of
    // a hundred calls unknown, and 1.5 of a hundred profiles not followed; a few profiles may be all of one kind.
    if tally.filters >= 1000 {
        let unknown: u32 = tally.unknown.values().sum();
        assert!(tally.conditional > tally.filters / 2, "too few calls with conditions: {tally:?}");
        assert!(unknown < tally.compared / 50, "too many unknown calls: {tally:?}");
        assert!(tally.not_followed < tally.filters / 20, "too many profiles not followed: {tally:?}");
    }
}
