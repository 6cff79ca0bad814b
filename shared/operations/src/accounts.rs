//! The accounts of the stores: made at a deploy, given new passwords by a rotation.
//!
//! Each store has an owner, which makes the functions' accounts and sets their passwords, as these may
//! not do it themselves.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use mongodb::bson::doc;
use postgres_protocol::password;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use runtime::Error;
use runtime::calls::{self, CallError};
use runtime::config::Config;
use runtime::faults::FailPoint;
use stores::broker::{self, BrokerError};
use stores::db::{self, Owner};
use stores::docdb;
use stores::secrets::{AuthRejected, Engine, Secret, SecretError, Stage, StoreCredentials};
use stores::web::{self, WebError};

/// The longest that a login or the setting of a password may take.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(10);

// What RabbitMQ's management answers; the first also where a user is missing.
const BAD_REQUEST: u16 = 400;
const UNAUTHORIZED: u16 = 401;
const NOT_FOUND: u16 = 404;

/// Why an account is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    #[error("the secret of the account")]
    Secret(#[from] SecretError),
    #[error("PostgreSQL")]
    Database(#[from] sqlx::Error),
    #[error("the document store")]
    Documents(#[from] mongodb::error::Error),
    #[error("the broker")]
    Broker(#[from] BrokerError),
    #[error("reaching the broker's management")]
    Unreached(#[source] WebError),
    #[error("the broker's management answered {0}")]
    Management(u16),
    #[error("{0:?} is no name for an account, or the owner's")]
    Name(String),
}

impl AccountError {
    /// Whether a call that failed so may go well on its repeat.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreached(_) => true,
            Self::Database(error) => db::is_transient(error),
            Self::Documents(error) => docdb::is_transient(error),
            Self::Secret(_) | Self::Broker(_) | Self::Management(_) | Self::Name(_) => false,
        }
    }
}

impl AuthRejected for AccountError {
    fn is_auth_rejected(&self) -> bool {
        match self {
            Self::Database(error) => error.is_auth_rejected(),
            Self::Documents(error) => error.is_auth_rejected(),
            Self::Broker(error) => error.is_auth_rejected(),
            Self::Management(status) => *status == UNAUTHORIZED,
            Self::Secret(_) | Self::Unreached(_) | Self::Name(_) => false,
        }
    }
}

/// Logs in, and out again.
pub(crate) async fn open(account: &StoreCredentials) -> Result<(), CallError<AccountError>> {
    calls::idempotent(
        FailPoint("OpenSession"),
        LOGIN_TIMEOUT,
        AccountError::is_transient,
        || async {
            match account.engine {
                Engine::Postgres => drop(db::connect(account, None, None).await?),
                Engine::Mongo => {
                    let database = account.dbname.as_deref().unwrap_or("admin");
                    let client = docdb::connect(account, 1)?;
                    client
                        .database(database)
                        .run_command(doc! {"ping": 1})
                        .await?;
                }
                Engine::RabbitMq => drop(broker::connect(account.clone()).await?),
            }
            Ok(())
        },
    )
    .await
}

/// Whoever may make accounts and set their passwords.
#[derive(Debug)]
pub struct Owners {
    /// PostgreSQL's.
    pub databases: Owner,
    documents: Secret,
    broker: Secret,
}

impl Owners {
    /// The owners that the configuration names.
    pub async fn new(config: &Config) -> Result<Self, Error> {
        Ok(Self {
            databases: Owner::new(config).await?,
            documents: Secret::new(config.documents_owner_secret.required()?).await,
            broker: Secret::new(config.broker_owner_secret.required()?).await,
        })
    }

    /// Makes sure that an account can log in with its secret. If no version of the secret works, creates
    /// the account or sets its password. Safe to repeat, to run concurrently, and to run during a rotation.
    ///
    /// In a database, the migrations define what the account may do; in the broker, this function does.
    pub async fn let_in(&self, secret: &Secret) -> Result<(), CallError<AccountError>> {
        let account = secret.credentials().await.map_err(AccountError::from)?;
        if account.engine == Engine::RabbitMq {
            match self.permit_in_broker(&account).await {
                // There is no such user.
                Err(CallError::Failed(AccountError::Management(BAD_REQUEST | NOT_FOUND))) => {
                    return self.set_password(&account).await;
                }
                permitted => permitted?,
            }
        }
        for stage in [Stage::Current, Stage::Pending, Stage::Previous] {
            // A version may be of a store that has been replaced. It may still work there, but not here.
            let version = secret.version(stage).await.map_err(AccountError::from)?;
            let Some(version) = version.filter(|version| version.is_of(&account)) else {
                continue;
            };
            match open(&version).await {
                Err(CallError::Failed(error)) if error.is_auth_rejected() => {}
                outcome => return outcome,
            }
        }
        self.set_password(&account).await
    }

    /// Sets the password that `account` is to have, and makes it where it isn't there.
    pub(crate) async fn set_password(
        &self,
        account: &StoreCredentials,
    ) -> Result<(), CallError<AccountError>> {
        let name = &account.username;
        if !name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            return Err(AccountError::Name(name.clone()).into());
        }
        calls::once(FailPoint("SetPassword"), LOGIN_TIMEOUT, || async {
            match account.engine {
                Engine::Postgres => {
                    let connection = self.databases.connect("postgres").await?;
                    set_in_postgres(connection, account).await
                }
                Engine::Mongo => {
                    let set = |owner| async move { set_in_documents(&owner, account).await };
                    self.documents.log_in(set).await
                }
                Engine::RabbitMq => {
                    let user = json!({"password": account.password.expose_secret(), "tags": ""});
                    let put = |owner| put_in_broker(owner, account, "users", &user);
                    self.broker.log_in(put).await
                }
            }
        })
        .await?;
        match account.engine {
            Engine::RabbitMq => self.permit_in_broker(account).await,
            Engine::Postgres | Engine::Mongo => Ok(()),
        }
    }

    async fn permit_in_broker(
        &self,
        account: &StoreCredentials,
    ) -> Result<(), CallError<AccountError>> {
        let vhost = account.dbname.as_deref().unwrap_or("/");
        let path = format!("permissions/{}", vhost.replace('/', "%2F"));
        let permissions = broker::permissions();
        calls::idempotent(
            FailPoint("PermitInBroker"),
            LOGIN_TIMEOUT,
            AccountError::is_transient,
            || {
                let put = |owner| put_in_broker(owner, account, &path, &permissions);
                self.broker.log_in(put)
            },
        )
        .await
    }
}

async fn set_in_postgres(
    mut connection: PgConnection,
    account: &StoreCredentials,
) -> Result<(), AccountError> {
    let name = &account.username;
    // Made here, so that no password is in a statement, which a server may log.
    let password = password::scram_sha_256(account.password.expose_secret().as_bytes());
    // One transaction, as it is one query; the lock is against another deploy's.
    let statements = format!(
        "select pg_advisory_xact_lock(hashtext('admit accounts'));
         do $$ begin
             if not exists (select from pg_roles where rolname = '{name}') then
                 create role {name} login;
             end if;
         end $$;
         alter role {name} with login password '{password}'"
    );
    let statements = sqlx::raw_sql(AssertSqlSafe(statements));
    statements.execute(&mut connection).await?;
    Ok(())
}

async fn set_in_documents(
    owner: &StoreCredentials,
    account: &StoreCredentials,
) -> Result<(), AccountError> {
    let admin = docdb::connect(owner, 1)?.database("admin");
    let (name, password) = (&account.username, account.password.expose_secret());
    let known = admin.run_command(doc! {"usersInfo": name}).await?;
    let known = known
        .get_array("users")
        .is_ok_and(|users| !users.is_empty());
    let update = doc! {"updateUser": name, "pwd": password};
    if known {
        admin.run_command(update).await?;
        return Ok(());
    }
    let role = doc! {"role": "readWrite", "db": account.dbname.as_deref().unwrap_or_default()};
    let making = admin.run_command(doc! {"createUser": name, "pwd": password, "roles": [role]});
    if let Err(error) = making.await {
        // Another deploy may have made it meanwhile.
        admin.run_command(update).await.map_err(|_| error)?;
    }
    Ok(())
}

/// Writes an account's settings through RabbitMQ's management API.
async fn put_in_broker(
    owner: StoreCredentials,
    account: &StoreCredentials,
    path: &str,
    what: &Value,
) -> Result<(), AccountError> {
    let name = &account.username;
    if owner.username == *name {
        // It would be an owner no longer.
        return Err(AccountError::Name(name.clone()));
    }
    let port = owner.management_port.unwrap_or(443);
    let url = format!("https://{}:{port}/api/{path}/{name}", owner.host);
    let login = format!("{}:{}", owner.username, owner.password.expose_secret());
    let headers = [
        (
            "authorization",
            format!("Basic {}", BASE64_STANDARD.encode(login)),
        ),
        ("content-type", "application/json".to_owned()),
    ];
    let answered = web::send("PUT", &url, &headers, &what.to_string()).await;
    match answered.map_err(AccountError::Unreached)? {
        200..300 => Ok(()),
        status => Err(AccountError::Management(status)),
    }
}
