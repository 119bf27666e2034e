//! `snug export --socket`.

use snug_core::name::ContainerName;
use snug_exports::{Exports, Socket};

use super::unwritten;
use crate::bus::view::Container;
use crate::context::Context;
use crate::error::CommandError;
use crate::{exports, probe};

/// Exports them, and says where they are.
pub fn execute(
    context: &Context,
    container: &ContainerName,
    found: &Container,
    sockets: &[Socket],
) -> Result<(), CommandError> {
    let exports = exports::of_user().map_err(unwritten)?;
    let added = exports.change(|index| add(&mut index.sockets, sockets)).map_err(unwritten)??;
    if let Err(error) = serve(context, container, sockets) {
        return Err(take_back(context, &exports, container, &added, error));
    }
    for socket in sockets {
        let place = socket.place().map_err(|error| unopened(socket, error.to_string()))?;
        if found.is_running() && !listens(context, socket) {
            let text = format!("{container} has no socket {} now; it answers once it has one", socket.path);
            context.printer.warning(&text);
        }
        context.printer.answer_line(&place.display().to_string())?;
        if let Some(variable) = variable(&socket.name) {
            let text = format!("`export {variable}=unix://{}` makes programs use it", place.display());
            context.printer.notice(&text);
        }
    }
    Ok(())
}

/// Has them made, and looks whether they are.
fn serve(context: &Context, container: &ContainerName, sockets: &[Socket]) -> Result<(), CommandError> {
    context.serve_exports(container)?;
    for socket in sockets {
        let place = socket.place().map_err(|error| unopened(socket, error.to_string()))?;
        if !socket.is_there() {
            return Err(unopened(socket, format!("{} could not be made", place.display())));
        }
    }
    Ok(())
}

/// Leaves the index as it was: who is told that it failed does not expect the sockets at his next login. What was exported before
/// stays.
fn take_back(
    context: &Context,
    exports: &Exports,
    container: &ContainerName,
    added: &[Socket],
    error: CommandError,
) -> CommandError {
    let taken = exports.change(|index| index.sockets.retain(|socket| !added.contains(socket)));
    // Those that could be made go; a service that is not reached has made none.
    let _ = context.serve_exports(container);
    match taken {
        Ok(()) if added.is_empty() => {
            error.hint(format!("it stays exported: `snug unexport -c {container} --socket PATH` gives it up"))
        }
        Ok(()) => error.hint("nothing was exported by this command: once that is mended, say it again"),
        Err(_) => error.hint("it could not be taken back: `snug exports` shows what is exported"),
    }
}

/// The sockets, as they were typed.
pub fn parse(container: &ContainerName, texts: &[String]) -> Result<Vec<Socket>, CommandError> {
    let parsed = texts.iter().map(|text| Socket::parse(container.clone(), text));
    parsed.collect::<Result<_, _>>().map_err(|error| {
        CommandError::usage(error.to_string()).hint("for example `snug export --socket /run/docker.sock`")
    })
}

fn unopened(socket: &Socket, why: String) -> CommandError {
    CommandError::failed(format!("{} of {} is not on the host: {why}", socket.path, socket.container))
}

/// Adds them, unless two would have one place; which were not there before.
fn add(there: &mut Vec<Socket>, added: &[Socket]) -> Result<Vec<Socket>, CommandError> {
    let before = there.clone();
    for socket in added {
        let same = |other: &&Socket| other.container == socket.container && other.path == socket.path;
        if let Some(other) = there.iter().find(same) {
            if other.name == socket.name {
                continue;
            }
            let text =
                format!("{} of {} is exported as {} already", socket.path, socket.container, other.name);
            *there = before;
            return Err(CommandError::failed(text));
        }
        let taken = |other: &&Socket| other.container == socket.container && other.name == socket.name;
        if let Some(other) = there.iter().find(taken) {
            let text = format!(
                "{} has a socket {} on the host already: {}",
                socket.container, socket.name, other.path
            );
            *there = before;
            return Err(CommandError::failed(text)
                .hint(format!("`--socket {}=NAME` gives it another name", socket.path)));
        }
        there.push(socket.clone());
    }
    Ok(there.iter().filter(|socket| !before.contains(socket)).cloned().collect())
}

/// The variable by which clients of that server are told where it is.
fn variable(name: &str) -> Option<&'static str> {
    match name {
        "docker.sock" => Some("DOCKER_HOST"),
        "podman.sock" => Some("CONTAINER_HOST"),
        _ => None,
    }
}

/// Whether the container has a socket there. Where that cannot be found out nothing is said.
fn listens(context: &Context, socket: &Socket) -> bool {
    probe::status(context.target(&socket.container), &["test", "-S", &socket.path]) != Some(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(text: &str) -> Socket {
        Socket::parse("dev".parse().unwrap(), text).unwrap()
    }

    #[test]
    fn what_is_there_already_is_no_second_one_and_no_place_is_taken_twice() {
        let mut there = vec![socket("/run/docker.sock")];
        let new = add(&mut there, &[socket("/run/docker.sock"), socket("/run/x")]).unwrap();
        assert_eq!(new, [socket("/run/x")]);
        assert_eq!(there, [socket("/run/docker.sock"), socket("/run/x")]);
        let before = there.clone();
        for added in ["/other/docker.sock", "/run/docker.sock=d"] {
            assert!(add(&mut there, &[socket("/run/new"), socket(added)]).is_err(), "{added}");
            assert_eq!(there, before);
        }
        let of_another = Socket { container: "other".parse().unwrap(), ..socket("/run/docker.sock") };
        add(&mut there, std::slice::from_ref(&of_another)).unwrap();
        assert!(there.contains(&of_another));
    }
}
