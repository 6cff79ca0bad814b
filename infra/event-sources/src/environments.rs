//! Execution environments: the functions' processes, each with a Runtime API of its own.
//!
//! Rules of Lambda's that hold here:
//! - An environment that has not asked for an invocation within 10 s is killed.
//! - An invocation has a deadline, and its environment is killed then.
//! - When an environment ends, the invocations that it was serving fail at once. An invocation that
//!   it had not received yet goes to another environment.
//! - A function's process has the environment variables that the template gives it, and none of
//!   another function's.

use std::collections::HashMap;
use std::future;
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
use axum::serve::ListenerExt;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::json;
use shared::Error;
use shared::functions::{self, Function};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Mutex as AsyncMutex, Notify, oneshot};
use tokio::time::sleep;
use uuid::Uuid;

use crate::settings::Settings;

/// The time that a process has to start: Lambda's limit of the Init phase.
const INIT_TIMEOUT: Duration = Duration::from_secs(10);

/// How an invocation ended.
#[derive(Debug)]
pub enum Invoked {
    /// The function's answer.
    Answered(Bytes),
    /// The function's error.
    Failed(Bytes),
}

/// All environments.
#[derive(Debug)]
pub struct Environments {
    /// Where the environments find their Runtime API.
    address: String,
    /// The folder with the functions' programs.
    programs: PathBuf,
    /// How many times shorter an invocation may take than on AWS.
    hurry: u32,
    /// How many invocations an environment serves at once: one, but on Lambda Managed Instances.
    each: usize,
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

#[derive(Debug)]
struct Invocation {
    event: Bytes,
    ends: oneshot::Sender<Invoked>,
}

/// An invocation that an environment serves.
#[derive(Debug)]
struct Served {
    request_id: String,
    ends: oneshot::Sender<Invoked>,
}

#[derive(Debug)]
struct Environment {
    function: Function,
    /// Whether it has asked for an invocation.
    started: bool,
    /// The invocations that it serves now.
    serves: Vec<Served>,
    timed_out: Arc<Notify>,
}

impl Environments {
    /// No environments yet, and the Runtime API for those to come.
    ///
    /// # Errors
    /// There is no port to listen at.
    pub async fn serve(
        programs: PathBuf,
        hurry: u32,
        each: usize,
        settings: Settings,
    ) -> Result<Arc<Self>, Error> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let environments = Arc::new(Self {
            address: listener.local_addr()?.to_string(),
            programs,
            hurry: hurry.max(1),
            each: each.max(1),
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
        let listener = listener.tap_io(|connection| drop(connection.set_nodelay(true)));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(environments)
    }

    /// Queues an invocation for whichever environment of the function is free first; how it ends.
    pub fn invoke(&self, function: &Function, event: Bytes) -> oneshot::Receiver<Invoked> {
        let (ends, end) = oneshot::channel();
        if let Some(queue) = self.queues.get(function.name) {
            // The other end lives as long as this.
            drop(queue.back.send(Invocation { event, ends }));
        }
        end
    }

    /// Whether there is a program of this name.
    pub fn has(&self, function: &str) -> bool {
        self.programs.join(function).is_file()
    }

    /// The timeout of an invocation of this function. If timeouts are shortened at all, it is at most
    /// 15 seconds.
    pub fn timeout(&self, function: &Function) -> Duration {
        match self.hurry {
            1 => function.timeout,
            hurry => (function.timeout / hurry).min(Duration::from_secs(15)),
        }
    }

    /// How many invocations an environment serves at once.
    pub fn each(&self) -> usize {
        self.each
    }

    /// Starts another environment of the function if there are too few for `running` invocations.
    ///
    /// # Errors
    /// The settings can't be read, or the process can't be started.
    pub fn start_for(self: &Arc<Self>, function: &Function, running: usize) -> std::io::Result<()> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let timed_out = Arc::default();
        let environment = Environment {
            function: *function,
            started: false,
            serves: Vec::new(),
            timed_out: Arc::clone(&timed_out),
        };
        {
            let mut living = self.living();
            let of_this = living
                .values()
                .filter(|environment| environment.function.name == function.name);
            if of_this.count() * self.each >= running {
                return Ok(());
            }
            // Known before it starts: it may ask for an invocation at once.
            living.insert(id, environment);
        }
        match self.spawn(id, function) {
            Ok(child) => {
                tokio::spawn(Arc::clone(self).look_after(id, child, timed_out));
                Ok(())
            }
            Err(error) => {
                self.living().remove(&id);
                Err(error)
            }
        }
    }

