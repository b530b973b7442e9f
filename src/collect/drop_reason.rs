//! Why one event of an accepted request is not kept.

/// The client was answered, this event ends here, and a metric says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// The event breaks the contract; its batch-mates do not suffer.
    Invalid,
    /// A robot, and the configuration drops robots.
    Bot,
    /// The user denied analytics storage, and the configuration drops such events.
    ConsentDenied,
}

impl DropReason {
    /// Value of the metric's label.
    pub const fn label(self) -> &'static str {
        match self {
            DropReason::Invalid => "invalid",
            DropReason::Bot => "bot",
            DropReason::ConsentDenied => "consent_denied",
        }
    }
}
