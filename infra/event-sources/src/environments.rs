//! Execution environments: the functions' processes, each with a Runtime API of its own.
//!
//! This Runtime API hands on what `cargo lambda` says on its own, and keeps what it does not:
//! - An invocation has a deadline, and its environment is killed then.
//! - When an environment ends, the invocation that it served ends in an error at once. One that it
//!   had only waited for goes to another.
//! - A function's process has the environment variables that the template gives it, and no other's.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use reqwest::Client;
use serde_json::json;
use shared::functions::{self, Function};
use shared::{Error, telemetry};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio::time::sleep;

use crate::settings::Settings;

const REQUEST_ID: HeaderName = HeaderName::from_static("lambda-runtime-aws-request-id");
const DEADLINE: HeaderName = HeaderName::from_static("lambda-runtime-deadline-ms");

/// All environments.
#[derive(Debug)]
pub struct Environments {
    client: Client,
    /// Where `cargo lambda` listens, `HOST:PORT`.
    cargo_lambda: String,
    /// Where the environments find their Runtime API.
    address: String,
    /// The folder with the functions' programs.
    programs: PathBuf,
    /// How many times shorter an invocation may take than on AWS.
    hurry: u32,
    next: AtomicU64,
    living: Mutex<HashMap<u64, Environment>>,
    settings: Settings,
    queues: HashMap<&'static str, Queue>,
}

/// The invocations of a function that no environment has taken up yet.
#[derive(Debug)]
struct Queue {
    back: UnboundedSender<Invocation>,
    front: AsyncMutex<UnboundedReceiver<Invocation>>,
}

/// An invocation, as `cargo lambda` hands it out.
#[derive(Debug)]
struct Invocation {
    request_id: String,
    headers: HeaderMap,
    event: Bytes,
}

#[derive(Debug)]
struct Environment {
    function: Function,
    /// The invocation that it serves now.
    serves: Option<String>,
    timed_out: Arc<Notify>,
}

