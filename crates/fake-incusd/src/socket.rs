//! Websockets: events and exec.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::Core;
use crate::answer::Answer;
use crate::exec::Program;
use crate::record::RecordedRequest;
use crate::world::{end_operation, set_err_code};

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// All sockets of an exec must be there within this time (6.0.4).
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// As large as the frames that incusd sends.
const FRAME: usize = 32 << 10;

/// Sockets of one exec that a client may open.
#[derive(Debug)]
pub(crate) struct ExecSockets {
    secrets: BTreeMap<String, String>,
    opened: Mutex<BTreeMap<String, OnUpgrade>>,
    count: watch::Sender<usize>,
}

impl ExecSockets {
    pub(crate) fn new(id: &str, interactive: bool) -> Self {
        let fds: &[&str] = if interactive { &["0", "control"] } else { &["0", "1", "2", "control"] };
        let secrets = fds.iter().map(|fd| ((*fd).to_owned(), format!("secret-{id}-{fd}"))).collect();
        Self { secrets, opened: Mutex::default(), count: watch::Sender::new(0) }
    }

    pub(crate) fn secrets(&self) -> Value {
        json!(self.secrets)
    }

    async fn open(&self, fd: &str) -> Option<Socket> {
        let upgrade = self.opened.lock().unwrap_or_else(PoisonError::into_inner).remove(fd)?;
        let stream = TokioIo::new(upgrade.await.ok()?);
        Some(WebSocketStream::from_raw_socket(stream, Role::Server, None).await)
    }
}

/// Answers an upgrade request.
pub(crate) async fn upgrade(
    core: &Arc<Core>,
    mut request: Request<Incoming>,
    recorded: &RecordedRequest,
) -> Result<Response<()>, Answer> {
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY).cloned();
    let Some(key) = key else { return Err(Answer::error(400, "no websocket key")) };
    let segments: Vec<_> = recorded.path.trim_start_matches('/').split('/').collect();
    match segments[..] {
        ["1.0", "events"] => {
            if recorded.query.contains_key("project") && recorded.query.contains_key("all-projects") {
                return Err(Answer::error(400, "Cannot specify a project when requesting all projects"));
            }
            let upgrade = hyper::upgrade::on(&mut request);
            let core = Arc::clone(core);
            // Subscribed before the answer: what happens after it is seen.
            let (generation, events) = (core.generation.subscribe(), core.events.subscribe());
            let recorded = recorded.clone();
            tokio::spawn(async move { serve_events(&core, upgrade, events, generation, &recorded).await });
        }
        ["1.0", "operations", id, "websocket"] => {
            let exec = core.world().operations.get(id).and_then(|operation| operation.exec.clone());
            let Some(exec) = exec else { return Err(Answer::error(404, "Operation not found")) };
            let secret = recorded.query.get("secret");
            let fd = exec.secrets.iter().find(|(_, known)| Some(*known) == secret).map(|(fd, _)| fd.clone());
            let Some(fd) = fd else { return Err(Answer::error(403, "Forbidden")) };
            let upgrade = hyper::upgrade::on(&mut request);
            exec.opened.lock().unwrap_or_else(PoisonError::into_inner).insert(fd, upgrade);
            exec.count.send_modify(|count| *count += 1);
            if core.world().exec_barrier {
                let all = exec.secrets.len();
                let _ = exec.count.subscribe().wait_for(|count| *count == all).await;
            }
        }
        _ => return Err(Answer::error(404, "not found")),
    }
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_ACCEPT, derive_accept_key(key.as_bytes()))
        .body(())
        .map_err(|_| Answer::error(500, "no answer could be built"))
}

