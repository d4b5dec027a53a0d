//! Ranks on NVIDIA GPUs over NCCL: NVLink inside a host, InfiniBand or Ethernet between hosts.
//!
//! Compiled in CI, not yet run on GPUs. NCCL moves bytes between ranks and adds nothing, so that the order of summation
//! stays the canonical one; bytes pass through host memory, since the loop keeps its weights there. The id of the group
//! comes from rank 0 through the coordinator.

use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaSlice, CudaStream, DriverError};
use cudarc::nccl::result::NcclError;
use cudarc::nccl::{Comm, Id, group_end, group_start};

use super::{Collective, CollectiveError, check_outgoing};

/// Length of a group's id in bytes.
pub const ID_LENGTH: usize = 128;
/// Largest message that a peer may announce.
const LARGEST_MESSAGE: u64 = 1 << 40;

/// One rank of a group over NCCL.
pub struct NcclCollective {
    communicator: Comm,
    stream: Arc<CudaStream>,
}

#[expect(unsafe_code, reason = "the library's handle is a raw pointer, which is not Send by itself")]
// SAFETY: NCCL lets any thread use a communicator as long as no two do at once. The handle is not shared: its only owner
// is this struct, which is not Clone, not Sync, and whose operations take `&mut self`.
unsafe impl Send for NcclCollective {}

fn driver(error: DriverError) -> CollectiveError {
    CollectiveError::Device(format!("{error:?}"))
}

fn library(error: NcclError) -> CollectiveError {
    CollectiveError::Device(format!("{error:?}"))
}

impl NcclCollective {
    /// Makes the id of a new group; rank 0 calls it and hands it out.
    pub fn new_id() -> Result<[u8; ID_LENGTH], CollectiveError> {
        let id = Id::new().map_err(library)?;
        Ok(id.internal().map(|byte| byte.to_ne_bytes()[0]))
    }

    /// Joins a group with the GPU of this number; returns when all ranks have joined.
    pub fn join(
        device: usize,
        rank: usize,
        world_size: usize,
        id: [u8; ID_LENGTH],
    ) -> Result<Self, CollectiveError> {
        let stream = CudaContext::new(device).map_err(driver)?.default_stream();
        let id = Id::uninit(id.map(|byte| std::ffi::c_char::from_ne_bytes([byte])));
        let communicator = Comm::from_rank(stream.clone(), rank, world_size, id).map_err(library)?;
        Ok(Self { communicator, stream })
    }

    /// How long each message between any two ranks is: row by sender.
    fn lengths(&self, outgoing: &[Vec<u8>]) -> Result<Vec<u64>, CollectiveError> {
        let own: Vec<u64> = outgoing.iter().map(|bytes| bytes.len() as u64).collect();
        let own = self.stream.clone_htod(&own).map_err(driver)?;
        let mut all = self.stream.alloc_zeros::<u64>(outgoing.len() * outgoing.len()).map_err(driver)?;
        self.communicator.all_gather(&own, &mut all).map_err(library)?;
        let all = self.stream.clone_dtoh(&all).map_err(driver)?;
        self.stream.synchronize().map_err(driver)?;
        Ok(all)
    }
}

impl Collective for NcclCollective {
    fn rank(&self) -> usize {
        self.communicator.rank()
    }

    fn world_size(&self) -> usize {
        self.communicator.world_size()
    }

    fn exchange(&mut self, mut outgoing: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, CollectiveError> {
        check_outgoing(self, &outgoing)?;
        let (rank, world_size) = (self.rank(), self.world_size());
        let lengths = self.lengths(&outgoing)?;
        let own = std::mem::take(&mut outgoing[rank]);
        let mut sent: Vec<CudaSlice<u8>> = Vec::with_capacity(world_size);
        let mut received: Vec<CudaSlice<u8>> = Vec::with_capacity(world_size);
        for (peer, bytes) in outgoing.iter().enumerate() {
            let length = if peer == rank { 0 } else { lengths[peer * world_size + rank] };
            if length > LARGEST_MESSAGE {
                let problem = format!("a message of `{length}` bytes: expected at most `{LARGEST_MESSAGE}`");
                return Err(CollectiveError::Protocol { rank: peer, problem });
            }
            // The driver allots nothing of length 0.
            let copy =
                if bytes.is_empty() { self.stream.alloc_zeros(1) } else { self.stream.clone_htod(bytes) };
            sent.push(copy.map_err(driver)?);
            received.push(self.stream.alloc_zeros(length.max(1) as usize).map_err(driver)?);
        }
        group_start().map_err(library)?;
        for peer in (0..world_size).filter(|peer| *peer != rank) {
            if lengths[rank * world_size + peer] > 0 {
                self.communicator.send(&sent[peer], peer as i32).map_err(library)?;
            }
            if lengths[peer * world_size + rank] > 0 {
                self.communicator.recv(&mut received[peer], peer as i32).map_err(library)?;
            }
        }
        group_end().map_err(library)?;
        let mut incoming = Vec::with_capacity(world_size);
        for (peer, bytes) in received.iter().enumerate() {
            if peer == rank || lengths[peer * world_size + rank] == 0 {
                incoming.push(Vec::new());
            } else {
                incoming.push(self.stream.clone_dtoh(bytes).map_err(driver)?);
            }
        }
        self.stream.synchronize().map_err(driver)?;
        incoming[rank] = own;
        Ok(incoming)
    }
}