impl Environments {
    /// No environments yet, and the Runtime API for those to come.
    ///
    /// # Errors
    /// There is no port to listen at.
    pub async fn serve(
        cargo_lambda: String,
        programs: PathBuf,
        hurry: u32,
        settings: Settings,
    ) -> Result<Arc<Self>, Error> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let environments = Arc::new(Self {
            // Without a limit in time: an environment may wait for work as long as it likes.
            client: Client::builder().build()?,
            cargo_lambda,
            address: listener.local_addr()?.to_string(),
            programs,
            hurry: hurry.max(1),
            next: AtomicU64::new(0),
            living: Mutex::default(),
            settings,
            queues: functions::ALL
                .iter()
                .map(|function| (function.name, Queue::new()))
                .collect(),
        });
        let router = Router::new()
            .route(
                "/{environment}/2018-06-01/runtime/invocation/next",
                get(next),
            )
            .route(
                "/{environment}/2018-06-01/runtime/invocation/{request_id}/{how}",
                post(ended),
            )
            .route(
                "/{environment}/2018-06-01/runtime/init/error",
                post(init_error),
            )
            .with_state(Arc::clone(&environments));
        tokio::spawn(async move { axum::serve(listener, router).await });
        for function in functions::ALL {
            if environments.has(function.name) {
                tokio::spawn(Arc::clone(&environments).fetch_all(function.name));
            }
        }
        Ok(environments)
    }

    /// Whether there is a program of this name.
    pub fn has(&self, function: &str) -> bool {
        self.programs.join(function).is_file()
    }

    /// The longest that an invocation of this function takes. Where there is hurry, nothing takes
    /// longer than a quarter of a minute.
    pub fn timeout(&self, function: &Function) -> Duration {
        match self.hurry {
            1 => function.timeout,
            hurry => (function.timeout / hurry).min(Duration::from_secs(15)),
        }
    }

    /// How many environments a function has.
    pub fn of(&self, function: &Function) -> usize {
        let living = self.living();
        living
            .values()
            .filter(|environment| environment.function.name == function.name)
            .count()
    }

    /// Starts one more.
    ///
    /// # Errors
    /// The system's.
    pub fn start(self: &Arc<Self>, function: &Function) -> std::io::Result<()> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (own, others) = self.settings.of(function.name)?;
        let mut command = Command::new(self.programs.join(function.name));
        for variable in others {
            command.env_remove(variable);
        }
        let child = command
            .envs(own)
            .env(
                "AWS_LAMBDA_RUNTIME_API",
                format!("http://{}/{id}", self.address),
            )
            .env("AWS_LAMBDA_FUNCTION_NAME", function.name)
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let environment = Environment {
            function: *function,
            serves: None,
            timed_out: Arc::default(),
        };
        let timed_out = Arc::clone(&environment.timed_out);
        self.living().insert(id, environment);
        tracing::info!(
            function = function.name,
            environment = id,
            "started an execution environment"
        );
        tokio::spawn(Arc::clone(self).look_after(id, child, timed_out));
        Ok(())
    }

    /// Waits for an environment's end, or ends it at its invocation's deadline; then says so of the
    /// invocation that it leaves behind.
    async fn look_after(self: Arc<Self>, id: u64, mut child: Child, timed_out: Arc<Notify>) {
        let how = tokio::select! {
            status = child.wait() => match status {
                Ok(status) => format!("Runtime exited with error: {status}"),
                Err(error) => error.to_string(),
            },
            () = timed_out.notified() => {
                // Gone before its end is told: nothing of it happens after the caller knows.
                drop(child.kill().await);
                "Task timed out".to_owned()
            }
        };
        let Some(environment) = self.living().remove(&id) else {
            return;
        };
        let function = environment.function.name;
        tracing::info!(
            function,
            environment = id,
            how,
            "an execution environment ended"
        );
        if let Some(request_id) = environment.serves {
            self.fail(function, &request_id, &how).await;
        }
    }

    async fn fail(&self, function: &str, request_id: &str, how: &str) {
        let error = json!({
            "errorType": "Runtime.ExitError",
            "errorMessage": format!("RequestId: {request_id} Error: {how}"),
        });
        let url = self.url(function, &format!("invocation/{request_id}/error"));
        let failed = self.client.post(url).body(error.to_string()).send().await;
        if let Err(error) = failed {
            tracing::warn!(
                function,
                request_id,
                error = telemetry::chain(&error),
                "nobody hears of a failed invocation"
            );
        }
    }

    fn url(&self, function: &str, path: &str) -> String {
        format!(
            "http://{}/.rt/{function}/2018-06-01/runtime/{path}",
            self.cargo_lambda
        )
    }

    /// Fetches every invocation of a function, for whichever environment is free first. `cargo lambda`
    /// hands them out in their order, also those of invokers that are gone: were only as many
    /// fetched as are invoked, one that is left over would have every later one wait for its next.
    async fn fetch_all(self: Arc<Self>, function: &'static str) {
        loop {
            if let Err(error) = self.fetch(function).await {
                tracing::warn!(
                    function,
                    error = telemetry::chain(error.as_ref()),
                    "not fetched; trying again"
                );
                sleep(Duration::from_secs(1)).await;
            }
        }
    }

    async fn fetch(&self, function: &str) -> Result<(), Error> {
        let url = self.url(function, "invocation/next");
        let answer = self.client.get(url).send().await?;
        if answer.status() != StatusCode::OK {
            return Err(format!("cargo lambda answered {}", answer.status()).into());
        }
        let headers = answer.headers().clone();
        let request_id = headers.get(&REQUEST_ID).ok_or("an invocation has no id")?;
        let invocation = Invocation {
            request_id: request_id.to_str()?.to_owned(),
            event: answer.bytes().await?,
            headers,
        };
        let queue = self.queues.get(function).ok_or("no such function")?;
        Ok(queue.back.send(invocation)?)
    }

    /// Gives an invocation to an environment and starts its time; gives it back where there is no such
    /// environment any more.
    fn hand_over(
        self: &Arc<Self>,
        id: u64,
        function: Function,
        mut invocation: Invocation,
    ) -> Result<Response, Box<Invocation>> {
        let timeout = self.timeout(&function);
        let deadline = (SystemTime::now() + timeout)
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let deadline = HeaderValue::from(u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX));
        invocation.headers.insert(DEADLINE, deadline);
        match self.living().get_mut(&id) {
            Some(environment) => environment.serves = Some(invocation.request_id.clone()),
            None => return Err(Box::new(invocation)),
        }
        tokio::spawn(Arc::clone(self).end_at_deadline(id, invocation.request_id, timeout));
        Ok(respond(
            StatusCode::OK,
            invocation.headers,
            invocation.event,
        ))
    }

    async fn end_at_deadline(self: Arc<Self>, id: u64, request_id: String, timeout: Duration) {
        sleep(timeout).await;
        let living = self.living();
        if let Some(environment) = living.get(&id)
            && environment.serves.as_ref() == Some(&request_id)
        {
            environment.timed_out.notify_one();
        }
    }

    fn function(&self, id: u64) -> Option<Function> {
        self.living()
            .get(&id)
            .map(|environment| environment.function)
    }

    /// Nothing panics while this lock is held, so that what it guards is whole also where it is poisoned.
    fn living(&self) -> MutexGuard<'_, HashMap<u64, Environment>> {
        self.living.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn new() -> Self {
        let (back, front) = unbounded_channel();
        Self {
            back,
            front: AsyncMutex::new(front),
        }
    }
}

