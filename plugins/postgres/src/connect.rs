//! From an address to a session: TLS, authentication, and what the server says of itself at the beginning.

use dozo_sdk::net::Connection;
use dozo_sdk::{Error, Result};
use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256};
use postgres_protocol::message::backend::{AuthenticationSaslBody, Message};
use postgres_protocol::message::frontend;

use crate::config::{Endpoint, Settings};
use crate::failure::Failure;
use crate::session;
use crate::wire::{Wire, no_server};

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Questions in SQL.
    Questions,
    /// Base backups and WAL: a walsender, which knows no SQL. Of a server of this major version.
    Replication(u32),
}

/// How a session is protected, for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Protection {
    pub(crate) tls: bool,
    /// How the role proved itself.
    pub(crate) method: Method,
}

/// How a role proves itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Method {
    /// Nothing was asked for: `trust`, `peer`, a certificate.
    #[default]
    None,
    Password,
    Md5,
    Scram,
    /// And bound to this very TLS connection: whoever sits in between is found out.
    ScramBound,
}

impl Method {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Method::None => "no password asked for",
            Method::Password => "password in the clear",
            Method::Md5 => "MD5",
            Method::Scram => "SCRAM",
            Method::ScramBound => "SCRAM with channel binding",
        }
    }
}

/// A session begun.
pub(crate) struct Session {
    pub(crate) wire: Wire,
    pub(crate) protection: Protection,
    /// The process of the server that serves it.
    pub(crate) process: i32,
}

/// Connects, and proves who we are.
pub(crate) fn connect(settings: &Settings, purpose: Purpose) -> Result<Session, Failure> {
    let endpoint = &settings.place.endpoint;
    let mut wire = Wire::new(Connection::connect(&endpoint.target())?);
    let binding = match endpoint {
        Endpoint::Tcp { host, tls: true, .. } => Some(start_tls(&mut wire, host)?),
        _ => None,
    };
    wire.send(|out| frontend::startup_message(parameters(settings, purpose), out))?;
    let method = authenticate(&mut wire, settings, binding.as_deref())?;
    let protection = Protection { tls: binding.is_some(), method };
    let mut process = 0;
    loop {
        match wire.message()? {
            Message::BackendKeyData(body) => process = body.process_id(),
            Message::ReadyForQuery(_) => return Ok(Session { wire, protection, process }),
            _ => {}
        }
    }
}

/// A walsender takes no SET, so its session is set up here; the other one is when it has begun, since a pooler in between
/// refuses what it does not know.
fn parameters(settings: &Settings, purpose: Purpose) -> Vec<(&str, &str)> {
    let place = &settings.place;
    let mut parameters = vec![("user", place.role.as_str()), ("application_name", "dozo"), ("client_encoding", "UTF8")];
    match purpose {
        Purpose::Questions => parameters.push(("database", &place.database)),
        Purpose::Replication(major) => {
            parameters.push(("replication", "true"));
            session::of_a_walsender(major).for_each(|setting| parameters.push(setting));
        }
    }
    parameters
}

/// Asks for TLS (PostgreSQL, "SSL Session Encryption"); returns what channel binding binds to.
fn start_tls(wire: &mut Wire, host: &str) -> Result<Vec<u8>> {
    wire.send(|out| {
        frontend::ssl_request(out);
        Ok(())
    })?;
    match wire.byte()? {
        b'S' => wire.start_tls(host.trim_matches(['[', ']'])),
        b'N' => Err(Error::Denied(
            "the server speaks no TLS; hint: set `ssl = on` there with a certificate, or write `?sslmode=disable` behind \
             `url` if nobody can listen in between"
                .into(),
        )),
        _ => Err(no_server()),
    }
}

/// Does what the server asks for, until it says that it is content.
fn authenticate(wire: &mut Wire, settings: &Settings, binding: Option<&[u8]>) -> Result<Method, Failure> {
    let password = || {
        let missing = || Error::Denied("the server wants a password; hint: add `password = { env = \"NAME\" }`".into());
        settings.password.as_ref().map(|password| password.reveal().as_bytes()).ok_or_else(missing)
    };
    let private = binding.is_some() || matches!(settings.place.endpoint, Endpoint::Unix { .. });
    let mut method = Method::None;
    loop {
        match wire.message()? {
            Message::AuthenticationOk => return Ok(method),
            Message::AuthenticationCleartextPassword if !private => {
                return Err(Error::Denied(
                    "the server wants the password in the clear, and there is no TLS; hint: have it use scram-sha-256 in \
                     pg_hba.conf, or write `?sslmode=verify-full` behind `url`"
                        .into(),
                )
                .into());
            }
            Message::AuthenticationCleartextPassword => {
                method = Method::Password;
                let password = password()?;
                wire.send(|out| frontend::password_message(password, out))?;
            }
            Message::AuthenticationMd5Password(body) => {
                method = Method::Md5;
                let hash = md5_hash(settings.place.role.as_bytes(), password()?, body.salt());
                wire.send(|out| frontend::password_message(hash.as_bytes(), out))?;
            }
            Message::AuthenticationSasl(body) => method = scram(wire, password()?, &body, binding)?,
            _ => {
                return Err(Error::Unsupported(
                    "the server wants a kind of authentication that dozo does not know; hint: scram-sha-256, md5, password, \
                     trust, peer and cert in pg_hba.conf are known"
                        .into(),
                )
                .into());
            }
        }
    }
}

/// SCRAM-SHA-256 (RFC 5802, RFC 7677), bound to the TLS connection where there is one (RFC 5929, `tls-server-end-point`).
fn scram(
    wire: &mut Wire,
    password: &[u8],
    offered: &AuthenticationSaslBody,
    binding: Option<&[u8]>,
) -> Result<Method, Failure> {
    let mechanisms: Vec<String> = offered.mechanisms().map(|name| Ok(name.to_string())).collect()?;
    let offers = |name: &str| mechanisms.iter().any(|mechanism| mechanism == name);
    let (mechanism, channel, method) = match binding {
        Some(digest) if !digest.is_empty() && offers(SCRAM_SHA_256_PLUS) => {
            (SCRAM_SHA_256_PLUS, ChannelBinding::tls_server_end_point(digest.to_vec()), Method::ScramBound)
        }
        // The server is told that we could have, so that it notices if somebody took the offer out.
        Some(digest) if !digest.is_empty() => (SCRAM_SHA_256, ChannelBinding::unrequested(), Method::Scram),
        _ => (SCRAM_SHA_256, ChannelBinding::unsupported(), Method::Scram),
    };
    if !offers(mechanism) {
        let what = format!("the server offers {} alone to prove a password by", mechanisms.join(", "));
        return Err(Error::Unsupported(what).into());
    }
    let mut scram = ScramSha256::new(password, channel);
    wire.send(|out| frontend::sasl_initial_response(mechanism, scram.message(), out))?;
    let Message::AuthenticationSaslContinue(body) = wire.message()? else { return Err(out_of_turn()) };
    scram.update(body.data())?;
    wire.send(|out| frontend::sasl_response(scram.message(), out))?;
    let Message::AuthenticationSaslFinal(body) = wire.message()? else { return Err(out_of_turn()) };
    let liar = |_| Error::Denied("the server does not know the password itself: it is another server".into());
    scram.finish(body.data()).map_err(liar)?;
    Ok(method)
}

fn out_of_turn() -> Failure {
    Error::Corrupt("the server answered out of turn while a password was proved".into()).into()
}
