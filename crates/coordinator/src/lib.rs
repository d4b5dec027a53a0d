//! The journal, the commit protocol and the gRPC service around the scheduler.
