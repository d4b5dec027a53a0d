//! Ranks on NVIDIA GPUs over NCCL: NVLink inside a host, InfiniBand or Ethernet between hosts.
//!
//! Compiled in CI, not yet run on GPUs. NCCL moves bytes between ranks and adds nothing, so that the order of summation
//! stays the canonical one; bytes pass through host memory, since the loop keeps its weights there. The id of the group
//! comes from rank 0 through the coordinator.
//!
//! NCCL does not notice that a peer is gone: it waits for it. Whoever knows better calls [`NcclAbort::abort`] from another
//! thread. Operations are put on the stream under a lock and waited for outside of it, so that an abort never frees what
//! a call is using; a call that hangs while it holds the lock is ended with its process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::{CudaContext, CudaSlice, CudaStream, DevicePtr, DevicePtrMut, DriverError};
use cudarc::nccl::result::{self, NcclError};
use cudarc::nccl::sys;

use super::{Collective, CollectiveError, check_outgoing};

/// Length of a group's id in bytes.
pub const ID_LENGTH: usize = 128;
/// Largest message that a peer may announce.
const LARGEST_MESSAGE: u64 = 1 << 40;

/// One rank of a group over NCCL.
pub struct NcclCollective {
    group: Arc<Group>,
    stream: Arc<CudaStream>,
    rank: usize,
    world_size: usize,
}

/// Ends a group from another thread.
#[derive(Clone)]
pub struct NcclAbort(Arc<Group>);

struct Group {
    /// None once the group is left or aborted.
    communicator: Mutex<Option<Communicator>>,
    aborted: AtomicBool,
}

struct Communicator(sys::ncclComm_t);

#[expect(unsafe_code, reason = "the library's handle is a raw pointer, which is not Send by itself")]
// SAFETY: NCCL lets any thread use a communicator as long as no two do at once; it lies behind a mutex, and is handed
// out by no function.
unsafe impl Send for Communicator {}

fn driver(error: DriverError) -> CollectiveError {
    CollectiveError::Device(format!("CUDA: {error:?}"))
}

#[expect(clippy::needless_pass_by_value, reason = "fits `map_err`")]
fn library(error: NcclError) -> CollectiveError {
    CollectiveError::Device(format!("NCCL: {:?}", error.0))
}

fn aborted() -> CollectiveError {
    CollectiveError::Device("the communicator was aborted".to_owned())
}

impl Group {
    fn lock(&self) -> MutexGuard<'_, Option<Communicator>> {
        self.communicator.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NcclAbort {
    /// Ends every operation of the group on this rank, now and later. The second call does nothing.
    pub fn abort(&self) {
        self.0.aborted.store(true, Ordering::SeqCst);
        let communicator = self.0.lock().take();
        if let Some(Communicator(raw)) = communicator {
            #[expect(unsafe_code, reason = "the library's functions take a raw handle")]
            // SAFETY: the handle came from `comm_init_rank`, was not freed before (it was still in its place), and nobody
            // can take it from there any more.
            let ended = unsafe { result::comm_abort(raw) };
            // There is nothing to be done about an abort that fails: the process ends soon.
            drop(ended);
        }
    }
}

/// Whether the driver and NCCL can be loaded. Without them the first use of either would panic.
pub fn is_present() -> bool {
    #[expect(unsafe_code, reason = "loading a library is unsafe by nature")]
    // SAFETY: both load the library of that name and look no further; these libraries have no other preconditions.
    unsafe {
        cudarc::driver::sys::is_culib_present() && sys::is_culib_present()
    }
}

/// What no two GPUs have in common, for people and for comparison.
pub fn device_identity(device: usize) -> Result<String, CollectiveError> {
    let uuid = CudaContext::new(device).and_then(|context| context.uuid()).map_err(driver)?;
    Ok(uuid.bytes.iter().map(|byte| format!("{:02x}", byte.to_ne_bytes()[0])).collect())
}

impl NcclCollective {
    /// Makes the id of a new group; rank 0 calls it and hands it out, and has to live until all have joined.
    pub fn new_id() -> Result<[u8; ID_LENGTH], CollectiveError> {
        let id = result::get_uniqueid().map_err(library)?;
        Ok(id.internal.map(|byte| byte.to_ne_bytes()[0]))
    }

    /// Joins a group with the GPU of this number; returns when all ranks have joined.
    pub fn join(
        device: usize,
        rank: usize,
        world_size: usize,
        id: [u8; ID_LENGTH],
    ) -> Result<Self, CollectiveError> {
        let too_many =
            |_| CollectiveError::Device(format!("rank `{rank}` of `{world_size}`: too many ranks"));
        let (ranks, own) =
            (i32::try_from(world_size).map_err(too_many)?, i32::try_from(rank).map_err(too_many)?);
        let stream = CudaContext::new(device).map_err(driver)?.default_stream();
        let id = sys::ncclUniqueId { internal: id.map(|byte| std::ffi::c_char::from_ne_bytes([byte])) };
        let mut raw = std::ptr::null_mut();
        #[expect(unsafe_code, reason = "the library's functions take raw pointers")]
        // SAFETY: `raw` outlives the call, which writes a handle to it and keeps no pointer to it.
        unsafe { result::comm_init_rank(&raw mut raw, ranks, id, own) }.map_err(library)?;
        let group =
            Group { communicator: Mutex::new(Some(Communicator(raw))), aborted: AtomicBool::new(false) };
        Ok(Self { group: Arc::new(group), stream, rank, world_size })
    }

    /// A handle that ends this rank's part of the group from another thread.
    pub fn abort_handle(&self) -> NcclAbort {
        NcclAbort(Arc::clone(&self.group))
    }

