//! Who sends a hit: anybody, or a caller with an API key of the stream, whose word counts for more.
//!
//! Keys are kept as their SHA-256 only, and never printed. No salt and no slow hash: a key is random and long, not a
//! password.

use std::fmt;

use http::{HeaderMap, HeaderName, header};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use subtle::{Choice, ConstantTimeEq};

use super::Refusal;

/// Who sends a hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Anybody, such as a visitor's browser.
    Ordinary,
    /// It has one of the stream's API keys, and may say what the server would else find out for itself.
    Trusted,
}

/// `X-Api-Key`. It counts before `Authorization`, which platforms in front of us may need for themselves.
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// How a configured key says that it is a digest.
const DIGEST_MARK: &str = "sha256:";
/// Fewest and most characters of a key: sixteen random ones cannot be guessed, and every server takes a header of 512.
const KEY_LENGTHS: std::ops::RangeInclusive<usize> = 16..=512;

impl Caller {
    /// Reads the key a request carries, if it does.
    ///
    /// `X-Api-Key` is ours alone, so a wrong one is always refused. An `Authorization` is looked at only where the
    /// stream has keys and the scheme is `Bearer`: pages behind a password send theirs with every event.
    pub fn identify(headers: &HeaderMap, keys: &[ApiKey]) -> Result<Caller, Refusal> {
        let given = match headers.get(X_API_KEY) {
            Some(key) => key.as_bytes(),
            None if keys.is_empty() => return Ok(Caller::Ordinary),
            None => match headers.get(header::AUTHORIZATION).and_then(|value| bearer(value.as_bytes())) {
                Some(key) => key,
                None => return Ok(Caller::Ordinary),
            },
        };
        let given = ApiKey::of(given.trim_ascii());
        // Every key is compared, and every byte: the time taken tells nothing.
        let matches = keys.iter().fold(Choice::from(0), |found, key| found | key.0.ct_eq(&given.0));
        if bool::from(matches) { Ok(Caller::Trusted) } else { Err(Refusal::BadApiKey) }
    }
}

/// The token of `Bearer <token>`; `None` for other schemes.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(b"bearer".len())?;
    let ends = rest.first().is_none_or(|byte| byte.is_ascii_whitespace());
    (scheme.eq_ignore_ascii_case(b"bearer") && ends).then_some(rest)
}

/// An API key, as its SHA-256.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey([u8; 32]);

impl ApiKey {
    fn of(key: &[u8]) -> ApiKey {
        ApiKey(digest(&SHA256, key).as_ref().try_into().expect("a SHA-256 has 32 bytes"))
    }

    /// From 64 hexadecimal digits.
    fn of_digest(hex: &str) -> Option<ApiKey> {
        let digits = hex.as_bytes();
        if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16).unwrap_or(0) as u8;
            *byte = digit(pair[0]) << 4 | digit(pair[1]);
        }
        Some(ApiKey(bytes))
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(..)")
    }
}

/// Not even the digest is written: whoever chose a poor key would show it.
impl Serialize for ApiKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("(secret)")
    }
}

/// `sha256:` and the digest, or the key itself. Errors never repeat what was written.
impl<'de> Deserialize<'de> for ApiKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ApiKey, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.strip_prefix(DIGEST_MARK) {
            Some(hex) => ApiKey::of_digest(hex).ok_or_else(|| {
                de::Error::custom(
                    "`sha256:` is not followed by 64 hexadecimal digits; hint: `printf %s KEY | sha256sum` prints them",
                )
            }),
            None if !text.bytes().all(|byte| byte.is_ascii_graphic()) => Err(de::Error::custom(
                "an API key is plain ASCII without spaces; hint: make one with `openssl rand -hex 32`",
            )),
            None if !KEY_LENGTHS.contains(&text.len()) => Err(de::Error::custom(
                "an API key has 16 to 512 characters; hint: make one with `openssl rand -hex 32`",
            )),
            None => Ok(ApiKey::of(text.as_bytes())),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const KEY: &str = "correct-horse-battery";

    fn keys(json: &str) -> Vec<ApiKey> {
        serde_json::from_str(json).unwrap()
    }

    #[track_caller]
    fn check(keys: &[ApiKey], headers: &[(HeaderName, &str)], expected: Option<Caller>) {
        let map = headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect();
        let found = Caller::identify(&map, keys);
        assert_eq!(found.ok(), expected, "{headers:?}");
    }

    #[test]
    fn a_key_is_found_in_either_header() {
        let keys = keys(r#"["another-key-of-the-stream","correct-horse-battery"]"#);
        let (ordinary, trusted) = (Some(Caller::Ordinary), Some(Caller::Trusted));
        check(&keys, &[], ordinary);
        check(&keys, &[(X_API_KEY, KEY)], trusted);
        check(&keys, &[(X_API_KEY, " correct-horse-battery ")], trusted);
        for wrong in ["", "correct-horse-batter", "correct-horse-battery2", "CORRECT-HORSE-BATTERY", "(secret)"] {
            check(&keys, &[(X_API_KEY, wrong)], None);
        }
        for (value, expected) in [
            ("Bearer correct-horse-battery", trusted),
            ("bearer   correct-horse-battery", trusted),
            ("Bearer", None),
            ("Bearer ", None),
            ("Bearer wrong-horse-battery", None),
            ("Bearercorrect-horse-battery", ordinary),
            ("Basic dXNlcjpwYXNzd29yZA==", ordinary),
            ("", ordinary),
        ] {
            check(&keys, &[(header::AUTHORIZATION, value)], expected);
        }
        check(&keys, &[(header::AUTHORIZATION, "Bearer of-the-platform"), (X_API_KEY, KEY)], trusted);
        check(&keys, &[(header::AUTHORIZATION, "Bearer correct-horse-battery"), (X_API_KEY, "x")], None);
    }

    #[test]
    fn a_stream_without_keys_trusts_nobody() {
        check(&[], &[], Some(Caller::Ordinary));
        check(&[], &[(header::AUTHORIZATION, "Bearer of-the-page")], Some(Caller::Ordinary));
        check(&[], &[(X_API_KEY, KEY)], None);
        check(&[], &[(X_API_KEY, "")], None);
    }

    #[test]
    fn a_key_may_be_configured_as_its_digest() {
        // printf %s correct-horse-battery | sha256sum
        let hex = "62249369389075490555a758353aec61500c6218fa597252d52dc4bd0148f12d";
        for hex in [hex.to_owned(), hex.to_uppercase()] {
            let keys = keys(&format!(r#"["sha256:{hex}"]"#));
            check(&keys, &[(X_API_KEY, KEY)], Some(Caller::Trusted));
            // Who reads the configuration has no key yet.
            check(&keys, &[(X_API_KEY, &hex)], None);
            check(&keys, &[(X_API_KEY, &format!("sha256:{hex}"))], None);
        }
    }

    #[test]
    fn what_is_printed_holds_no_secret() {
        let keys = keys(r#"["correct-horse-battery"]"#);
        let printed = format!("{keys:?} {}", serde_json::to_string(&keys).unwrap());
        assert_eq!(printed, r#"[ApiKey(..)] ["(secret)"]"#);
        for wrong in ["short", "with a space in it", "nöt-plain-ascii-at-all", "sha256:0123456789abcdef"] {
            let error = serde_json::from_str::<ApiKey>(&format!("\"{wrong}\"")).unwrap_err().to_string();
            assert!(error.contains("; hint: ") && !error.contains(wrong), "{error}");
        }
    }
}
