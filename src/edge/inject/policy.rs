//! Whether a page's content security policy lets a script of its own origin run (CSP level 3).

/// What a policy asks of the tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consent {
    /// It may run as it is.
    Free,
    /// It may run with this nonce.
    Nonce(String),
    /// It would not run, and the page's owner would get a report.
    Blocked,
}

/// What all of a page's policies together ask of a script of its own, at `path` on `host`. A page without policies asks
/// nothing. Several may stand in one header, with commas between.
pub fn consent<'a>(policies: impl Iterator<Item = &'a str>, host: &str, path: &str, secure: bool) -> Consent {
    let asked: Vec<Asks<'_>> =
        policies.flat_map(|line| line.split(',')).map(|policy| asks(policy, host, path, secure)).collect();
    if asked.iter().any(|asks| asks.is_hopeless) {
        return Consent::Blocked;
    }
    let Some(strict) = asked.iter().find(|asks| !asks.is_free) else { return Consent::Free };
    // One that all of those know which do not take it without.
    let common = |nonce: &&&str| asked.iter().all(|asks| asks.is_free || asks.nonces.contains(*nonce));
    strict.nonces.iter().find(common).map_or(Consent::Blocked, |nonce| Consent::Nonce((*nonce).to_owned()))
}

/// What one policy asks.
struct Asks<'a> {
    is_free: bool,
    is_hopeless: bool,
    nonces: Vec<&'a str>,
}

fn asks<'a>(policy: &'a str, host: &str, path: &str, secure: bool) -> Asks<'a> {
    let directives = policy.split(';').filter_map(|directive| {
        let mut words = directive.split_ascii_whitespace();
        Some((words.next()?, words))
    });
    let (mut element, mut script, mut default, mut is_hopeless) = (None, None, None, false);
    for (name, words) in directives {
        // Of several with one name, the first counts.
        let slot = match &*name.to_ascii_lowercase() {
            "script-src-elem" => &mut element,
            "script-src" => &mut script,
            "default-src" => &mut default,
            "sandbox" => {
                is_hopeless |= !words.clone().any(|word| word.eq_ignore_ascii_case("allow-scripts"));
                continue;
            }
            _ => continue,
        };
        slot.get_or_insert(words);
    }
    let Some(sources) = element.or(script).or(default) else {
        return Asks { is_free: true, is_hopeless, nonces: Vec::new() };
    };
    let sources: Vec<&str> = sources.collect();
    let is = |word: &str| sources.iter().any(|source| source.eq_ignore_ascii_case(word));
    let nonce = |source: &&'a str| {
        let inner = source.strip_prefix('\'')?.strip_suffix('\'')?;
        let (word, nonce) = inner.split_at_checked(6)?;
        let visible = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_=".contains(&byte);
        (word.eq_ignore_ascii_case("nonce-") && !nonce.is_empty() && nonce.bytes().all(visible)).then_some(nonce)
    };
    let allowed = sources.iter().any(|source| allows(source, host, path, secure));
    Asks {
        // Trust that is passed on leaves no room for places.
        is_free: allowed && !is("'strict-dynamic'"),
        is_hopeless,
        nonces: sources.iter().filter_map(nonce).collect(),
    }
}

/// Whether a source of the list is, or has, the place of the script.
fn allows(source: &str, host: &str, path: &str, secure: bool) -> bool {
    let lower = source.to_ascii_lowercase();
    match &*lower {
        "'self'" | "*" => return true,
        "https:" => return secure,
        "http:" => return true,
        _ => {}
    }
    if lower.starts_with('\'') {
        return false;
    }
    let (scheme, rest) = source.split_once("://").map_or((None, source), |(scheme, rest)| (Some(scheme), rest));
    // Plain HTTP may always become HTTPS.
    let fits = |scheme: &str| scheme.eq_ignore_ascii_case("http") || (secure && scheme.eq_ignore_ascii_case("https"));
    if scheme.is_some_and(|scheme| !fits(scheme)) {
        return false;
    }
    let (place, below) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let below = if below.ends_with('/') { path.starts_with(below) } else { below.is_empty() || path == below };
    let bare = |text: &str| -> String {
        let name =
            text.rsplit_once(':').filter(|(_, port)| *port == "*" || port.bytes().all(|byte| byte.is_ascii_digit()));
        name.map_or(text, |(name, _)| name).to_ascii_lowercase()
    };
    let (place, host) = (bare(place), bare(host));
    let within = place.strip_prefix('*').filter(|suffix| suffix.starts_with('.'));
    below
        && !place.is_empty()
        && within.map_or(place == host, |suffix| host.ends_with(suffix) && host.len() > suffix.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(policies: &[&str], expected: Consent) {
        let found = consent(policies.iter().copied(), "www.example.com", "/static/v6.js", true);
        assert_eq!(found, expected, "{policies:?}");
    }

    #[test]
    fn scripts_of_the_pages_own_origin_mostly_may() {
        for policy in [
            "",
            "img-src 'none'; object-src 'none'",
            "default-src 'self'",
            "default-src 'none'; script-src 'self' 'unsafe-inline'",
            "script-src 'none'; script-src-elem 'Self'",
            "script-src *",
            "script-src https:",
            "script-src https://*.example.com",
            "script-src www.example.com:443",
            "script-src https://www.example.com/static/",
            "script-src https://www.example.com/static/v6.js",
            "SCRIPT-SRC 'self' 'nonce-abc'; script-src 'none'",
            "sandbox allow-scripts; script-src 'self'",
        ] {
            check(&[policy], Consent::Free);
        }
        check(&["default-src 'self'", "script-src 'self', img-src *"], Consent::Free);
    }

    #[test]
    fn a_nonce_is_used_where_it_is_asked_for() {
        let nonce = || Consent::Nonce("R4nd0m+/=".into());
        check(&["script-src 'nonce-R4nd0m+/=' 'strict-dynamic' https: 'unsafe-inline'"], nonce());
        check(&["script-src 'self' 'strict-dynamic' 'nonce-R4nd0m+/='"], nonce());
        check(
            &["script-src 'self'", "script-src 'nonce-a' 'nonce-R4nd0m+/='", "default-src 'nonce-R4nd0m+/='"],
            nonce(),
        );
        check(&["script-src 'nonce-a'", "script-src 'nonce-b'"], Consent::Blocked);
        check(&["script-src 'nonce-\"><script>'"], Consent::Blocked);
    }

    #[test]
    fn what_would_be_blocked_is_known() {
        for policy in [
            "default-src 'none'",
            "script-src",
            "script-src 'sha256-abc='",
            "script-src 'self' 'strict-dynamic'",
            "script-src https://cdn.example.net",
            "script-src https://*.www.example.com",
            "script-src https://www.example.com/js/",
            "script-src data: blob:",
            "script-src 'unsafe-inline'",
            "sandbox; script-src 'self'",
        ] {
            check(&[policy], Consent::Blocked);
        }
        check(&["script-src 'self'", "default-src 'none'"], Consent::Blocked);
        assert_eq!(consent(["script-src https:"].into_iter(), "a", "/b", false), Consent::Blocked);
    }
}
