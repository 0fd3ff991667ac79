//! From JSON to the parts of a profile, by the rules of Go's `encoding/json`: a field of the wrong type is refused, one
//! that nobody knows is passed over, of two the later counts, and null is as good as absent.

use std::collections::HashMap;

use super::super::docker::{KernelVersion, parse_min_kernel};
use super::super::json::same_key;
use super::super::oci::CONFIG_KEY;
use super::super::{Action, Operator};
use super::document::{Document, Id, Kind};
use super::finding::Findings;
use super::model::{ArchMap, Arg, Filter, Format, Model, Placed, Rule, Word};

/// What a profile has at its top. The engine knows all of them; the runtime not the last.
const TOP: [&str; 8] = [
    "defaultAction",
    "defaultErrnoRet",
    "architectures",
    "flags",
    "listenerPath",
    "listenerMetadata",
    "syscalls",
    "archMap",
];
/// What a rule has; the last four are the engine's.
const RULE: [&str; 8] = ["names", "action", "errnoRet", "args", "name", "comment", "includes", "excludes"];
const ARG: [&str; 4] = ["index", "value", "valueTwo", "op"];
const FILTER: [&str; 3] = ["caps", "arches", "minKernel"];
const ARCH_MAP: [&str; 2] = ["architecture", "subArchitectures"];

/// Keys that stand for a remark by custom.
const REMARKS: [&str; 6] = ["comment", "_comment", "//", "#", "$schema", "$comment"];

/// Reads what a document holds. `None` where it holds no profile at all; what is wrong is among the findings.
pub(super) fn read(document: &Document, found: &mut Findings) -> Option<Model> {
    let mut reader = Reader { document, found, docker: true };
    let root = document.root();
    let Some((seccomp, no_new_privileges)) = reader.inside_oci_config(root) else {
        if let Some(trailing) = &document.trailing {
            let words = &trailing.words;
            reader.found.error("json-syntax", trailing.at, || format!("not readable as JSON: {words}"));
        }
        return Some(reader.profile(root, Format::Docker, false));
    };
    reader.docker = false;
    if let Some(trailing) = &document.trailing {
        reader.found.warning("trailing-data", trailing.at, || {
            "the runtime reads the first JSON value and passes over what follows it; remove it".to_owned()
        });
    }
    match seccomp {
        Some(id) => Some(reader.profile(id, Format::OciConfig, no_new_privileges)),
        None => {
            let at = document.value(root).at;
            reader.found.warning("no-filter", at, || {
                "linux.seccomp: absent, so a container from this configuration has no filter".to_owned()
            });
            None
        }
    }
}

struct Reader<'a> {
    document: &'a Document,
    found: &'a mut Findings,
    /// The engine reads it, and not the runtime alone.
    docker: bool,
}

/// The fields of an object that somebody reads.
struct Fields {
    at: usize,
    known: Vec<(&'static str, Id)>,
}

impl Fields {
    fn get(&self, key: &str) -> Option<Id> {
        self.known.iter().find(|(known, _)| *known == key).map(|(_, id)| *id)
    }
}

impl Reader<'_> {
    /// In a whole OCI configuration: its `linux.seccomp`, and whether the process may gain privileges. `None` for what
    /// is no such configuration.
    fn inside_oci_config(&self, root: Id) -> Option<(Option<Id>, bool)> {
        let (_, linux) = (self.member(root, CONFIG_KEY)?, self.member(root, "linux"));
        let process = self.member(root, "process").and_then(|process| self.member(process, "noNewPrivileges"));
        let no_new_privileges = process.is_some_and(|id| matches!(self.document.value(id).kind, Kind::Bool(true)));
        Some((linux.and_then(|linux| self.member(linux, "seccomp")), no_new_privileges))
    }

    fn member(&self, object: Id, key: &str) -> Option<Id> {
        let Kind::Object(members) = &self.document.value(object).kind else { return None };
        let found = members.iter().rev().find(|member| same_key(&member.key, key)).map(|member| member.value);
        found.filter(|id| !matches!(self.document.value(*id).kind, Kind::Null))
    }

    fn profile(&mut self, id: Id, format: Format, no_new_privileges: bool) -> Model {
        let path = &String::new();
        let (own, others) = if self.docker { (&TOP[..], &[][..]) } else { (&TOP[..7], &TOP[7..]) };
        let top = self.fields(id, path, own, others);
        let mut rules = Vec::new();
        for (at, item) in self.items(top.get("syscalls"), "syscalls").into_iter().enumerate() {
            rules.push(self.rule(item, &format!("syscalls[{at}]")));
        }
        let mut arch_map = Vec::new();
        for (at, item) in self.items(top.get("archMap"), "archMap").into_iter().enumerate() {
            let path = format!("archMap[{at}]");
            let fields = self.fields(item, &path, &ARCH_MAP, &[]);
            arch_map.push(ArchMap {
                architecture: self.text(&fields, "architecture", &path),
                sub_architectures: self.texts(&fields, "subArchitectures", &path),
            });
        }
        let default_action = self.text(&top, "defaultAction", path);
        let flags = top.get("flags").filter(|id| !matches!(self.document.value(*id).kind, Kind::Null));
        let flags_at = flags.map(|id| self.document.value(id).at);
        let flags = self.texts(&top, "flags", path);
        Model {
            at: top.at,
            format,
            default_action: Placed { at: default_action.at, is: word(default_action.is, Action::parse) },
            default_errno: self.number(&top, "defaultErrnoRet", path),
            architectures: self.texts(&top, "architectures", path),
            arch_map,
            arch_map_at: top.get("archMap").map_or(top.at, |id| self.document.value(id).at),
            flags: flags_at.map(|at| Placed { at, is: flags }),
            listener_path: self.some_text(&top, "listenerPath", path),
            listener_metadata: self.some_text(&top, "listenerMetadata", path),
            rules,
            no_new_privileges,
        }
    }

