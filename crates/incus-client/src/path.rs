//! Paths and queries of the API, percent-encoded.

use std::fmt::Write as _;

/// A path below `/1.0` with its query. Segments and values are percent-encoded, so a name cannot
/// reach another resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiPath {
    path: String,
    query: String,
    with_project: bool,
}

impl ApiPath {
    /// `/1.0/SEGMENT/…`, each segment encoded, slashes included.
    pub fn new<'a>(segments: impl IntoIterator<Item = &'a str>) -> Self {
        let mut path = String::from("/1.0");
        for segment in segments {
            path.push('/');
            encode(segment, &mut path);
        }
        Self { path, query: String::new(), with_project: true }
    }

    /// The same path for a resource that belongs to no project.
    #[must_use]
    pub fn server_wide(mut self) -> Self {
        self.with_project = false;
        self
    }

    /// Adds `key=value` to the query.
    #[must_use]
    pub fn query(mut self, key: &str, value: &str) -> Self {
        if !self.query.is_empty() {
            self.query.push('&');
        }
        encode(key, &mut self.query);
        self.query.push('=');
        encode(value, &mut self.query);
        self
    }

    /// Adds `key=value` where there is a value.
    #[must_use]
    pub fn query_if(self, key: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.query(key, value),
            None => self,
        }
    }

    /// The request target; `project` is added unless the resource belongs to none.
    pub(crate) fn target(&self, project: Option<&str>) -> String {
        let whole = match project {
            Some(project) if self.with_project => self.clone().query("project", project),
            _ => self.clone(),
        };
        if whole.query.is_empty() { whole.path } else { format!("{}?{}", whole.path, whole.query) }
    }
}

/// Percent-encodes all but the unreserved characters of RFC 3986. A segment of dots only is encoded
/// whole: a server may resolve `.` and `..` before it decodes.
fn encode(text: &str, into: &mut String) {
    let only_dots = !text.is_empty() && text.bytes().all(|byte| byte == b'.');
    for byte in text.bytes() {
        match byte {
            b'.' if only_dots => into.push_str("%2E"),
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                into.push(char::from(byte))
            }
            _ => write!(into, "%{byte:02X}").expect("writing to a String cannot fail"),
        }
    }
}

/// `key=value&…` as used in `X-Incus-properties` and the like.
pub(crate) fn encode_form<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut form = String::new();
    for (key, value) in pairs {
        if !form.is_empty() {
            form.push('&');
        }
        encode(key, &mut form);
        form.push('=');
        encode(value, &mut form);
    }
    form
}

/// Decodes percent-encoding; what is no valid encoding stays as it is.
pub(crate) fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{ApiPath, decode, encode_form};

    #[test]
    fn a_name_with_a_slash_stays_one_segment() {
        let path = ApiPath::new(["images", "aliases", "debian/13 ü"]);
        assert_eq!(path.target(None), "/1.0/images/aliases/debian%2F13%20%C3%BC");
    }

    #[test]
    fn a_name_of_dots_does_not_climb() {
        assert_eq!(ApiPath::new(["instances", ".."]).target(None), "/1.0/instances/%2E%2E");
    }

    #[test]
    fn the_project_is_added_only_where_it_belongs() {
        let path = ApiPath::new(["instances"]).query("filter", "name eq a&b");
        assert_eq!(path.target(Some("p 1")), "/1.0/instances?filter=name%20eq%20a%26b&project=p%201");
        assert_eq!(ApiPath::new(["projects"]).server_wide().target(Some("p")), "/1.0/projects");
    }

    #[test]
    fn decoding_undoes_encoding() {
        assert_eq!(decode("debian%2F13%20%C3%BC"), "debian/13 ü");
        assert_eq!(decode("100%"), "100%");
        assert_eq!(encode_form([("os", "a=b"), ("x", "&")]), "os=a%3Db&x=%26");
    }
}
