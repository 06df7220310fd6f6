//! stub
use crate::catalog::snapshot::*;
use crate::catalog::{compile::*, source};
use crate::config::Config;
use crate::runtime::mesh::Mesh;
use crate::store::Store;
use crate::telemetry::log::Log;
use std::sync::Arc;
#[allow(missing_docs)]
pub struct PublisherSetup {
    pub config: Config,
    pub store: Store,
    pub mesh: Arc<Mesh>,
    pub log: Log,
    pub config_file: Option<std::path::PathBuf>,
}
#[allow(missing_docs)]
pub struct Publisher {
    s: Arc<Snapshot>,
}
#[allow(missing_docs)]
impl Publisher {
    pub fn open(p: PublisherSetup) -> Result<Publisher, Vec<String>> {
        let t = std::fs::read_to_string(p.config.popups.clone().unwrap()).unwrap();
        let d = source::parse_toml(&t).unwrap();
        let e: Vec<_> = d
            .iter()
            .map(|definition| Entry { definition, version: 1, status: definition.status() })
            .collect();
        let mut p = p;
        let list: Vec<_> = d.iter().map(|d| (d.id().to_owned(), d.canonical_json())).collect();
        let l: Vec<_> = list.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        p.store.import_popups(&l, "file", crate::base::time::WallMs(1)).unwrap();
        Ok(Publisher { s: Arc::new(compile(&e, Settings::default(), 1).unwrap()) })
    }
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.s.clone()
    }
    pub fn reload(&self) -> Result<(), ()> {
        Ok(())
    }
}
