//! An authority that speaks ACME (RFC 8555) and believes nothing: every signature, nonce and address is checked, and
//! every domain is asked for its proof at the process under test.

use std::{
    collections::{HashMap, HashSet},
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use ring::{
    digest::{SHA256, digest},
    signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, UnparsedPublicKey},
};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, ServerConfig, ServerConnection, SignatureScheme,
    StreamOwned,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::ring as provider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate, X509CertificationRequest};

use crate::authority::Authority;

/// The authority's address, and what it has seen.
pub struct Acme {
    pub directory: String,
    /// Its own root.
    pub ca: PathBuf,
    pub authority: Arc<Authority>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    base: String,
    nonces: HashSet<String>,
    made: usize,
    /// Public point of each account's key, and its thumbprint.
    accounts: Vec<(Vec<u8>, String)>,
    orders: Vec<Order>,
    /// Kinds of proof that were given.
    proofs: Vec<String>,
    requests: usize,
    /// Where the process answers, by HTTP and by TLS.
    process: Option<(SocketAddr, SocketAddr)>,
    /// The one kind of proof that is offered, if it is but one.
    only: Option<&'static str>,
}

struct Order {
    domains: Vec<String>,
    /// Of each authorization.
    statuses: Vec<&'static str>,
    certificate: Option<String>,
}

impl Acme {
    pub fn start(folder: &Path) -> Acme {
        let authority = Arc::new(Authority::new());
        let (cert, key) = authority.writes(folder, "acme-server", &["localhost"]);
        let ca = authority.writes_root(folder, "acme-root.pem");
        let config = ServerConfig::builder_with_provider(Arc::new(provider::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_file(cert).unwrap()],
                PrivateKeyDer::from_pem_file(key).unwrap(),
            )
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let state = Arc::new(Mutex::new(State { base: base.clone(), ..State::default() }));
        let (config, ours, signer) = (Arc::new(config), state.clone(), authority.clone());
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (config, state, signer) = (config.clone(), ours.clone(), signer.clone());
                thread::spawn(move || {
                    let session = ServerConnection::new(config).unwrap();
                    let mut stream = StreamOwned::new(session, socket);
                    while let Some(()) = serve(&mut stream, &state, &signer) {}
                });
            }
        });
        Acme { directory: format!("{base}/directory"), ca, authority, state }
    }

    /// Where the process is that has to prove something.
    pub fn knows(&self, plain: SocketAddr, tls: SocketAddr) {
        self.state.lock().unwrap().process = Some((plain, tls));
    }

    /// Proofs of one kind alone count from now on.
    pub fn offers_only(&self, noun: &'static str) {
        self.state.lock().unwrap().only = Some(noun);
    }

    pub fn orders(&self) -> usize {
        self.state.lock().unwrap().orders.len()
    }

    pub fn accounts(&self) -> usize {
        self.state.lock().unwrap().accounts.len()
    }

    pub fn requests(&self) -> usize {
        self.state.lock().unwrap().requests
    }

    pub fn proofs(&self) -> Vec<String> {
        self.state.lock().unwrap().proofs.clone()
    }
}

fn serve(stream: &mut (impl Read + Write), state: &Mutex<State>, authority: &Authority) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let headers = crate::client::headers(&head);
    let mut body = vec![0; headers.get("content-length").map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).ok()?;
    let (method, path) = head.split_once(' ').map(|(method, rest)| (method, rest.split(' ').next().unwrap())).unwrap();
    let (status, location, answer) = answer(state, authority, method, path, &headers, &body);
    let mut state = state.lock().unwrap();
    state.requests += 1;
    state.made += 1;
    let nonce = format!("nonce{}", state.made);
    state.nonces.insert(nonce.clone());
    let location = location.map(|at| format!("Location: {}{at}\r\n", state.base)).unwrap_or_default();
    let body = if method == "HEAD" { "" } else { &answer };
    let kind = if status >= 400 { "application/problem+json" } else { "application/json" };
    let head = format!(
        "HTTP/1.1 {status} X\r\nReplay-Nonce: {nonce}\r\n{location}Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + body).as_bytes()).ok()?;
    stream.flush().ok()
}

