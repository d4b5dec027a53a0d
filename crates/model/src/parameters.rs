//! The parameters of a model: names, shapes and places in one flat vector, and tensors made from it.

use std::collections::BTreeMap;

use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Tensor, TensorData};

use crate::error::ModelError;
use crate::random;

/// How a parameter begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Normal with mean 0 and this deviation.
    Normal(f64),
    /// All zero.
    Zeros,
    /// All one.
    Ones,
}

/// One parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// The key it has in files, for example `transformer.wte.weight`.
    pub name: String,
    /// One or two dimensions.
    pub shape: Vec<usize>,
    /// Where it begins in the flat vector.
    pub offset: usize,
    /// How it begins.
    pub init: Init,
}

impl Parameter {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its place in the flat vector.
    pub fn span(&self) -> std::ops::Range<usize> {
        self.offset..self.offset + self.len()
    }

    /// Whether weight decay acts on it: on matrices, never on biases and norms.
    pub fn decays(&self) -> bool {
        self.shape.len() > 1
    }
}

/// The parameters of a model in their fixed order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ParameterLayout {
    parameters: Vec<Parameter>,
    total: usize,
}

impl ParameterLayout {
    /// Appends a parameter.
    pub fn push(&mut self, name: impl Into<String>, shape: &[usize], init: Init) {
        let parameter = Parameter { name: name.into(), shape: shape.to_vec(), offset: self.total, init };
        self.total += parameter.len();
        self.parameters.push(parameter);
    }

    /// All parameters, in the order of the flat vector.
    pub fn iter(&self) -> std::slice::Iter<'_, Parameter> {
        self.parameters.iter()
    }

    /// Number of parameters' elements.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Initial weights: a pure function of the seed and each parameter's name.
    pub fn initial(&self, seed: u64) -> Vec<f32> {
        let mut weights = Vec::with_capacity(self.total);
        for parameter in &self.parameters {
            let name = parameter.name.bytes().fold(seed, |key, byte| random::mix(key, u64::from(byte)));
            weights.extend((0..parameter.len() as u64).map(|i| match parameter.init {
                Init::Normal(deviation) => (random::normal(name, i) * deviation) as f32,
                Init::Zeros => 0.0,
                Init::Ones => 1.0,
            }));
        }
        weights
    }
}

impl<'a> IntoIterator for &'a ParameterLayout {
    type Item = &'a Parameter;
    type IntoIter = std::slice::Iter<'a, Parameter>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// A parameter on a device.
#[derive(Clone, Debug)]
enum Leaf<B: Backend> {
    Vector(Tensor<B, 1>),
    Matrix(Tensor<B, 2>),
}

/// The parameters of a model on a device, by name.
#[derive(Clone, Debug)]
pub struct Parameters<B: Backend> {
    leaves: Vec<Leaf<B>>,
    places: BTreeMap<String, usize>,
}

impl<B: Backend> Parameters<B> {
    /// Copies a flat vector to a device.
    pub fn load(layout: &ParameterLayout, weights: &[f32], device: &B::Device) -> Result<Self, ModelError> {
        if weights.len() != layout.total() {
            return Err(ModelError::Shape {
                what: "weights",
                expected: layout.total(),
                found: weights.len(),
            });
        }
        let leaves = layout
            .iter()
            .map(|parameter| {
                let data = TensorData::new(weights[parameter.span()].to_vec(), parameter.shape.clone());
                match parameter.shape.len() {
                    1 => Leaf::Vector(Tensor::from_data(data, device)),
                    _ => Leaf::Matrix(Tensor::from_data(data, device)),
                }
            })
            .collect();
        let places = layout.iter().enumerate().map(|(place, p)| (p.name.clone(), place)).collect();
        Ok(Self { leaves, places })
    }

    /// The vector of this name, which the family's own layout has.
    pub fn vector(&self, name: &str) -> Tensor<B, 1> {
        match self.places.get(name).map(|place| &self.leaves[*place]) {
            Some(Leaf::Vector(tensor)) => tensor.clone(),
            _ => unreachable!("a family asks for vectors of its own layout, not `{name}`"),
        }
    }

    /// The matrix of this name, which the family's own layout has.
    pub fn matrix(&self, name: &str) -> Tensor<B, 2> {
        match self.places.get(name).map(|place| &self.leaves[*place]) {
            Some(Leaf::Matrix(tensor)) => tensor.clone(),
            _ => unreachable!("a family asks for matrices of its own layout, not `{name}`"),
        }
    }
}

impl<A: AutodiffBackend> Parameters<A> {
    /// Marks every parameter as one whose gradient is wanted.
    #[must_use]
    pub fn tracked(self) -> Self {
        let leaves = self.leaves.into_iter().map(|leaf| match leaf {
            Leaf::Vector(tensor) => Leaf::Vector(tensor.require_grad()),
            Leaf::Matrix(tensor) => Leaf::Matrix(tensor.require_grad()),
        });
        Self { leaves: leaves.collect(), places: self.places }
    }

    /// The same tensors without the tape.
    pub fn inner(&self) -> Parameters<A::InnerBackend> {
        let leaves = self.leaves.iter().map(|leaf| match leaf {
            Leaf::Vector(tensor) => Leaf::Vector(tensor.clone().inner()),
            Leaf::Matrix(tensor) => Leaf::Matrix(tensor.clone().inner()),
        });
        Parameters { leaves: leaves.collect(), places: self.places.clone() }
    }

    /// Writes the gradients to a flat vector; zero where a parameter had no part in the loss.
    pub fn collect_gradients(
        &self,
        layout: &ParameterLayout,
        gradients: &mut A::Gradients,
        into: &mut [f32],
    ) -> Result<(), ModelError> {
        for (parameter, leaf) in layout.iter().zip(&self.leaves) {
            let into = &mut into[parameter.span()];
            let data = match leaf {
                Leaf::Vector(tensor) => tensor.grad_remove(gradients).map(Tensor::into_data),
                Leaf::Matrix(tensor) => tensor.grad_remove(gradients).map(Tensor::into_data),
            };
            match data {
                Some(data) => {
                    let values = data.as_slice::<f32>().map_err(|e| ModelError::Engine(format!("{e:?}")))?;
                    into.copy_from_slice(values);
                }
                None => into.fill(0.0),
            }
        }
        Ok(())
    }
}
