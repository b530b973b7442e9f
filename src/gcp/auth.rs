//! Who we are to Google: access tokens, fetched by one caller for all, before they run out.
//!
//! [`Tokens::credential`] costs a load while a token is fresh. From five minutes before its end it is renewed behind the
//! callers' backs, not by all instances in the same moment; only without a valid token do they wait, and then for one and
//! the same fetch. A fetch that fails leaves the old token in use until it expires, and is not repeated at once.

mod defaults;

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use http::HeaderValue;
use serde::{Deserialize, Serialize};
use tokio::{sync::Mutex, time::Instant};

use self::defaults::DefaultCredentials;

/// Renewed this long before its end. The metadata server gives a new token from five minutes before, not earlier.
const EARLY: Duration = Duration::from_secs(300);
/// Up to so much later, by chance: instances that started together do not ask together for ever.
const JITTER: Duration = Duration::from_secs(60);
/// Longest wait for a token.
const DEADLINE: Duration = Duration::from_secs(5);
/// Rest after a fetch that failed.
const REST: Duration = Duration::from_secs(1);
/// A token from a file is read again this often: whoever writes the file rotates it.
const FILE_LIFE: Duration = Duration::from_secs(60);

/// Where tokens come from, as people configure it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// Application default credentials: the file that `GOOGLE_APPLICATION_CREDENTIALS` names, what `gcloud auth
    /// application-default login` left, or the metadata server of Google Cloud's machines.
    #[default]
    Adc,
    /// No token is sent: for emulators.
    None,
    /// A file that holds an access token, and that somebody else keeps fresh.
    TokenFile(PathBuf),
}

/// A bearer token.
pub struct Token {
    /// What goes behind `Bearer`.
    pub secret: String,
    /// How long it will be valid.
    pub lifetime: Duration,
    /// The project whose quota calls use, where the token is a person's and its owner named one.
    pub quota_project: Option<String>,
}

/// What a call shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Credential {
    /// The value of `authorization`.
    pub authorization: HeaderValue,
    /// The value of [`QUOTA_PROJECT`].
    pub quota_project: Option<HeaderValue>,
}

/// Header with the project whose quota a person's calls use. Without it they would use that of the project in which `gcloud`
/// itself is registered, and several APIs, Pub/Sub among them, refuse that.
pub const QUOTA_PROJECT: &str = "x-goog-user-project";

/// Never shows the secret.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

/// Gets tokens from somewhere.
#[async_trait]
pub trait Source: Send + Sync {
    /// A new token. May hang: the caller has a deadline.
    async fn fetch(&self) -> Result<Token, AuthError>;
}

/// Why there is no token.
#[derive(Clone, Debug, thiserror::Error)]
#[error("no access token: {0}")]
pub struct AuthError(Arc<str>);

impl AuthError {
    /// With these words.
    pub fn new(words: impl fmt::Display) -> AuthError {
        AuthError(words.to_string().into())
    }
}

/// Tokens for all callers. Clones share them.
#[derive(Clone)]
pub struct Tokens(Option<Arc<Shared>>);

struct Shared {
    source: Box<dyn Source>,
    held: ArcSwapOption<Held>,
    /// Held while a token is fetched; inside, the last failure.
    fetching: Mutex<Option<(Instant, AuthError)>>,
}

struct Held {
    credential: Credential,
    renew: Instant,
    expires: Instant,
}

impl Tokens {
    /// As configured.
    pub fn new(auth: &Auth) -> Tokens {
        match auth {
            Auth::Adc => Tokens::from_source(DefaultCredentials),
            Auth::None => Tokens::none(),
            Auth::TokenFile(path) => Tokens::from_source(TokenFile(path.clone())),
        }
    }

    /// No token is sent.
    pub fn none() -> Tokens {
        Tokens(None)
    }

    /// From a source of one's own.
    pub fn from_source(source: impl Source + 'static) -> Tokens {
        let (held, fetching) = (ArcSwapOption::empty(), Mutex::default());
        Tokens(Some(Arc::new(Shared { source: Box::new(source), held, fetching })))
    }

    /// What a call shows; `None` where no token is to be sent.
    pub async fn credential(&self) -> Result<Option<Credential>, AuthError> {
        let Some(shared) = &self.0 else { return Ok(None) };
        let now = Instant::now();
        if let Some(held) = &*shared.held.load() {
            if now < held.renew {
                return Ok(Some(held.credential.clone()));
            }
            if now < held.expires {
                shared.clone().renew_behind();
                return Ok(Some(held.credential.clone()));
            }
        }
        shared.renew().await.map(Some)
    }

