//! Measures the clusters task of a dedup stage on synthetic edges: CPU seconds and peak memory.
//!
//! ```sh
//! cargo run --release -p orchestrator-pipeline --example clusters -- DIRECTORY [EDGES] [DOCUMENTS]
//! ```
//!
//! Makes a job's output in DIRECTORY with the edge files that bands tasks leave (in order of documents, one edge a
//! document in each), signature files with ids and parts with sources, then runs the real task in a process of its own and prints what the
//! kernel says of that process. 50 million edges over 30 million documents unless said otherwise.

#![expect(clippy::print_stdout, reason = "a measurement for a person")]

use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use arrow_array::builder::FixedSizeBinaryBuilder;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use orchestrator_core::{Digest, Document, FROZEN_FILES, TaskOutcome};
use orchestrator_job::{Job, PartRef, TaskSpec, Work};
use orchestrator_pipeline::{Host, JobContext, Progress, Reporter, Resume, TaskContext, TaskError};
use orchestrator_storage::documents::DocumentWriter;
use orchestrator_storage::{AllowedRoots, Store};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

/// Documents of one part.
const PART: u64 = 1 << 20;
/// Edge files: slices of the hash space.
const SLICES: u64 = 4;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize, default: u64| arguments.get(place).map_or(Ok(default), |text| text.parse());
    let directory = arguments.first().ok_or("expected a directory to work in")?;
    let (edges, documents) = (number(1, 50_000_000)?, number(2, 30_000_000)?);
    if arguments.get(3).map(String::as_str) == Some("measured") {
        return measure(Path::new(directory), edges, documents);
    }
    generate(Path::new(directory), edges, documents)?;
    let mut child = Command::new(std::env::current_exe()?);
    child.args([directory, &edges.to_string(), &documents.to_string(), "measured"]);
    if child.status()?.success() { Ok(()) } else { Err("the measured process failed".into()) }
}

/// SplitMix64's mixing: a number that looks drawn, for every number.
fn mix(number: u64) -> u64 {
    let z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The first document of the bucket that `document` shares in a slice. Two documents of five begin clusters of their own;
/// the others hang on any document before them, so that clusters grow like the large ones of the web.
fn first_of_bucket(document: u64, slice: u64) -> Option<u64> {
    let drawn = mix(document);
    if document == 0 || drawn % 5 < 2 {
        return None;
    }
    let partner = mix(drawn) % document;
    // The slices do not see the same buckets: some lead to the partner's own partner.
    let through = mix(partner);
    if slice % 2 == 1 && partner > 0 && through % 5 >= 2 {
        Some(mix(through) % partner)
    } else {
        Some(partner)
    }
}

struct Table {
    writer: ArrowWriter<std::fs::File>,
    schema: Arc<Schema>,
}

impl Table {
    fn create(path: &Path, fields: Vec<Field>) -> Result<Self, Box<dyn std::error::Error>> {
        let schema = Arc::new(Schema::new(fields));
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(parquet::basic::ZstdLevel::default()))
            .set_dictionary_enabled(false)
            .build();
        let writer =
            ArrowWriter::try_new(std::fs::File::create(path)?, Arc::clone(&schema), Some(properties))?;
        Ok(Self { writer, schema })
    }

    fn write(&mut self, columns: Vec<ArrayRef>) -> Result<(), Box<dyn std::error::Error>> {
        Ok(self.writer.write(&RecordBatch::try_new(Arc::clone(&self.schema), columns)?)?)
    }
}

fn generate(directory: &Path, edges: u64, documents: u64) -> Result<(), Box<dyn std::error::Error>> {
    std::fs::create_dir_all(directory)?;
    let mut left = edges;
    for slice in 0..SLICES {
        let path = directory.join(format!("edges-{slice:05}.bin"));
        let mut file = BufWriter::new(std::fs::File::create(path)?);
        let wanted = left.div_ceil(SLICES - slice);
        let mut written = 0;
        for document in 0..documents {
            let Some(first) = first_of_bucket(document, slice) else { continue };
            if written == wanted {
                break;
            }
            file.write_all(&(document as u32).to_le_bytes())?;
            file.write_all(&(first as u32).to_le_bytes())?;
            written += 1;
        }
        file.into_inner()?.sync_all()?;
        left -= written;
    }
    if left > 0 {
        return Err(format!("{documents} documents have {} edges, expected {edges}", edges - left).into());
    }
    for (part, first) in (0..documents).step_by(PART as usize).enumerate() {
        let path = directory.join(format!("signatures-{part:05}.parquet"));
        let mut table = Table::create(&path, vec![Field::new("id", DataType::FixedSizeBinary(16), false)])?;
        let mut ids = FixedSizeBinaryBuilder::new(16);
        for document in first..(first + PART).min(documents) {
            ids.append_value((u128::from(mix(document)) << 64 | u128::from(document)).to_be_bytes())?;
        }
        table.write(vec![Arc::new(ids.finish())])?;
        table.writer.close()?;
        let sink = std::fs::File::create(directory.join(format!("part-{part:05}.parquet")))?;
        let mut documents_of_part = DocumentWriter::new(sink)?;
        for document in first..(first + PART).min(documents) {
            let source = format!("crawl/{:05}.warc.gz", document / 30_000);
            documents_of_part.push(&Document::new(source, document, ""))?;
        }
        documents_of_part.finish()?;
    }
    Ok(())
}

