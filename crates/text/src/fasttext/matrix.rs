//! The two matrices of a model: dense, or product-quantized.
//!
//! ```text
//! quantized row t = norm[t] · ( c₀[code₀] ‖ c₁[code₁] ‖ … ‖ cₛ[codeₛ] )    each cᵢ has 256 centroids
//! ```

use super::reader::{Error, Reader};

/// Centroids of one sub-quantizer.
const CENTROIDS: usize = 256;

/// A matrix whose rows can be added up and multiplied.
#[derive(Clone, Debug)]
pub(super) enum Matrix {
    Dense(Dense),
    Quantized(Quantized),
}

#[derive(Clone, Debug)]
pub(super) struct Dense {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) values: Vec<f32>,
}

#[derive(Clone, Debug)]
pub(super) struct Quantized {
    rows: usize,
    columns: usize,
    codes: Vec<u8>,
    vectors: Quantizer,
    norms: Option<(Vec<u8>, Quantizer)>,
}

#[derive(Clone, Debug)]
struct Quantizer {
    parts: usize,
    width: usize,
    last_width: usize,
    centroids: Vec<f32>,
}

impl Dense {
    pub(super) fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.columns..][..self.columns]
    }

    pub(super) fn row_mut(&mut self, row: usize) -> &mut [f32] {
        &mut self.values[row * self.columns..][..self.columns]
    }
}

impl Matrix {
    pub(super) fn read(reader: &mut Reader<'_>, quantized: bool) -> Result<Self, Error> {
        if quantized {
            Quantized::read(reader).map(Self::Quantized)
        } else {
            Dense::read(reader).map(Self::Dense)
        }
    }

    pub(super) fn rows(&self) -> usize {
        match self {
            Self::Dense(dense) => dense.rows,
            Self::Quantized(quantized) => quantized.rows,
        }
    }

    pub(super) fn columns(&self) -> usize {
        match self {
            Self::Dense(dense) => dense.columns,
            Self::Quantized(quantized) => quantized.columns,
        }
    }

    /// Adds row `row` to `sum`.
    pub(super) fn add_row(&self, row: usize, sum: &mut [f32]) {
        match self {
            Self::Dense(dense) => {
                for (sum, value) in sum.iter_mut().zip(dense.row(row)) {
                    *sum += value;
                }
            }
            Self::Quantized(quantized) => {
                let norm = quantized.norm(row);
                quantized.each_part(row, |start, centroid| {
                    for (sum, value) in sum[start..].iter_mut().zip(centroid) {
                        *sum += norm * value;
                    }
                });
            }
        }
    }

    /// The dot product of row `row` and `vector`.
    pub(super) fn dot_row(&self, row: usize, vector: &[f32]) -> f32 {
        match self {
            // From the left, as C++ does it: another order may lead to another step of its table of sigmoids.
            Self::Dense(dense) => {
                let mut sum = 0.0;
                for (a, b) in dense.row(row).iter().zip(vector) {
                    sum += a * b;
                }
                sum
            }
            Self::Quantized(quantized) => {
                let mut sum = 0.0;
                quantized.each_part(row, |start, centroid| {
                    for (a, b) in vector[start..].iter().zip(centroid) {
                        sum += a * b;
                    }
                });
                sum * quantized.norm(row)
            }
        }
    }
}

/// The dot product in eight sums, joined in a fixed order: what the compiler may do in one vector register. For training,
/// where no other program's sums must be met.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a_eights, a_rest), (b_eights, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [0.0_f32; 8];
    for (a, b) in a_eights.iter().zip(b_eights) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7])) + rest
}

impl Dense {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let (rows, columns) = (reader.count("rows")?, reader.count("columns")?);
        let values = reader.floats("matrix", rows.saturating_mul(columns))?;
        Ok(Self { rows: rows as usize, columns: columns as usize, values })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend((self.rows as i64).to_le_bytes());
        out.extend((self.columns as i64).to_le_bytes());
        out.extend(self.values.iter().flat_map(|value| value.to_le_bytes()));
    }
}

impl Quantized {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let has_norms = reader.flag("qnorm")?;
        let (rows, columns) = (reader.count("rows")?, reader.count("columns")?);
        let size = reader.count32("code size")?;
        let codes = reader.take("codes", u64::from(size), 1)?.to_vec();
        let vectors = Quantizer::read(reader, columns)?;
        if rows.saturating_mul(vectors.parts as u64) != u64::from(size) {
            return Err(Error::invalid("code size", i64::from(size), "rows times sub-quantizers"));
        }
        let norms = if has_norms {
            let codes = reader.take("norm codes", rows, 1)?.to_vec();
            Some((codes, Quantizer::read(reader, 1)?))
        } else {
            None
        };
        Ok(Self { rows: rows as usize, columns: columns as usize, codes, vectors, norms })
    }

    fn norm(&self, row: usize) -> f32 {
        self.norms.as_ref().map_or(1.0, |(codes, quantizer)| quantizer.centroid(0, codes[row])[0])
    }

    fn each_part(&self, row: usize, mut visit: impl FnMut(usize, &[f32])) {
        let codes = &self.codes[row * self.vectors.parts..][..self.vectors.parts];
        for (part, &code) in codes.iter().enumerate() {
            visit(part * self.vectors.width, self.vectors.centroid(part, code));
        }
    }
}

impl Quantizer {
    fn read(reader: &mut Reader<'_>, columns: u64) -> Result<Self, Error> {
        let dimension = reader.count32("quantizer dimension")?;
        let parts = reader.count32("sub-quantizers")?;
        let width = reader.count32("sub-quantizer width")?;
        let last_width = reader.count32("last sub-quantizer width")?;
        let covered =
            u64::from(parts).saturating_sub(1).saturating_mul(u64::from(width)) + u64::from(last_width);
        if u64::from(dimension) != columns || parts == 0 || last_width == 0 || last_width > width {
            return Err(Error::invalid(
                "quantizer dimension",
                i64::from(dimension),
                "the columns of its matrix",
            ));
        }
        if covered != columns {
            return Err(Error::invalid("sub-quantizers", i64::from(parts), "as many as cover the dimension"));
        }
        let centroids = reader.floats("centroids", u64::from(dimension) * CENTROIDS as u64)?;
        Ok(Self { parts: parts as usize, width: width as usize, last_width: last_width as usize, centroids })
    }

    fn centroid(&self, part: usize, code: u8) -> &[f32] {
        let width = if part + 1 == self.parts { self.last_width } else { self.width };
        &self.centroids[part * CENTROIDS * self.width + usize::from(code) * width..][..width]
    }
}
