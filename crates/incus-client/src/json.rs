//! Reading what Go writes: a nil map or slice is `null`, not empty.

use serde::{Deserialize, Deserializer};

/// Reads `null` as the type's default.
pub(crate) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Whether a flag is off, to leave it out of a request.
pub(crate) fn is_false(flag: &bool) -> bool {
    !*flag
}

#[cfg(test)]
mod tests {
    use super::null_as_default;

    #[derive(serde::Deserialize)]
    struct Row {
        #[serde(default, deserialize_with = "null_as_default")]
        config: crate::Config,
    }

    #[test]
    fn null_and_absence_read_as_an_empty_map() {
        for text in ["{}", r#"{"config":null}"#, r#"{"config":{}, "unknown": 1}"#] {
            assert!(serde_json::from_str::<Row>(text).unwrap().config.is_empty(), "{text}");
        }
    }
}
