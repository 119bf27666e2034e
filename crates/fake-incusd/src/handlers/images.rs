//! Images and aliases.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{list, not_found, script};
use crate::Core;
use crate::answer::Answer;
use crate::record::{RecordedRequest, read_query};
use crate::world::{Effect, NewOperation, World, digest, start_operation, text};

pub(crate) fn handle(core: &Arc<Core>, request: &RecordedRequest, path: &[&str]) -> Answer {
    let project = core.world().feature_project(request.project(), "features.images");
    match (request.method.as_str(), path) {
        ("GET", []) => {
            let world = core.world();
            let of_project = world.images.keys().filter(|(in_project, _)| *in_project == project);
            let images =
                of_project.filter_map(|(project, fingerprint)| world.image(project, fingerprint)).collect();
            list(request, "/1.0/images", images, "fingerprint")
        }
        ("POST", []) => create(core, request, project),
        (_, ["aliases", rest @ ..]) => aliases(&mut core.world(), request, &project, rest),
        (method, [fingerprint, rest @ ..]) => {
            let Some(image) = core.world().image(&project, fingerprint) else {
                return not_found("Image not found");
            };
            match (method, rest) {
                ("GET", []) => {
                    Answer::sync(image.clone()).header("etag", &digest(image.to_string().as_bytes()))
                }
                ("PUT", []) => {
                    let mut world = core.world();
                    if let Some(image) = world.images.get_mut(&(project, text(&image, "fingerprint"))) {
                        crate::world::merge(image, &request.json());
                    }
                    Answer::sync(Value::Null)
                }
                ("DELETE", []) => operation(core, request, "Deleting image", Value::Null, move |world| {
                    let fingerprint = text(&image, "fingerprint");
                    world.aliases.retain(|(in_project, _), alias| {
                        *in_project != project || alias["target"] != fingerprint.as_str()
                    });
                    world.images.remove(&(project, fingerprint)).ok_or("Image not found")?;
                    Ok(Value::Null)
                }),
                ("POST", ["refresh"]) => operation(core, request, "Refreshing image", Value::Null, |_| {
                    Ok(json!({"refreshed": false}))
                }),
                _ => not_found("not found"),
            }
        }
        _ => not_found("not found"),
    }
}

fn operation(
    core: &Arc<Core>,
    request: &RecordedRequest,
    description: &str,
    metadata: Value,
    effect: impl FnOnce(&mut World) -> Result<Value, String> + Send + 'static,
) -> Answer {
    let effect: Effect = Box::new(|world| Ok((Vec::new(), effect(world)?)));
    let new = NewOperation {
        project: request.project().to_owned(),
        class: "task",
        description: description.to_owned(),
        resources: Value::Null,
        metadata,
        script: script(core, request),
        effect,
    };
    Answer::operation(&start_operation(core, new))
}

fn create(core: &Arc<Core>, request: &RecordedRequest, project: String) -> Answer {
    let content_type = request.headers.get("content-type").map(String::as_str).unwrap_or_default();
    if content_type != "application/json" {
        return import(core, request, project, content_type);
    }
    let body = request.json();
    let source = &body["source"];
    let from_project = source["project"].as_str().filter(|project| !project.is_empty());
    let fingerprint = match (text(source, "fingerprint"), from_project) {
        (fingerprint, Some(from)) => match core.world().image(from, &fingerprint) {
            Some(image) => text(&image, "fingerprint"),
            None => return not_found("Image not found"),
        },
        (fingerprint, None) if !fingerprint.is_empty() => fingerprint,
        _ => digest(source.to_string().as_bytes()),
    };
    let aliases: Vec<String> =
        body["aliases"].as_array().into_iter().flatten().map(|alias| text(alias, "name")).collect();
    if let Some(taken) =
        aliases.iter().find(|name| core.world().aliases.contains_key(&(project.clone(), (*name).clone())))
    {
        return Answer::error(409, &format!("Alias already exists: {taken}"));
    }
    let properties = if body["properties"].is_object() { body["properties"].clone() } else { json!({}) };
    operation(core, request, "Downloading image", Value::Null, move |world| {
        world.add_image(&project, &fingerprint, properties);
        for alias in aliases {
            world.set_alias(&project, &alias, &fingerprint, "");
        }
        Ok(json!({"fingerprint": fingerprint, "size": "1000"}))
    })
}

