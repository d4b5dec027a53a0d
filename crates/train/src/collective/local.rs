//! Ranks as threads of one process.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::{Collective, CollectiveError, check_outgoing};

/// Messages on their way between two ranks: a rank is never more than one operation ahead of another.
const IN_FLIGHT: usize = 2;

/// One rank of a group made by [`LocalCollective::group`].
pub struct LocalCollective {
    rank: usize,
    /// To each rank; unused to itself.
    senders: Vec<SyncSender<Vec<u8>>>,
    /// From each rank.
    receivers: Vec<Receiver<Vec<u8>>>,
}

impl LocalCollective {
    /// Makes all ranks of a group; each goes to its own thread.
    pub fn group(world_size: usize) -> Vec<Self> {
        let mut senders: Vec<Vec<SyncSender<Vec<u8>>>> = (0..world_size).map(|_| Vec::new()).collect();
        let mut receivers = Vec::new();
        for _to in 0..world_size {
            let mut incoming = Vec::new();
            for from in &mut senders {
                let (sender, receiver) = sync_channel(IN_FLIGHT);
                from.push(sender);
                incoming.push(receiver);
            }
            receivers.push(incoming);
        }
        let ranks = senders.into_iter().zip(receivers).enumerate();
        ranks.map(|(rank, (senders, receivers))| Self { rank, senders, receivers }).collect()
    }
}

impl Collective for LocalCollective {
    fn rank(&self) -> usize {
        self.rank
    }

    fn world_size(&self) -> usize {
        self.senders.len()
    }

    fn exchange(&mut self, outgoing: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, CollectiveError> {
        check_outgoing(self, &outgoing)?;
        let lost = |rank| CollectiveError::PeerLost { rank, problem: "its thread ended".to_owned() };
        for (rank, bytes) in outgoing.into_iter().enumerate() {
            self.senders[rank].send(bytes).map_err(|_| lost(rank))?;
        }
        let incoming = self.receivers.iter().enumerate();
        incoming.map(|(rank, receiver)| receiver.recv().map_err(|_| lost(rank))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_conform() {
        crate::collective::conformance::conformance(&mut |world_size| {
            LocalCollective::group(world_size).into_iter().map(|rank| Box::new(rank) as _).collect()
        });
    }
}
