//! Where events go: into delivery, or into the wait for it. A process that goes on for another one serves the site while
//! the other still owns the spool; events that come meanwhile wait here, for seconds.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::{Semaphore, watch},
    time::timeout,
};

use crate::deliver::{Delivery, Health};

/// Most that may wait, in KiB of rows. At 20,000 events a second of 1 kB, three seconds' worth.
const MAX_WAITING: usize = 64 << 10;

/// See the module. Clones are the same one.
#[derive(Clone)]
pub struct Intake(Arc<Inner>);

struct Inner {
    delivery: OnceLock<Delivery>,
    is_open: watch::Sender<bool>,
    waiting: Semaphore,
    /// Requests with events that are being served.
    events: AtomicUsize,
    /// Whoever waits for destinations must not wait any longer.
    is_late: watch::Sender<bool>,
    /// Why the spool could not be had, though its owner is gone.
    trouble: Mutex<Option<String>>,
}

/// A request with events that is being served, for as long as it lives.
pub struct Taking<'a>(&'a Inner);

impl Intake {
    /// Into this delivery.
    pub fn into(delivery: Delivery) -> Intake {
        let intake = Intake::pending();
        intake.open(delivery);
        intake
    }

    /// Into one that will be there.
    pub fn pending() -> Intake {
        Intake(Arc::new(Inner {
            delivery: OnceLock::new(),
            is_open: watch::Sender::new(false),
            waiting: Semaphore::new(MAX_WAITING),
            events: AtomicUsize::new(0),
            is_late: watch::Sender::new(false),
            trouble: Mutex::default(),
        }))
    }

    /// It is there; only the first one counts.
    pub fn open(&self, delivery: Delivery) {
        let _ = self.0.delivery.set(delivery);
        self.0.is_open.send_replace(true);
    }

    /// It cannot be had yet, and that is no matter of the process before.
    pub fn fail(&self, why: String) {
        *self.0.trouble.lock() = Some(why);
    }

    /// Delivery, if it is there.
    pub fn delivery(&self) -> Option<&Delivery> {
        self.0.delivery.get()
    }

    /// Delivery, after a wait for it with rows of so many bytes in hand. None when it takes longer than `patience`, or when so many
    /// wait that no more should.
    pub async fn ready(&self, bytes: usize, patience: Duration) -> Option<&Delivery> {
        if let Some(delivery) = self.delivery() {
            return Some(delivery);
        }
        let _place = self.0.waiting.try_acquire_many(u32::try_from(bytes / 1024 + 1).ok()?).ok()?;
        let mut is_open = self.0.is_open.subscribe();
        let waited = timeout(patience, is_open.wait_for(|open| *open)).await;
        waited.ok()?.ok()?;
        self.delivery()
    }

    /// Counts a request with events until the guard is dropped.
    pub fn enter(&self) -> Taking<'_> {
        self.0.events.fetch_add(1, Ordering::AcqRel);
        Taking(&self.0)
    }

    /// Requests with events that are being served.
    pub fn events(&self) -> usize {
        self.0.events.load(Ordering::Acquire)
    }

    /// Has [`late`](Intake::late) return: the process will soon be gone, and whoever waits should hear something before.
    pub fn hasten(&self) {
        self.0.is_late.send_replace(true);
    }

    /// Returns when there is no more time to wait for destinations.
    pub async fn late(&self) {
        // The sender lives as long as this.
        let _ = self.0.is_late.subscribe().wait_for(|late| *late).await;
    }

    /// Whether requests should come. They should while events only wait.
    pub fn health(&self) -> Health {
        if let Some(delivery) = self.delivery() {
            return delivery.health();
        }
        match self.0.trouble.lock().clone() {
            Some(why) => Health { ready: false, reasons: vec![format!("the spool: {why}")] },
            None => Health { ready: true, reasons: vec!["events wait for the process before this one".to_owned()] },
        }
    }
}

impl Drop for Taking<'_> {
    fn drop(&mut self) {
        self.0.events.fetch_sub(1, Ordering::AcqRel);
    }
}
