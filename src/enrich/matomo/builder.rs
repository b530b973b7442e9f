//! Rules on their way into a detector: patterns numbered in their order, words collected, until all files are read.

use std::ops::Range;

use super::{
    Detector, Fault, Maker, Model, Named, Part,
    index::{Index, Patterns, Words},
    pattern::{alternatives, has_references},
    yaml::Value,
};

/// Rules that are read so far.
pub(super) struct Builder {
    patterns: Patterns,
    machine_words: Words,
    makers: Vec<Maker>,
    models: Vec<Model>,
    client_words: Words,
    robot_words: Words,
    named: Vec<Named>,
}

impl Default for Builder {
    fn default() -> Builder {
        Builder {
            patterns: Patterns::new(),
            machine_words: Words::default(),
            makers: Vec::new(),
            models: Vec::new(),
            client_words: Words::default(),
            robot_words: Words::default(),
            named: Vec::new(),
        }
    }
}

impl Builder {
    /// A rule without a pattern is passed over, as is what a later edition of the format may add.
    pub(super) fn maker(&mut self, name: &str, rule: &Value, part: Part) -> Result<(), Fault> {
        let Some(regex) = rule.text("regex") else { return Ok(()) };
        let own = rule.text("model").unwrap_or_default();
        let words = &mut self.machine_words;
        let gates = add_all(&mut self.patterns, regex, has_references(own), words)?;
        let first = self.models.len() as u32;
        let list = rule.get("models");
        match list {
            Some(Value::List(models)) => {
                for model in models {
                    let Some(regex) = model.text("regex") else { continue };
                    let name = model.text("model").unwrap_or_default();
                    let id = self.patterns.len() as u32;
                    self.patterns.add(regex, has_references(name), words)?;
                    if self.patterns.len() as u32 > id {
                        let maker = model.text("brand").map(Box::from);
                        self.models.push(Model { name: name.into(), maker });
                    }
                }
            }
            _ => self.models.push(Model { name: own.into(), maker: None }),
        }
        self.makers.push(Maker {
            name: name.into(),
            gates,
            models: first..self.models.len() as u32,
            has_list: matches!(list, Some(Value::List(_))),
            is_television: part == Part::Televisions,
        });
        Ok(())
    }

    pub(super) fn named(&mut self, rule: &Value, part: Part) -> Result<(), Fault> {
        let (Some(regex), Some(name)) = (rule.text("regex"), rule.text("name")) else { return Ok(()) };
        let (words, key) = match part {
            Part::Clients => (&mut self.client_words, "version"),
            _ => (&mut self.robot_words, "category"),
        };
        let detail = rule.text(key).unwrap_or_default();
        let has_groups = has_references(name) || has_references(detail);
        let patterns = add_all(&mut self.patterns, regex, has_groups, words)?;
        self.named.push(Named { part, patterns, name: name.into(), detail: detail.into() });
        Ok(())
    }

    pub(super) fn build(self) -> Result<Detector, Fault> {
        Ok(Detector {
            machines: Index::new(self.machine_words)?,
            clients: Index::new(self.client_words)?,
            robots: Index::new(self.robot_words)?,
            patterns: self.patterns,
            makers: self.makers,
            models: self.models,
            named: self.named,
        })
    }
}

/// A long pattern is several short ones, of which a text needs few; not so when somebody asks for its groups.
fn add_all(patterns: &mut Patterns, regex: &str, has_groups: bool, words: &mut Words) -> Result<Range<u32>, Fault> {
    let start = patterns.len() as u32;
    if has_groups {
        patterns.add(regex, true, words)?;
    } else {
        for alternative in alternatives(regex) {
            patterns.add(alternative, false, words)?;
        }
    }
    Ok(start..patterns.len() as u32)
}