    /// The server would not have this token: the next caller gets another one. A newer one stays.
    pub fn invalidate(&self, refused: &Credential) {
        let Some(shared) = &self.0 else { return };
        let current = shared.held.load();
        if current.as_ref().is_some_and(|held| held.credential == *refused) {
            shared.held.compare_and_swap(&current, None);
        }
    }
}

impl Shared {
    /// Renews on a task of its own, unless somebody does so already.
    fn renew_behind(self: Arc<Shared>) {
        if self.fetching.try_lock().is_ok() {
            tokio::spawn(async move {
                if let Err(error) = self.renew().await {
                    tracing::warn!(%error, "access token could not be renewed, the old one is used while it is valid");
                }
            });
        }
    }

    async fn renew(&self) -> Result<Credential, AuthError> {
        let mut failure = self.fetching.lock().await;
        // Whoever waited for the lock finds what the one before brought: a token or a fresh failure.
        let now = Instant::now();
        if let Some(held) = self.held.load().as_ref().filter(|held| now < held.renew) {
            return Ok(held.credential.clone());
        }
        if let Some((at, error)) = &*failure
            && now < *at + REST
        {
            return Err(error.clone());
        }
        let fetched = tokio::time::timeout(DEADLINE, self.source.fetch()).await;
        let token = match fetched.unwrap_or_else(|_| Err(AuthError::new("the source does not answer"))) {
            Ok(token) => token,
            Err(error) => {
                *failure = Some((Instant::now(), error.clone()));
                return Err(error);
            }
        };
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", token.secret))
            .map_err(|_| AuthError::new("the token has characters that no header may have"))?;
        authorization.set_sensitive(true);
        let quota_project = token.quota_project.map(HeaderValue::try_from).transpose();
        let quota_project = quota_project.map_err(|_| AuthError::new("the quota project is no project's name"))?;
        let credential = Credential { authorization, quota_project };
        let now = Instant::now();
        let early = EARLY.min(token.lifetime / 2);
        let renew = now + token.lifetime - early + JITTER.min(early / 4).mul_f64(fastrand::f64());
        let held = Held { credential: credential.clone(), renew, expires: now + token.lifetime };
        self.held.store(Some(Arc::new(held)));
        *failure = None;
        Ok(credential)
    }
}

/// A file that holds a token.
struct TokenFile(PathBuf);

#[async_trait]
impl Source for TokenFile {
    async fn fetch(&self) -> Result<Token, AuthError> {
        let path = self.0.display();
        let text = tokio::fs::read_to_string(&self.0).await;
        let text = text.map_err(|error| AuthError::new(format!("cannot read `{path}`: {error}")))?;
        match text.trim() {
            "" => Err(AuthError::new(format!("`{path}` is empty"))),
            secret => Ok(Token { secret: secret.to_owned(), lifetime: FILE_LIFE, quota_project: None }),
        }
    }
}

/// An error and what caused it, in one line.
pub fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        // Many errors repeat their cause in their own words.
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    // How rustls says that it knows no authority above a certificate, or another of the same name. Between here and Google
    // stands a proxy then that opens what is encrypted, or this machine has no list of authorities.
    if ["UnknownIssuer", "certificate: BadSignature"].iter().any(|words| text.contains(words)) {
        text.push_str(UNKNOWN_AUTHORITY);
    }
    text
}