    fn spawn(&self, id: u64, function: &Function) -> std::io::Result<Child> {
        let (own, others) = self.settings.of(function.name)?;
        let mut command = Command::new(self.programs.join(function.name));
        for variable in others {
            command.env_remove(variable);
        }
        if self.each > 1 {
            command.env("AWS_LAMBDA_MAX_CONCURRENCY", self.each.to_string());
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
        tracing::info!(
            function = function.name,
            environment = id,
            "started an execution environment"
        );
        Ok(child)
    }

    /// Waits for an environment's end, or ends it at an invocation's deadline; then says so of the
    /// invocations that it leaves behind.
    async fn look_after(self: Arc<Self>, id: u64, mut child: Child, timed_out: Arc<Notify>) {
        let how = tokio::select! {
            status = child.wait() => match status {
                Ok(status) => format!("Runtime exited with error: {status}"),
                Err(error) => error.to_string(),
            },
            () = timed_out.notified() => {
                // Kill the process before reporting its end, so that it does nothing more once the
                // caller knows.
                drop(child.kill().await);
                "Task timed out".to_owned()
            }
            () = self.fails_to_start(id) => {
                drop(child.kill().await);
                "Init timed out".to_owned()
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
        for Served { request_id, ends } in environment.serves {
            let error = json!({
                "errorType": "Runtime.ExitError",
                "errorMessage": format!("RequestId: {request_id} Error: {how}"),
            });
            // Nobody hears of it where the invoker has given up.
            drop(ends.send(Invoked::Failed(error.to_string().into())));
        }
    }

    /// Ends if the environment has not asked for an invocation in time.
    async fn fails_to_start(&self, id: u64) {
        sleep(INIT_TIMEOUT / self.hurry).await;
        let started = self.living().get(&id).is_none_or(|living| living.started);
        if started {
            future::pending().await
        }
    }

    /// Gives an invocation to an environment and starts its time; gives it back where there is no such
    /// environment any more.
    fn hand_over(
        self: &Arc<Self>,
        id: u64,
        function: Function,
        invocation: Invocation,
    ) -> Result<Response, Invocation> {
        let Invocation { event, ends } = invocation;
        let request_id = Uuid::now_v7().to_string();
        let timeout = self.timeout(&function);
        let deadline = (SystemTime::now() + timeout)
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let served = Served {
            request_id: request_id.clone(),
            ends,
        };
        match self.living().get_mut(&id) {
            Some(environment) => environment.serves.push(served),
            None => {
                let ends = served.ends;
                return Err(Invocation { event, ends });
            }
        }
        let arn = format!(
            "arn:aws:lambda:us-east-1:000000000000:function:{}",
            function.name
        );
        let response = Response::builder()
            .header(CONTENT_TYPE, "application/json")
            .header("lambda-runtime-aws-request-id", &request_id)
            .header("lambda-runtime-invoked-function-arn", arn)
            .header(
                "lambda-runtime-deadline-ms",
                deadline.as_millis().to_string(),
            )
            .body(Body::from(event));
        tokio::spawn(Arc::clone(self).end_at_deadline(id, request_id, timeout));
        Ok(response.unwrap_or_else(|_| gone()))
    }

    async fn end_at_deadline(self: Arc<Self>, id: u64, request_id: String, timeout: Duration) {
        sleep(timeout).await;
        let living = self.living();
        if let Some(environment) = living.get(&id)
            && environment.place(&request_id).is_some()
        {
            environment.timed_out.notify_one();
        }
    }

    /// Notes that an environment asks for an invocation; its function.
    fn ask(&self, id: u64) -> Option<Function> {
        let mut living = self.living();
        let environment = living.get_mut(&id)?;
        environment.started = true;
        Some(environment.function)
    }

    fn function(&self, id: u64) -> Option<Function> {
        self.living()
            .get(&id)
            .map(|environment| environment.function)
    }

    /// Ignores poisoning: nothing panics while this lock is held, so what it guards is always consistent.
    fn living(&self) -> MutexGuard<'_, HashMap<u64, Environment>> {
        self.living.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Environment {
    /// Where an invocation stands among those that it serves, if it does.
    fn place(&self, request_id: &str) -> Option<usize> {
        let mut served = self.serves.iter();
        served.position(|served| served.request_id == request_id)
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

/// Waits for an invocation. An environment that ends in the meantime takes no invocation with it:
/// axum drops this future when the connection closes, and there is no await point between taking an
/// invocation off the queue and handing it over.
async fn next(State(environments): All, Path(id): Path<u64>) -> Response {
    let Some(function) = environments.ask(id) else {
        return gone();
    };
    let Some(queue) = environments.queues.get(function.name) else {
        return gone();
    };
    let mut front = queue.front.lock().await;
    loop {
        let Some(invocation) = front.recv().await else {
            return gone();
        };
        // Its invoker has given up waiting for an environment.
        if invocation.ends.is_closed() {
            continue;
        }
        return match environments.hand_over(id, function, invocation) {
            Ok(response) => response,
            Err(invocation) => {
                drop(queue.back.send(invocation));
                gone()
            }
        };
    }
}

async fn ended(
    State(environments): All,
    Path((id, request_id, how)): Path<(u64, String, String)>,
    body: Bytes,
) -> Response {
    let served = environments.living().get_mut(&id).and_then(|environment| {
        let place = environment.place(&request_id)?;
        Some(environment.serves.swap_remove(place))
    });
    let Some(Served { ends, .. }) = served else {
        return gone();
    };
    let invoked = if how == "response" {
        Invoked::Answered(body)
    } else {
        Invoked::Failed(body)
    };
    // Nobody hears of it where the invoker has given up.
    drop(ends.send(invoked));
    with_status(StatusCode::ACCEPTED)
}

/// A process that can't start says why; then it ends, and a new one is started.
async fn init_error(State(environments): All, Path(id): Path<u64>, body: Bytes) -> Response {
    let Some(function) = environments.function(id) else {
        return gone();
    };
    let error = String::from_utf8_lossy(&body).into_owned();
    tracing::error!(
        function = function.name,
        error,
        "an execution environment did not start"
    );
    with_status(StatusCode::ACCEPTED)
}

fn gone() -> Response {
    with_status(StatusCode::GONE)
}

fn with_status(status: StatusCode) -> Response {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}