/// An edge file of eight bytes an edge.
fn edge_file(directory: &Path, slice: u64) -> Result<PartRef, std::io::Error> {
    let path = format!("edges-{slice:05}.bin");
    let bytes = std::fs::metadata(directory.join(&path))?.len();
    Ok(PartRef { path, rows: bytes / 8, bytes, xxh3: Digest(0) })
}

/// No report is written here.
struct NoReport;

impl Reporter for NoReport {
    fn write(&self, _: &TaskContext) -> Result<TaskOutcome, TaskError> {
        Ok(TaskOutcome::default())
    }
}

fn measure(directory: &Path, edges: u64, documents: u64) -> Result<(), Box<dyn std::error::Error>> {
    let job: Job = serde_json::from_value(serde_json::json!({
        "name": "clusters", "output": directory,
        "pipeline": [{"read": {"paths": ["/none.jsonl"]}}, {"dedup": {}}]
    }))?;
    std::fs::write(directory.join("job.yaml"), job.to_yaml()?)?;
    let frozen = directory.join(FROZEN_FILES);
    std::fs::create_dir_all(frozen.parent().ok_or("expected a directory")?)?;
    std::fs::write(frozen, "[]")?;
    let reference = |name: String, rows| PartRef { path: name, rows, bytes: 0, xxh3: Digest(0) };
    let of_parts = |name: &str| -> Vec<PartRef> {
        let file =
            |part: u64| reference(format!("{name}-{part:05}.parquet"), PART.min(documents - part * PART));
        (0..documents.div_ceil(PART)).map(file).collect()
    };
    let spec = TaskSpec {
        phase: 3,
        number: 0,
        work: Work::DedupClusters {
            stage: 1,
            earlier: Vec::new(),
            edges: (0..SLICES).map(|slice| edge_file(directory, slice)).collect::<Result<_, _>>()?,
            signatures: of_parts("signatures"),
            parts: of_parts("part"),
        },
    };
    let host = Host {
        scratch: directory.join("scratch"),
        reporter: Arc::new(NoReport),
        roots: AllowedRoots::any(),
        models: Arc::default(),
    };
    let output = Store::open(directory.to_str().ok_or("expected a path in UTF-8")?)?;
    let shared = JobContext::load(output, host)?;
    let context = TaskContext {
        job: Arc::new(shared),
        attempt_path: "attempt".to_owned(),
        phase: 3,
        progress: Arc::new(Progress::default()),
        resume: Resume::default(),
    };
    let before = cpu_seconds()?;
    let outcome = orchestrator_pipeline::run(&context, &spec)?;
    let seconds = cpu_seconds()? - before;
    let peak = peak_bytes()?;
    println!("{edges} edges over {documents} documents: {}", outcome.detail);
    println!(
        "{seconds:.2} CPU-seconds, {:.2} M edges/s; peak {} MiB, {:.1} bytes a document",
        edges as f64 / seconds / 1e6,
        peak >> 20,
        peak as f64 / documents as f64
    );
    std::fs::remove_dir_all(directory.join("attempt"))?;
    Ok(())
}

/// User and system time of this process (proc(5): fields 14 and 15, in hundredths on every Linux that matters).
fn cpu_seconds() -> Result<f64, Box<dyn std::error::Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after = stat.rsplit_once(')').ok_or("expected a name in brackets in /proc/self/stat")?.1;
    let fields: Vec<f64> =
        after.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(fields.iter().sum::<f64>() / 100.0)
}

fn peak_bytes() -> Result<u64, Box<dyn std::error::Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("expected VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
}
