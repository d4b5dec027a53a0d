//! The command line. What it offers is a contract (docs/cli.md); tests hold its help texts.

mod values;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use orchestrator_core::units::ByteSize;

use self::values::{assignment, fraction, rate, straggler_percent, temperature};
use crate::console::log_filter;

/// Ten minutes: what other frameworks wait for a collective, and far more than a micro-batch takes.
const HANG_TIMEOUT_MS: u64 = 600_000;

/// From raw text to a trained Transformer, from one job file.
#[derive(Debug, Parser)]
#[command(name = "orchestrator", version, about, propagate_version = true)]
pub(crate) struct Cli {
    /// How results are printed.
    #[arg(long, global = true, value_enum, default_value_t = Format::Human)]
    pub(crate) output: Format,
    /// How much is logged to standard error: `error`, `warn`, `info`, `debug`, or a filter such as `orchestrator_worker=debug`.
    #[arg(long, global = true, env = "ORCHESTRATOR_LOG", default_value = "warn", value_parser = log_filter)]
    pub(crate) log: String,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Tables and sentences.
    #[default]
    Human,
    /// JSON, one document.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a job on this machine: coordinator and workers embedded.
    Run(RunArgs),
    /// Check a job file.
    Validate(JobFile),
    /// Print the stages of a job; with `--sample`, predict its figures.
    Plan(PlanArgs),
    /// Print the JSON Schema of the job file, for editors.
    Schema,
    /// Give a job to a coordinator; prints the job's id.
    Submit(SubmitArgs),
    /// List the jobs of a coordinator.
    Jobs(Remote),
    /// Show one job: its phases, what runs, what failed.
    Describe(JobArgs),
    /// Follow one job until it ends.
    Watch(JobArgs),
    /// Print what was decided about a job: retries, losses, generations.
    Logs(LogsArgs),
    /// Stop a job.
    Cancel(JobArgs),
    /// Go on with a failed or cancelled job; its quarantined tasks get new attempts.
    Retry(JobArgs),
    /// Run a coordinator.
    Coordinator(CoordinatorArgs),
    /// Run a worker.
    Worker(WorkerArgs),
    /// List the workers of a coordinator.
    Workers(Remote),
    /// Make a certificate authority, a certificate and a token for a cluster.
    Certs(CertsArgs),
    /// Show a data set, a part, a token shard, a checkpoint, a model or an input.
    Inspect(InspectArgs),
    /// Show what happened to one document, stage by stage.
    Trace(TraceArgs),
    /// Sample from a trained model.
    Generate(GenerateArgs),
    /// Judge a model by texts: perplexity and bits per byte.
    Evaluate(EvaluateArgs),
    /// Print the figures of a run: in, kept, dropped by rule, bytes.
    Stats(RunPath),
    /// Query a run's kept, dropped and noted rows with SQL.
    Query(QueryArgs),
    /// Say what changed between two runs: by stage, rule and document.
    Diff(DiffArgs),
    /// Compare a run's decisions with those of datatrove or Dolma over the same documents.
    Compat(CompatArgs),
    /// Say what other thresholds would do to a run, by its stored scores.
    Refilter(RefilterArgs),
    /// Compare a run's files with its manifests: hashes, counts, orphans.
    Doctor(DoctorArgs),
    /// List what a run's manifests do not name, and delete it if told to.
    Gc(GcArgs),
    /// Print a shell's completions.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// One rank of a training gang; started by workers.
    #[command(hide = true)]
    Rank,
    /// The job file's reference as Markdown; docs/job-file.md holds it.
    #[command(hide = true)]
    Reference,
}

