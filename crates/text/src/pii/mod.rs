//! Personal data and secrets: find, replace, drop.
