//! What an instance does and uses just now.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Instances, path};
use crate::json::null_as_default;
use crate::network::NetworkState;
use crate::{Result, StatusCode, Timestamp};

/// State of an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct InstanceState {
    /// Status in Incus' words.
    pub status: String,
    /// Status.
    pub status_code: StatusCode,
    /// Process id of its init on the host; 0 or -1 when it does not run.
    pub pid: i64,
    /// Number of processes; -1 for a virtual machine without agent.
    pub processes: i64,
    /// When it was started (`instance_state_started_at`).
    pub started_at: Timestamp,
    /// Processor time.
    #[serde(deserialize_with = "null_as_default")]
    pub cpu: CpuState,
    /// Memory.
    #[serde(deserialize_with = "null_as_default")]
    pub memory: MemoryState,
    /// Disk devices by name; a device is missing where its pool does not account usage.
    #[serde(deserialize_with = "null_as_default")]
    pub disk: BTreeMap<String, DiskState>,
    /// Interfaces by name.
    #[serde(deserialize_with = "null_as_default")]
    pub network: BTreeMap<String, NetworkState>,
}

impl InstanceState {
    /// Process id of its init on the host, when it runs.
    pub fn init_pid(&self) -> Option<u32> {
        u32::try_from(self.pid).ok().filter(|pid| *pid > 0)
    }

    /// Bytes that the root disk uses, where the pool tells. A pool that does not (btrfs without quotas) may say -1 or 0, and
    /// no root disk is empty.
    pub fn root_usage(&self) -> Option<u64> {
        self.disk.get("root").and_then(|root| u64::try_from(root.usage).ok()).filter(|usage| *usage > 0)
    }
}

/// Processor time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct CpuState {
    /// Nanoseconds since the start; -1 where it cannot be told.
    pub usage: i64,
    /// Nanoseconds a second that it may use (`instance_state_cpu_time`).
    pub allocated_time: i64,
}

/// Memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct MemoryState {
    /// Used.
    pub usage: i64,
    /// Most that was ever used; 0 where it cannot be told.
    pub usage_peak: i64,
    /// Limit, or the host's memory.
    pub total: i64,
    /// Used swap.
    pub swap_usage: i64,
    /// Most swap that was ever used.
    pub swap_usage_peak: i64,
}

/// A disk device in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct DiskState {
    /// Used.
    pub usage: i64,
    /// Size limit, 0 without one.
    pub total: i64,
}

impl Instances {
    /// State of an instance.
    pub async fn state(&self, name: &str) -> Result<InstanceState> {
        self.client.get(&path(name, ["state"])).await
    }
}

#[cfg(test)]
mod tests {
    use super::InstanceState;

    #[test]
    fn a_stopped_instance_has_no_init_and_may_have_no_disk_usage() {
        let text = r#"{"status":"Stopped","status_code":102,"pid":-1,"disk":null,"network":null,"os_info":null,
            "memory":{"usage":0},"cpu":{"usage":-1}}"#;
        let state: InstanceState = serde_json::from_str(text).unwrap();
        assert_eq!((state.init_pid(), state.root_usage()), (None, None));
    }

    #[test]
    fn a_running_instance_tells_pid_and_usage() {
        let text = r#"{"status_code":103,"pid":42,"disk":{"root":{"usage":7,"total":0}}}"#;
        let state: InstanceState = serde_json::from_str(text).unwrap();
        assert_eq!((state.init_pid(), state.root_usage()), (Some(42), Some(7)));
    }

    #[test]
    fn a_pool_that_does_not_account_usage_tells_none() {
        for disk in [r#"{"root":{"usage":0,"total":0}}"#, r#"{"root":{"usage":-1}}"#, r#"{"root":{}}"#, "{}"]
        {
            let state: InstanceState = serde_json::from_str(&format!(r#"{{"disk":{disk}}}"#)).unwrap();
            assert_eq!(state.root_usage(), None, "{disk}");
        }
    }
}
