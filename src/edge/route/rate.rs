//! How often something may happen: so many times in a second, a minute or an hour.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::edge::number_or_text::{self, NumberOrText};

/// Highest rate, in a second, which is no limit any more.
const MAX_RATE: u64 = 1_000_000;

/// `20` or `20/s`, `5/m`, `100/h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many times; 0 only where nothing is said.
    pub times: u32,
    /// In this unit.
    pub per: Unit,
}

/// Of a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Second,
    Minute,
    Hour,
}

impl Unit {
    /// How long it is.
    pub fn time(self) -> Duration {
        Duration::from_secs(match self {
            Unit::Second => 1,
            Unit::Minute => 60,
            Unit::Hour => 3600,
        })
    }
}

impl Rate {
    /// None in any time: what stands where nothing is said.
    pub const NONE: Rate = Rate { times: 0, per: Unit::Second };

    /// Whether it limits anything: one at least, and a million a second at most.
    pub fn is_sound(self) -> bool {
        (1..=MAX_RATE * self.per.time().as_secs()).contains(&self.times.into())
    }

    /// What to say in its place.
    pub fn hint() -> String {
        format!("1 to {MAX_RATE} {}", Rate::EXPECTED)
    }
}

impl NumberOrText for Rate {
    const EXPECTED: &str = "requests a second, such as `20` or `20/s`, or `5/m` (a minute), `100/h` (an hour)";
}

impl FromStr for Rate {
    type Err = String;
    fn from_str(text: &str) -> Result<Rate, String> {
        let (times, unit) = text.split_once('/').unwrap_or((text, "s"));
        let per = match unit.trim() {
            "s" => Some(Unit::Second),
            "m" => Some(Unit::Minute),
            "h" => Some(Unit::Hour),
            _ => None,
        };
        match (times.trim().parse(), per) {
            (Ok(times), Some(per)) => Ok(Rate { times, per }),
            _ => Err(format!("`{text}` is no rate; hint: say {}", Rate::EXPECTED)),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.per {
            Unit::Second => "",
            Unit::Minute => "/m",
            Unit::Hour => "/h",
        };
        write!(f, "{}{unit}", self.times)
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.per {
            Unit::Second => serializer.serialize_u32(self.times),
            Unit::Minute | Unit::Hour => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Rate, D::Error> {
        number_or_text::deserialize(deserializer)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_units() {
        for (json, printed, every) in [
            ("20", "20", Duration::from_millis(50)),
            (r#""20""#, "20", Duration::from_millis(50)),
            (r#""20/s""#, "20", Duration::from_millis(50)),
            (r#""5/m""#, r#""5/m""#, Duration::from_secs(12)),
            (r#""100/h""#, r#""100/h""#, Duration::from_secs(36)),
        ] {
            let rate: Rate = serde_json::from_str(json).unwrap();
            assert_eq!((serde_json::to_string(&rate).unwrap(), rate.is_sound()), (printed.to_owned(), true), "{json}");
            assert_eq!(rate.per.time() / rate.times, every, "{json}");
        }
        for wrong in [r#""5/d""#, r#""5/""#, r#""/m""#, r#""a/m""#, "-1", "1.5", r#""-1/m""#, "99999999999"] {
            let error = serde_json::from_str::<Rate>(wrong).unwrap_err().to_string();
            assert!(error.contains("a minute"), "{wrong}: {error}");
        }
        for (unsound, sound) in [("0/m", "1/m"), ("1000001", "1000000"), ("0", "60000000/m")] {
            let is_sound = |text: &str| text.parse::<Rate>().unwrap().is_sound();
            assert!(!is_sound(unsound) && is_sound(sound), "{unsound} {sound}");
        }
    }
}
