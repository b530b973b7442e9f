//! What was found, and what became of it.

use std::fmt::{self, Write};

use crate::deliver::sink::SinkError;

/// All resources, in the order in which they were looked at.
#[derive(Debug, Default)]
pub struct Report(Vec<Finding>);

/// One resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Kind and name.
    pub what: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Further lines: what was changed, or why something was not.
    pub details: Vec<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// What became of a resource; in a dry run, what would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is as it should be.
    Same,
    /// It was not there.
    Created,
    /// It was different.
    Changed,
    /// It is different in a way that is not changed.
    Differs,
    /// Nothing is known, or could be done.
    Failed,
}

impl Outcome {
    fn sign(self) -> char {
        match self {
            Outcome::Same => '=',
            Outcome::Created => '+',
            Outcome::Changed => '~',
            Outcome::Differs | Outcome::Failed => '!',
        }
    }
}

impl Finding {
    /// Of this resource, with nothing to add.
    pub fn new(outcome: Outcome, what: impl Into<String>) -> Finding {
        Finding { what: what.into(), outcome, details: Vec::new(), hint: None }
    }

    /// With such lines.
    pub fn details(mut self, details: impl IntoIterator<Item = String>) -> Finding {
        self.details.extend(details);
        self
    }

    /// With what to do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Finding {
        self.hint = Some(hint.into());
        self
    }
}

impl Report {
    /// Adds a resource. True when what depends on it can be seen to.
    pub fn add(&mut self, finding: Finding) -> bool {
        let goes_on = finding.outcome != Outcome::Failed;
        self.0.push(finding);
        goes_on
    }

    /// The resources.
    pub fn findings(&self) -> &[Finding] {
        &self.0
    }

    /// Whether everything is, or in a dry run would be, as configured.
    pub fn is_fine(&self) -> bool {
        self.0.iter().all(|finding| !matches!(finding.outcome, Outcome::Differs | Outcome::Failed))
    }

    /// `2 created, 1 as it should be`.
    pub fn summary(&self, dry_run: bool) -> String {
        let (created, changed) = if dry_run { ("to be created", "to be changed") } else { ("created", "changed") };
        let mut out = String::new();
        for (outcome, words) in [
            (Outcome::Created, created),
            (Outcome::Changed, changed),
            (Outcome::Same, "as it should be"),
            (Outcome::Differs, "different and left alone"),
            (Outcome::Failed, "failed"),
        ] {
            let count = self.0.iter().filter(|finding| finding.outcome == outcome).count();
            if count > 0 {
                let comma = if out.is_empty() { "" } else { ", " };
                write!(out, "{comma}{count} {words}").expect("a String takes all");
            }
        }
        out
    }
}

/// A line for each resource, what there is to say about it below.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Finding { what, outcome, details, hint } in &self.0 {
            writeln!(f, "{} {what}", outcome.sign())?;
            for line in details.iter().flat_map(|detail| detail.lines()) {
                writeln!(f, "    {line}")?;
            }
            if let Some(hint) = hint {
                writeln!(f, "    hint: {hint}")?;
            }
        }
        Ok(())
    }
}

/// A call about a resource that failed.
pub fn failed(what: impl Into<String>, error: SinkError) -> Finding {
    let finding = Finding::new(Outcome::Failed, what);
    match error {
        SinkError::Blocked { source, hint } => finding.details([source.to_string()]).hint(hint),
        error => finding.details([error.to_string()]).hint("this may pass: run `setup` again"),
    }
}
