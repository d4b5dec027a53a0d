//! The event log in SQLite: WAL, `synchronous=FULL`, one transaction for all facts of a batch.
//!
//! ```text
//!  batches   (id, facts JSON)                      replayed, in order, on top of
//!  snapshot  (upto, state JSON)                    now and then; the batches up to it are deleted with it
//!  outcomes  (job, phase, task, attempt, JSON)     written with their `committed` fact; never replayed
//! ```

use std::path::{Path, PathBuf};
use std::time::Duration;

use orchestrator_core::TaskOutcome;
use orchestrator_scheduler::{Fact, FoldError, State};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteLockingMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};
use tokio::sync::Mutex;

/// The form of the tables.
const VERSION: i64 = 1;
/// Facts after which a snapshot is taken, if the state has not more than half as many tasks.
const SNAPSHOT_FACTS: u64 = 20_000;

const SCHEMA: [&str; 4] = [
    "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
    "CREATE TABLE IF NOT EXISTS batches (id INTEGER PRIMARY KEY AUTOINCREMENT, facts TEXT NOT NULL) STRICT",
    "CREATE TABLE IF NOT EXISTS snapshot (id INTEGER PRIMARY KEY CHECK (id = 1), state TEXT NOT NULL) STRICT",
    "CREATE TABLE IF NOT EXISTS outcomes (job TEXT NOT NULL, phase INTEGER NOT NULL, task INTEGER NOT NULL, \
     attempt INTEGER NOT NULL, outcome TEXT NOT NULL, PRIMARY KEY (job, phase, task)) STRICT, WITHOUT ROWID",
];

