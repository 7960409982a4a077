//! Finds the primary that has the registry (or the access records), and connects to it.
//!
//! Whatever the layout, all of either is on one primary at a time: a single server is it; Sentinels name it; a cluster
//! points to it (all names share a slot). So there is one kind of connection, and a failover is the same everywhere:
//! the connection ends or is refused, and the next one is made to whoever is the primary then.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::Mutex;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ProtocolVersion, RedisConnectionInfo, RedisError, Value};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::RootCertStore;

use crate::config::{RedisAddress, RedisLayout};
use crate::store::Mode;
use crate::store::redis::fault::{Kind, Reply, Trouble};
use crate::store::redis::{names, script, tls};

/// For everything from the name of the host to the first answer.
const CONNECT: Duration = Duration::from_secs(2);
/// For one of several that may be asked.
const CONNECT_ONE: Duration = Duration::from_millis(900);
/// How often a cluster may point elsewhere.
const HOPS: usize = 5;

pub(super) type Server = (String, u16);

/// A connection, and what is at its other end.
#[derive(Clone)]
pub(super) struct Connected {
    pub(super) connection: MultiplexedConnection,
    pub(super) server: Server,
    /// As Redis tells it: `7.0.15`.
    pub(super) version: String,
    primary: bool,
}

pub(super) struct Door {
    address: RedisAddress,
    mode: Mode,
    tls: Option<TlsConnector>,
    /// In a cluster, whoever has this key is the primary that is looked for.
    key: &'static str,
    /// Nodes of the cluster that were heard of beyond those of the configuration.
    heard_of: Mutex<Vec<Server>>,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Door({:?})", self.address)
    }
}

pub(super) fn name((host, port): &Server) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

async fn within<T>(
    limit: Duration,
    server: &Server,
    task: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    timeout(limit, task).await.unwrap_or_else(|_| {
        let text = format!("Redis at {}: no answer within {limit:?}", name(server));
        Err(Trouble::new(Kind::Unreached, text))
    })
}

impl Door {
    /// `roots` in place of the system's, where TLS is asked for.
    pub(super) fn new(
        address: &RedisAddress,
        mode: Mode,
        roots: Option<RootCertStore>,
    ) -> Result<Self, Trouble> {
        let tls = if address.tls { Some(tls::connector(roots)?) } else { None };
        let key = names::META;
        Ok(Self { address: address.clone(), mode, tls, key, heard_of: Mutex::default() })
    }

    /// To another slot of a cluster than that of the registry.
    pub(super) fn that_leads_to(self, key: &'static str) -> Self {
        Self { key, ..self }
    }

    pub(super) fn layout(&self) -> &RedisLayout {
        &self.address.layout
    }

    /// To the primary, with the scripts loaded.
    pub(super) async fn connect(&self) -> Result<Connected, Trouble> {
        let found = timeout(CONNECT, async {
            match &self.address.layout {
                RedisLayout::Single => self.first_of(&self.address.servers).await,
                RedisLayout::Sentinel(primary) => self.by_sentinels(primary).await,
                RedisLayout::Cluster => self.in_cluster().await,
            }
        });
        let servers: Vec<_> = self.address.servers.iter().map(name).collect();
        found.await.unwrap_or_else(|_| {
            let text = format!("Redis at {}: no answer within {CONNECT:?}", servers.join(", "));
            Err(Trouble::new(Kind::Unreached, text))
        })
    }

    /// One that is ready to be used: the right kind, and knowing the scripts.
    async fn ready(&self, server: &Server) -> Result<Connected, Trouble> {
        let mut connected = self.reach(server, self.settings()).await?;
        let told = |error: RedisError| at_the_door(&error, server);
        if self.mode == Mode::Sole {
            if !connected.primary {
                let text = format!(
                    "Redis at {} is a replica: name its primary in `store`, or its Sentinels",
                    name(server)
                );
                return Err(Trouble::new(Kind::Elsewhere, text));
            }
            script::load_all().query_async::<()>(&mut connected.connection).await.map_err(told)?;
        }
        Ok(connected)
    }

    async fn first_of(&self, servers: &[Server]) -> Result<Connected, Trouble> {
        let mut first_trouble = None;
        let limit = if servers.len() == 1 { CONNECT } else { CONNECT_ONE };
        for server in servers {
            match within(limit, server, self.ready(server)).await {
                Ok(connected) => return Ok(connected),
                Err(trouble) => first_trouble = first_trouble.or(Some(trouble)),
            }
        }
        let none = || Trouble::new(Kind::Settings, "`store` names no Redis server");
        Err(first_trouble.unwrap_or_else(none))
    }

    fn settings(&self) -> RedisConnectionInfo {
        let mut settings = self.settings_of_none().set_db(self.address.database);
        if let Some(username) = &self.address.username {
            settings = settings.set_username(username);
        }
        if let Some(password) = &self.address.password {
            settings = settings.set_password(password.reveal());
        }
        settings
    }

