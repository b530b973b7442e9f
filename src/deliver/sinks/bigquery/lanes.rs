//! More streams to one table while one is not enough.
//!
//! A stream is saturated when the window is full and stays full although answers come: the service takes rows more slowly
//! over one connection than they are there. Then the same window is spread over one more connection, so what may be in
//! flight, and with it memory, does not grow. A service that stands still gets no connection more.
//!
//! Rows keep their order on each stream, not between them; the table has none. What is committed is, as ever, only what
//! lies below the lowest row that is not answered.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::gcp::write::{AppendError, Appended, Appender, MAX_IN_FLIGHT, Target, Timing, WriterSchema};

/// Most streams to one table: a connection takes 10 MB/s and more.
const MAX_LANES: usize = 4;

/// See the module.
pub struct Lanes {
    target: Target,
    timing: Timing,
    state: Arc<Mutex<State>>,
}

struct State {
    /// Streams, and their requests in flight.
    lanes: Vec<(Arc<Appender>, Arc<Mutex<usize>>)>,
    in_flight: usize,
    /// Since when the window is full, and the answers that came since.
    full: Option<(Instant, usize)>,
    /// Since when fewer lanes would do.
    quiet: Option<Instant>,
}

impl Lanes {
    /// With one stream.
    pub fn new(target: Target, timing: Timing) -> Lanes {
        let state = State { lanes: vec![lane(&target, timing)], in_flight: 0, full: None, quiet: None };
        Lanes { target, timing, state: Arc::new(Mutex::new(state)) }
    }

    /// [`Appender::append`], on the stream with the fewest requests in flight. Queued before the first wait.
    pub async fn append(&self, schema: Arc<WriterSchema>, rows: Vec<Bytes>) -> Result<Appended, AppendError> {
        let (appender, _flight) = self.board();
        let appended = appender.append(schema, rows).await;
        if let (Ok(_), Some((_, answers))) = (&appended, &mut self.state.lock().full) {
            *answers += 1;
        }
        appended
    }

    fn board(&self) -> (Arc<Appender>, Flight) {
        let now = Instant::now();
        let mut state = self.state.lock();
        let State { lanes, in_flight, full, quiet } = &mut *state;
        *in_flight += 1;
        if *in_flight >= MAX_IN_FLIGHT {
            let (since, answers) = *full.get_or_insert((now, 0));
            if now - since >= self.timing.saturated && answers >= MAX_IN_FLIGHT && lanes.len() < MAX_LANES {
                lanes.push(lane(&self.target, self.timing));
                tracing::info!(
                    stream = self.target.stream,
                    connections = lanes.len(),
                    "one more connection to the table"
                );
                *full = None;
            }
        } else if *in_flight < MAX_IN_FLIGHT / 2 {
            *full = None;
        }
        if *in_flight > MAX_IN_FLIGHT / 4 || lanes.len() == 1 {
            *quiet = None;
        } else if now - *quiet.get_or_insert(now) >= self.timing.quiet {
            // What it has in flight is still answered.
            lanes.pop();
            *quiet = None;
        }
        let lane = lanes.iter().min_by_key(|(_, load)| *load.lock()).expect("one lane stays");
        let (appender, load) = lane.clone();
        *load.lock() += 1;
        (appender, Flight { state: self.state.clone(), load })
    }
}

fn lane(target: &Target, timing: Timing) -> (Arc<Appender>, Arc<Mutex<usize>>) {
    (Arc::new(Appender::new(target.clone(), timing)), Arc::default())
}

/// A request in flight.
struct Flight {
    state: Arc<Mutex<State>>,
    load: Arc<Mutex<usize>>,
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.state.lock().in_flight -= 1;
        *self.load.lock() -= 1;
    }
}