/// The state store failed.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process has it open.
    #[error("`{0}` is in use by another coordinator: expected one coordinator per state file")]
    InUse(PathBuf),
    /// The disk or the quota is full.
    #[error("no space left for the state in `{path}`: free some space; nothing that was answered is lost")]
    Full {
        /// The file.
        path: PathBuf,
        /// What the database said.
        #[source]
        source: sqlx::Error,
    },
    /// This user may read it at most.
    #[error(
        "the state in `{path}` cannot be written: expected a file and a directory that this user may write"
    )]
    NotWritable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The database refused.
    #[error("the state in `{path}` cannot be used")]
    Database {
        /// The file.
        path: PathBuf,
        /// What it said.
        #[source]
        source: sqlx::Error,
    },
    /// The directory cannot be made.
    #[error("the directory of `{path}` cannot be made")]
    Directory {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Written by another version of the program.
    #[error("`{path}` has the form {found}, expected {VERSION}")]
    Version {
        /// The file.
        path: PathBuf,
        /// What it has.
        found: String,
    },
    /// A line is not what this program writes.
    #[error("the state holds text that cannot be read")]
    Malformed(#[from] serde_json::Error),
    /// The lines contradict each other.
    #[error("the state contradicts itself")]
    Fold(#[from] FoldError),
}

/// The open journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    connection: Mutex<SqliteConnection>,
    facts_since_snapshot: std::sync::atomic::AtomicU64,
}

/// A state as the journal keeps it.
#[derive(Debug)]
pub struct Snapshot(String);

impl Snapshot {
    /// Writes a state down, which for a large one takes a while.
    pub fn of(state: &State) -> Result<Self, JournalError> {
        Ok(Self(serde_json::to_string(state)?))
    }
}

/// What a journal held when it was opened.
#[derive(Debug)]
pub struct Recovered {
    /// The fold of all facts.
    pub state: State,
    /// Names this coordinator for ever; in the owner objects of its outputs.
    pub coordinator: String,
    /// Counts the times that the journal was opened, from 1.
    pub epoch: u64,
    /// Facts that were replayed.
    pub replayed: u64,
}

impl Journal {
    /// Opens or makes the journal and takes it for this process alone.
    pub async fn open(path: &Path) -> Result<(Self, Recovered), JournalError> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)
                .map_err(|source| JournalError::Directory { path: path.to_owned(), source })?;
        }
        let database = |source| refused(path, source);
        let mut connection = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .locking_mode(SqliteLockingMode::Exclusive)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(2))
            .disable_statement_logging()
            .connect()
            .await
            .map_err(database)?;
        for statement in SCHEMA {
            sqlx::query(statement).execute(&mut connection).await.map_err(database)?;
        }
        let mut transaction = connection.begin().await.map_err(database)?;
        let version = meta(&mut transaction, "version", || VERSION.to_string()).await.map_err(database)?;
        if version != VERSION.to_string() {
            return Err(JournalError::Version { path: path.to_owned(), found: version });
        }
        let coordinator = meta(&mut transaction, "coordinator", random_name).await.map_err(database)?;
        let epoch = meta(&mut transaction, "epoch", || "0".to_owned()).await.map_err(database)?;
        let epoch = epoch.parse::<u64>().unwrap_or(0) + 1;
        sqlx::query("UPDATE meta SET value = ? WHERE key = 'epoch'")
            .bind(epoch.to_string())
            .execute(&mut *transaction)
            .await
            .map_err(database)?;
        let mut state = State::default();
        let snapshot = sqlx::query("SELECT state FROM snapshot").fetch_optional(&mut *transaction).await;
        if let Some(row) = snapshot.map_err(database)? {
            state = serde_json::from_str(row.get::<&str, _>(0))?;
        }
        let rows = sqlx::query("SELECT facts FROM batches ORDER BY id").fetch_all(&mut *transaction).await;
        let mut replayed = 0;
        for row in rows.map_err(database)? {
            let facts: Vec<Fact> = serde_json::from_str(row.get::<&str, _>(0))?;
            replayed += facts.len() as u64;
            for fact in &facts {
                state.apply(fact)?;
            }
        }
        transaction.commit().await.map_err(database)?;
        let journal = Self {
            path: path.to_owned(),
            connection: Mutex::new(connection),
            facts_since_snapshot: replayed.into(),
        };
        Ok((journal, Recovered { state, coordinator, epoch, replayed }))
    }

    /// Makes facts durable, all or none; outcomes go with them.
    pub async fn append(&self, facts: &[Fact]) -> Result<(), JournalError> {
        let text = serde_json::to_string(facts)?;
        let mut connection = self.connection.lock().await;
        let database = |source| database(&self.path, source);
        let mut transaction = connection.begin().await.map_err(database)?;
        sqlx::query("INSERT INTO batches (facts) VALUES (?)")
            .bind(text)
            .execute(&mut *transaction)
            .await
            .map_err(database)?;
        for fact in facts {
            if let Fact::Committed { place, attempt, outcome: Some(outcome), .. } = fact {
                sqlx::query("INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?, ?, ?)")
                    .bind(&place.job.0)
                    .bind(place.phase)
                    .bind(place.task)
                    .bind(attempt.0 as i64)
                    .bind(serde_json::to_string(outcome)?)
                    .execute(&mut *transaction)
                    .await
                    .map_err(database)?;
            }
            if let Fact::JobSubmitted { job, replaces: Some(earlier), imported, .. } = fact {
                sqlx::query(
                    "INSERT OR REPLACE INTO outcomes SELECT ?, phase, task, attempt, outcome FROM outcomes \
                     WHERE job = ? AND phase < ?",
                )
                .bind(&job.0)
                .bind(&earlier.0)
                .bind(imported)
                .execute(&mut *transaction)
                .await
                .map_err(database)?;
            }
        }
        transaction.commit().await.map_err(database)?;
        let added = facts.len() as u64;
        self.facts_since_snapshot.fetch_add(added, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }

    /// Whether a replay would be long enough, beside the size of the state, to be worth a snapshot.
    pub fn wants_snapshot(&self, state: &State) -> bool {
        let facts = self.facts_since_snapshot.load(std::sync::atomic::Ordering::Relaxed);
        if facts < SNAPSHOT_FACTS {
            return false;
        }
        let tasks: usize =
            state.jobs.values().flat_map(|job| &job.phases).map(|phase| phase.tasks.len()).sum();
        facts > 2 * tasks as u64
    }

    /// Replaces the log by the state that it folds to, which is a [`Snapshot`] of now: every batch must be in it. One that
    /// finds no room can be written again as it is.
    pub async fn write_snapshot(&self, snapshot: &Snapshot) -> Result<(), JournalError> {
        let mut connection = self.connection.lock().await;
        let database = |source| database(&self.path, source);
        let mut transaction = connection.begin().await.map_err(database)?;
        sqlx::query("INSERT OR REPLACE INTO snapshot (id, state) VALUES (1, ?)")
            .bind(snapshot.0.as_str())
            .execute(&mut *transaction)
            .await
            .map_err(database)?;
        sqlx::query("DELETE FROM batches").execute(&mut *transaction).await.map_err(database)?;
        transaction.commit().await.map_err(database)?;
        self.facts_since_snapshot.store(0, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }

    /// One committed outcome.
    pub async fn outcome(
        &self,
        job: &str,
        phase: u32,
        task: u32,
    ) -> Result<Option<TaskOutcome>, JournalError> {
        let mut connection = self.connection.lock().await;
        let row = sqlx::query("SELECT outcome FROM outcomes WHERE job = ? AND phase = ? AND task = ?")
            .bind(job)
            .bind(phase)
            .bind(task)
            .fetch_optional(&mut *connection)
            .await
            .map_err(|source| database(&self.path, source))?;
        row.map(|row| Ok(serde_json::from_str(row.get::<&str, _>(0))?)).transpose()
    }

    /// The outcomes of the phases before `phases`, each in task order.
    pub async fn outcomes(&self, job: &str, phases: u32) -> Result<Vec<Vec<TaskOutcome>>, JournalError> {
        let mut connection = self.connection.lock().await;
        let rows = sqlx::query(
            "SELECT phase, outcome FROM outcomes WHERE job = ? AND phase < ? ORDER BY phase, task",
        )
        .bind(job)
        .bind(phases)
        .fetch_all(&mut *connection)
        .await
        .map_err(|source| database(&self.path, source))?;
        let mut outcomes = vec![Vec::new(); phases as usize];
        for row in rows {
            let outcome = serde_json::from_str(row.get::<&str, _>(1))?;
            if let Some(phase) = outcomes.get_mut(row.get::<u32, _>(0) as usize) {
                phase.push(outcome);
            }
        }
        Ok(outcomes)
    }
}

fn database(path: &Path, source: sqlx::Error) -> JournalError {
    let code = source.as_database_error().and_then(sqlx::error::DatabaseError::code);
    let path = path.to_owned();
    // SQLITE_BUSY and SQLITE_FULL, which have no finer codes.
    match code.as_deref() {
        Some("5") => JournalError::InUse(path),
        Some("13") => JournalError::Full { path, source },
        _ => JournalError::Database { path, source },
    }
}

/// SQLite's words for what often is a lack of permission, by their primary codes: no permission, read-only, an error of
/// input or output (a lock on a file that could be opened for reading alone), no file that could be opened.
const DENIALS: [u32; 4] = [3, 8, 10, 14];

/// Why a journal could not be opened: the system's word where it has one.
fn refused(path: &Path, source: sqlx::Error) -> JournalError {
    let code = source.as_database_error().and_then(sqlx::error::DatabaseError::code);
    let code = code.and_then(|code| code.parse::<u32>().ok());
    let denied = code.filter(|code| DENIALS.contains(&(code & 0xff))).and_then(|_| denied(path));
    match denied {
        Some(source) => JournalError::NotWritable { path: path.to_owned(), source },
        None => database(path, source),
    }
}

/// Why a file or its directory cannot be written, if so. Not for a journal that is open: whoever closes a file gives up
/// all locks that its process has on it.
fn denied(path: &Path) -> Option<std::io::Error> {
    if let Err(error) = std::fs::OpenOptions::new().append(true).open(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Some(error);
    }
    // SQLite makes files beside it.
    let probe = path.with_extension("probe");
    let written = std::fs::write(&probe, b"");
    // Where it could not be made, there is nothing to remove.
    let _ = std::fs::remove_file(&probe);
    written.err()
}

/// Reads a line of `meta`, or makes it.
async fn meta(
    connection: &mut SqliteConnection,
    key: &str,
    make: impl FnOnce() -> String,
) -> Result<String, sqlx::Error> {
    let row = sqlx::query("SELECT value FROM meta WHERE key = ?")
        .bind(key)
        .fetch_optional(&mut *connection)
        .await?;
    if let Some(row) = row {
        return row.try_get(0);
    }
    let value = make();
    sqlx::query("INSERT INTO meta VALUES (?, ?)").bind(key).bind(&value).execute(connection).await?;
    Ok(value)
}

/// A name that no other coordinator has: the standard library seeds its hashers from the system's randomness.
#[expect(clippy::disallowed_methods, reason = "a name must differ between machines; no result depends on it")]
fn random_name() -> String {
    use std::hash::{BuildHasher, RandomState};
    let half = || RandomState::new().hash_one(std::process::id());
    format!("{:016x}{:016x}", half(), half())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_journal_that_cannot_be_written_says_why() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        // A directory in its place: not even the superuser, as whom containers test, can write to it.
        let path = directory.path().join("journal.sqlite");
        std::fs::create_dir(&path).expect("a directory");
        let error = Journal::open(&path).await.expect_err("it is no file");
        assert!(matches!(error, JournalError::NotWritable { .. }), "{error:?}");
        assert!(error.to_string().contains("may write"), "{error}");
        std::fs::remove_dir(&path).expect("an empty directory");
        assert!(Journal::open(&path).await.is_ok());
        let left = std::fs::read_dir(directory.path()).expect("a directory");
        let mut names = left.map(|entry| entry.expect("an entry").file_name());
        assert!(names.all(|name| name.to_string_lossy().starts_with("journal.sqlite")), "no probe is left");
    }
}
