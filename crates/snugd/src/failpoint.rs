//! Places at which a test lets the daemon die as by SIGKILL: `SNUG_FAILPOINT=create-instance`. Compiled in with the cargo
//! feature `failpoints` alone.

/// Dies here when the test says so.
#[inline]
pub fn reach(place: &str) {
    #[cfg(feature = "failpoints")]
    if std::env::var_os("SNUG_FAILPOINT").is_some_and(|wanted| wanted == place) {
        tracing::error!("failpoint {place}");
        std::process::abort();
    }
    #[cfg(not(feature = "failpoints"))]
    let _ = place;
}
