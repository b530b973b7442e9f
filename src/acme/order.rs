//! One order: account, proofs, certificate.

use std::{future::Future, io, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body_util::Limited;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use instant_acme::{
    Account, AccountBuilder, AuthorizationStatus, BodyWrapper, BytesResponse, ChallengeType, Error, HttpClient,
    Identifier, NewAccount, NewOrder, OrderStatus, RetryPolicy,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio::{task::spawn_blocking, time::timeout};

use super::{
    challenges::Challenges,
    config::{AcmeConfig, Wanted},
    store::Store,
};

/// For one request to the authority.
const REQUEST: Duration = Duration::from_secs(30);
/// For the whole order.
const ORDER: Duration = Duration::from_secs(300);
/// Longest answer read. A chain has some kB.
const MAX_ANSWER: usize = 1 << 20;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The authority refused, or cannot be reached.
    #[error("{0}")]
    Authority(#[from] Error),
    /// The authority did not believe that a domain is ours.
    #[error("`{domain}` could not be proved: {why}")]
    Proof {
        /// Which.
        domain: String,
        /// In the authority's words.
        why: String,
    },
    /// It took too long.
    #[error("no certificate within five minutes")]
    TooLong,
    /// What we have got cannot be kept, or what we need not be read.
    #[error("the state folder: {0}")]
    State(#[from] io::Error),
    /// A proof could not be made.
    #[error("{0}")]
    Certificate(#[from] rcgen::Error),
    /// What `directory_ca` names cannot be used.
    #[error("`directory_ca`: {0}")]
    Roots(String),
}

/// The ways to prove a domain that we know, in the order in which they are tried.
const KINDS: [ChallengeType; 2] = [ChallengeType::TlsAlpn01, ChallengeType::Http01];

/// Gets one certificate and keeps it. `attempt` tells the way of the proof: by TLS, and by HTTP when that
/// has failed; where the authority offers but one of them, that one.
pub async fn order(config: &AcmeConfig, wanted: &Wanted, challenges: &Challenges, attempt: u32) -> Result<(), Failed> {
    let kind = KINDS[attempt as usize % KINDS.len()].clone();
    let done = timeout(ORDER, place(config, wanted, challenges, &kind)).await;
    challenges.clear();
    done.unwrap_or(Err(Failed::TooLong))
}

async fn place(
    config: &AcmeConfig,
    wanted: &Wanted,
    challenges: &Challenges,
    kind: &ChallengeType,
) -> Result<(), Failed> {
    // All of them are one account's.
    let account = account(config, &Store::new(&config.state)).await?;
    let identifiers: Vec<_> = wanted.domains.iter().cloned().map(Identifier::Dns).collect();
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
    {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let domain = authorization.identifier().to_string();
            // Authorities need not offer both.
            let offered = |kind: &&ChallengeType| authorization.challenges.iter().any(|it| it.r#type == **kind);
            let way = [kind].into_iter().chain(&KINDS).find(offered).cloned();
            let Some((kind, mut challenge)) = way.and_then(|way| Some((way.clone(), authorization.challenge(way)?)))
            else {
                return Err(Failed::Proof { domain, why: "the authority offers no way that we know".into() });
            };
            let proof = challenge.key_authorization();
            if kind == ChallengeType::TlsAlpn01 {
                let digest = proof.digest();
                challenges.answer_tls(&domain, digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))?;
            } else {
                challenges.answer_http(&challenge.token, proof.as_str());
            }
            // An authority that looks at once says so at once.
            challenge.set_ready().await.map_err(|error| match error {
                Error::Api(problem) => Failed::Proof { domain, why: problem.to_string() },
                error => Failed::Authority(error),
            })?;
        }
    }
    let patience = RetryPolicy::new().timeout(Duration::from_secs(120));
    if order.poll_ready(&patience).await? != OrderStatus::Ready {
        return Err(disbelieved(&mut order).await);
    }
    let key = order.finalize().await?;
    let chain = order.poll_certificate(&patience).await?;
    let store = Store::new(&wanted.folder);
    Ok(aside(move || store.keep_certificate(&chain, &key)).await?)
}

/// Work with files, which may take its time, and not that of others.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    spawn_blocking(work).await?
}

/// What the authority says of the first domain that it does not believe to be ours.
async fn disbelieved(order: &mut instant_acme::Order) -> Failed {
    let mut authorizations = order.authorizations();
    while let Some(Ok(authorization)) = authorizations.next().await {
        if authorization.status != AuthorizationStatus::Valid {
            let domain = authorization.identifier().to_string();
            let why = authorization.challenges.iter().find_map(|challenge| challenge.error.as_ref());
            let why = why.map_or_else(|| "no reason given".to_owned(), ToString::to_string);
            return Failed::Proof { domain, why };
        }
    }
    Failed::Proof { domain: "the order".into(), why: "the authority has given it up".into() }
}

async fn account(config: &AcmeConfig, store: &Store) -> Result<Account, Failed> {
    let (folder, directory) = (store.clone(), config.directory.clone());
    let known = aside(move || Ok(folder.account(&directory))).await?;
    let config = config.clone();
    if let Some(known) = known.and_then(|known| serde_json::from_slice(&known).ok()) {
        return Ok(builder(config).await?.from_credentials(known).await?);
    }
    let contact: Vec<_> = config.contact.iter().map(|address| format!("mailto:{address}")).collect();
    let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
    let wanted = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let directory = config.directory.clone();
    let (account, credentials) = builder(config).await?.create(&wanted, directory.clone(), None).await?;
    let (folder, credentials) = (store.clone(), serde_json::to_vec(&credentials).map_err(Error::from)?);
    aside(move || folder.keep_account(&directory, &credentials)).await?;
    Ok(account)
}

/// The library's own client would bring another way to the system's roots.
struct Https(Client<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>);

impl HttpClient for Https {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let answer = self.0.request(request);
        Box::pin(async move {
            match timeout(REQUEST, answer).await {
                Ok(Ok(answer)) => Ok(BytesResponse::from(answer.map(|body| Limited::new(body, MAX_ANSWER)))),
                Ok(Err(error)) => Err(Error::Other(Box::new(error))),
                Err(elapsed) => Err(Error::Other(Box::new(elapsed))),
            }
        })
    }
}

/// Who speaks to the authority. The roots that it is known by are read from files.
async fn builder(config: AcmeConfig) -> Result<AccountBuilder, Failed> {
    aside(move || Ok(build(&config))).await?
}

fn build(config: &AcmeConfig) -> Result<AccountBuilder, Failed> {
    let provider = Arc::new(ring::default_provider());
    let connector = HttpsConnectorBuilder::new();
    let connector = if config.directory_ca.as_os_str().is_empty() {
        connector.with_provider_and_native_roots(ring::default_provider())?
    } else {
        let mut roots = RootCertStore::empty();
        let wrong = |error: &dyn std::fmt::Display| Failed::Roots(error.to_string());
        for root in CertificateDer::pem_file_iter(&config.directory_ca).map_err(|error| wrong(&error))? {
            roots.add(root.map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))?;
        }
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring speaks both versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        connector.with_tls_config(tls)
    };
    let client = Client::builder(TokioExecutor::new()).build(connector.https_only().enable_http1().build());
    Ok(Account::builder_with_http(Box::new(Https(client))))
}