/// What to do about a certificate that nobody vouches for.
const UNKNOWN_AUTHORITY: &str = " (this machine knows no authority that vouches for the server: install `ca-certificates`, \
                                 or name a file with the authority's certificate in `SSL_CERT_FILE`)";

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Counts fetches; fails while told to.
    #[derive(Clone, Default)]
    struct Fake(Arc<(AtomicUsize, parking_lot::Mutex<Option<&'static str>>)>);

    #[async_trait]
    impl Source for Fake {
        async fn fetch(&self) -> Result<Token, AuthError> {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let number = self.0.0.fetch_add(1, Ordering::SeqCst);
            let failure = *self.0.1.lock();
            if let Some(why) = failure {
                if why == "hang" {
                    std::future::pending::<()>().await;
                }
                return Err(AuthError::new(why));
            }
            let quota_project = Some("billed".to_owned());
            Ok(Token { secret: format!("t{number}"), lifetime: Duration::from_secs(3_600), quota_project })
        }
    }

    impl Fake {
        fn fetches(&self) -> usize {
            self.0.0.load(Ordering::SeqCst)
        }

        fn fail(&self, why: Option<&'static str>) {
            *self.0.1.lock() = why;
        }
    }

    async fn secret(tokens: &Tokens) -> Result<String, String> {
        let credential = tokens.credential().await.map_err(|error| error.to_string())?;
        Ok(credential.unwrap().authorization.to_str().unwrap().to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_callers_are_one_fetch() {
        let fake = Fake::default();
        let tokens = Tokens::from_source(fake.clone());
        let caller = |tokens: Tokens| tokio::spawn(async move { secret(&tokens).await });
        let callers: Vec<_> = (0..1_000).map(|_| caller(tokens.clone())).collect();
        for caller in callers {
            assert_eq!(caller.await.unwrap().unwrap(), "Bearer t0");
        }
        assert_eq!(fake.fetches(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_renewed_before_its_end_and_nobody_waits() {
        let fake = Fake::default();
        let tokens = Tokens::from_source(fake.clone());
        secret(&tokens).await.unwrap();
        tokio::time::advance(Duration::from_secs(3_290)).await;
        assert_eq!(secret(&tokens).await.unwrap(), "Bearer t0");
        assert_eq!(fake.fetches(), 1);
        tokio::time::advance(Duration::from_secs(80)).await;
        let before = Instant::now();
        assert_eq!(secret(&tokens).await.unwrap(), "Bearer t0");
        assert_eq!(before.elapsed(), Duration::ZERO);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(secret(&tokens).await.unwrap(), "Bearer t1");
        assert_eq!(fake.fetches(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn the_old_token_serves_until_its_end_and_a_failing_source_is_not_hammered() {
        let fake = Fake::default();
        let tokens = Tokens::from_source(fake.clone());
        secret(&tokens).await.unwrap();
        for why in ["metadata server is down", "hang"] {
            fake.fail(Some(why));
            tokio::time::advance(Duration::from_secs(1_700)).await;
            assert_eq!(secret(&tokens).await.unwrap(), "Bearer t0");
        }
        tokio::time::advance(Duration::from_secs(300)).await;
        let error = secret(&tokens).await.unwrap_err();
        assert_eq!(error, "no access token: the source does not answer");
        let fetches = fake.fetches();
        for _ in 0..100 {
            assert!(secret(&tokens).await.is_err());
        }
        assert_eq!(fake.fetches(), fetches);
        fake.fail(None);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(secret(&tokens).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_the_server_refused_is_replaced_once() {
        let fake = Fake::default();
        let tokens = Tokens::from_source(fake.clone());
        let first = tokens.credential().await.unwrap().unwrap();
        assert_eq!(first.quota_project.as_ref().unwrap(), "billed");
        tokens.invalidate(&first);
        assert_eq!(secret(&tokens).await.unwrap(), "Bearer t1");
        tokens.invalidate(&first);
        assert_eq!(secret(&tokens).await.unwrap(), "Bearer t1");
        assert_eq!(fake.fetches(), 2);
    }

    #[tokio::test]
    async fn a_file_may_be_rotated_and_its_faults_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let tokens = Tokens::new(&Auth::TokenFile(path.clone()));
        assert!(secret(&tokens).await.unwrap_err().contains("cannot read"));
        std::fs::write(&path, "first\n").unwrap();
        let tokens = Tokens::new(&Auth::TokenFile(path.clone()));
        assert_eq!(secret(&tokens).await.unwrap(), "Bearer first");
        std::fs::write(&path, "second\n").unwrap();
        let bearer = |text| Credential { authorization: HeaderValue::from_static(text), quota_project: None };
        tokens.invalidate(&bearer("Bearer first"));
        assert_eq!(secret(&tokens).await.unwrap(), "Bearer second");
        std::fs::write(&path, "a\u{7}b").unwrap();
        tokens.invalidate(&bearer("Bearer second"));
        assert!(!secret(&tokens).await.unwrap_err().contains("a\u{7}b"), "secrets stay out of errors");
    }

    #[tokio::test(start_paused = true)]
    async fn instances_that_start_together_do_not_renew_together() {
        let mut renewals = Vec::new();
        for _ in 0..32 {
            let tokens = Tokens::from_source(Fake::default());
            secret(&tokens).await.unwrap();
            let held = tokens.0.as_ref().unwrap().held.load_full().unwrap();
            renewals.push(held.expires - held.renew);
        }
        renewals.sort();
        assert!(renewals[0] >= EARLY - JITTER && renewals[31] <= EARLY, "{renewals:?}");
        assert!(renewals[31] - renewals[0] > Duration::from_secs(10), "{renewals:?}");
    }

    #[test]
    fn the_setting_is_a_word_or_a_file() {
        assert_eq!(serde_json::from_str::<Auth>(r#""adc""#).unwrap(), Auth::Adc);
        assert_eq!(serde_json::from_str::<Auth>(r#""none""#).unwrap(), Auth::None);
        let file = serde_json::from_str::<Auth>(r#"{"token_file":"/run/token"}"#).unwrap();
        assert_eq!(file, Auth::TokenFile("/run/token".into()));
    }
}
