//! What is wrong with a configuration: found by the parts, gathered and shown by `config`.

/// One thing wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Dotted path of the key, for example `routes[2].upstreams[0]`.
    pub path: String,
    /// What is wrong: lower case, no full stop, literals in backticks.
    pub message: String,
    /// What to do about it, when we know.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem without a hint.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Problem {
        Problem { path: path.into(), message: message.into(), hint: None }
    }

    /// Adds what to do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Problem {
        self.hint = Some(hint.into());
        self
    }
}
