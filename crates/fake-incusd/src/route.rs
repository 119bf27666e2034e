//! Which requests are meant.

/// A method and a path without query. In the path, `*` stands for one segment, `**` for the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    method: String,
    pattern: Vec<String>,
}

impl Route {
    /// A route such as `Route::new("PUT", "/1.0/instances/*/state")`; method `*` means any.
    pub fn new(method: &str, path: &str) -> Self {
        Self { method: method.to_owned(), pattern: segments(path).map(str::to_owned).collect() }
    }

    /// Whether a request belongs to this route.
    pub fn matches(&self, method: &str, path: &str) -> bool {
        if self.method != "*" && self.method != method {
            return false;
        }
        let mut segments = segments(path);
        for part in &self.pattern {
            if part == "**" {
                return true;
            }
            match segments.next() {
                Some(segment) if part == "*" || part == segment => {}
                _ => return false,
            }
        }
        segments.next().is_none()
    }
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.trim_start_matches('/').split('/')
}

#[cfg(test)]
mod tests {
    use super::Route;

    #[test]
    fn a_star_is_one_segment_and_two_are_the_rest() {
        let one = Route::new("GET", "/1.0/instances/*");
        assert!(one.matches("GET", "/1.0/instances/c1"));
        assert!(!one.matches("GET", "/1.0/instances/c1/state") && !one.matches("PUT", "/1.0/instances/c1"));
        assert!(!one.matches("GET", "/1.0/instances"));
        let rest = Route::new("*", "/1.0/instances/**");
        assert!(rest.matches("PUT", "/1.0/instances/c1/state"));
    }
}
