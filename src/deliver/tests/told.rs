//! What the log says of a writer's troubles.

use std::fmt::{Debug, Write};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    subscriber::set_default,
};
use tracing_subscriber::{Layer, Registry, layer::Context, layer::SubscriberExt};

use super::*;

/// The messages of all lines, in order.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl<S: Subscriber> Layer<S> for Told {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        struct Message(String);
        impl Visit for Message {
            fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
                if field.name() == "message" {
                    write!(self.0, "{value:?}").unwrap();
                }
            }
        }
        let mut message = Message(String::new());
        event.record(&mut message);
        self.0.lock().push(message.0);
    }
}

impl Told {
    fn times(&self, message: &str) -> usize {
        self.0.lock().iter().filter(|told| *told == message).count()
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_though_the_one_before_was_told_just_now() {
    let told = Told::default();
    let _default = set_default(Registry::default().with(told.clone()));
    let world = World::new(Fake { acts: Mutex::new((0..5).map(|_| transient()).collect()), ..Fake::default() });
    world.accept([1]).await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!((world.taken().len(), told.times("delivery failed")), (1, 1), "it is one matter");
    // Less than ten seconds after that line.
    world.sink.acts.lock().push_back(transient());
    world.accept([1]).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!((world.taken().len(), told.times("delivery failed")), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_blocked_sink_is_told_of_every_minute_and_when_it_goes_on() {
    let told = Told::default();
    let _default = set_default(Registry::default().with(told.clone()));
    let world = World::new(Fake { acts: Mutex::new([blocked()].into()), ..Fake::default() });
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.sink.prepare_acts.lock().extend((0..10_000).map(|_| blocked()));
    world.accept([1]).await;
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    let lines = told.times("nothing is delivered until someone acts");
    // Between two looks are fifteen seconds at most.
    assert!((48..=60).contains(&lines), "{lines}");
    assert_eq!(told.times("delivery goes on"), 0);
    world.sink.prepare_acts.lock().clear();
    tokio::time::sleep(Duration::from_secs(60)).await;
    world.accept([1, 1]).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((world.taken().len(), told.times("delivery goes on")), (3, 1));
}