    fn rule(&mut self, id: Id, path: &str) -> Rule {
        let (own, others) = if self.docker { (&RULE[..], &[][..]) } else { (&RULE[..4], &RULE[4..]) };
        let fields = self.fields(id, path, own, others);
        let mut args = Vec::new();
        let args_path = format!("{path}.args");
        for (at, item) in self.items(fields.get("args"), &args_path).into_iter().enumerate() {
            args.push(self.arg(item, &format!("{args_path}[{at}]")));
        }
        let action = self.text(&fields, "action", path);
        // Read for its type alone.
        let _ = self.text(&fields, "comment", path);
        Rule {
            at: fields.at,
            name: self.some_text(&fields, "name", path),
            names: self.texts(&fields, "names", path),
            action: Placed { at: action.at, is: word(action.is, Action::parse) },
            errno: self.number(&fields, "errnoRet", path),
            args,
            includes: self.filter(&fields, "includes", path),
            excludes: self.filter(&fields, "excludes", path),
        }
    }

    fn arg(&mut self, id: Id, path: &str) -> Arg {
        let fields = self.fields(id, path, &ARG, &[]);
        let mut number = |key| self.number(&fields, key, path).unwrap_or(Placed { at: fields.at, is: 0 });
        let (index, value, value_two) = (number("index"), number("value"), number("valueTwo"));
        let operator = self.text(&fields, "op", path);
        let operator = Placed { at: operator.at, is: word(operator.is, Operator::parse) };
        Arg { at: fields.at, index, value, value_two, operator }
    }

    fn filter(&mut self, fields: &Fields, key: &str, path: &str) -> Filter {
        let Some(id) = fields.get(key) else { return Filter::default() };
        let path = format!("{path}.{key}");
        let fields = self.fields(id, &path, &FILTER, &[]);
        Filter {
            caps: self.texts(&fields, "caps", &path),
            arches: self.texts(&fields, "arches", &path),
            min_kernel: self.min_kernel(&fields, &path),
        }
    }

    fn min_kernel(&mut self, fields: &Fields, path: &str) -> Option<Placed<KernelVersion>> {
        let value = self.document.value(fields.get("minKernel")?);
        let (at, shown) = (value.at, shown(&value.kind));
        let read = match &value.kind {
            Kind::Null => return None,
            Kind::Text(text) => parse_min_kernel(text),
            _ => Err(()),
        };
        match read {
            Ok(version) => version.map(|is| Placed { at, is }),
            Err(()) => {
                self.found.error("kernel-version", at, || {
                    format!(
                        "{path}.minKernel: write two numbers below 256 in a string, as \"4.8\"; docker refuses it: invalid \
                         kernel version: {shown}, expected \"<kernel>.<major>\""
                    )
                });
                None
            }
        }
    }