type Answer = (u16, Option<String>, String);

fn refused(kind: &str, why: &str) -> Answer {
    let body = json!({ "type": format!("urn:ietf:params:acme:error:{kind}"), "detail": why });
    (if kind == "badNonce" { 400 } else { 403 }, None, body.to_string())
}

fn answer(
    shared: &Mutex<State>,
    authority: &Authority,
    method: &str,
    path: &str,
    headers: &HashMap<String, String>,
    body: &[u8],
) -> Answer {
    let mut state = shared.lock().unwrap();
    let base = state.base.clone();
    match (method, path) {
        ("GET", "/directory") => {
            let directory = json!({ "newNonce": format!("{base}/nonce"), "newAccount": format!("{base}/account"),
                "newOrder": format!("{base}/order"), "revokeCert": format!("{base}/revoke"), "keyChange": format!("{base}/key") });
            return (200, None, directory.to_string());
        }
        ("HEAD", "/nonce") => return (200, None, String::new()),
        ("POST", _) => {}
        _ => return refused("malformed", "no such thing"),
    }
    if headers.get("content-type").map(String::as_str) != Some("application/jose+json") {
        return refused("malformed", "content type");
    }
    let (account, payload) = match signed(&mut state, path, body) {
        Ok(signed) => signed,
        Err((kind, why)) => return refused(kind, why),
    };
    let thumbprint = state.accounts[account].1.clone();
    let mut parts = path.trim_start_matches('/').split('/');
    let (noun, index) = (parts.next().unwrap(), parts.next().map(|text| text.parse::<usize>().unwrap()));
    let (index, which) = (index.unwrap_or(0), parts.next().map_or(0, |text| text.parse::<usize>().unwrap()));
    match noun {
        "account" => {
            assert_eq!(payload["termsOfServiceAgreed"], true);
            (201, Some(format!("/account/{account}")), json!({ "status": "valid" }).to_string())
        }
        "order" if path == "/order" => {
            let domains = payload["identifiers"].as_array().unwrap().iter().map(|it| {
                assert_eq!(it["type"], "dns");
                it["value"].as_str().unwrap().to_owned()
            });
            let domains: Vec<_> = domains.collect();
            let statuses = vec!["pending"; domains.len()];
            state.orders.push(Order { domains, statuses, certificate: None });
            let index = state.orders.len() - 1;
            (201, Some(format!("/order/{index}")), shown(&state, index).to_string())
        }
        "order" => (200, None, shown(&state, index).to_string()),
        "authz" => (200, None, authorization(&state, index, which).to_string()),
        "http" | "tls" => {
            let domain = state.orders[index].domains[which].clone();
            let process = state.process.unwrap();
            drop(state);
            let token = token(index, which);
            let proof = format!("{token}.{thumbprint}");
            // These lead elsewhere.
            let proved = !domain.starts_with("astray.")
                && if noun == "http" {
                    proved_by_http(process.0, &domain, &token, &proof)
                } else {
                    proved_by_tls(process.1, &domain, &proof)
                };
            let mut state = shared.lock().unwrap();
            state.orders[index].statuses[which] = if proved { "valid" } else { "invalid" };
            if proved {
                state.proofs.push(noun.to_owned());
            }
            let kind = if noun == "http" { "http-01" } else { "tls-alpn-01" };
            (200, None, challenge(&state, index, which, noun, kind).to_string())
        }
        "finalize" => {
            assert!(state.orders[index].statuses.iter().all(|status| *status == "valid"), "finalised too early");
            let csr = BASE64.decode(payload["csr"].as_str().unwrap()).unwrap();
            let (key, names) = requested(&csr);
            let mut wanted = state.orders[index].domains.clone();
            wanted.sort();
            assert_eq!(names, wanted, "other names than were ordered");
            state.orders[index].certificate = Some(authority.issues(&key, names, -1, 89).pem());
            (200, None, shown(&state, index).to_string())
        }
        "certificate" => (200, None, state.orders[index].certificate.clone().unwrap()),
        _ => refused("malformed", "no such thing"),
    }
}

