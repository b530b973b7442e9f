//! Whether a stream that broke is opened again at once.

use tokio::time::Instant;
use tonic::Code;

use super::{Target, Timing, connection::Broken};

/// Idle closes in a row that are taken for what they say.
const MAX_IDLE_CLOSES: u32 = 3;

/// What a stream remembers of its breaks.
#[derive(Debug, Default)]
pub struct Hurry {
    /// When a broken stream was last opened again at once.
    hurried: Option<Instant>,
    /// A token was refused, and nothing was answered since.
    refused: bool,
    /// Streams that the server closed as idle since the last answer.
    idle_closes: u32,
}

impl Hurry {
    /// A request was answered.
    pub fn answered(&mut self) {
        (self.refused, self.idle_closes) = (false, 0);
    }

    /// Whether to open another connection at once; `answered` says whether the last one had worked.
    pub fn may(&mut self, broken: &Broken, answered: bool, target: &Target, timing: &Timing) -> bool {
        let Broken { failure, token } = broken;
        if failure.code == Code::Unauthenticated {
            let Some(token) = token else { return false };
            target.tokens.invalidate(token);
            return !std::mem::replace(&mut self.refused, true);
        }
        if failure.is_idle_close() {
            // The request crossed with the close: nothing is wrong but the stream's age. A server that says so again
            // and again means something else.
            self.idle_closes += 1;
            return self.idle_closes <= MAX_IDLE_CLOSES;
        }
        failure.passes() && answered && self.is_calm(timing)
    }

    /// Whether the last time is long enough ago; it begins anew then.
    pub fn is_calm(&mut self, timing: &Timing) -> bool {
        let now = Instant::now();
        let calm = self.hurried.is_none_or(|at| now - at >= timing.calm);
        if calm {
            self.hurried = Some(now);
        }
        calm
    }
}