    fn settings_of_none(&self) -> RedisConnectionInfo {
        RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP2)
            .set_lib_name("postern", env!("CARGO_PKG_VERSION"))
    }

    /// A connection that has said hello.
    async fn reach(
        &self,
        server: &Server,
        settings: RedisConnectionInfo,
    ) -> Result<Connected, Trouble> {
        let unreached = |error: std::io::Error| {
            let text = format!("Redis at {}: {error}", name(server));
            Trouble::new(Kind::Unreached, text)
        };
        let told = |error: RedisError| at_the_door(&error, server);
        let stream = TcpStream::connect((server.0.as_str(), server.1)).await.map_err(unreached)?;
        stream.set_nodelay(true).map_err(unreached)?;
        // Every wait has a deadline here already, which fits what is asked.
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let connection = if let Some(tls) = &self.tls {
            let stream = tls::handshake(tls, &server.0, stream).await.map_err(unreached)?;
            let made = MultiplexedConnection::new_with_config(&settings, stream, config).await;
            let (connection, driver) = made.map_err(told)?;
            tokio::spawn(driver);
            connection
        } else {
            let made = MultiplexedConnection::new_with_config(&settings, stream, config).await;
            let (connection, driver) = made.map_err(told)?;
            tokio::spawn(driver);
            connection
        };
        let mut connected = Connected {
            connection,
            server: server.clone(),
            version: String::new(),
            primary: false,
        };
        let hello: HashMap<String, Value> =
            redis::cmd("HELLO").query_async(&mut connected.connection).await.map_err(told)?;
        connected.version = said(&hello, "version");
        connected.primary = said(&hello, "role") == "master";
        Ok(connected)
    }

    /// All Sentinels at once: the first who names a primary that is one decides.
    async fn by_sentinels(&self, primary: &str) -> Result<Connected, Trouble> {
        let mut answers = JoinSet::new();
        for sentinel in &self.address.servers {
            answers.spawn(Self::ask_sentinel(self.asking(), sentinel.clone(), primary.to_owned()));
        }
        let mut tried = Vec::new();
        let mut last_trouble = None;
        while let Some(answer) = answers.join_next().await {
            let named = answer.unwrap_or_else(|error| {
                Err(Trouble::new(Kind::Unreached, format!("asking a Sentinel failed: {error}")))
            });
            let outcome = match named {
                Ok(server) if tried.contains(&server) => continue,
                Ok(server) => {
                    let outcome = within(CONNECT_ONE, &server, self.ready(&server)).await;
                    tried.push(server);
                    outcome
                }
                Err(trouble) => Err(trouble),
            };
            match outcome {
                Ok(connected) => return Ok(connected),
                // What the primary says is worth more than what a Sentinel does.
                Err(trouble) if !tried.is_empty() || last_trouble.is_none() => {
                    last_trouble = Some(trouble);
                }
                Err(_) => {}
            }
        }
        let none = || Trouble::new(Kind::Settings, "`store` names no Sentinel");
        Err(last_trouble.unwrap_or_else(none))
    }

    /// Who the Sentinels say is the primary now; None where none of them could be asked.
    pub(super) async fn named_by_sentinels(&self) -> Option<Server> {
        let RedisLayout::Sentinel(primary) = &self.address.layout else { return None };
        let mut answers = JoinSet::new();
        for sentinel in &self.address.servers {
            answers.spawn(Self::ask_sentinel(self.asking(), sentinel.clone(), primary.clone()));
        }
        let mut votes: HashMap<Server, usize> = HashMap::new();
        while let Some(answer) = answers.join_next().await {
            if let Ok(Ok(server)) = answer {
                *votes.entry(server).or_default() += 1;
            }
        }
        votes.into_iter().max_by_key(|(_, votes)| *votes).map(|(server, _)| server)
    }

    /// The same door without its memory, for a task of its own.
    fn asking(&self) -> Self {
        Self {
            address: self.address.clone(),
            mode: Mode::Reader,
            tls: self.tls.clone(),
            key: self.key,
            heard_of: Mutex::default(),
        }
    }

    async fn ask_sentinel(self, sentinel: Server, primary: String) -> Result<Server, Trouble> {
        within(CONNECT_ONE, &sentinel, async {
            let mut command = redis::cmd("SENTINEL");
            command.arg("get-master-addr-by-name").arg(&primary);
            // Most have no password though the primary has; those that have one mostly have the same.
            let mut connected = match self.reach(&sentinel, self.settings_of_none()).await {
                Err(trouble) if trouble.kind == Kind::Settings => {
                    self.reach(&sentinel, self.settings().set_db(0)).await?
                }
                other => other?,
            };
            let named: Option<Server> = command
                .query_async(&mut connected.connection)
                .await
                .map_err(|error| at_the_door(&error, &sentinel))?;
            named.ok_or_else(|| {
                let text = format!(
                    "the Sentinel at {} knows no primary `{primary}`: correct its name in `store`",
                    name(&sentinel)
                );
                Trouble::new(Kind::Settings, text)
            })
        })
        .await
    }

    /// Any node answers, or points to the one that has our slot.
    async fn in_cluster(&self) -> Result<Connected, Trouble> {
        let mut servers = self.address.servers.clone();
        servers.extend(self.heard_of());
        let mut first_trouble = None;
        for server in &servers {
            match self.owner_from(server).await {
                Ok(connected) => {
                    self.hear_of_others(&connected).await;
                    return Ok(connected);
                }
                Err(trouble) => first_trouble = first_trouble.or(Some(trouble)),
            }
        }
        let none = || Trouble::new(Kind::Settings, "`store` names no node of the cluster");
        Err(first_trouble.unwrap_or_else(none))
    }

    async fn owner_from(&self, first: &Server) -> Result<Connected, Trouble> {
        let mut server = first.clone();
        for _ in 0..HOPS {
            match within(CONNECT_ONE, &server, self.asked_for_our_slot(&server)).await? {
                Whose::Its => return within(CONNECT_ONE, &server, self.ready(&server)).await,
                Whose::Of(other) => server = other,
            }
        }
        let text = format!("the cluster at {} points around in circles", name(first));
        Err(Trouble::new(Kind::Later, text))
    }

    async fn asked_for_our_slot(&self, server: &Server) -> Result<Whose, Trouble> {
        let mut connected = self.reach(server, self.settings()).await?;
        let asked =
            redis::cmd("EXISTS").arg(self.key).query_async::<u8>(&mut connected.connection).await;
        let Err(error) = asked else { return Ok(Whose::Its) };
        let moved = Reply::of(&error).filter(|reply| reply.code == "MOVED");
        moved
            .and_then(|reply| pointed_to(&reply.detail, &server.0))
            .map(Whose::Of)
            .ok_or_else(|| at_the_door(&error, server))
    }

    /// The configuration may name a few nodes of many, and those may be down when the next connection is made.
    async fn hear_of_others(&self, connected: &Connected) {
        let mut connection = connected.connection.clone();
        let asked = redis::cmd("CLUSTER").arg("NODES").query_async::<String>(&mut connection).await;
        // Forbidden, perhaps: then it stays with those of the configuration.
        let Ok(nodes) = asked else { return };
        let heard_of = nodes.lines().filter_map(|line| line.split(' ').nth(1)).filter_map(address);
        let heard_of: Vec<_> =
            heard_of.filter(|server| !self.address.servers.contains(server)).collect();
        if let Ok(mut known) = self.heard_of.lock() {
            *known = heard_of;
        }
    }

    fn heard_of(&self) -> Vec<Server> {
        self.heard_of.lock().map(|known| known.clone()).unwrap_or_default()
    }
}

