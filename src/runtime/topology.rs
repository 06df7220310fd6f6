//! Which core runs what: the shards' cores in turn, and the dedicated core of journal and writer.

use core_affinity::CoreId;

use nudged_base::ids::ShardId;

/// Cores of a node, decided once at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// Cores that shards are pinned to in turn.
    pub shard_cpus: Vec<usize>,
    /// The core of journal, writer and reader.
    pub writer_cpu: usize,
    /// Shards of the node.
    pub shards: u16,
    /// Whether threads are pinned at all.
    pub pin: bool,
}

/// What an operator asked for; `None` and empty mean the defaults.
#[derive(Clone, Debug, Default)]
pub struct TopologyRequest {
    /// Cores for shards.
    pub cpus: Option<Vec<usize>>,
    /// The dedicated core.
    pub writer_cpu: Option<usize>,
    /// Number of shards.
    pub shards: Option<u16>,
    /// Pin threads to cores.
    pub pin: bool,
}

/// Why a request can't be granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopologyError {
    /// A core that this process may not use, with those that it may.
    NotAllowed {
        /// The core asked for.
        cpu: usize,
        /// The cores that are allowed.
        allowed: Vec<usize>,
    },
}

impl std::fmt::Display for TopologyError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let TopologyError::NotAllowed { cpu, allowed } = self;
        write!(formatter, "CPU {cpu} is not one that this process may use: {allowed:?}")
    }
}

impl std::error::Error for TopologyError {}

/// The cores that this process may use, ascending. To be read before any thread is pinned.
pub fn allowed_cpus() -> Vec<usize> {
    let ids = core_affinity::get_core_ids().unwrap_or_default();
    let mut cpus: Vec<usize> = ids.into_iter().map(|core| core.id).collect();
    cpus.sort_unstable();
    if cpus.is_empty() { vec![0] } else { cpus }
}

impl Topology {
    /// Lays shards and writer out over the allowed cores: all but the last for shards, the last
    /// for the writer; with fewer than 3, the shards take all and the writer shares the last.
    ///
    /// # Errors
    /// Where a core was asked for that is not allowed.
    pub fn plan(request: &TopologyRequest, allowed: &[usize]) -> Result<Topology, TopologyError> {
        assert!(!allowed.is_empty(), "a process runs on some core");
        let asked = request.cpus.iter().flatten().chain(&request.writer_cpu);
        if let Some(cpu) = asked.copied().find(|cpu| !allowed.contains(cpu)) {
            return Err(TopologyError::NotAllowed { cpu, allowed: allowed.to_vec() });
        }
        let last = allowed[allowed.len() - 1];
        let writer_cpu = request.writer_cpu.unwrap_or(last);
        let shard_cpus = match &request.cpus {
            Some(cpus) if !cpus.is_empty() => cpus.clone(),
            _ if allowed.len() < 3 => allowed.to_vec(),
            _ => allowed.iter().copied().filter(|cpu| *cpu != writer_cpu).collect(),
        };
        let default_shards = u16::try_from(shard_cpus.len()).unwrap_or(u16::MAX);
        let shards =
            request.shards.unwrap_or(default_shards).clamp(1, nudged_base::limits::SHARDS_MAX);
        Ok(Topology { shard_cpus, writer_cpu, shards, pin: request.pin })
    }

    /// The core of a shard.
    pub fn cpu_of(&self, shard: ShardId) -> usize {
        self.shard_cpus[shard.index() % self.shard_cpus.len()]
    }

    /// What is worth saying once at start: who shares a core with whom.
    pub fn sharing(&self) -> Option<String> {
        let shards = usize::from(self.shards);
        let cores = self.shard_cpus.len();
        let mut notes = Vec::new();
        if shards > cores {
            notes.push(format!("{shards} shards share {cores} cores"));
        }
        if self.shard_cpus.iter().take(shards).any(|cpu| *cpu == self.writer_cpu) {
            notes.push(format!("the writer shares core {} with a shard", self.writer_cpu));
        }
        if notes.is_empty() { None } else { Some(notes.join("; ")) }
    }
}

/// Pins the calling thread to a core. Returns whether the kernel agreed; running unpinned is slower
/// and not wrong.
pub fn pin(cpu: usize) -> bool {
    core_affinity::set_for_current(CoreId { id: cpu })
}

/// What this machine calls itself, for people. Allocates.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(request: &TopologyRequest, allowed: &[usize]) -> (Vec<usize>, usize, u16) {
        let topology = Topology::plan(request, allowed).unwrap();
        (topology.shard_cpus, topology.writer_cpu, topology.shards)
    }

    #[test]
    fn defaults_by_number_of_cores() {
        let request = TopologyRequest::default();
        assert_eq!(plan(&request, &[0]), (vec![0], 0, 1));
        assert_eq!(plan(&request, &[0, 1]), (vec![0, 1], 1, 2));
        assert_eq!(plan(&request, &[2, 3, 7]), (vec![2, 3], 7, 2));
    }

    #[test]
    fn wishes_are_granted_or_refused() {
        let request = TopologyRequest {
            cpus: Some(vec![1, 3]),
            shards: Some(5),
            ..TopologyRequest::default()
        };
        let topology = Topology::plan(&request, &[0, 1, 2, 3]).unwrap();
        assert_eq!((topology.shards, topology.writer_cpu), (5, 3));
        assert_eq!(topology.cpu_of(ShardId(2)), 1);
        assert!(topology.sharing().unwrap().contains("5 shards share 2 cores"));
        let request = TopologyRequest { writer_cpu: Some(9), ..TopologyRequest::default() };
        let error = Topology::plan(&request, &[0, 1]).unwrap_err();
        assert_eq!(error, TopologyError::NotAllowed { cpu: 9, allowed: vec![0, 1] });
        let request = TopologyRequest { writer_cpu: Some(0), ..TopologyRequest::default() };
        assert_eq!(plan(&request, &[0, 1, 2]), (vec![1, 2], 0, 2));
    }
}
