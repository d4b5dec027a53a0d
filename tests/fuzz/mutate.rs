//! Makes bytes that nobody meant out of bytes that somebody did.

use crate::support::corpus::Dice;

/// Numbers at which lengths and counts go wrong.
const NUMBERS: [u64; 12] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0xffff_ffff_ffff_fff0,
    u64::MAX,
];
/// Bytes that mean something to some format.
const BYTES: [u8; 14] = [0, 1, 0x0a, 0x0d, 0x20, 0x22, 0x2d, 0x30, 0x5b, 0x7b, 0x7f, 0x80, 0xc3, 0xff];
/// What is grown by mutation is cut here; the longest seed is a quantized model of less than a megabyte.
const LONGEST: usize = 1 << 20;

/// A copy with one to eight changes. `other` lends pieces.
pub(crate) fn mutate(dice: &mut Dice, seed: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..dice.between(1, 9) {
        change(dice, &mut bytes, other);
    }
    bytes.truncate(LONGEST);
    bytes
}

fn place(dice: &mut Dice, length: usize) -> usize {
    // Headers stand at the beginning and footers at the end.
    let near = dice.between(0, 64).min(length as u64) as usize;
    match dice.between(0, 4) {
        0 => near,
        1 => length - near,
        _ => dice.between(0, length as u64 + 1) as usize,
    }
}

fn range(dice: &mut Dice, length: usize) -> std::ops::Range<usize> {
    let from = place(dice, length);
    let longest = *dice.choose(&[1_u64, 4, 16, 256, 4096]);
    from..(from + dice.between(0, longest + 1) as usize).min(length)
}

fn change(dice: &mut Dice, bytes: &mut Vec<u8>, other: &[u8]) {
    let at = place(dice, bytes.len());
    match dice.between(0, 10) {
        0 if at < bytes.len() => bytes[at] ^= 1 << dice.between(0, 8),
        1 if at < bytes.len() => bytes[at] = *dice.choose(&BYTES),
        2 => {
            let number = dice.choose(&NUMBERS).to_le_bytes();
            let width = *dice.choose(&[2, 4, 8]);
            for (to, from) in bytes[at..].iter_mut().zip(&number[..width]) {
                *to = *from;
            }
        }
        3 => bytes.truncate(at),
        4 => drop(bytes.drain(range(dice, bytes.len()))),
        5 => {
            let piece = bytes[range(dice, bytes.len())].to_vec();
            bytes.splice(at..at, piece);
        }
        6 => {
            let piece = other[range(dice, other.len())].to_vec();
            bytes.splice(at..at, piece);
        }
        7 => {
            let piece: Vec<u8> = (0..dice.between(1, 32)).map(|_| dice.next() as u8).collect();
            bytes.splice(at..at, piece);
        }
        8 => {
            // A number in digits becomes another one.
            let digits: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at].is_ascii_digit()).collect();
            if !digits.is_empty() {
                let from = *dice.choose(&digits);
                let to = bytes[from..].iter().position(|byte| !byte.is_ascii_digit());
                let to = to.map_or(bytes.len(), |length| from + length);
                bytes.splice(from..to, dice.choose(&NUMBERS).to_string().into_bytes());
            }
        }
        _ => {
            let byte = *dice.choose(&BYTES);
            let count = *dice.choose(&[1_usize, 3, 64, 5000]);
            bytes.splice(at..at, std::iter::repeat_n(byte, count));
        }
    }
}
