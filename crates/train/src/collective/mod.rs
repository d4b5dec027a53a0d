//! Ranks talking to each other. An implementation moves bytes; what they mean, and in which order floats are added, is
//! the same for all and lives in [`reduce`].

pub mod conformance;
pub mod local;
#[cfg(feature = "cuda")]
pub mod nccl;
pub mod reduce;

pub use local::LocalCollective;

/// A failed collective operation. The generation is over: no operation may follow on any rank.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollectiveError {
    /// A peer is gone.
    #[error("rank `{rank}` is lost: {problem}")]
    PeerLost {
        /// Its rank.
        rank: usize,
        /// What was seen.
        problem: String,
    },
    /// A peer sent something else than the operation expects: another program, or another step.
    #[error("rank `{rank}` sent {problem}")]
    Protocol {
        /// Its rank.
        rank: usize,
        /// What was wrong with it.
        problem: String,
    },
    /// The device or its library failed.
    #[error("the communicator failed: {0}")]
    Device(String),
}

/// A group of ranks of one generation.
///
/// All ranks call the same operations in the same order. A rank whose peer is lost gets an error at once, not after a
/// time-out of its own.
pub trait Collective: Send {
    /// This rank, from 0.
    fn rank(&self) -> usize;

    /// Number of ranks.
    fn world_size(&self) -> usize;

    /// Sends `outgoing[i]` to rank `i` and returns what each rank sent here, in the order of ranks; one entry per rank,
    /// this one's own passed through.
    fn exchange(&mut self, outgoing: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, CollectiveError>;

    /// Gives every rank's bytes to every rank, in the order of ranks.
    fn all_gather(&mut self, bytes: Vec<u8>) -> Result<Vec<Vec<u8>>, CollectiveError> {
        let world_size = self.world_size();
        self.exchange(vec![bytes; world_size])
    }

    /// Gives the bytes of rank `root` to every rank; what others pass is not looked at.
    fn broadcast(&mut self, root: usize, bytes: Vec<u8>) -> Result<Vec<u8>, CollectiveError> {
        let own = if self.rank() == root { bytes } else { Vec::new() };
        let mut all = self.all_gather(own)?;
        Ok(all.swap_remove(root))
    }

    /// Returns when every rank has come here.
    fn barrier(&mut self) -> Result<(), CollectiveError> {
        self.all_gather(Vec::new()).map(|_| ())
    }
}

/// Refuses an `outgoing` that has not one entry per rank.
pub fn check_outgoing(collective: &dyn Collective, outgoing: &[Vec<u8>]) -> Result<(), CollectiveError> {
    let (rank, world_size) = (collective.rank(), collective.world_size());
    if outgoing.len() == world_size {
        return Ok(());
    }
    let problem = format!("`{}` messages: expected one for each of `{world_size}` ranks", outgoing.len());
    Err(CollectiveError::Protocol { rank, problem })
}