#[derive(Debug, Args)]
pub(crate) struct JobFile {
    /// The job file.
    pub(crate) job: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// The job file.
    pub(crate) job: PathBuf,
    /// Run the document stages on this fraction of the records (`0.001`), in this process, and predict from it what will be
    /// dropped, kept and written, and how long it will take.
    #[arg(long, value_name = "FRACTION", value_parser = fraction)]
    pub(crate) sample: Option<f64>,
    /// Tasks at a time that the hours are predicted for. By default one for each core.
    #[arg(long, requires = "sample", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) workers: Option<u32>,
    /// Tokens a second that the whole training gang takes, where known: its hours are predicted from it.
    #[arg(long, requires = "sample", value_name = "RATE", value_parser = rate)]
    pub(crate) tokens_per_second: Option<f64>,
    /// Chooses other records.
    #[arg(long, requires = "sample", default_value_t = 0)]
    pub(crate) sample_seed: u64,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The job file.
    pub(crate) job: PathBuf,
    /// Tasks at a time. By default one for each core.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) workers: Option<u32>,
    /// Where the journal lies; by default in the output, or in `.orchestrator-NAME` of the working directory when the output
    /// is remote.
    #[arg(long)]
    pub(crate) state: Option<PathBuf>,
    /// Keep the phases of an earlier run in the same output whose configuration and inputs are equal.
    #[arg(long)]
    pub(crate) reuse: bool,
    /// Write to this output instead of the job file's.
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) output_dir: Option<String>,
    /// GPUs for training ranks.
    #[arg(long, default_value_t = 0)]
    pub(crate) gpus: u32,
    /// A training gang in which no rank gets on for so long is started again from its last checkpoint.
    #[arg(long, default_value_t = HANG_TIMEOUT_MS, value_parser = clap::value_parser!(u64).range(1_000..))]
    pub(crate) hang_timeout_ms: u64,
}

