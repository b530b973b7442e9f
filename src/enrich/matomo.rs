//! Data of the Matomo device detector, read from a folder that the operator has: makers and names of machines, browsers,
//! robots and libraries that nobody else told.
//!
//! The folder is Matomo's (`regexes` in its package, LGPL): none of it is here. Known of it is the format. A file is a
//! list of rules, each with a `regex` and a `name`; those of machines are maps from a maker to its `regex` and either a
//! `model` or `models`, a list of the same, which may name another maker. The first rule that matches counts. Letter
//! case does not matter, a match begins where a word does, and `$1` in a name stands for a group of the pattern (ports
//! to other languages write `\g<1>`).
//!
//! Rules are asked in three steps: one pass over the text for all words of all rules ([`index`]), then the patterns
//! whose words are there, in their order, each compiled when it is first needed ([`pattern`]). Memory is bounded, and so
//! is what a text may cost.

mod builder;
mod index;
mod literals;
mod names;
mod pattern;
mod yaml;

use std::{fmt, ops::Range};

use builder::Builder;
use index::{Index, Patterns};
use pattern::Groups;
use yaml::Value;

pub(super) use index::Effort;
pub use yaml::MAX_BYTES;

use super::{robots::Category, url};

/// Longest text looked at, in bytes; of longer ones the beginning.
const MAX_TEXT: usize = 512;
/// Longest name, in bytes.
const MAX_NAME: usize = 64;

/// The files that are read, and what for. Those of machines stand in the order that they are asked in.
pub const FILES: &[(&str, Part)] = &[
    ("device/consoles.yml", Part::Machines),
    ("device/car_browsers.yml", Part::Machines),
    ("device/cameras.yml", Part::Machines),
    ("device/portable_media_player.yml", Part::Machines),
    (MAIN, Part::Machines),
    ("device/televisions.yml", Part::Televisions),
    ("device/shell_tv.yml", Part::Televisions),
    ("client/browsers.yml", Part::Clients),
    ("client/mobile_apps.yml", Part::Clients),
    ("client/mediaplayers.yml", Part::Clients),
    ("client/pim.yml", Part::Clients),
    ("client/feed_readers.yml", Part::Robots),
    ("client/libraries.yml", Part::Libraries),
    ("bots.yml", Part::Robots),
];

/// The file that must be there: without it, it is another folder.
pub const MAIN: &str = "device/mobiles.yml";

/// What a file tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Makers and names of machines.
    Machines,
    /// The same of televisions, whose patterns fit many other texts.
    Televisions,
    /// Names and versions of browsers and apps.
    Clients,
    /// Names and purposes of robots.
    Robots,
    /// Names of programs' HTTP clients.
    Libraries,
}

/// Why a folder cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Fault {
    /// Name of the file within the folder; empty for the folder itself.
    pub file: String,
    /// Line of the file, from 1.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
}

impl Fault {
    fn of_file(file: &str, message: impl Into<String>) -> Fault {
        Fault { file: file.to_owned(), line: None, message: message.into() }
    }

    fn of_folder(message: impl Into<String>) -> Fault {
        Fault::of_file("", message)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&*self.file, self.line) {
            ("", _) => {}
            (file, None) => write!(f, "`{file}` ")?,
            (file, Some(line)) => write!(f, "`{file}`, line {line}: ")?,
        }
        write!(f, "{}", self.message)
    }
}

/// A folder in memory.
pub struct Detector {
    patterns: Patterns,
    machines: Index,
    makers: Vec<Maker>,
    models: Vec<Model>,
    clients: Index,
    robots: Index,
    named: Vec<Named>,
}

/// A maker of a list of machines.
struct Maker {
    name: Box<str>,
    /// Patterns that tell its machines.
    gates: Range<u32>,
    /// Its models: one, which is the rule itself, when it has no list.
    models: Range<u32>,
    has_list: bool,
    is_television: bool,
}

/// A model of a maker.
struct Model {
    name: Box<str>,
    /// Instead of the list's.
    maker: Option<Box<str>>,
}

/// A rule of a list of clients or robots.
struct Named {
    part: Part,
    patterns: Range<u32>,
    name: Box<str>,
    /// The version of a client, the purpose of a robot.
    detail: Box<str>,
}

/// A machine: maker, and the name that it is sold under.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// In GA4's spelling.
    pub brand: String,
    /// `Galaxy S23`.
    pub name: Option<String>,
}

/// A browser or an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// In GA4's spelling.
    pub name: String,
    /// `126.0`.
    pub version: Option<String>,
}

