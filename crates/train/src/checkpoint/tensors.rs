//! Flat vectors as safetensors files, and back.

use std::collections::HashMap;

use orchestrator_model::ParameterLayout;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::error::TrainError;

#[expect(clippy::needless_pass_by_value, reason = "fits `map_err`")]
fn broken(problem: impl ToString) -> TrainError {
    TrainError::Checkpoint(problem.to_string())
}

/// Writes named spans of f32 numbers. The metadata is what the public library asks for.
pub(crate) fn write(tensors: &[(&str, &[usize], &[f32])]) -> Result<Vec<u8>, TrainError> {
    let mut views = Vec::with_capacity(tensors.len());
    for (name, shape, values) in tensors {
        let view = TensorView::new(Dtype::F32, shape.to_vec(), bytemuck::cast_slice(values));
        views.push((*name, view.map_err(broken)?));
    }
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize(views, Some(metadata)).map_err(broken)
}

/// Writes the weights under their public names.
pub(crate) fn write_model(layout: &ParameterLayout, weights: &[f32]) -> Result<Vec<u8>, TrainError> {
    let tensors: Vec<_> =
        layout.iter().map(|p| (p.name.as_str(), p.shape.as_slice(), &weights[p.span()])).collect();
    write(&tensors)
}

/// Reads the weights of a layout, as [`write_model`] wrote them; a tensor that it does not have is an error.
pub(crate) fn read_model(layout: &ParameterLayout, bytes: &[u8]) -> Result<Vec<f32>, TrainError> {
    let file = SafeTensors::deserialize(bytes).map_err(broken)?;
    let mut weights = vec![0.0; layout.total()];
    for parameter in layout {
        let values = floats(&file, &parameter.name, &parameter.shape)?;
        weights[parameter.span()].copy_from_slice(&values);
    }
    let known = |name: &str| layout.iter().any(|p| p.name == name);
    match file.names().into_iter().filter(|name| !known(name)).min() {
        Some(name) => Err(broken(format!("tensor `{name}` is not one of this model"))),
        None => Ok(weights),
    }
}

/// Reads one f32 tensor of a known shape.
pub(crate) fn floats(file: &SafeTensors<'_>, name: &str, shape: &[usize]) -> Result<Vec<f32>, TrainError> {
    let view = file.tensor(name).map_err(|error| broken(format!("tensor `{name}`: {error}")))?;
    if view.dtype() != Dtype::F32 || view.shape() != shape {
        let (found, kind) = (view.shape(), view.dtype());
        return Err(broken(format!("tensor `{name}` is {kind:?} {found:?}: expected F32 {shape:?}")));
    }
    Ok(bytemuck::pod_collect_to_vec(view.data()))
}