/// Checks a JWS (RFC 8555, 6.2) and that its nonce is ours and new; the account, and what is said.
fn signed(state: &mut State, path: &str, body: &[u8]) -> Result<(usize, Value), (&'static str, &'static str)> {
    let malformed = |why| move || ("malformed", why);
    let jws: Value = serde_json::from_slice(body).map_err(|_| ("malformed", "no JWS"))?;
    let text = |key: &str| jws[key].as_str().map(str::to_owned);
    let (protected, payload, signature) = text("protected")
        .zip(text("payload"))
        .zip(text("signature"))
        .map(|((a, b), c)| (a, b, c))
        .ok_or_else(malformed("no JWS"))?;
    let header = BASE64.decode(&protected).map_err(|_| ("malformed", "no base64url"))?;
    let header: Value = serde_json::from_slice(&header).map_err(|_| ("malformed", "no header"))?;
    if header["alg"] != "ES256" {
        return Err(("badSignatureAlgorithm", "ES256 only"));
    }
    if header["url"] != format!("{}{path}", state.base) {
        return Err(("unauthorized", "signed for another address"));
    }
    if !header["nonce"].as_str().is_some_and(|nonce| state.nonces.remove(nonce)) {
        return Err(("badNonce", "not ours, or not new"));
    }
    let account = match (header["kid"].as_str(), &header["jwk"]) {
        (Some(kid), Value::Null) => {
            let known = kid.strip_prefix(&format!("{}/account/", state.base)).and_then(|index| index.parse().ok());
            known.filter(|index: &usize| *index < state.accounts.len()).ok_or(("accountDoesNotExist", "unknown"))?
        }
        (None, jwk) if path == "/account" => {
            let coordinate = |name: &str| BASE64.decode(jwk[name].as_str().unwrap()).unwrap();
            let point = [vec![4], coordinate("x"), coordinate("y")].concat();
            // RFC 7638: the members in this order, without spaces.
            let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":{},"y":{}}}"#, jwk["x"], jwk["y"]);
            let thumbprint = BASE64.encode(digest(&SHA256, canonical.as_bytes()));
            state.accounts.push((point, thumbprint));
            state.accounts.len() - 1
        }
        _ => return Err(("malformed", "neither a key nor an account in its place")),
    };
    let signature = BASE64.decode(signature).map_err(|_| ("malformed", "no base64url"))?;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &state.accounts[account].0)
        .verify(format!("{protected}.{payload}").as_bytes(), &signature)
        .map_err(|_| ("unauthorized", "the signature is wrong"))?;
    let payload = BASE64.decode(payload).map_err(|_| ("malformed", "no base64url"))?;
    Ok((account, if payload.is_empty() { Value::Null } else { serde_json::from_slice(&payload).unwrap() }))
}

fn token(order: usize, which: usize) -> String {
    format!("token-{order}-{which}-0123456789abcdef")
}

fn shown(state: &State, index: usize) -> Value {
    let order = &state.orders[index];
    let status = match &order.certificate {
        Some(_) => "valid",
        None if order.statuses.contains(&"invalid") => "invalid",
        None if order.statuses.iter().all(|status| *status == "valid") => "ready",
        None => "pending",
    };
    let base = &state.base;
    let authorizations: Vec<_> =
        (0..order.domains.len()).map(|which| format!("{base}/authz/{index}/{which}")).collect();
    let identifiers: Vec<_> = order.domains.iter().map(|domain| json!({ "type": "dns", "value": domain })).collect();
    let mut shown = json!({ "status": status, "identifiers": identifiers, "authorizations": authorizations,
        "finalize": format!("{base}/finalize/{index}") });
    if order.certificate.is_some() {
        shown["certificate"] = format!("{base}/certificate/{index}").into();
    }
    shown
}