    /// Waits for what was put on the stream. After an abort the buffers hold anything.
    fn wait(&self) -> Result<(), CollectiveError> {
        let waited = self.stream.synchronize();
        if self.group.aborted.load(Ordering::SeqCst) {
            return Err(aborted());
        }
        waited.map_err(driver)
    }

    /// How long each message between any two ranks is: row by sender.
    fn lengths(&self, outgoing: &[Vec<u8>]) -> Result<Vec<u64>, CollectiveError> {
        let own: Vec<u64> = outgoing.iter().map(|bytes| bytes.len() as u64).collect();
        let own = self.stream.clone_htod(&own).map_err(driver)?;
        let mut all = self.stream.alloc_zeros::<u64>(self.world_size * self.world_size).map_err(driver)?;
        {
            let communicator = self.group.lock();
            let Some(Communicator(raw)) = &*communicator else { return Err(aborted()) };
            let (from, _read) = own.device_ptr(&self.stream);
            let (to, _written) = all.device_ptr_mut(&self.stream);
            #[expect(unsafe_code, reason = "the library's functions take raw pointers")]
            // SAFETY: both buffers live until the stream was waited for, and have the lengths that are named: one row
            // of the table, and all of it.
            unsafe {
                result::all_gather(
                    from as _,
                    to as _,
                    self.world_size,
                    sys::ncclDataType_t::ncclUint64,
                    *raw,
                    self.stream.cu_stream().cast(),
                )
            }
            .map_err(library)?;
        }
        self.wait()?;
        self.stream.clone_dtoh(&all).map_err(driver)
    }

    /// Puts one send and one receive for each peer on the stream, as one group, so that no order between them can block.
    fn pass(
        &self,
        sent: &[(CudaSlice<u8>, usize)],
        received: &mut [(CudaSlice<u8>, usize)],
    ) -> Result<(), CollectiveError> {
        let communicator = self.group.lock();
        let Some(Communicator(raw)) = &*communicator else { return Err(aborted()) };
        let (byte, stream) = (sys::ncclDataType_t::ncclUint8, self.stream.cu_stream());
        result::group_start().map_err(library)?;
        let mut passed = Ok(());
        for (peer, ((from, from_length), (to, to_length))) in (0..).zip(sent.iter().zip(received)) {
            if passed.is_ok() && *from_length > 0 {
                let (pointer, _read) = from.device_ptr(&self.stream);
                #[expect(unsafe_code, reason = "the library's functions take raw pointers")]
                // SAFETY: the buffer lives until the stream was waited for and has at least `from_length` bytes.
                let put =
                    unsafe { result::send(pointer as _, *from_length, byte, peer, *raw, stream.cast()) };
                passed = put.map(drop);
            }
            if passed.is_ok() && *to_length > 0 {
                let (pointer, _written) = to.device_ptr_mut(&self.stream);
                #[expect(unsafe_code, reason = "the library's functions take raw pointers")]
                // SAFETY: the buffer lives until the stream was waited for and has at least `to_length` bytes.
                let put = unsafe { result::recv(pointer as _, *to_length, byte, peer, *raw, stream.cast()) };
                passed = put.map(drop);
            }
        }
        // A group that was begun has to be ended, whatever went wrong in it.
        let ended = result::group_end();
        passed.and(ended.map(drop)).map_err(library)
    }
}

impl Drop for NcclCollective {
    fn drop(&mut self) {
        let communicator = self.group.lock().take();
        if let Some(Communicator(raw)) = communicator {
            #[expect(unsafe_code, reason = "the library's functions take a raw handle")]
            // SAFETY: as in `abort`; no operation is on the stream, since each was waited for.
            let ended = unsafe { result::comm_destroy(raw) };
            // The group's work is done; the process ends soon.
            drop(ended);
        }
    }
}

impl Collective for NcclCollective {
    fn rank(&self) -> usize {
        self.rank
    }

    fn world_size(&self) -> usize {
        self.world_size
    }

    fn exchange(&mut self, mut outgoing: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, CollectiveError> {
        check_outgoing(self, &outgoing)?;
        let (rank, world_size) = (self.rank, self.world_size);
        let lengths = self.lengths(&outgoing)?;
        let own = std::mem::take(&mut outgoing[rank]);
        let mut sent = Vec::with_capacity(world_size);
        let mut received = Vec::with_capacity(world_size);
        for (peer, bytes) in outgoing.iter().enumerate() {
            let length = if peer == rank { 0 } else { lengths[peer * world_size + rank] };
            if length > LARGEST_MESSAGE {
                let problem = format!("a message of `{length}` bytes: expected at most `{LARGEST_MESSAGE}`");
                return Err(CollectiveError::Protocol { rank: peer, problem });
            }
            // The driver allots nothing of length 0.
            let copy =
                if bytes.is_empty() { self.stream.alloc_zeros(1) } else { self.stream.clone_htod(bytes) };
            sent.push((copy.map_err(driver)?, bytes.len()));
            let room = self.stream.alloc_zeros(length.max(1) as usize).map_err(driver)?;
            received.push((room, length as usize));
        }
        self.pass(&sent, &mut received)?;
        self.wait()?;
        let mut incoming = Vec::with_capacity(world_size);
        for (bytes, length) in &received {
            incoming.push(match length {
                0 => Vec::new(),
                _ => self.stream.clone_dtoh(bytes).map_err(driver)?,
            });
        }
        self.stream.synchronize().map_err(driver)?;
        incoming[rank] = own;
        Ok(incoming)
    }
}
