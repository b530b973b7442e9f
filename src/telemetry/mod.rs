//! What the process tells its operator: metrics and logs. Everyone may import it; it imports nothing of the house.

pub mod log;
pub mod metrics;
pub mod proxying;
mod seldom;

pub use metrics::{ByDataFile, Metrics};
pub use seldom::Seldom;