fn challenge(state: &State, order: usize, which: usize, noun: &str, kind: &str) -> Value {
    let status = state.orders[order].statuses[which];
    let mut shown = json!({ "type": kind, "url": format!("{}/{noun}/{order}/{which}", state.base), "status": status,
        "token": token(order, which) });
    if status == "invalid" {
        let why = "what was found there is no proof";
        shown["error"] = json!({ "type": "urn:ietf:params:acme:error:incorrectResponse", "detail": why });
    }
    shown
}

fn authorization(state: &State, order: usize, which: usize) -> Value {
    let challenges = [("http", "http-01"), ("tls", "tls-alpn-01")];
    let offered = challenges.iter().filter(|(noun, _)| state.only.is_none_or(|only| only == *noun));
    let challenges: Vec<_> = offered.map(|(noun, kind)| challenge(state, order, which, noun, kind)).collect();
    json!({ "status": state.orders[order].statuses[which], "challenges": challenges,
        "identifier": { "type": "dns", "value": state.orders[order].domains[which] } })
}

fn proved_by_http(at: SocketAddr, domain: &str, token: &str, proof: &str) -> bool {
    let mut client = crate::client::Client::connect(at);
    client.send(format!("GET /.well-known/acme-challenge/{token} HTTP/1.1\r\nHost: {domain}\r\n\r\n"));
    client.try_answer(false).is_ok_and(|answer| answer.status == 200 && answer.text() == proof)
}

/// RFC 8737, 3: the certificate is for the domain alone and holds the proof's digest in a critical extension.
fn proved_by_tls(at: SocketAddr, domain: &str, proof: &str) -> bool {
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let name = ServerName::try_from(domain.to_owned()).unwrap();
    let mut session = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut socket = TcpStream::connect(at).unwrap();
    while session.is_handshaking() {
        if session.complete_io(&mut socket).is_err() {
            return false;
        }
    }
    let certificate = session.peer_certificates().unwrap()[0].clone();
    let (_, certificate) = X509Certificate::from_der(&certificate).unwrap();
    let names = certificate.subject_alternative_name().unwrap().unwrap().value.general_names.clone();
    let digest = digest(&SHA256, proof.as_bytes());
    let expected = [&[4, 32][..], digest.as_ref()].concat();
    let holds = certificate.extensions().iter().any(|extension| {
        extension.oid.to_id_string() == "1.3.6.1.5.5.7.1.31" && extension.critical && extension.value == expected
    });
    session.alpn_protocol() == Some(b"acme-tls/1")
        && matches!(names[..], [GeneralName::DNSName(name)] if name == domain)
        && holds
}

/// The key and the sorted names of a signing request whose signature is right.
fn requested(csr: &[u8]) -> (Key, Vec<String>) {
    let (_, request) = X509CertificationRequest::from_der(csr).unwrap();
    let info = &request.certification_request_info;
    let point = info.subject_pki.subject_public_key.data.to_vec();
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &point)
        .verify(info.raw, &request.signature_value.data)
        .expect("whoever asks has the key");
    let mut names = Vec::new();
    for extension in request.requested_extensions().unwrap() {
        if let ParsedExtension::SubjectAlternativeName(listed) = extension {
            for name in &listed.general_names {
                let GeneralName::DNSName(name) = name else { panic!("{name}") };
                names.push((*name).to_owned());
            }
        }
    }
    names.sort();
    (Key(point), names)
}

struct Key(Vec<u8>);

impl rcgen::PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

/// Believes every certificate: its content is what matters.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        holder_signed(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        holder_signed(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Whoever shows the certificate has its key. The library's own check stumbles over the proof's critical extension.
fn holder_signed(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let (_, certificate) = X509Certificate::from_der(certificate).unwrap();
    let point = &certificate.public_key().subject_public_key.data;
    assert_eq!(signed.scheme, SignatureScheme::ECDSA_NISTP256_SHA256);
    let verified = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(message, signed.signature());
    verified.map(|()| HandshakeSignatureValid::assertion()).map_err(|_| Error::General("wrong signature".into()))
}