async fn serve_events(
    core: &Core,
    upgrade: OnUpgrade,
    mut events: tokio::sync::broadcast::Receiver<Value>,
    mut generation: watch::Receiver<u64>,
    request: &RecordedRequest,
) {
    let Ok(stream) = upgrade.await else { return };
    let mut socket: Socket = WebSocketStream::from_raw_socket(TokioIo::new(stream), Role::Server, None).await;
    let kinds: Vec<_> = request.query.get("type").map(|kinds| kinds.split(',').collect()).unwrap_or_default();
    let all_projects = request.query.contains_key("all-projects");
    let mut pings = core.pings.subscribe();
    core.world().event_sockets += 1;
    core.changed();
    loop {
        tokio::select! {
            // A ping comes after the events that were emitted before it.
            biased;
            _ = generation.changed() => break,
            event = events.recv() => {
                let Ok(event) = event else { break };
                let kind = event["type"].as_str().unwrap_or_default();
                let project = event["project"].as_str().unwrap_or("default");
                let wanted = (kinds.is_empty() || kinds.contains(&kind)) && (all_projects || project == request.project());
                if wanted && socket.send(Message::text(event.to_string())).await.is_err() {
                    break;
                }
            }
            _ = pings.changed() => if socket.send(Message::Ping(Bytes::new())).await.is_err() { break },
            message = socket.next() => match message {
                Some(Ok(Message::Pong(_))) => {
                    core.world().pongs += 1;
                    core.changed();
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                Some(Ok(_)) => {}
            },
        }
    }
    core.world().event_sockets -= 1;
    core.changed();
}

/// Runs the command of an exec operation when its sockets are there.
pub(crate) async fn run_exec(core: &Arc<Core>, id: &str, project: &str, log: usize, program: Program) {
    let Some(exec) = core.world().operations.get(id).and_then(|operation| operation.exec.clone()) else {
        return;
    };
    let mut generation = core.generation.subscribe();
    let interactive = !exec.secrets.contains_key("1");
    // The control socket is optional where there is no terminal; this fake waits for it all the same.
    let all = exec.secrets.len();
    let connected = tokio::time::timeout(CONNECT_DEADLINE, async {
        let _ = exec.count.subscribe().wait_for(|count| *count == all).await;
    });
    if connected.await.is_err() {
        end_operation(core, id, project, 400, "Timed out waiting for websockets to connect", &Value::Null);
        return;
    }
    let (Some(mut stdin), Some(control)) = (exec.open("0").await, exec.open("control").await) else { return };
    let (mut stdout, mut stderr) =
        if interactive { (None, None) } else { (exec.open("1").await, exec.open("2").await) };
    let run = run_program(core, log, program, &mut stdin, stdout.as_mut(), stderr.as_mut());
    let ended = tokio::select! {
        ended = run => ended,
        ended = watch_control(core, log, control) => ended,
        _ = generation.changed() => return,
    };
    for socket in [stdout.as_mut(), stderr.as_mut()].into_iter().flatten() {
        let _ = socket.send(Message::text("")).await;
        let _ = socket.close(None).await;
    }
    if interactive {
        // A terminal's operation goes on until the client has closed its socket [measured with 6.0.4].
        let _ = stdin.send(Message::text("")).await;
        while let Some(Ok(message)) = stdin.next().await {
            if message.is_close() {
                break;
            }
        }
    }
    finish_exec(core, id, project, log, &ended);
}

/// How a command ended.
#[derive(Debug)]
pub(crate) enum Ended {
    Code(i32),
    NotExecuted(i32),
    Broken(String),
}

/// Ends the operation of an exec.
pub(crate) fn finish_exec(core: &Arc<Core>, id: &str, project: &str, log: usize, ended: &Ended) {
    let (status, error, code) = match ended {
        Ended::Code(code) => (200, "", Some(*code)),
        Ended::NotExecuted(126) => (400, "Command not executable", Some(126)),
        Ended::NotExecuted(code) => (400, "Command not found", Some(*code)),
        Ended::Broken(error) => (400, error.as_str(), None),
    };
    core.world().execs[log].code = code;
    if code.is_some() {
        set_err_code(core, id, 400);
    }
    let metadata = code.map_or(Value::Null, |code| json!({"return": code}));
    end_operation(core, id, project, status, error, &metadata);
}

async fn run_program(
    core: &Core,
    log: usize,
    program: Program,
    stdin: &mut Socket,
    stdout: Option<&mut Socket>,
    stderr: Option<&mut Socket>,
) -> Ended {
    match program {
        Program::NotExecuted(code) => Ended::NotExecuted(code),
        Program::Broken(error) => Ended::Broken(error),
        Program::Sleep => {
            while note_input(core, log, stdin.next().await).is_some() {}
            std::future::pending().await
        }
        Program::Output { stdout: out, stderr: err, code } => {
            match stdout {
                Some(stdout) => send(stdout, &out).await,
                None => send(stdin, &out).await,
            }
            if let Some(stderr) = stderr {
                send(stderr, &err).await;
            }
            Ended::Code(code)
        }
        Program::Cat => {
            let mut stdout = stdout;
            // A terminal's input ends with ^D.
            while let Some(bytes) = note_input(core, log, stdin.next().await) {
                let ends = stdout.is_none() && bytes.contains(&4);
                let bytes =
                    if ends { bytes.split(|byte| *byte == 4).next().unwrap_or_default() } else { &bytes };
                match stdout.as_deref_mut() {
                    Some(stdout) => send(stdout, bytes).await,
                    None => send(stdin, bytes).await,
                }
                if ends {
                    break;
                }
            }
            Ended::Code(0)
        }
    }
}

/// Bytes of the input; `None` at its end.
fn note_input(
    core: &Core,
    log: usize,
    message: Option<Result<Message, tokio_tungstenite::tungstenite::Error>>,
) -> Option<Bytes> {
    let mut world = core.world();
    let log = &mut world.execs[log];
    let bytes = match message {
        Some(Ok(Message::Binary(bytes))) => {
            log.stdin.extend_from_slice(&bytes);
            Some(bytes)
        }
        Some(Ok(Message::Text(_))) => {
            log.stdin_ended = true;
            None
        }
        Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Some(Bytes::new()),
        Some(Ok(Message::Close(_)) | Err(_)) | None => None,
    };
    drop(world);
    core.changed();
    bytes
}

async fn send(socket: &mut Socket, bytes: &[u8]) {
    for chunk in bytes.chunks(FRAME) {
        let _ = socket.send(Message::Binary(Bytes::copy_from_slice(chunk))).await;
    }
}

/// Notes sizes and signals; ends with the code of a killed command.
async fn watch_control(core: &Core, log: usize, mut control: Socket) -> Ended {
    while let Some(Ok(message)) = control.next().await {
        let Message::Text(text) = message else { continue };
        let command: Value = serde_json::from_str(&text).unwrap_or_default();
        let text = |key: &str| command["args"][key].as_str().unwrap_or_default().to_owned();
        let mut world = core.world();
        let log = &mut world.execs[log];
        let signal = command["signal"].as_i64();
        match (command["command"].as_str(), signal) {
            (Some("window-resize"), _) => log.resizes.push((text("width"), text("height"))),
            (Some("signal"), Some(signal)) => log.signals.push(signal),
            _ => {}
        }
        drop(world);
        core.changed();
        if let (Some("signal"), Some(signal)) = (command["command"].as_str(), signal) {
            return Ended::Code(128 + i32::try_from(signal).unwrap_or(0));
        }
    }
    core.world().execs[log].killed = true;
    Ended::Code(137)
}
