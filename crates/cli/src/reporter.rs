//! The report task: analytics over the output, written through the attempt like any other result.

use orchestrator_analytics::{Run, report, report_html};
use orchestrator_core::TaskOutcome;
use orchestrator_pipeline::{Reporter, TaskContext, TaskError};

/// Writes reports with Polars.
pub(crate) struct AnalyticsReporter;

impl Reporter for AnalyticsReporter {
    fn write(&self, context: &TaskContext) -> Result<TaskOutcome, TaskError> {
        let wrong = |error: &dyn std::fmt::Display| TaskError::configuration("report", error);
        let run = Run::open_in(context.job.output.clone(), Some(&context.job.host.scratch))
            .map_err(|error| wrong(&error))?;
        let report = report(&run).map_err(|error| wrong(&error))?;
        let html = report_html(&report).map_err(|error| wrong(&error))?;
        let json = serde_json::to_string_pretty(&report).map_err(|error| wrong(&error))? + "\n";
        orchestrator_pipeline::write_products(
            context,
            &[("report.html", html.as_bytes()), ("report.json", json.as_bytes())],
        )
    }
}
