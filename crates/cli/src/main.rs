//! The `orchestrator` command: arguments in, one result on standard output, logs on standard error.

mod args;
mod commands;
mod console;
mod failure;
mod finished;
mod job_file;
mod planner;
mod reporter;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::console::Console;
use crate::failure::Failure;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let told_by_the_run =
        if matches!(cli.command, Command::Run(_)) { console::TOLD_BY_COORDINATOR } else { "" };
    console::start_logging(&format!("{}{told_by_the_run}", cli.log));
    let console = Console::new(cli.output);
    match dispatch(cli.command, &console) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            console.failure(&failure);
            failure.exit_code()
        }
    }
}

fn dispatch(command: Command, console: &Console) -> Result<(), Failure> {
    match command {
        Command::Run(args) => commands::run::run(&args, console),
        Command::Validate(args) => commands::local::validate(&args.job, console),
        Command::Plan(args) => commands::plan::run(&args, console),
        Command::Schema => commands::local::schema(console),
        Command::Reference => commands::local::reference(console),
        Command::Completions { shell } => commands::local::completions(shell, console),
        Command::Submit(args) => commands::remote::submit(&args, console),
        Command::Jobs(remote) => commands::remote::jobs(&remote, console),
        Command::Describe(args) => commands::remote::describe(&args, console),
        Command::Watch(args) => commands::remote::watch(&args, console),
        Command::Logs(args) => commands::remote::logs(&args, console),
        Command::Cancel(args) => commands::remote::cancel(&args, console),
        Command::Retry(args) => commands::remote::retry(&args, console),
        Command::Workers(remote) => commands::remote::workers(&remote, console),
        Command::Coordinator(args) => commands::daemons::coordinator(&args, console),
        Command::Worker(args) => commands::daemons::worker(args, console),
        Command::Certs(args) => commands::certs::run(&args, console),
        Command::Inspect(args) => commands::inspect::run(&args, console),
        Command::Trace(args) => commands::runs::trace(&args, console),
        Command::Stats(args) => commands::runs::stats(&args.run, console),
        Command::Query(args) => commands::runs::query(&args, console),
        Command::Diff(args) => commands::runs::diff(&args, console),
        Command::Compat(args) => commands::compat::run(&args, console),
        Command::Refilter(args) => commands::refilter::run(&args, console),
        Command::Doctor(args) => commands::health::doctor(&args, console),
        Command::Gc(args) => commands::health::gc(&args, console),
        Command::Evaluate(args) => commands::evaluate::run(&args, console),
        Command::Generate(args) => commands::generate::run(&args, console),
        Command::Rank => commands::daemons::rank(),
    }
}
