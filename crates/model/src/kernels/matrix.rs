//! Matrix products: bounds-checked views in front of the `gemm` crate.

use rayon::prelude::*;

/// Rows of the result that one task computes. Fixed: see the module `kernels`.
const ROWS_PER_TASK: usize = 256;

/// A read-only view of a matrix in a slice.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Row-major and without gaps.
    pub(crate) fn dense(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// Row-major, rows `row_stride` apart, beginning at `data[0]`.
    pub(crate) fn strided(data: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        Self { data, rows, columns, row_stride, column_stride: 1 }
    }

    /// Rows and columns change places; nothing moves.
    pub(crate) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    /// The rows from `start` on, `count` of them.
    fn rows(self, start: usize, count: usize) -> Self {
        Self { data: &self.data[start * self.row_stride..], rows: count, ..self }
    }

    /// One past the last index that a product reads.
    fn end(&self) -> usize {
        if self.rows == 0 || self.columns == 0 {
            return 0;
        }
        (self.rows - 1) * self.row_stride + (self.columns - 1) * self.column_stride + 1
    }
}

/// Writes `scale · a b` to `out`, or adds it; rows of `out` are `stride` apart. On the calling thread.
pub(crate) fn multiply(out: &mut [f32], stride: usize, a: Matrix<'_>, b: Matrix<'_>, scale: f32, add: bool) {
    let (m, n, k) = (a.rows, b.columns, a.columns);
    assert_eq!(k, b.rows, "inner dimensions of a product");
    if m == 0 || n == 0 {
        return;
    }
    assert!(stride >= n && (m - 1) * stride + n <= out.len(), "the result of a product fits");
    assert!(a.end() <= a.data.len() && b.end() <= b.data.len(), "the factors of a product fit");
    // SAFETY: the assertions above keep every index of the three views inside its slice, `out` is borrowed mutably and
    // so overlaps neither factor, and rows of `out` do not overlap each other.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            stride as isize,
            add,
            a.data.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0_f32,
            scale,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// Writes `a b` to the dense `out`, or adds it; tasks of `ROWS_PER_TASK` rows on all threads.
pub(crate) fn multiply_parallel(out: &mut [f32], a: Matrix<'_>, b: Matrix<'_>, add: bool) {
    let n = b.columns;
    assert_eq!(out.len(), a.rows * n, "the result of a product is dense");
    if n == 0 {
        return;
    }
    out.par_chunks_mut(ROWS_PER_TASK * n).enumerate().for_each(|(task, out)| {
        let rows = out.len() / n;
        multiply(out, n, a.rows(task * ROWS_PER_TASK, rows), b, 1.0, add);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_views_are_the_sums_they_should_be() {
        let a: Vec<f32> = (0..700 * 5).map(|i| (i % 13) as f32 - 6.0).collect();
        let b: Vec<f32> = (0..5 * 3).map(|i| (i % 7) as f32 - 3.0).collect();
        let mut out = vec![1.0; 700 * 3];
        multiply_parallel(&mut out, Matrix::dense(&a, 700, 5), Matrix::dense(&b, 5, 3), true);
        let b_transposed: Vec<f32> = (0..15).map(|i| b[(i % 5) * 3 + i / 5]).collect();
        let mut again = vec![7.0; 700 * 3];
        let view = Matrix::dense(&b_transposed, 3, 5).transposed();
        multiply_parallel(&mut again, Matrix::dense(&a, 700, 5), view, false);
        for row in 0..700 {
            for column in 0..3 {
                let exact: f32 = (0..5).map(|i| a[row * 5 + i] * b[i * 3 + column]).sum();
                assert!((out[row * 3 + column] - exact - 1.0).abs() < 1e-6);
                assert!((again[row * 3 + column] - exact).abs() < 1e-6);
            }
        }
    }
}
