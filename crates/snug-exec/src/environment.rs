//! Lists of `KEY=VALUE`, whose values are bytes.

/// The PATH of a system whose login environment says nothing.
pub const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// `KEY` of `KEY=VALUE`.
pub fn key(variable: &[u8]) -> &[u8] {
    let end = variable.iter().position(|byte| *byte == b'=').unwrap_or(variable.len());
    &variable[..end]
}

/// Value of `wanted` in a list of `KEY=VALUE`.
pub fn value<'a>(environment: &'a [Vec<u8>], wanted: &[u8]) -> Option<&'a [u8]> {
    environment.iter().find_map(|variable| variable.strip_prefix(wanted)?.strip_prefix(b"="))
}

/// Sets `wanted`, at its old place if it has one.
pub fn set(environment: &mut Vec<Vec<u8>>, wanted: &[u8], value: &[u8]) {
    let variable = [wanted, b"=", value].concat();
    match environment.iter_mut().find(|variable| key(variable) == wanted) {
        Some(place) => *place = variable,
        None => environment.push(variable),
    }
}

/// Sets what each `KEY=VALUE` of `variables` says.
pub fn set_all(environment: &mut Vec<Vec<u8>>, variables: &[Vec<u8>]) {
    for variable in variables {
        let key = key(variable);
        set(environment, key, variable.get(key.len() + 1..).unwrap_or_default());
    }
}

/// Splits what `env -0` and /proc/PID/environ hold.
pub fn split(text: &[u8]) -> Vec<Vec<u8>> {
    text.split(|byte| *byte == 0).filter(|variable| variable.contains(&b'=')).map(<[u8]>::to_vec).collect()
}
