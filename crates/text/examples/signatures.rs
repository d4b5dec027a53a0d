//! MinHash signatures of a JSONL.zst file, to a folder in the format of datatrove's `MinhashDedupSignature`.
//!
//! `signatures FILE FOLDER HASH`, where HASH is `xxh3`, `sha1-64` or `xxh64`. Writes `FOLDER/BBB.minhash.sig` for each of 14
//! bands: of every document that has a signature its 8 minima (64 bits) and its number (32 bits), little-endian, in order.
//! It has no clock: who starts it measures the process. `benches/compare/minhash.py` does, beside datatrove.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use orchestrator_text::minhash::{Hash, Hasher, MinHashConfig};
use serde::Deserialize;

type Error = Box<dyn std::error::Error>;

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    text: Cow<'a, str>,
}

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, folder, hash] = arguments.as_slice() else { return Err("expected FILE FOLDER HASH".into()) };
    let hash: Hash = serde_json::from_value(hash.as_str().into())?;
    let config = MinHashConfig { hash, ..MinHashConfig::default() };
    let mut hasher = Hasher::new(&config);
    let mut bands: Vec<Vec<(Vec<u64>, u32)>> = vec![Vec::new(); config.bands];
    let mut lines = BufReader::with_capacity(1 << 20, zstd::Decoder::new(File::open(file)?)?);
    let mut line = Vec::new();
    let mut number = 0;
    while lines.read_until(b'\n', &mut line)? > 0 {
        let parsed: Line<'_> = serde_json::from_slice(&line)?;
        if let Some(signature) = hasher.signature(&parsed.text) {
            for (band, minima) in bands.iter_mut().zip(signature.chunks_exact(config.rows)) {
                band.push((minima.to_vec(), number));
            }
        }
        number += 1;
        line.clear();
    }
    fs::create_dir_all(folder)?;
    for (number, band) in bands.iter_mut().enumerate() {
        band.sort_unstable();
        let mut out =
            BufWriter::new(File::create(Path::new(folder).join(format!("{number:03}.minhash.sig")))?);
        for (minima, document) in band {
            for minimum in minima {
                out.write_all(&minimum.to_le_bytes())?;
            }
            out.write_all(&document.to_le_bytes())?;
        }
        out.flush()?;
    }
    Ok(())
}
