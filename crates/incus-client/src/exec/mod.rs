//! Commands inside instances.
//!
//! An exec runs with one uid and one gid, no supplementary groups, no login session, a cleared environment and
//! without a shell. Its sockets must be opened by the process that asked for it, within 5 s (10 s in newer
//! versions); that is done here.

mod session;

use std::collections::BTreeMap;
use std::collections::HashMap;

use bytes::Bytes;
use http::Method;
use serde::Serialize;
use serde_json::Value;

pub use session::{ExecControl, ExecReader, ExecSession, ExecWriter};

use crate::client::Call;
use crate::error::Error;
use crate::instance::{Instances, path};
use crate::json::is_false;
use crate::operation::{Operation, OperationInfo};
use crate::path::ApiPath;
use crate::{Result, websocket::WebSocket};

/// Columns and rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalSize {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

/// A command.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ExecRequest {
    /// Program and arguments; no shell sees them.
    pub command: Vec<String>,
    /// Variables on top of the instance's `environment.*`; PATH and LANG have defaults.
    pub environment: BTreeMap<String, String>,
    /// Uid inside the instance.
    pub user: u32,
    /// Gid inside the instance.
    pub group: u32,
    /// Working directory; `$HOME` of the environment, else `/`, when empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cwd: String,
}

impl ExecRequest {
    /// A command of root.
    pub fn new(command: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { command: command.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// As this uid and gid.
    #[must_use]
    pub fn user(mut self, uid: u32, gid: u32) -> Self {
        (self.user, self.group) = (uid, gid);
        self
    }

    /// In this directory.
    #[must_use]
    pub fn cwd(mut self, directory: impl Into<String>) -> Self {
        self.cwd = directory.into();
        self
    }

    /// With this variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }
}

/// A command that has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecOutput {
    /// Exit code; 128 + n for death by signal n.
    pub code: i32,
    /// Standard output.
    pub stdout: Bytes,
    /// Standard error.
    pub stderr: Bytes,
}

#[derive(Serialize)]
struct ExecPost<'a> {
    #[serde(flatten)]
    request: &'a ExecRequest,
    interactive: bool,
    #[serde(rename = "wait-for-websocket")]
    wait_for_websocket: bool,
    #[serde(rename = "record-output", skip_serializing_if = "is_false")]
    record_output: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u16>,
}

/// Largest output that [`Instances::exec_output`] collects, each of stdout and stderr, in bytes.
pub const MAX_OUTPUT: usize = 16 << 20;

impl Instances {
    /// Runs a command with three streams.
    pub async fn exec(&self, name: &str, request: &ExecRequest) -> Result<ExecSession> {
        let (operation, secrets) = self.exec_websocket(name, request, None).await?;
        let socket = |fd| self.exec_socket(&operation, &secrets, fd);
        let (stdin, stdout, stderr, control) =
            tokio::try_join!(socket("0"), socket("1"), socket("2"), socket("control"))?;
        Ok(ExecSession::streams(operation, stdin, stdout, stderr, control))
    }

    /// Runs a command on a terminal of the instance. Standard output and error are one stream, and only ^D
    /// tells the command that the input has ended. The terminal belongs to the instance's root.
    pub async fn exec_interactive(
        &self,
        name: &str,
        request: &ExecRequest,
        size: TerminalSize,
    ) -> Result<ExecSession> {
        let (operation, secrets) = self.exec_websocket(name, request, Some(size)).await?;
        let socket = |fd| self.exec_socket(&operation, &secrets, fd);
        let (terminal, control) = tokio::try_join!(socket("0"), socket("control"))?;
        Ok(ExecSession::terminal(operation, terminal, control))
    }

    /// Runs a command without streams. The operation's [`OperationInfo::exit_code`] is there at its end;
    /// [`exit_code`] reads it.
    pub async fn exec_detached(&self, name: &str, request: &ExecRequest) -> Result<Operation> {
        let body = ExecPost {
            request,
            interactive: false,
            wait_for_websocket: false,
            record_output: false,
            width: None,
            height: None,
        };
        self.client.start(Method::POST, &path(name, ["exec"]), &body, None).await
    }