type All = State<Arc<Environments>>;

/// Waits for an invocation. An environment that ends meanwhile takes none along: axum drops this
/// when its connection closes, and between taking and handing over nothing is waited for.
async fn next(State(environments): All, Path(id): Path<u64>) -> Response {
    let Some(function) = environments.function(id) else {
        return gone();
    };
    let Some(queue) = environments.queues.get(function.name) else {
        return gone();
    };
    let mut front = queue.front.lock().await;
    let Some(invocation) = front.recv().await else {
        return gone();
    };
    match environments.hand_over(id, function, invocation) {
        Ok(response) => response,
        Err(invocation) => {
            drop(queue.back.send(*invocation));
            gone()
        }
    }
}

async fn ended(
    State(environments): All,
    Path((id, request_id, how)): Path<(u64, String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let function = match environments.living().get_mut(&id) {
        Some(environment) if environment.serves.as_ref() == Some(&request_id) => {
            environment.serves = None;
            environment.function.name
        }
        _ => return gone(),
    };
    forward(
        &environments,
        function,
        &format!("invocation/{request_id}/{how}"),
        headers,
        body,
    )
    .await
}

async fn init_error(
    State(environments): All,
    Path(id): Path<u64>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(function) = environments.function(id) else {
        return gone();
    };
    forward(&environments, function.name, "init/error", headers, body).await
}

async fn forward(
    environments: &Environments,
    function: &str,
    path: &str,
    mut headers: HeaderMap,
    body: Bytes,
) -> Response {
    headers.remove(http::header::HOST);
    let url = environments.url(function, path);
    let sent = environments
        .client
        .post(url)
        .headers(headers)
        .body(body)
        .send()
        .await;
    let Ok(answer) = sent else { return gone() };
    let (status, headers) = (answer.status(), answer.headers().clone());
    match answer.bytes().await {
        Ok(body) => respond(status, headers, body),
        Err(_) => gone(),
    }
}

fn respond(status: StatusCode, mut headers: HeaderMap, body: Bytes) -> Response {
    for name in [
        http::header::CONTENT_LENGTH,
        http::header::TRANSFER_ENCODING,
        http::header::CONNECTION,
    ] {
        headers.remove(name);
    }
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn gone() -> Response {
    respond(StatusCode::GONE, HeaderMap::new(), Bytes::new())
}