/// A unified or split image as the body. The fingerprint is that of the header, else some digest.
fn import(core: &Arc<Core>, request: &RecordedRequest, project: String, content_type: &str) -> Answer {
    let content = match content_type.split_once("boundary=") {
        Some((_, boundary)) => match parts(&request.body, boundary) {
            Some(parts) => parts,
            None => return Answer::error(400, "Invalid multipart image"),
        },
        None => request.body.clone(),
    };
    let fingerprint = request.headers.get("x-incus-fingerprint").cloned().unwrap_or_else(|| digest(&content));
    let properties = request.headers.get("x-incus-properties").map(|form| json!(read_query(form)));
    let public = request.headers.get("x-incus-public").is_some_and(|value| value == "1" || value == "true");
    operation(core, request, "Importing image", Value::Null, move |world| {
        world.add_image(&project, &fingerprint, properties.unwrap_or_else(|| json!({})));
        if let Some(image) = world.images.get_mut(&(project, fingerprint.clone())) {
            image["public"] = json!(public);
        }
        Ok(json!({"fingerprint": fingerprint, "size": content.len().to_string()}))
    })
}

/// Contents of `metadata` and then `rootfs` (or `rootfs.img`) of a multipart body, one after the other.
pub(crate) fn parts(body: &[u8], boundary: &str) -> Option<Vec<u8>> {
    let delimiter = format!("--{boundary}");
    let mut rest = body.strip_prefix(delimiter.as_bytes())?;
    let inner = format!("\r\n{delimiter}");
    let mut content = Vec::new();
    for names in [&["metadata"][..], &["rootfs", "rootfs.img"][..]] {
        rest = rest.strip_prefix(b"\r\n")?;
        let head_end = find(rest, b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&rest[..head_end]).into_owned();
        if !names.iter().any(|name| head.contains(&format!("name=\"{name}\""))) {
            return None;
        }
        rest = &rest[head_end + 4..];
        let end = find(rest, inner.as_bytes())?;
        content.extend_from_slice(&rest[..end]);
        rest = &rest[end + inner.len()..];
    }
    rest.starts_with(b"--").then_some(content)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn aliases(world: &mut World, request: &RecordedRequest, project: &str, path: &[&str]) -> Answer {
    let body = request.json();
    match (request.method.as_str(), path) {
        ("GET", []) => {
            let of_project = world.aliases.iter().filter(|((in_project, _), _)| in_project == project);
            list(request, "/1.0/images/aliases", of_project.map(|(_, alias)| alias.clone()).collect(), "name")
        }
        ("POST", []) => {
            let (name, target) = (text(&body, "name"), text(&body, "target"));
            if world.aliases.contains_key(&(project.to_owned(), name.clone())) {
                return Answer::error(409, &format!("Alias {name:?} already exists"));
            }
            if world.image(project, &target).is_none() {
                return not_found("Image not found");
            }
            world.set_alias(project, &name, &target, &text(&body, "description"));
            Answer::sync(Value::Null)
        }
        (method, [name]) => {
            let key = (project.to_owned(), (*name).to_owned());
            let Some(alias) = world.aliases.get(&key).cloned() else {
                return not_found("Image alias not found");
            };
            match method {
                "GET" => Answer::sync(alias.clone()).header("etag", &digest(alias.to_string().as_bytes())),
                "PUT" => {
                    world.set_alias(project, name, &text(&body, "target"), &text(&body, "description"));
                    Answer::sync(Value::Null)
                }
                "DELETE" => {
                    world.aliases.remove(&key);
                    Answer::sync(Value::Null)
                }
                _ => Answer::error(405, "method not allowed"),
            }
        }
        _ => not_found("not found"),
    }
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn a_split_image_is_metadata_then_rootfs() {
        let body = b"--x\r\nContent-Disposition: form-data; name=\"metadata\"\r\n\r\nm\r\n--x\r\n\
            Content-Disposition: form-data; name=\"rootfs\"\r\n\r\nr\r\nr\r\n--x--\r\n";
        assert_eq!(parts(body, "x"), Some(b"mr\r\nr".to_vec()));
        assert_eq!(parts(&body[..body.len() - 6], "x"), None);
    }
}