    /// Runs a command with this standard input and collects what it writes.
    ///
    /// # Errors
    /// [`Error::TooLarge`] beyond [`MAX_OUTPUT`]; the command is then killed.
    pub async fn exec_output(&self, name: &str, request: &ExecRequest, stdin: &[u8]) -> Result<ExecOutput> {
        self.exec(name, request).await?.communicate(stdin, MAX_OUTPUT).await
    }

    /// Runs a command whose output incusd keeps in files, reads them and deletes them. For commands that must
    /// go on when this process ends.
    pub async fn exec_recorded(&self, name: &str, request: &ExecRequest) -> Result<ExecOutput> {
        let body = ExecPost {
            request,
            interactive: false,
            wait_for_websocket: false,
            record_output: true,
            width: None,
            height: None,
        };
        let operation = self.client.start(Method::POST, &path(name, ["exec"]), &body, None).await?;
        let ended = operation.wait_end().await?;
        let outputs = ended.metadata.get("output").and_then(Value::as_object);
        let url = |fd: &str| outputs.and_then(|outputs| outputs.get(fd)).and_then(Value::as_str);
        let (stdout, stderr) =
            (self.take_record(name, url("1")).await?, self.take_record(name, url("2")).await?);
        Ok(ExecOutput { code: exit_code(ended)?, stdout, stderr })
    }

    /// Reads and deletes a recorded output. Incus never deletes them.
    async fn take_record(&self, name: &str, url: Option<&str>) -> Result<Bytes> {
        let Some(file) = url.and_then(|url| url.split('?').next()?.rsplit('/').next()) else {
            return Ok(Bytes::new());
        };
        let file = path(name, ["logs", "exec-output", file]);
        let (_, output) = self.client.call_raw(Call::new(Method::GET, &file)).await?;
        self.client.change(Method::DELETE, &file, &(), None).await?;
        Ok(output)
    }

    async fn exec_websocket(
        &self,
        name: &str,
        request: &ExecRequest,
        size: Option<TerminalSize>,
    ) -> Result<(Operation, HashMap<String, String>)> {
        let body = ExecPost {
            request,
            interactive: size.is_some(),
            wait_for_websocket: true,
            record_output: false,
            width: size.map(|size| size.width),
            height: size.map(|size| size.height),
        };
        let operation = self.client.start(Method::POST, &path(name, ["exec"]), &body, None).await?;
        let secrets = operation.info().metadata.get("fds").cloned().unwrap_or_default();
        let secrets = serde_json::from_value(secrets).map_err(|error| Error::Malformed {
            method: "POST".into(),
            path: path(name, ["exec"]).target(None),
            message: format!("no secrets of the sockets: {error}"),
        })?;
        Ok((operation, secrets))
    }

    async fn exec_socket(
        &self,
        operation: &Operation,
        secrets: &HashMap<String, String>,
        fd: &str,
    ) -> Result<WebSocket> {
        let path = ApiPath::new(["operations", operation.id(), "websocket"]).server_wide();
        let Some(secret) = secrets.get(fd) else {
            let (method, path) = ("GET".into(), path.target(None));
            return Err(Error::Malformed { method, path, message: format!("no secret for socket {fd}") });
        };
        self.client.websocket(&path.query("secret", secret)).await
    }
}

/// Exit code of an exec operation that has ended. The code counts before the operation's error: 126 and 127
/// make Incus call the operation failed.
///
/// # Errors
/// The operation's own error when the command never ran.
pub fn exit_code(ended: OperationInfo) -> Result<i32> {
    match ended.exit_code() {
        Some(code) => Ok(code),
        None => Err(match ended.into_result() {
            Err(error) => error,
            Ok(ended) => Error::OperationFailed { code: 500, operation: Box::new(ended) },
        }),
    }
}
