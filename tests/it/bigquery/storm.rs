//! Everything at once: random faults under load, and at the end every row is where it belongs.

use std::{collections::HashSet, time::Duration};

use real_streaming::{
    gcp::{proto::rpc, write::Timing},
    schema::Event,
};
use tonic::Code;

use super::{DAY, Setup, World, freeze};
use crate::fakes::{
    bigquery::{Act, BigQuery, Listing},
    proxy::Proxy,
};

/// One of the faults that pass. None of them breaks the one rule that everything rests on: an answer to each request.
fn fault(random: &mut fastrand::Rng) -> Act {
    let quota = || rpc::Status { code: Code::ResourceExhausted as i32, message: "quota".into(), details: vec![] };
    let internal = || rpc::Status { code: Code::Internal as i32, message: "oops".into(), details: vec![] };
    match random.u8(0..8) {
        0 => Act::Close(Code::Unavailable, "elsewhere"),
        1 => Act::Close(Code::Aborted, "the connection is draining"),
        2 => Act::StoreAndClose(Code::Internal, "oops"),
        3 => Act::End,
        4 => Act::Answer(internal()),
        5 if random.u8(0..4) == 0 => Act::Answer(quota()),
        6 => Act::Update,
        _ => Act::Delay(Duration::from_millis(random.u64(0..30))),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_storm_of_faults_every_row_is_stored_or_a_dead_letter() {
    for seed in 0..3 {
        let mut random = fastrand::Rng::with_seed(seed);
        let fake = BigQuery::start().await;
        let proxy = Proxy::to(fake.grpc).await;
        let timing = Timing { calm: Duration::from_millis(20), ..Timing::default() };
        let mut world = World::with(fake, Setup { grpc: Some(proxy.addr), timing, ..Setup::default() });
        let mut bad = HashSet::new();
        for round in 0..60 {
            let rows = (0..random.usize(1..60)).map(|n| {
                let id = format!("s{seed}-r{round}-{n}");
                let is_bad = random.u8(0..50) == 0;
                bad.extend(is_bad.then(|| id.clone()));
                let name = if is_bad { "bad" } else { "good" };
                let event = Event { event_name: Some(name.into()), ..Event::default() };
                // Several days, so several batches at once.
                freeze(&id, event, DAY + random.i32(0..6))
            });
            world.accept_rows(rows.collect()).await;
            for _ in 0..random.usize(0..3) {
                world.fake.script([fault(&mut random)]);
            }
            world.state().listing = *random.choice(&[Listing::All, Listing::Some(1), Listing::Some(3)]).unwrap();
            match random.u8(0..12) {
                0 => proxy.reset(),
                1 => world.fake.cut(),
                2 => {
                    // The service forgets the table for a moment.
                    world.state().amnesia = true;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    world.state().amnesia = false;
                }
                _ => tokio::time::sleep(Duration::from_millis(random.u64(0..80))).await,
            }
        }
        world.state().script.clear();
        let settled = world.settled().await;
        assert_eq!(settled.letters.into_keys().collect::<HashSet<_>>(), bad, "seed {seed}");
        println!(
            "seed {seed}: {} rows, {} doubled, {} calls",
            world.accepted.len(),
            settled.doubled,
            world.state().calls
        );
    }
}
