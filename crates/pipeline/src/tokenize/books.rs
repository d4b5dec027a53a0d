//! The books of a tokenize task: which documents became tokens, and which ended here for their language.

use orchestrator_core::{
    Document, Dropped, FileKind, Reason, RowHasher, StageSamples, StageTally, TaskSamples,
};

use crate::context::TaskContext;
use crate::error::TaskError;
use crate::files::{AttemptFiles, DroppedFile};

/// Counts what comes in, and writes down what is passed by.
pub(super) struct Books {
    files: AttemptFiles,
    tally: StageTally,
    dropped: DroppedFile,
    samples: StageSamples,
    samples_path: String,
    seed: u64,
}

impl Books {
    pub(super) fn open(context: &TaskContext, number: u32, stage: u32) -> Self {
        let directory = context.stage_directory(stage);
        Self {
            files: AttemptFiles::new(context),
            tally: StageTally { stage, ..StageTally::default() },
            dropped: DroppedFile::new(format!("{directory}/dropped-{number:05}.parquet"), false),
            samples: StageSamples { stage, ..StageSamples::default() },
            samples_path: format!("{directory}/samples-{number:05}.json"),
            seed: context.job.job.seed,
        }
    }

    /// Enters a document that became tokens: its row is its id, its tokens, and how often they are written where that is
    /// not once.
    pub(super) fn enter(&mut self, document: &Document, tokens: [&[u32]; 2], copies: u64) {
        self.count(document);
        self.tally.kept += 1;
        self.tally.bytes_kept += document.text.len() as u64;
        let mut row = RowHasher::default();
        row.number((document.id.0 >> 64) as u64).number(document.id.0 as u64);
        for tokens in tokens {
            row.number(tokens.len() as u64);
            for &token in tokens {
                row.number(u64::from(token));
            }
        }
        if copies != 1 {
            row.number(copies);
        }
        self.tally.kept_digest.push(row.finish());
    }

    /// Enters a document of a language that the stage takes none of.
    pub(super) fn pass_by(&mut self, document: &Document) -> Result<(), TaskError> {
        self.count(document);
        let language = document.language.as_deref().unwrap_or("und");
        let dropped = Dropped::of(document, Reason::new("language", language));
        *self.tally.dropped.entry(dropped.reason.rule.clone().into_owned()).or_default() += 1;
        self.tally.dropped_digest.push_dropped(&dropped);
        self.samples.push_dropped(self.seed, &dropped, Some(&document.text), &[]);
        self.dropped.push(&mut self.files, &dropped)
    }

    fn count(&mut self, document: &Document) {
        self.tally.records_in += 1;
        self.tally.bytes_in += document.text.len() as u64;
    }

    /// Closes the files of what was passed by, and hands over the books.
    pub(super) fn close(mut self) -> Result<(AttemptFiles, StageTally), TaskError> {
        let stage = self.tally.stage;
        self.dropped.finish(&mut self.files, stage, FileKind::Dropped)?;
        if !self.tally.dropped.is_empty() {
            let json = serde_json::to_vec(&TaskSamples { stages: vec![self.samples] })
                .map_err(|error| TaskError::corrupt(&self.samples_path, error))?;
            self.files.write(stage, FileKind::Product, self.samples_path, 0, &json)?;
        }
        Ok((self.files, self.tally))
    }
}
