//! What joins devices directly, and when it is taken.
//!
//! A fabric is used when every rank of the gang can: each has a device of its own, and the library that joins them loads.
//! All ranks hear what all others say, over TCP, and decide by the same rule, so that they decide the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use orchestrator_model::Device;
use orchestrator_train::{Collective, CollectiveError};
use serde::{Deserialize, Serialize};

use super::tcp::TcpCollective;
use super::watch::Watched;

/// Ends a rank's part of a group, whatever it is doing. May be called from any thread, more than once.
pub type Abort = Arc<dyn Fn() + Send + Sync>;

/// A rank of a group, and what ends it from outside.
pub struct Joined {
    /// Moves the bytes.
    pub collective: Box<dyn Collective>,
    /// Makes the operation that waits for a lost peer return.
    pub abort: Abort,
}

/// Which place a rank takes in a group.
#[derive(Clone, Copy, Debug)]
pub struct Seat<'a> {
    /// What it computes on.
    pub device: Device,
    /// Its number, from 0.
    pub rank: usize,
    /// How many there are.
    pub world_size: usize,
    /// The id that rank 0 made; it came through the coordinator.
    pub id: &'a [u8],
}

/// Joins devices without our sockets between them.
pub trait Fabric: Sync {
    /// Its name, for the log.
    fn name(&self) -> &'static str;

    /// The identity of `device`, which no other device has; or, for people, why it cannot be joined.
    fn identify(&self, device: Device) -> Result<String, String>;

    /// Makes the id of a new group: rank 0 of each generation.
    fn new_id(&self) -> Result<Vec<u8>, CollectiveError>;

    /// Joins a group; returns when all ranks have.
    fn join(&self, seat: Seat<'_>) -> Result<Joined, CollectiveError>;
}

/// The fabric of this build.
pub fn of_this_build() -> &'static dyn Fabric {
    #[cfg(feature = "cuda")]
    return &nccl::Nccl;
    #[cfg(not(feature = "cuda"))]
    return &NoFabric;
}

/// A build without one.
#[cfg(not(feature = "cuda"))]
struct NoFabric;

#[cfg(not(feature = "cuda"))]
impl Fabric for NoFabric {
    fn name(&self) -> &'static str {
        "none"
    }

    fn identify(&self, _: Device) -> Result<String, String> {
        Err("its build has no feature `cuda`".to_owned())
    }

    fn new_id(&self) -> Result<Vec<u8>, CollectiveError> {
        Err(CollectiveError::Device("this build has no feature `cuda`".to_owned()))
    }

    fn join(&self, _: Seat<'_>) -> Result<Joined, CollectiveError> {
        Err(CollectiveError::Device("this build has no feature `cuda`".to_owned()))
    }
}

#[cfg(feature = "cuda")]
mod nccl {
    use orchestrator_train::collective::nccl::{ID_LENGTH, NcclCollective, device_identity, is_present};

    use super::{Arc, CollectiveError, Device, Fabric, Joined, Seat};

    /// NVIDIA's library.
    pub(super) struct Nccl;

    impl Fabric for Nccl {
        fn name(&self) -> &'static str {
            "nccl"
        }

        fn identify(&self, device: Device) -> Result<String, String> {
            match device {
                Device::Cpu => Err("it computes on the CPU".to_owned()),
                Device::Cuda(_) if !is_present() => Err("libnccl cannot be loaded".to_owned()),
                Device::Cuda(number) => device_identity(number).map_err(|error| error.to_string()),
            }
        }

        fn new_id(&self) -> Result<Vec<u8>, CollectiveError> {
            NcclCollective::new_id().map(Vec::from)
        }

