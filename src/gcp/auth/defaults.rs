//! Application default credentials: where Google's own clients look for them, as far as `gcp_auth` can use what is there.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use gcp_auth::{ConfigDefaultCredentials, CustomServiceAccount, MetadataServiceAccount, TokenProvider};
use serde::Deserialize;

use super::{AuthError, Source, Token, with_causes};

/// Scope of every call: what may really be done is decided by the roles of the account.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// Application default credentials.
pub struct DefaultCredentials;

#[async_trait]
impl Source for DefaultCredentials {
    /// Looks for credentials anew each time: a provider of `gcp_auth` would give its own token again until shortly
    /// before the end. Unlike `gcp_auth::provider` it never runs the `gcloud` command, which blocks for seconds.
    async fn fetch(&self) -> Result<Token, AuthError> {
        let failed = |error: gcp_auth::Error| AuthError::new(with_causes(&error));
        let named = std::env::var_os("GOOGLE_APPLICATION_CREDENTIALS").map(PathBuf::from);
        let left = std::env::home_dir().map(|home| home.join(LEFT_BY_GCLOUD));
        if let Some(path) = &named {
            usable(path, &["service_account"]).await?;
        } else if let Some(path) = &left {
            usable(path, &["authorized_user"]).await?;
        }
        let mut quota_project = None;
        let provider: Box<dyn TokenProvider> = if let Some(key) = CustomServiceAccount::from_env().map_err(failed)? {
            Box::new(key)
        } else if let Ok(user) = ConfigDefaultCredentials::new().await {
            // Of a user's file the provider's project is the quota project, and there may be none.
            quota_project = user.project_id().await.ok().map(|project| project.to_string());
            Box::new(user)
        } else {
            let machine = MetadataServiceAccount::new().await.map_err(|error| {
                AuthError::new(format!(
                    "`GOOGLE_APPLICATION_CREDENTIALS` is not set, there are no default credentials of a user, and the \
                     metadata server of Google Cloud says: {}; hint: set the variable to a service account's key file, \
                     run `gcloud auth application-default login`, or give the machine a service account",
                    with_causes(&error)
                ))
            })?;
            Box::new(machine)
        };
        let token = provider.token(&[SCOPE]).await.map_err(failed)?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let end = Duration::from_secs(u64::try_from(token.expires_at().timestamp()).unwrap_or_default());
        Ok(Token { secret: token.as_str().to_owned(), lifetime: end.saturating_sub(now), quota_project })
    }
}

/// Where `gcloud auth application-default login` leaves credentials, below the home.
const LEFT_BY_GCLOUD: &str = ".config/gcloud/application_default_credentials.json";

/// Whether credentials in this file are of a kind that we can use. What cannot be read is left to whoever uses it.
async fn usable(path: &Path, kinds: &[&str]) -> Result<(), AuthError> {
    #[derive(Deserialize)]
    struct File {
        #[serde(rename = "type")]
        kind: String,
    }
    let Ok(text) = tokio::fs::read(path).await else { return Ok(()) };
    let Ok(File { kind }) = serde_json::from_slice::<File>(&text) else { return Ok(()) };
    if kinds.contains(&&*kind) {
        return Ok(());
    }
    let path = path.display();
    let what = match &*kind {
        "external_account" | "external_account_authorized_user" => " (workload or workforce identity federation)",
        _ => "",
    };
    let kind: String = kind.chars().take(64).collect();
    Err(AuthError::new(format!(
        "`{path}` holds credentials of type `{kind}`{what}, which cannot be used here, but `{}` can; hint: give the machine a \
         service account, or have a program that can use them write access tokens into a file, and name that in `auth: \
         {{token_file: …}}`",
        kinds.join("`, `"),
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn credentials_that_cannot_be_used_are_named_with_what_can() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("adc.json");
        usable(&path, &["authorized_user"]).await.unwrap();
        for (text, expected) in [
            (
                r#"{"type":"external_account","audience":"//iam.googleapis.com/x"}"#,
                Some("workload or workforce identity"),
            ),
            (r#"{"type":"impersonated_service_account"}"#, Some("`impersonated_service_account`")),
            (r#"{"type":"authorized_user","refresh_token":"secret"}"#, None),
            (r#"{"no":"type"}"#, None),
            ("secret", None),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = usable(&path, &["authorized_user"]).await.err().map(|error| error.to_string());
            match (error, expected) {
                (None, None) => {}
                (Some(error), Some(words)) => assert!(error.contains(words) && error.contains("token_file"), "{error}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }
}