enum Whose {
    Its,
    Of(Server),
}

/// Before a connection is made nothing was asked of the data: what is refused is refused by a setting.
fn at_the_door(error: &RedisError, server: &Server) -> Trouble {
    let trouble = Trouble::of(error, &name(server));
    let kind = match trouble.kind {
        Kind::Nonsense => Kind::Settings,
        Kind::Broken | Kind::Silent => Kind::Unreached,
        kind => kind,
    };
    Trouble { kind, text: trouble.text }
}

fn said(hello: &HashMap<String, Value>, field: &str) -> String {
    let value = hello.get(field).cloned().unwrap_or(Value::Nil);
    redis::from_redis_value(value).unwrap_or_default()
}

/// `3999 10.0.0.7:6379`; without a host it is that of the node that said so.
fn pointed_to(detail: &str, host: &str) -> Option<Server> {
    let (_, target) = detail.split_once(' ')?;
    let (named, port) = target.rsplit_once(':')?;
    let host = if named.is_empty() { host } else { named };
    Some((host.to_owned(), port.parse().ok()?))
}

/// `10.0.0.7:6379@16379,redis-3.example` in a line of CLUSTER NODES.
fn address(text: &str) -> Option<Server> {
    let (address, _) = text.split_once('@')?;
    let (host, port) = address.rsplit_once(':')?;
    let known = !host.is_empty() && port != "0";
    known.then(|| Some((host.to_owned(), port.parse().ok()?)))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_points_to_addresses_of_every_form() {
        let of = |host: &str, port| Some((host.to_owned(), port));
        assert_eq!(pointed_to("3999 10.0.0.7:6379", "own"), of("10.0.0.7", 6379));
        assert_eq!(pointed_to("3999 :6380", "own"), of("own", 6380));
        assert_eq!(pointed_to("3999 2001:db8::7:6379", "own"), of("2001:db8::7", 6379));
        assert_eq!(pointed_to("3999", "own"), None);
        assert_eq!(address("10.0.0.7:6379@16379,redis-3.example"), of("10.0.0.7", 6379));
        assert_eq!(address(":0@0"), None);
        assert_eq!(name(&("2001:db8::7".to_owned(), 1)), "[2001:db8::7]:1");
    }
}
