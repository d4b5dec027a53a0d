//! The audits that dedup stages leave.

use orchestrator_storage::clusters::{ClusterAudit, FILE_NAME, SCHEMA_VERSION};

use crate::error::Error;
use crate::run::Run;

/// The audits of all dedup stages of a run, by stage directory. A stage that stopped its job has no manifest and has its
/// audit all the same: that is what it is for.
pub fn cluster_audits(run: &Run) -> Result<Vec<(String, ClusterAudit)>, Error> {
    let files = run.files();
    let mut audits = Vec::new();
    for path in files.below("stages")? {
        let Some((directory, FILE_NAME)) = path.split_once('/') else { continue };
        let relative = format!("stages/{path}");
        let Some(audit) = files.json::<ClusterAudit>(&relative)? else { continue };
        if audit.schema_version != SCHEMA_VERSION {
            return Err(Error::SchemaVersion {
                path: files.name(&relative),
                found: audit.schema_version,
                expected: SCHEMA_VERSION,
            });
        }
        audits.push((directory.to_owned(), audit));
    }
    Ok(audits)
}