impl Detector {
    /// Reads the files of a folder, each with its name in [`FILES`]; others are passed over.
    pub fn load<'f>(files: impl IntoIterator<Item = (&'f str, &'f [u8])>) -> Result<Detector, Fault> {
        let files: Vec<(&str, &[u8])> = files.into_iter().collect();
        if !files.iter().any(|(name, _)| *name == MAIN) {
            return Err(Fault::of_folder(format!("has no file `{MAIN}`")));
        }
        let mut builder = Builder::default();
        for (known, part) in FILES {
            let Some((name, bytes)) = files.iter().find(|(name, _)| name == known) else { continue };
            let value = yaml::parse(name, bytes)?;
            match (part, value) {
                (Part::Machines | Part::Televisions, Value::Map(makers)) => {
                    for (maker, rule) in &makers {
                        builder.maker(maker, rule, *part)?;
                    }
                }
                (Part::Clients | Part::Robots | Part::Libraries, Value::List(rules)) => {
                    for rule in &rules {
                        builder.named(rule, *part)?;
                    }
                }
                (Part::Machines | Part::Televisions, _) => return Err(Fault::of_file(name, "is no map of makers")),
                _ => return Err(Fault::of_file(name, "is no list of rules")),
            }
        }
        builder.build()
    }

    /// How many rules it has.
    pub fn rules(&self) -> usize {
        self.makers.len() + self.models.len() + self.named.len()
    }

    /// How many of its patterns could not be used.
    pub fn skipped(&self) -> usize {
        self.patterns.skipped
    }

    /// Bytes of memory, about, without the patterns that were compiled since.
    pub fn memory(&self) -> usize {
        self.machines.memory() + self.clients.memory() + self.robots.memory()
    }

    /// The machine of a text.
    pub(super) fn machine(&self, text: &str, is_television: bool, effort: &mut Effort) -> Option<Machine> {
        let text = url::cut(text, MAX_TEXT);
        let candidates = self.machines.candidates(text);
        let televisions = if is_television { self.maker(text, &candidates, true, effort) } else { None };
        let (maker, groups) = televisions.or_else(|| self.maker(text, &candidates, false, effort))?;
        let models = &self.models[maker.models.start as usize..maker.models.end as usize];
        if let [Model { name, .. }] = models
            && !maker.has_list
        {
            return Some(names::machine(&maker.name, model_name(&groups, name)));
        }
        // Their patterns follow those of the maker.
        let first = maker.gates.end;
        let of_models = first..first + models.len() as u32;
        for id in within(&candidates, &of_models) {
            if let Some(groups) = self.patterns.find(id, text, effort) {
                let model = &models[(id - first) as usize];
                return Some(names::machine(
                    model.maker.as_deref().unwrap_or(&maker.name),
                    model_name(&groups, &model.name),
                ));
            }
        }
        Some(names::machine(&maker.name, None))
    }

    /// The first maker, of televisions or of other machines, that the text is of.
    fn maker<'t>(
        &self,
        text: &'t str,
        candidates: &[u32],
        is_television: bool,
        effort: &mut Effort,
    ) -> Option<(&Maker, Groups<'t>)> {
        let mut rest = candidates;
        while let Some(id) = rest.first() {
            let maker = self.makers.get(self.makers.partition_point(|maker| maker.gates.end <= *id))?;
            if maker.is_television == is_television {
                let mut gates = within(rest, &maker.gates);
                let found = gates.find_map(|gate| self.patterns.find(gate, text, effort));
                if let Some(groups) = found {
                    return Some((maker, groups));
                }
            }
            rest = &rest[rest.partition_point(|id| *id < maker.gates.end)..];
        }
        None
    }

    /// The browser or app of a text.
    pub(super) fn client(&self, text: &str, effort: &mut Effort) -> Option<Client> {
        let (rule, groups) = self.first(&self.clients, text, effort)?;
        let name = bounded(groups.fill(&rule.name))?;
        let version = groups.fill(&rule.detail).replace('_', ".");
        let version = version.trim_matches(['.', ' ']);
        let is_version = version.len() <= 32 && version.starts_with(|c: char| c.is_ascii_digit());
        Some(Client { name: names::client(name), version: is_version.then(|| version.to_owned()) })
    }

    /// Name and purpose of the robot that a text is of.
    pub(super) fn robot(&self, text: &str, effort: &mut Effort) -> Option<(String, Category)> {
        let (rule, groups) = self.first(&self.robots, text, effort)?;
        let category = match rule.part {
            Part::Libraries => Category::Library,
            _ => names::purpose(&rule.detail),
        };
        Some((bounded(groups.fill(&rule.name))?, category))
    }

    fn first<'t>(&self, index: &Index, text: &'t str, effort: &mut Effort) -> Option<(&Named, Groups<'t>)> {
        let text = url::cut(text, MAX_TEXT);
        index.candidates(text).into_iter().find_map(|id| {
            let groups = self.patterns.find(id, text, effort)?;
            let rule = self.named.get(self.named.partition_point(|rule| rule.patterns.end <= id))?;
            Some((rule, groups))
        })
    }
}

/// Of sorted numbers those that lie in a range.
fn within(sorted: &[u32], range: &Range<u32>) -> impl Iterator<Item = u32> {
    let start = sorted.partition_point(|id| *id < range.start);
    let end = sorted.partition_point(|id| *id < range.end);
    sorted[start..end.max(start)].iter().copied()
}

impl fmt::Debug for Detector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detector").field("rules", &self.rules()).field("skipped", &self.skipped()).finish()
    }
}

/// Names are written with underscores where texts have them.
fn model_name(groups: &Groups<'_>, template: &str) -> Option<String> {
    let filled = groups.fill(template).replace('_', " ");
    let name = filled.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    bounded(name).filter(|name| name != "Build")
}

fn bounded(name: String) -> Option<String> {
    let name = name.trim();
    ((1..=MAX_NAME).contains(&name.len()) && !name.contains(char::is_control)).then(|| name.to_owned())
}