/// How to reach a coordinator.
#[derive(Clone, Debug, Args)]
pub(crate) struct Remote {
    /// Address of the coordinator.
    #[arg(long, env = "ORCHESTRATOR_COORDINATOR", default_value = "http://127.0.0.1:7070")]
    pub(crate) coordinator: String,
    /// File with the cluster's token.
    #[arg(long, env = "ORCHESTRATOR_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Certificate authority of the coordinator, PEM.
    #[arg(long, env = "ORCHESTRATOR_AUTHORITY")]
    pub(crate) authority: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct SubmitArgs {
    /// The job file.
    pub(crate) job: PathBuf,
    /// Follow the job until it ends.
    #[arg(long)]
    pub(crate) watch: bool,
    /// Keep the phases of an earlier run in the same output whose configuration and inputs are equal.
    #[arg(long)]
    pub(crate) reuse: bool,
    /// Higher goes first; by default what the job file says.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) priority: Option<i32>,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

#[derive(Debug, Args)]
pub(crate) struct JobArgs {
    /// The job's id.
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// The job's id.
    pub(crate) id: String,
    /// Go on until the job ends.
    #[arg(long)]
    pub(crate) follow: bool,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

#[derive(Debug, Args)]
pub(crate) struct CoordinatorArgs {
    /// Address to listen on. Anything but loopback demands a certificate and a token.
    #[arg(long, default_value = "127.0.0.1:7070")]
    pub(crate) listen: String,
    /// Directory of the journal.
    #[arg(long, default_value = ".orchestrator-state")]
    pub(crate) state: PathBuf,
    /// Certificate chain, PEM.
    #[arg(long, requires = "key")]
    pub(crate) certificate: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(long, requires = "certificate")]
    pub(crate) key: Option<PathBuf>,
    /// File with the token that callers must show; by default `token` in the state directory, which is made if it is not
    /// there.
    #[arg(long)]
    pub(crate) token_file: Option<PathBuf>,
    /// Listen beyond loopback without certificate or token. Anybody who reaches the port can run jobs.
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Path or URL below which the outputs of jobs may lie; may be given more than once. `any` allows every place, which
    /// is the default on loopback; on another address one has to be given.
    #[arg(long, value_name = "PATH|URL")]
    pub(crate) allow_root: Vec<String>,
    /// A worker that is not heard of for so long has lost its tasks; so has a rank's process of which its worker hears
    /// nothing.
    #[arg(long, default_value_t = 15_000, value_parser = clap::value_parser!(u64).range(500..))]
    pub(crate) lease_ms: u64,
    /// A training gang in which no rank gets on for so long, though all workers live, is started again from its last
    /// checkpoint. Each micro-batch counts as getting on: it has to be longer than the slowest of them takes.
    #[arg(long, default_value_t = HANG_TIMEOUT_MS, value_parser = clap::value_parser!(u64).range(1_000..))]
    pub(crate) hang_timeout_ms: u64,
    /// A task that has run for more than this share of what was to be expected of it (its size at the median pace of its
    /// phase) gets a second attempt on a worker that stands idle; who commits first wins. In percent; 0: never.
    #[arg(long, default_value_t = 200, value_parser = straggler_percent)]
    pub(crate) straggler_percent: u64,
}

#[derive(Debug, Args)]
pub(crate) struct WorkerArgs {
    #[command(flatten)]
    pub(crate) remote: Remote,
    /// The worker's name; by default the host's name and the process number.
    #[arg(long, env = "ORCHESTRATOR_WORKER")]
    pub(crate) name: Option<String>,
    /// The address under which other hosts' ranks reach this one's.
    #[arg(long, env = "ORCHESTRATOR_HOST", default_value = "127.0.0.1")]
    pub(crate) host: String,
    /// Tasks at a time. By default one for each core.
    #[arg(long)]
    pub(crate) slots: Option<u32>,
    /// Training ranks at a time. By default as many as tasks.
    #[arg(long)]
    pub(crate) gang_slots: Option<u32>,
    /// GPUs to offer.
    #[arg(long, default_value_t = 0)]
    pub(crate) gpus: u32,
    /// Memory to offer (`12 GiB`); by default this machine's, or the container's where it has a limit. 0 offers as much
    /// as anybody asks for.
    #[arg(long)]
    pub(crate) memory: Option<ByteSize>,
    /// Let ranks with GPUs listen on a `--host` beyond loopback: they exchange gradients over NCCL, which does not encrypt.
    #[arg(long, env = "ORCHESTRATOR_INSECURE_RANKS")]
    pub(crate) insecure: bool,
    /// Where the report of a job whose output is remote keeps what it fetches meanwhile, at most 4 GiB; by default the
    /// system's directory for temporary files.
    #[arg(long)]
    pub(crate) scratch: Option<PathBuf>,
    /// Path or URL below which jobs may read and write; may be given more than once. `any` allows every place, which is
    /// the default where the coordinator is on loopback; elsewhere one has to be given.
    #[arg(long, value_name = "PATH|URL")]
    pub(crate) allow_root: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct CertsArgs {
    /// Where to write `ca.crt`, `tls.crt`, `tls.key` and `token`.
    #[arg(default_value = "certs")]
    pub(crate) directory: PathBuf,
    /// Names and addresses under which the coordinator is reached.
    #[arg(long = "name", default_values_t = [String::from("localhost"), String::from("127.0.0.1")])]
    pub(crate) names: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// Path or URL of a run; of a stage, tokens, checkpoint or model directory; of any file in one; or of an input.
    pub(crate) path: String,
    /// Rows or records to show.
    #[arg(long, default_value_t = 5)]
    pub(crate) rows: usize,
}

#[derive(Debug, Args)]
pub(crate) struct TraceArgs {
    /// A document's id, or its URL; or a checkpoint (`step-00002000` or `step-2000`).
    pub(crate) what: String,
    /// Sources and documents of a checkpoint to list.
    #[arg(long, default_value_t = 20)]
    pub(crate) limit: usize,
    /// The run's output, a path or URL.
    #[arg(long, default_value = ".")]
    pub(crate) run: String,
}

#[derive(Debug, Args)]
pub(crate) struct RunPath {
    /// The run's output, a path or URL.
    pub(crate) run: String,
}

#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    /// The run's output, a path or URL.
    pub(crate) run: String,
    /// SQL over tables named like the stages: `filter`, `filter_dropped`, `pii_notes`; `clean_2` for a second `clean`.
    pub(crate) sql: String,
}

#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The first run's output, a path or URL.
    pub(crate) first: String,
    /// The second run's.
    pub(crate) second: String,
}

/// Whose output a run is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PeerName {
    /// Files of its writers and exclusion writers.
    Datatrove,
    /// Documents, attributes, the mixer's output.
    Dolma,
}

/// What documents are joined by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum JoinBy {
    /// The id that the source gave.
    Id,
    /// The file and the record's place in it, of which datatrove makes ids where the source has none.
    Record,
    /// The URL.
    Url,
    /// The text as it came in.
    Text,
}

