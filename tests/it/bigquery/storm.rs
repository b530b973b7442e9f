//! Everything at once: random faults under load, and at the end every row is where it belongs.

use std::{collections::HashSet, time::Duration};

use real_streaming::{gcp::write::Timing, schema::Event};

use super::{DAY, Setup, World, freeze};
use crate::fakes::{
    bigquery::{Act, BigQuery, Listing},
    proxy::Proxy,
};

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
                world.fake.script([Act::random(&mut random)]);
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
