//! A command that runs, and its sockets.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::{ExecOutput, TerminalSize, exit_code};
use crate::Result;
use crate::error::Error;
use crate::operation::Operation;
use crate::websocket::WebSocket;

fn lost(operation: &Operation, what: &str, source: WsError) -> Error {
    Error::ConnectionLost {
        method: "GET".into(),
        path: format!("/1.0/operations/{}/websocket ({what})", operation.id()),
        source: std::sync::Arc::new(source),
    }
}

/// A running command. Dropping it, or its control and all its clones, closes the control socket, upon which
/// Incus kills the command.
#[derive(Debug)]
pub struct ExecSession {
    /// Standard input, or the terminal's.
    pub stdin: ExecWriter,
    /// Standard output, or the terminal's.
    pub stdout: ExecReader,
    /// Standard error; `None` on a terminal.
    pub stderr: Option<ExecReader>,
    /// Size of the terminal, signals.
    pub control: ExecControl,
    operation: Operation,
}

impl ExecSession {
    pub(super) fn streams(
        operation: Operation,
        stdin: WebSocket,
        stdout: WebSocket,
        stderr: WebSocket,
        control: WebSocket,
    ) -> Self {
        // Nothing is read from standard input's socket, yet its pings must be answered and its end be noticed.
        let (writer, reader) = stdin.split();
        let (stop_reading, stopped) = oneshot::channel();
        tokio::spawn(drain(reader, stopped));
        Self {
            stdin: ExecWriter { socket: writer, operation: operation.clone(), _drain: Some(stop_reading) },
            stdout: ExecReader::new(&operation, stdout),
            stderr: Some(ExecReader::new(&operation, stderr)),
            control: ExecControl::start(control),
            operation,
        }
    }

    pub(super) fn terminal(operation: Operation, terminal: WebSocket, control: WebSocket) -> Self {
        let (writer, reader) = terminal.split();
        Self {
            stdin: ExecWriter { socket: writer, operation: operation.clone(), _drain: None },
            stdout: ExecReader { socket: reader, _writer: None, operation: operation.clone(), ended: false },
            stderr: None,
            control: ExecControl::start(control),
            operation,
        }
    }

    /// The operation.
    pub fn operation(&self) -> &Operation {
        &self.operation
    }

    /// Waits for the end and returns the exit code (128 + n for death by signal n). Output that was not read
    /// is read and thrown away.
    ///
    /// Incus ends the operation of a terminal only when the client has closed its socket after the end of the
    /// output [measured with 6.0.4]; this does so. Who waits for [`ExecSession::operation`] himself must drop
    /// reader and writer then.
    pub async fn wait(self) -> Result<i32> {
        let Self { stdin, mut stdout, mut stderr, control, operation } = self;
        let outputs = async {
            let end = async |reader: &mut ExecReader| while let Ok(Some(_)) = reader.next().await {};
            match &mut stderr {
                Some(stderr) => drop(tokio::join!(end(&mut stdout), end(stderr))),
                None => end(&mut stdout).await,
            }
            stdin.hang_up().await;
            drop(stdout);
            std::future::pending::<()>().await;
        };
        let ended = tokio::select! {
            ended = operation.wait_end() => ended,
            () = outputs => unreachable!("it is pending at its end"),
        };
        drop(control);
        exit_code(ended?)
    }

    /// Sends all of the input, closes it, collects the output and waits for the end.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when one of the outputs is larger than `limit` bytes; the command is then killed.
    pub async fn communicate(self, input: &[u8], limit: usize) -> Result<ExecOutput> {
        let Self { mut stdin, mut stdout, mut stderr, control, operation } = self;
        let write = async {
            // A command may end without reading its input.
            if stdin.write_all(input).await.is_ok() {
                let _ = stdin.close().await;
            }
            std::future::pending::<()>().await;
        };
        let read = async {
            match &mut stderr {
                Some(stderr) => tokio::try_join!(stdout.read_to_end(limit), stderr.read_to_end(limit)),
                None => Ok((stdout.read_to_end(limit).await?, Bytes::new())),
            }
        };
        // Nobody may read the input any more when the output has ended.
        let read = tokio::select! {
            read = read => read,
            () = write => unreachable!("it is pending at its end"),
        };
        let (out, err) = match read {
            Ok(both) => both,
            // Of a command that it cannot start incusd drops the sockets in any order (6.0.4: now and then before the
            // end of the output was told): there is no output, and the operation has the code.
            Err(broken @ Error::ConnectionLost { .. }) => {
                let code = exit_code(operation.wait_end().await?)?;
                if !NOT_STARTED.contains(&code) {
                    return Err(broken);
                }
                return Ok(ExecOutput { code, stdout: Bytes::new(), stderr: Bytes::new() });
            }
            Err(error) => return Err(error),
        };
        stdin.hang_up().await;
        drop(stdout);
        let ended = operation.wait_end().await;
        drop(control);
        Ok(ExecOutput { code: exit_code(ended?)?, stdout: out, stderr: err })
    }
}

/// Codes of a command that cannot be executed, and of one that does not exist.
const NOT_STARTED: [i32; 2] = [126, 127];

