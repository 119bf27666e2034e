//! Exec.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{instances::running, not_found};
use crate::Core;
use crate::answer::Answer;
use crate::exec::{ExecLog, Program};
use crate::record::RecordedRequest;
use crate::socket::{Ended, ExecSockets, finish_exec, run_exec};
use crate::world::{insert_operation, text};

pub(crate) fn handle(core: &Arc<Core>, request: &RecordedRequest, name: &str) -> Answer {
    let body = request.json();
    let project = request.project().to_owned();
    let mut world = core.world();
    match world.instances.get(&(project.clone(), name.to_owned())) {
        None => return not_found("Instance not found"),
        Some(instance) if !running(&instance.json) => return Answer::error(400, "Instance is not running"),
        Some(_) => {}
    }
    let (websocket, recorded) = (body["wait-for-websocket"] == true, body["record-output"] == true);
    let interactive = body["interactive"] == true;
    if recorded && (websocket || interactive) {
        return Answer::error(400, "Cannot record output and use websockets");
    }
    let command: Vec<String> = body["command"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|word| word.as_str().map(str::to_owned))
        .collect();
    let environment: BTreeMap<String, String> =
        serde_json::from_value(body["environment"].clone()).unwrap_or_default();
    let program = command.first().and_then(|word| world.programs.get(word)).cloned();
    let program = program.unwrap_or_else(|| Program::default_for(&command));
    let log = world.execs.len();
    let id_of_sockets = world.next_id();
    world.execs.push(ExecLog {
        instance: name.to_owned(),
        command: command.clone(),
        environment: environment.clone(),
        user: body["user"].as_u64().unwrap_or_default(),
        group: body["group"].as_u64().unwrap_or_default(),
        cwd: text(&body, "cwd"),
        interactive,
        ..ExecLog::default()
    });
    drop(world);
    let mut metadata = json!({"command": command, "environment": environment, "interactive": interactive});
    let sockets = websocket.then(|| Arc::new(ExecSockets::new(&id_of_sockets, interactive)));
    if let Some(sockets) = &sockets {
        metadata["fds"] = sockets.secrets();
    }
    let (class, resources) = (
        if websocket { "websocket" } else { "task" },
        json!({"instances": [format!("/1.0/instances/{name}")]}),
    );
    let (id, operation) =
        insert_operation(core, &project, class, "Executing command", resources, metadata, false, sockets);
    let (core, name) = (Arc::clone(core), name.to_owned());
    tokio::spawn(async move {
        if websocket {
            run_exec(&core, &id, &project, log, program).await;
        } else {
            run_without_sockets(&core, &id, &project, &name, log, program, recorded);
        }
    });
    Answer::operation(&operation)
}

fn run_without_sockets(
    core: &Arc<Core>,
    id: &str,
    project: &str,
    name: &str,
    log: usize,
    program: Program,
    recorded: bool,
) {
    let (stdout, stderr, ended) = match program {
        Program::Output { stdout, stderr, code } => (stdout, stderr, Ended::Code(code)),
        Program::NotExecuted(code) => (Vec::new(), Vec::new(), Ended::NotExecuted(code)),
        Program::Broken(error) => (Vec::new(), Vec::new(), Ended::Broken(error)),
        Program::Cat => (Vec::new(), Vec::new(), Ended::Code(0)),
        Program::Sleep => return,
    };
    if recorded {
        let mut world = core.world();
        let url = |stream: &str| format!("/1.0/instances/{name}/logs/exec-output/exec_{id}.{stream}");
        for (stream, content) in [("stdout", stdout), ("stderr", stderr)] {
            world.records.insert(url(stream), content);
        }
        if let Some(operation) = world.operations.get_mut(id) {
            operation.json["metadata"]["output"] = json!({"1": url("stdout"), "2": url("stderr")});
        }
    }
    finish_exec(core, id, project, log, &ended);
}

/// A recorded output.
pub(crate) fn record(core: &Core, request: &RecordedRequest, name: &str, file: &str) -> Answer {
    let url = format!("/1.0/instances/{name}/logs/exec-output/{file}");
    let mut world = core.world();
    match (request.method.as_str(), world.records.get(&url)) {
        ("GET", Some(content)) => Answer::raw(200, content.clone()),
        ("DELETE", Some(_)) => {
            world.records.remove(&url);
            Answer::sync(Value::Null)
        }
        _ => not_found("not found"),
    }
}
