//! How a rank finds its device and its peers.

use std::sync::mpsc::Receiver;

use orchestrator_job::spec::Device as WantedDevice;
use orchestrator_model::Device;
use orchestrator_model::engine::{HAS_CUDA, cuda_is_present};
use orchestrator_train::{Collective, TrainError};

use super::child::{Pipe, RankFailure};
use super::{FailedKind, FromRank, Start, ToRank};
use crate::collective::{Choice, Fabric, Listener, Seat, Secret, TcpCollective, choose};

/// Bytes of the secret that opens the ranks' connections. What rank 0 posts begins with it; the fabric's id follows.
const SECRET_LENGTH: usize = 32;

/// What this rank computes on. The scheduler gave it a GPU or did not, as it did with all ranks of the gang: so `auto`, which
/// takes the CPU where there is none, never mixes devices. `cuda` does not go on without.
pub(super) fn device(wanted: WantedDevice, start: &Start) -> Result<Device, RankFailure> {
    let missing = match (wanted, start.gpu) {
        (WantedDevice::Cpu, _) | (WantedDevice::Auto, None) => return Ok(Device::Cpu),
        _ if !HAS_CUDA => "this build was made without the feature `cuda`",
        (WantedDevice::Cuda, None) => "no worker gave the rank a GPU: start workers with `--gpus`",
        _ if !cuda_is_present() => "no NVIDIA driver can be loaded (libcuda)",
        (WantedDevice::Auto | WantedDevice::Cuda, Some(gpu)) => return Ok(Device::Cuda(gpu as usize)),
    };
    Err(RankFailure {
        kind: FailedKind::Permanent,
        error: format!(
            "`device: cuda`: {missing}; `device: auto` goes on with the CPU where no worker offers GPUs"
        ),
    })
}

/// Meets the other ranks. What rank 0 posts comes to the others through the coordinator, so a stranger cannot join.
pub(super) fn join(
    start: &Start,
    device: Device,
    fabric: &dyn Fabric,
    pipe: &Pipe,
    inbox: &Receiver<ToRank>,
) -> Result<Box<dyn Collective>, RankFailure> {
    let (rank, world_size) = (start.rank as usize, start.world_size as usize);
    let listener = Listener::bind(&start.host).map_err(RankFailure::error)?;
    let port = listener.port().map_err(RankFailure::error)?;
    let mut identity = fabric.identify(device);
    let mut posted = Vec::new();
    if rank == 0 {
        posted = secret()?;
        if identity.is_ok() && world_size > 1 {
            match fabric.new_id() {
                Ok(id) => posted.extend(id),
                // The others hear of it in this rank's offer.
                Err(error) => identity = Err(format!("it could make no id: {error}")),
            }
        }
    }
    pipe.send(&FromRank::Listening { port, nccl_id: posted });
    let Ok(ToRank::Peers { addresses, nccl_id }) = inbox.recv() else {
        return Err(RankFailure::error("the worker did not say who the peers are"));
    };
    let Some((secret, id)) = nccl_id.split_first_chunk::<SECRET_LENGTH>() else {
        return Err(RankFailure::error(format!(
            "rank 0 posted {} bytes for the gang: expected a secret of {SECRET_LENGTH} and what follows",
            nccl_id.len()
        )));
    };
    let chosen = TcpCollective::connect(rank, &addresses, &Secret(*secret), &listener)
        .and_then(|tcp| choose(tcp, fabric, identity, Seat { device, rank, world_size, id }));
    let Choice { collective, over, because } = chosen.map_err(TrainError::from)?;
    pipe.send(&FromRank::Joined { over: over.to_owned(), because });
    Ok(collective)
}

fn secret() -> Result<Vec<u8>, RankFailure> {
    let mut bytes = vec![0; SECRET_LENGTH];
    let mut source = std::fs::File::open("/dev/urandom").map_err(RankFailure::error)?;
    std::io::Read::read_exact(&mut source, &mut bytes).map_err(RankFailure::error)?;
    Ok(bytes)
}
