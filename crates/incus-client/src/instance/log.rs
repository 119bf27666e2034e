//! Console and log files of instances.

use bytes::Bytes;
use http::Method;

use super::{Instances, path};
use crate::Result;
use crate::client::Call;
use crate::path::decode;

impl Instances {
    /// What the guest wrote to its console, as far as the ring buffer (about 128 KiB) goes back.
    ///
    /// # Errors
    /// 404 or 400 where there is no console log, as with an instance that never ran.
    pub async fn console_log(&self, name: &str) -> Result<Bytes> {
        Ok(self.client.call_raw(Call::new(Method::GET, &path(name, ["console"]))).await?.1)
    }

    /// Empties the console log.
    pub async fn clear_console_log(&self, name: &str) -> Result<()> {
        self.client.change(Method::DELETE, &path(name, ["console"]), &(), None).await
    }

    /// Names of the log files, such as `lxc.log`.
    pub async fn logs(&self, name: &str) -> Result<Vec<String>> {
        let urls: Vec<String> = self.client.get(&path(name, ["logs"])).await?;
        Ok(urls.iter().filter_map(|url| url.split('?').next()?.rsplit('/').next()).map(decode).collect())
    }

    /// A log file.
    pub async fn log(&self, name: &str, file: &str) -> Result<Bytes> {
        Ok(self.client.call_raw(Call::new(Method::GET, &path(name, ["logs", file]))).await?.1)
    }
}
