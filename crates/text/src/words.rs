//! Words and sentences as the published rules count them.