    /// An object's fields: `own` are read here, `others` by somebody else alone.
    fn fields(&mut self, id: Id, path: &str, own: &[&'static str], others: &[&'static str]) -> Fields {
        let value = self.document.value(id);
        let at = value.at;
        let members = match &value.kind {
            Kind::Object(members) => members.as_slice(),
            Kind::Null => &[],
            kind => {
                self.wrong_type(at, path, "an object", kind);
                &[]
            }
        };
        let mut known: Vec<(&'static str, Id)> = Vec::new();
        let mut unknown: HashMap<&str, ()> = HashMap::new();
        for member in members {
            let dot = if path.is_empty() { "" } else { "." };
            let (key, key_at) = (&member.key, member.key_at);
            let shown = capped(key);
            let Some(field) = own.iter().find(|field| same_key(key, field)) else {
                if unknown.insert(key, ()).is_some() {
                    continue;
                }
                if others.iter().any(|field| same_key(key, field)) {
                    self.found.warning("docker-only-field", key_at, || {
                        format!("{path}{dot}{shown}: only docker reads this; the runtime passes over it, so resolve the profile first")
                    });
                } else if REMARKS.contains(&key.as_str()) {
                    self.found.note("remark", key_at, || format!("{path}{dot}{shown}: nobody reads this field"));
                } else {
                    self.found.warning("unknown-field", key_at, || {
                        let advice = nearest(key, own.iter().copied())
                            .map_or_else(|| "remove it".to_owned(), |near| format!("is {near} meant"));
                        format!("{path}{dot}{shown}: nobody reads this field; {advice}")
                    });
                }
                continue;
            };
            if key != field {
                self.found.warning("field-case", key_at, || {
                    format!(
                        "{path}{dot}{shown}: runc and docker read this as {field}, other runtimes do not; write {field}"
                    )
                });
            }
            match known.iter_mut().find(|(earlier, _)| earlier == field) {
                Some((_, earlier)) => {
                    *earlier = member.value;
                    self.found.warning("duplicate-key", key_at, || {
                        format!("{path}{dot}{field}: stands there twice and the later one counts; remove the other")
                    });
                }
                None => known.push((field, member.value)),
            }
        }
        Fields { at, known }
    }

    fn items(&mut self, id: Option<Id>, path: &str) -> Vec<Id> {
        let Some(value) = id.map(|id| self.document.value(id)) else { return Vec::new() };
        match &value.kind {
            Kind::Null => Vec::new(),
            Kind::List(items) => items.clone(),
            kind => {
                self.wrong_type(value.at, path, "a list", kind);
                Vec::new()
            }
        }
    }

    /// A text; an absent one is empty, and in the place of the object that lacks it.
    fn text(&mut self, fields: &Fields, key: &str, path: &str) -> Placed<String> {
        let Some(id) = fields.get(key) else { return Placed { at: fields.at, is: String::new() } };
        self.text_of(id, &inside(path, key))
    }

    fn some_text(&mut self, fields: &Fields, key: &str, path: &str) -> Option<Placed<String>> {
        let text = self.text(fields, key, path);
        (!text.is.is_empty()).then_some(text)
    }

    fn text_of(&mut self, id: Id, path: &str) -> Placed<String> {
        let value = self.document.value(id);
        let is = match &value.kind {
            Kind::Text(text) => text.clone(),
            Kind::Null => String::new(),
            kind => {
                self.wrong_type(value.at, path, "a string", kind);
                String::new()
            }
        };
        Placed { at: value.at, is }
    }

    fn texts(&mut self, fields: &Fields, key: &str, path: &str) -> Vec<Placed<String>> {
        let Some(id) = fields.get(key) else { return Vec::new() };
        let path = inside(path, key);
        let items = self.items(Some(id), &path);
        items.into_iter().enumerate().map(|(at, item)| self.text_of(item, &format!("{path}[{at}]"))).collect()
    }

    fn number(&mut self, fields: &Fields, key: &str, path: &str) -> Option<Placed<u64>> {
        let value = self.document.value(fields.get(key)?);
        match &value.kind {
            Kind::Null => None,
            Kind::Number(number) if number.value.is_some() => number.value.map(|is| Placed { at: value.at, is }),
            kind => {
                self.wrong_type(value.at, &inside(path, key), "a whole number from 0 to 2^64-1", kind);
                None
            }
        }
    }

    fn wrong_type(&mut self, at: usize, path: &str, expected: &str, kind: &Kind) {
        let who = if self.docker { "docker" } else { "runc" };
        let path = if path.is_empty() { "top level" } else { path };
        let what = match kind {
            Kind::Null => "null".to_owned(),
            Kind::Bool(_) => "bool".to_owned(),
            Kind::Number(_) if expected == "a string" || !expected.contains("number") => "number".to_owned(),
            Kind::Number(number) => format!("number {}", number.spelling),
            Kind::Text(_) => "string".to_owned(),
            Kind::List(_) => "array".to_owned(),
            Kind::Object(_) => "object".to_owned(),
        };
        self.found.error("json-type", at, || {
            format!("{path}: write {expected}; {who} refuses it: json: cannot unmarshal {what} into Go")
        });
    }
}

fn inside(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn word<T>(text: String, parse: impl Fn(&str) -> Option<T>) -> Word<T> {
    Word { means: parse(&text), text }
}

/// A word that is so near that it may be meant.
pub(super) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // A long text is nobody's typing error, and comparing it takes long.
    let word: String = word.chars().take(40).collect();
    let length = word.chars().count();
    known
        // Names are ASCII. The difference of the lengths is a bound, and costs nothing.
        .filter(|known| known.len().abs_diff(length) * 3 <= known.len())
        .map(|known| (strsim::osa_distance(&word, known), known))
        .filter(|(distance, known)| distance * 3 <= known.len())
        .min()
        .map(|(_, known)| known)
}

/// A stranger's text, short enough for a line.
pub(super) fn capped(text: &str) -> String {
    if text.chars().nth(64).is_none() { text.to_owned() } else { text.chars().take(63).chain(['…']).collect() }
}

fn shown(kind: &Kind) -> String {
    match kind {
        Kind::Text(text) => format!("\"{}\"", capped(text)),
        Kind::Number(number) => number.spelling.clone(),
        Kind::Null => "null".to_owned(),
        Kind::Bool(_) => "a bool".to_owned(),
        Kind::List(_) => "a list".to_owned(),
        Kind::Object(_) => "an object".to_owned(),
    }
}