        fn join(&self, seat: Seat<'_>) -> Result<Joined, CollectiveError> {
            let Device::Cuda(number) = seat.device else {
                return Err(CollectiveError::Device("NCCL joins GPUs, this rank has none".to_owned()));
            };
            let id: [u8; ID_LENGTH] = seat.id.try_into().map_err(|_| {
                let found = seat.id.len();
                CollectiveError::Device(format!("an NCCL id of {found} bytes: expected {ID_LENGTH}"))
            })?;
            let collective = NcclCollective::join(number, seat.rank, seat.world_size, id)?;
            let abort = collective.abort_handle();
            Ok(Joined { collective: Box::new(collective), abort: Arc::new(move || abort.abort()) })
        }
    }
}

/// What a rank tells the others before they choose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Offer {
    fabric: String,
    /// The device's identity, or why it cannot be joined.
    device: Result<String, String>,
}

/// What a gang's gradients go over.
pub(crate) struct Choice {
    pub(crate) collective: Box<dyn Collective>,
    /// Its name.
    pub(crate) over: &'static str,
    /// Why it is not the fabric, where it is not.
    pub(crate) because: Option<String>,
}

/// Agrees with all other ranks on what to use, and joins it. `device` is this rank's part of the offer.
pub(crate) fn choose(
    mut tcp: TcpCollective,
    fabric: &dyn Fabric,
    device: Result<String, String>,
    seat: Seat<'_>,
) -> Result<Choice, CollectiveError> {
    let over_tcp = |tcp, because| Choice { collective: Box::new(tcp), over: "tcp", because };
    if seat.world_size == 1 {
        return Ok(over_tcp(tcp, None));
    }
    let own = Offer { fabric: fabric.name().to_owned(), device };
    let own = serde_json::to_vec(&own).map_err(|error| CollectiveError::Device(error.to_string()))?;
    let mut offers = Vec::with_capacity(seat.world_size);
    for (rank, bytes) in tcp.all_gather(own)?.into_iter().enumerate() {
        offers.push(serde_json::from_slice(&bytes).map_err(|error| {
            let problem = format!("no offer of a device: {error}");
            CollectiveError::Protocol { rank, problem }
        })?);
    }
    if let Err(because) = agree(&offers) {
        return Ok(over_tcp(tcp, Some(because)));
    }
    let watched = Watched::join(tcp, fabric, seat)?;
    Ok(Choice { collective: Box::new(watched), over: fabric.name(), because: None })
}

/// Whether the fabric can join all ranks; if not, the first reason.
fn agree(offers: &[Offer]) -> Result<(), String> {
    let mut devices = BTreeMap::new();
    for (rank, offer) in offers.iter().enumerate() {
        let device = offer.device.as_ref().map_err(|why| format!("rank {rank}: {why}"))?;
        if offer.fabric != offers[0].fabric {
            return Err(format!("rank {rank} has `{}`, rank 0 `{}`", offer.fabric, offers[0].fabric));
        }
        if let Some(other) = devices.insert(device, rank) {
            return Err(format!("ranks {other} and {rank} share device `{device}`"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(device: Result<&str, &str>) -> Offer {
        let device = device.map(str::to_owned).map_err(str::to_owned);
        Offer { fabric: "nccl".to_owned(), device }
    }

    #[test]
    fn the_fabric_is_taken_only_when_every_rank_has_a_device_of_its_own() {
        assert_eq!(agree(&[offer(Ok("a")), offer(Ok("b"))]), Ok(()));
        let none = agree(&[offer(Ok("a")), offer(Err("it computes on the CPU"))]);
        assert_eq!(none, Err("rank 1: it computes on the CPU".to_owned()));
        let shared = agree(&[offer(Ok("a")), offer(Ok("b")), offer(Ok("a"))]);
        assert_eq!(shared, Err("ranks 0 and 2 share device `a`".to_owned()));
        let other = Offer { fabric: "other".to_owned(), ..offer(Ok("b")) };
        assert!(agree(&[offer(Ok("a")), other]).is_err());
    }

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn a_build_without_devices_says_so() {
        assert!(of_this_build().identify(Device::Cpu).is_err_and(|why| why.contains("`cuda`")));
    }
}