/// Reads until the socket or its user ends.
async fn drain(mut reader: SplitStream<WebSocket>, mut stopped: oneshot::Receiver<()>) {
    loop {
        tokio::select! {
            message = reader.next() => if !matches!(message, Some(Ok(_))) { return },
            _ = &mut stopped => return,
        }
    }
}

/// Input of a command.
#[derive(Debug)]
pub struct ExecWriter {
    socket: SplitSink<WebSocket, Message>,
    operation: Operation,
    /// Ends the reading half with this one.
    _drain: Option<oneshot::Sender<()>>,
}

/// Largest binary frame that is sent, in bytes: as large as those that incusd sends.
const MAX_FRAME: usize = 32 << 10;

impl ExecWriter {
    /// Sends bytes; waits while the command does not read.
    ///
    /// # Errors
    /// [`Error::ConnectionLost`] when the command has ended or incusd is gone.
    pub async fn write_all(&mut self, bytes: &[u8]) -> Result<()> {
        for chunk in bytes.chunks(MAX_FRAME) {
            let message = Message::Binary(Bytes::copy_from_slice(chunk));
            self.socket.send(message).await.map_err(|error| lost(&self.operation, "input", error))?;
        }
        Ok(())
    }

    /// Tells the command that the input has ended. On a terminal this does nothing: send ^D (4).
    pub async fn close(&mut self) -> Result<()> {
        self.socket.send(Message::text("")).await.map_err(|error| lost(&self.operation, "input", error))
    }
}

/// A socket whose other end does not read any more is not worth a longer goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

impl ExecWriter {
    /// Closes the socket.
    async fn hang_up(mut self) {
        let _ = tokio::time::timeout(GOODBYE, self.socket.close()).await;
    }
}

/// Output of a command.
#[derive(Debug)]
pub struct ExecReader {
    socket: SplitStream<WebSocket>,
    /// Keeps the socket whole while only one half is used.
    _writer: Option<SplitSink<WebSocket, Message>>,
    operation: Operation,
    ended: bool,
}

impl ExecReader {
    fn new(operation: &Operation, socket: WebSocket) -> Self {
        let (writer, reader) = socket.split();
        Self { socket: reader, _writer: Some(writer), operation: operation.clone(), ended: false }
    }

    /// The next bytes; `None` at the end of the stream. Any text frame is that end.
    ///
    /// # Errors
    /// [`Error::ConnectionLost`] when the connection breaks before the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        while !self.ended {
            match self.socket.next().await {
                Some(Ok(Message::Binary(bytes))) if bytes.is_empty() => {}
                Some(Ok(Message::Binary(bytes))) => return Ok(Some(bytes)),
                Some(Ok(Message::Text(_) | Message::Close(_)))
                | Some(Err(WsError::ConnectionClosed | WsError::AlreadyClosed))
                | None => self.ended = true,
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    self.ended = true;
                    return Err(lost(&self.operation, "output", error));
                }
            }
        }
        Ok(None)
    }

    /// All bytes up to the end.
    ///
    /// # Errors
    /// [`Error::TooLarge`] beyond `limit` bytes.
    pub async fn read_to_end(&mut self, limit: usize) -> Result<Bytes> {
        let mut all = BytesMut::new();
        while let Some(bytes) = self.next().await? {
            if all.len() + bytes.len() > limit {
                let path = format!("/1.0/operations/{}/websocket (output)", self.operation.id());
                return Err(Error::TooLarge { method: "GET".into(), path, limit });
            }
            all.extend_from_slice(&bytes);
        }
        Ok(all.freeze())
    }
}

/// Size and signals of a running command; clones act on the same command.
#[derive(Clone, Debug)]
pub struct ExecControl {
    commands: mpsc::Sender<String>,
}

impl ExecControl {
    /// The socket is read all the time, for its pings, and lives as long as the last clone.
    fn start(socket: WebSocket) -> Self {
        let (commands, mut queue) = mpsc::channel::<String>(16);
        tokio::spawn(async move {
            let (mut writer, mut reader) = socket.split();
            loop {
                tokio::select! {
                    command = queue.recv() => match command {
                        Some(command) => if writer.send(Message::text(command)).await.is_err() { return },
                        None => {
                            let _ = writer.close().await;
                            return;
                        }
                    },
                    message = reader.next() => if !matches!(message, Some(Ok(_))) { return },
                }
            }
        });
        Self { commands }
    }

    /// Sets the terminal's size. Incus wants the numbers as text. Does nothing after the command's end.
    pub async fn resize(&self, size: TerminalSize) {
        let args = json!({"width": size.width.to_string(), "height": size.height.to_string()});
        self.send(json!({"command": "window-resize", "args": args})).await;
    }

    /// Sends a signal to the command itself, not to its children. Does nothing after the command's end.
    pub async fn signal(&self, signal: i32) {
        self.send(json!({"command": "signal", "signal": signal})).await;
    }

    async fn send(&self, command: serde_json::Value) {
        // The socket is gone when the command is.
        let _ = self.commands.send(command.to_string()).await;
    }
}
