//! Whether the members of a compressed file begin where its lines do, so that lines can be read from a member on.

use std::io::Read;

use super::decoder::{Decoder, Fault, Step};
use super::{Compression, ReaderOptions};
use crate::Error;

/// So many members are looked at. Where bytes are cut anywhere, a member begins with a line once in a line's length.
const ENOUGH: usize = 4;

/// Whether every member that begins in `stream`, but for the first, begins with a line; `false` where no second one does.
/// The stream begins at the byte `base` of its file, which may lie anywhere in it. Ends with the fourth such member.
///
/// pigz and zstd cut where a block is full, and writers of shards where a line ends: only what is before a member's first
/// byte tells the one from the other.
pub fn members_begin_lines(
    name: &str,
    stream: Box<dyn Read + Send>,
    base: u64,
    compression: Compression,
) -> Result<bool, Error> {
    let mut decoder = Decoder::new(stream, compression, base, ReaderOptions::default().max_ratio);
    let mut decoded = Vec::new();
    // What comes before the next member; unknown before the first, and behind a gap.
    let mut last: Option<u8> = None;
    let mut begun = 0;
    loop {
        decoded.clear();
        match decoder.step(&mut decoded) {
            Ok(Step::Start(_)) => match last {
                Some(b'\n') => begun += 1,
                Some(_) => return Ok(false),
                None => {}
            },
            Ok(Step::Data) => last = decoded.last().copied().or(last),
            Ok(Step::End) => return Ok(begun > 0),
            Err(Fault::Damaged(_)) => last = None,
            Err(fault) => return Err(fault.into_error(name)),
        }
        if begun == ENOUGH {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).expect("memory");
        encoder.finish().expect("memory")
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::encode_all(bytes, 1).expect("memory")
    }

    fn lines(from: usize, to: usize) -> Vec<u8> {
        (from..to).flat_map(|line| format!("{{\"text\": \"line {}\"}}\n", line * 7919).into_bytes()).collect()
    }

    #[test]
    fn members_of_whole_lines_are_told_from_blocks_that_are_full() {
        let text = lines(0, 6_000);
        let whole: Vec<Vec<u8>> = (0..30).map(|part| lines(part * 200, part * 200 + 200)).collect();
        let blocks: Vec<Vec<u8>> = text.chunks(4_001).map(<[u8]>::to_vec).collect();
        for (compression, pack) in
            [(Compression::Gzip, gzip as fn(&[u8]) -> Vec<u8>), (Compression::Zstd, zstd)]
        {
            let packed =
                |parts: &[Vec<u8>]| parts.iter().flat_map(|part| pack(part.as_slice())).collect::<Vec<u8>>();
            for (bytes, expected) in [
                (packed(&whole), true),
                (packed(&blocks), false),
                (pack(text.as_slice()), false),
                (b"no member at all, wherever one looks".to_vec(), false),
                (Vec::new(), false),
            ] {
                for start in [1, bytes.len() / 3, bytes.len() / 2] {
                    let stream = Box::new(Cursor::new(bytes.get(start..).unwrap_or_default().to_vec()));
                    let found = members_begin_lines("x", stream, start as u64, compression);
                    assert_eq!(found.expect("memory"), expected, "{compression} from {start}");
                }
            }
        }
    }
}
