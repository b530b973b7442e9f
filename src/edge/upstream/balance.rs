//! Which server is next: several answers to one question. Pure.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::IpAddr,
};

use super::address::At;

/// Weights laid out as turns, spread evenly: 3 and 1 become `[0, 0, 1, 0]`.
pub fn turns(weights: &[u8]) -> Vec<usize> {
    let divisor = weights.iter().map(|weight| u32::from(*weight)).fold(0, common_divisor).max(1);
    let weights: Vec<i64> = weights.iter().map(|weight| i64::from(u32::from(*weight) / divisor)).collect();
    let total: i64 = weights.iter().sum();
    // Smooth weighted round robin: everybody earns its weight, the richest is next and pays for all.
    let mut credit = vec![0; weights.len()];
    let mut turns = Vec::new();
    for _ in 0..total {
        credit.iter_mut().zip(&weights).for_each(|(credit, weight)| *credit += weight);
        let richest = (0..credit.len()).rev().max_by_key(|index| credit[*index]).unwrap_or(0);
        credit[richest] -= total;
        turns.push(richest);
    }
    turns
}

fn common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

/// The share of its requests that an address gets `now` which has been there `since` then, both in milliseconds since
/// some start: it grows evenly over `ramp` milliseconds. One that was there from the start (0) has all of it.
pub fn share(now: u64, since: u64, ramp: u64) -> f64 {
    let been = now.saturating_sub(since);
    if since == 0 || been >= ramp {
        return 1.0;
    }
    (been as f64 / ramp as f64).max(LEAST_SHARE)
}

/// Nothing at all would never show whether it can.
const LEAST_SHARE: f64 = 0.01;

/// Whether a turn is taken by somebody with this share: of any row of turns nearly that part, spread evenly.
pub fn takes(turn: usize, share: f64) -> bool {
    // Multiples of the golden ratio fall evenly between whole numbers, and those of every second or third turn, too.
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    // 53 bits, below 1.
    let place = ((turn as u64).wrapping_mul(GOLDEN) >> 11) as f64 / (1u64 << 53) as f64;
    share >= 1.0 || place < share
}

/// How strongly a client belongs to an address; the greatest is its own. A server that comes or goes moves only its own
/// clients (weighted rendezvous hashing), and every process comes to the same result.
pub fn bond(client: IpAddr, at: &At, weight: f64) -> f64 {
    let mut hasher = DefaultHasher::new();
    (client, at).hash(&mut hasher);
    // 53 bits, above 0 and below 1.
    let unit = ((hasher.finish() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    -weight / unit.ln()
}

/// What a visitor's cookie says for an address: nothing about the network behind.
pub fn tag(at: &At) -> String {
    let mut hasher = DefaultHasher::new();
    ("tag", at).hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_follow_weights_and_are_spread() {
        for (weights, expected) in [
            (&[1][..], &[0][..]),
            (&[1, 1, 1], &[0, 1, 2]),
            (&[100, 100], &[0, 1]),
            (&[3, 1], &[0, 0, 1, 0]),
            (&[5, 1, 1], &[0, 0, 1, 0, 2, 0, 0]),
            (&[], &[]),
        ] {
            assert_eq!(turns(weights), expected, "{weights:?}");
        }
    }

    #[test]
    fn a_share_grows_evenly_and_is_spread_over_the_turns() {
        let shares = [0, 5_000, 15_000, 29_999, 30_000, 90_000].map(|been| share(100_000 + been, 100_000, 30_000));
        assert_eq!(shares[0], LEAST_SHARE);
        assert!((shares[1] - 1.0 / 6.0).abs() < 1e-9 && (shares[2] - 0.5).abs() < 1e-9, "{shares:?}");
        assert_eq!(shares[4..], [1.0, 1.0]);
        assert_eq!((share(5, 0, 30_000), share(5, 5, 0), share(4, 5, 30_000)), (1.0, 1.0, LEAST_SHARE));
        for step in [1, 2, 3, 7] {
            for wanted in [0.01, 0.1, 0.5, 0.9] {
                let taken = (0..1000).filter(|turn| takes(turn * step, wanted)).count() as f64;
                assert!((taken / 1000.0 - wanted).abs() < 0.02, "every {step}. turn: {taken} of 1000 for {wanted}");
            }
        }
    }

    #[test]
    fn clients_are_spread_by_weight_and_stay_when_another_server_goes() {
        let servers = [(1, 1u8), (2, 1), (3, 2)].map(|(last, weight)| (At::Tcp(([10, 0, 0, last], 80).into()), weight));
        let own = |client: u32, servers: &[(At, u8)]| {
            let client = IpAddr::from(client.to_be_bytes());
            let bond = |server: &&(At, u8)| bond(client, &server.0, server.1.into());
            servers.iter().max_by(|a, b| bond(a).total_cmp(&bond(b))).map(|server| server.0.clone())
        };
        let count = |at: &At| (0..4000).filter(|client| own(*client, &servers).as_ref() == Some(at)).count();
        let shares = servers.each_ref().map(|(at, _)| count(at));
        assert!((800..1200).contains(&shares[0]) && (1800..2200).contains(&shares[2]), "{shares:?}");
        for client in 0..1000 {
            let before = own(client, &servers);
            let after = own(client, &servers[..2]);
            assert!(before == after || before.as_ref() == Some(&servers[2].0), "{client} moved for nothing");
        }
    }
}