#[derive(Debug, Args)]
pub(crate) struct CompatArgs {
    /// The peer.
    #[arg(value_enum)]
    pub(crate) peer: PeerName,
    /// Its output, a path or URL.
    pub(crate) directory: String,
    /// Our run's output, a path or URL.
    #[arg(long, default_value = ".")]
    pub(crate) run: String,
    /// What documents are joined by; by default what finds most of the peer's first records.
    #[arg(long, value_enum)]
    pub(crate) by: Option<JoinBy>,
    /// Folder of the peer's directory with what it kept in the end; may be given more than once. By default all files that
    /// are nothing else.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) kept: Vec<String>,
    /// Folder with what datatrove's filters removed; may be given more than once. By default folders named `removed`.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) removed: Vec<String>,
    /// Folder with the documents that datatrove's `MinHash` read: what its `.remove` files name goes.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) minhash_input: Option<String>,
    /// Configuration of Dolma's mixer, for the reasons.
    #[arg(long, value_name = "FILE")]
    pub(crate) mixer: Option<PathBuf>,
    /// Write each difference to this file, a line of JSON each.
    #[arg(long, value_name = "FILE")]
    pub(crate) differences: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct RefilterArgs {
    /// The run's output, a path or URL. Its `filter`, `language` and `quality` stages need `scores: true`.
    pub(crate) run: String,
    /// A job file that differs from the run's in thresholds.
    #[arg(required_unless_present = "set")]
    pub(crate) job: Option<PathBuf>,
    /// A threshold of the run's job to be moved, such as `filter.gopher_quality.gopher_short_doc=30`; may be given more than
    /// once. `filter_2` is the second filter; `null` turns a rule off.
    #[arg(long, value_name = "STAGE.KEY=VALUE", conflicts_with = "job", value_parser = assignment)]
    pub(crate) set: Vec<(String, serde_json::Value)>,
    /// Write the documents that change to this file: `id`, `stage`, `before`, `after`, as Parquet where its name ends so,
    /// else a line each, with tabs.
    #[arg(long, value_name = "FILE")]
    pub(crate) changed: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// The run's output, a path or URL.
    pub(crate) run: String,
    /// Compare sizes and counts alone, and read no file through.
    #[arg(long)]
    pub(crate) fast: bool,
}

#[derive(Debug, Args)]
pub(crate) struct GcArgs {
    /// The run's output, a path or URL.
    pub(crate) run: String,
    /// Delete what is listed; of a finished run alone.
    #[arg(long)]
    pub(crate) delete: bool,
}

#[derive(Debug, Args)]
pub(crate) struct EvaluateArgs {
    /// A run's `model` directory, or another of Hugging Face's with a GPT-2 or a Llama: a path or URL.
    #[arg(long)]
    pub(crate) model: String,
    /// Files with texts, paths or URLs; the format is told by the name. Each is a source of its own.
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    pub(crate) data: Vec<String>,
    /// Tokens in a window. By default the model's context.
    #[arg(long)]
    pub(crate) context: Option<usize>,
    /// Tokens from one window to the next: fewer give each token more text before it, and take longer. By default `--context`.
    #[arg(long)]
    pub(crate) stride: Option<usize>,
    /// Documents of each file to judge. By default all.
    #[arg(long)]
    pub(crate) limit: Option<u64>,
    /// The field or column of JSONL, Parquet and Arrow that is the text.
    #[arg(long, default_value = "text")]
    pub(crate) text_field: String,
}

#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    /// A run's `model` directory, or another of Hugging Face's with a GPT-2 or a Llama: a path or URL.
    #[arg(long)]
    pub(crate) model: String,
    /// The text to go on from.
    #[arg(long)]
    pub(crate) prompt: String,
    /// Tokens to add at most.
    #[arg(long, default_value_t = 100)]
    pub(crate) max_tokens: usize,
    /// 0 is greedy.
    #[arg(long, default_value_t = 0.8, allow_negative_numbers = true, value_parser = temperature)]
    pub(crate) temperature: f32,
    /// Choose among so many of the likeliest tokens; 0 for all.
    #[arg(long, default_value_t = 50)]
    pub(crate) top_k: usize,
    /// Choose among the likeliest tokens that make up so much of the probability.
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
    pub(crate) top_p: f32,
    /// Beam search with so many beams instead of sampling.
    #[arg(long, conflicts_with_all = ["temperature", "top_k", "top_p"])]
    pub(crate) beams: Option<usize>,
    /// Samples to draw; with `--beams` the best of so many.
    #[arg(long, default_value_t = 1, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    pub(crate) samples: usize,
    /// Where chance starts.
    #[arg(long, default_value_t = 1337)]
    pub(crate) seed: u64,
}
