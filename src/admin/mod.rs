//! Floor 5: what operators see and do. `publisher` the one way by which popups and reloadable
//! settings change · `popups_file` the file they come from · `shards` commands to shards.

pub mod popups_file;
pub mod publisher;
pub mod shards;

use std::sync::Arc;
#[allow(missing_docs)]
pub struct AdminSetup {
    pub config: crate::config::Config,
    pub topology: crate::runtime::topology::Topology,
    pub mesh: Arc<crate::runtime::mesh::Mesh>,
    pub counters: Vec<Arc<crate::telemetry::counters::ShardCounters>>,
    pub publisher: Arc<publisher::Publisher>,
    pub reader: crate::store::Reader,
    pub figures: Arc<crate::runtime::sql_writer::WriterFigures>,
    pub log: crate::telemetry::log::Log,
}
#[allow(missing_docs)]
pub struct AdminHandle;
#[allow(missing_docs)]
impl AdminHandle {
    pub fn address(&self) -> &str {
        "none"
    }
    pub fn stop(self) {}
}
#[allow(missing_docs)]
pub fn start(_: AdminSetup) -> Result<AdminHandle, String> {
    Ok(AdminHandle)
}
