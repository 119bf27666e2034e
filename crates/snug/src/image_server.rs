//! What an image server has. The daemon has no network, and this program, being static, no resolver that honours the
//! host's: `snugd list-server` reads the list, as the user.

use std::process::{Command, Stdio};

use snug_core::image::{ImageRef, Protocol, Remote};
use snug_core::server_list::{ServerFault, ServerImage, ServerList};
use snug_core::text;

use crate::context::Context;
use crate::error::{CommandError, Kind};

/// Names that a message offers.
const OFFERED: usize = 8;

/// The images of containers that a server has for this machine.
pub fn list(context: &Context, remote: &Remote) -> Result<Vec<ServerImage>, CommandError> {
    if remote.protocol != Protocol::Simplestreams {
        let name = &remote.name;
        return Err(CommandError::user(format!(
            "'{name}' speaks the protocol {}: its images cannot be listed",
            remote.protocol
        ))
        .hint(format!("`snug image pull {name}:NAME` fetches one")));
    }
    let program = context.paths.libexec.join("snugd");
    let failed = |why: String| {
        CommandError::failed(format!(
            "{} did not list the images of '{}': {why}",
            program.display(),
            remote.name
        ))
        .hint("is Snug's package complete?")
    };
    let output = Command::new(&program)
        .arg("list-server")
        .arg(&remote.url)
        .args(&remote.certificate)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    let answer = serde_json::from_slice(&output.stdout).map_err(|error| {
        failed(if output.status.success() { error.to_string() } else { output.status.to_string() })
    })?;
    let mut images = match answer {
        ServerList::Images(images) => images,
        ServerList::Error { kind, message } => return Err(explain(remote, kind, &message)),
    };
    let machine = rustix::system::uname();
    let machine = machine.machine().to_string_lossy();
    images.retain(|image| !image.aliases.is_empty() && image.architecture == machine);
    Ok(images)
}

fn explain(remote: &Remote, kind: ServerFault, message: &str) -> CommandError {
    let doing = format!("cannot list the images of '{}'", remote.name);
    let unavailable = |what: String| CommandError::new(Kind::Unavailable, what);
    match kind {
        ServerFault::Untrusted => unavailable(format!(
            "{doing}: the certificate of the image server {} is not trusted: {message}",
            remote.url
        ))
        .hint(format!(
            "a server with a certificate of its own: [remotes.{}] certificate = \"/…pem\"",
            remote.name
        ))
        .hint("a certificate that is not valid yet, or no more: is this host's clock right?"),
        ServerFault::Unreachable => {
            unavailable(format!("{doing}: the image server {} cannot be reached: {message}", remote.url))
                .hint("is this host online? `snug image list` shows images that need no network")
                .hint("without network: import an image from a file, snug image import file:PATH NAME")
        }
        ServerFault::Invalid => CommandError::new(Kind::Config, format!("{doing}: {message}"))
            .hint(format!("see the table [remotes.{}] of the configuration", remote.name)),
        ServerFault::Malformed => unavailable(format!("{doing}: {message}"))
            .hint(format!("is {} a simplestreams server?", remote.url)),
    }
}

/// Adds to an error about an unknown image the names that the server has and that were probably meant. The list only
/// helps: where it cannot be had, the error stays as it is.
pub fn offer_names(context: &Context, image: &str, error: CommandError) -> CommandError {
    if error.kind != Kind::UnknownImage {
        return error;
    }
    let Ok(config) = context.config() else { return error };
    let Ok(ImageRef::Remote { remote, alias }) = config.images.parse(image) else { return error };
    let Some(remote) = config.images.remotes.get(&remote) else { return error };
    match list(context, remote) {
        Ok(images) => {
            let names: Vec<String> = images.into_iter().flat_map(|image| image.aliases).collect();
            offer(error, &remote.name, &alias, &names)
        }
        Err(reason) => {
            context.printer.detail(&reason.to_string());
            error
        }
    }
}

fn offer(mut error: CommandError, remote: &str, alias: &str, names: &[String]) -> CommandError {
    let mut hints = Vec::new();
    if let Some(near) = text::nearest(alias, names.iter().map(String::as_str)) {
        hints.push(format!("did you mean '{remote}:{near}'?"));
    }
    let family = alias.split('/').next().unwrap_or(alias);
    let is_relative = |name: &&str| name.split('/').next() == Some(family);
    let mut relatives: Vec<&str> = names.iter().map(String::as_str).filter(is_relative).collect();
    // The short ones are those that people type.
    relatives.sort_by_key(|name| (name.matches('/').count(), *name));
    relatives.dedup();
    if !relatives.is_empty() {
        let more = if relatives.len() > OFFERED { ", …" } else { "" };
        relatives.truncate(OFFERED);
        hints.push(format!("of '{family}' it has: {}{more}", relatives.join(", ")));
    }
    hints.append(&mut error.hints);
    error.hints = hints;
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hints(alias: &str, names: &[&str]) -> Vec<String> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let error = CommandError::new(Kind::UnknownImage, "no").hint("see the list");
        offer(error, "images", alias, &names).hints
    }

    #[test]
    fn names_that_were_probably_meant_are_offered() {
        let names = ["debian/12", "debian/12/cloud", "debian/13", "alpine/3.22"];
        assert_eq!(
            hints("debian/14", &names),
            [
                "did you mean 'images:debian/12'?",
                "of 'debian' it has: debian/12, debian/13, debian/12/cloud",
                "see the list",
            ]
        );
        assert_eq!(hints("plan9", &names), ["see the list"]);
    }

    #[test]
    fn of_many_names_a_few_are_offered() {
        let names: Vec<String> = (10..40).map(|n| format!("fedora/{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let hints = hints("fedora/rawhide", &names);
        assert_eq!(hints[0].matches("fedora/").count(), OFFERED);
        assert!(hints[0].ends_with('…'), "{hints:?}");
    }

    #[test]
    fn both_answers_of_the_lister_are_understood() {
        let answer = r#"{"error":{"kind":"unreachable","message":"no"}}"#;
        assert!(matches!(serde_json::from_str(answer), Ok(ServerList::Error { .. })));
        let answer = r#"{"images":[{"aliases":["a"],"fingerprint":"f","architecture":"x86_64","description":"d","size":1,"created":"c"}]}"#;
        assert!(matches!(serde_json::from_str(answer), Ok(ServerList::Images(images)) if images.len() == 1));
    }
}
