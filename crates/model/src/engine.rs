//! A model on one device behind one small trait, so that nothing above this crate names the tensor engine.
//!
//! Work runs on the rayon pool of the calling thread; the bits of a result do not depend on its size.

use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{Int, Tensor, TensorData};
use burn_autodiff::Autodiff;
use burn_flex::Flex;

use crate::error::ModelError;
use crate::families::{Model, ModelConfig, family};
use crate::objectives::Batch;
use crate::ops::{DropoutSeed, Ops, Tokens};
use crate::parameters::{ParameterLayout, Parameters};

/// Where a model runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The processor, with fused kernels.
    Cpu,
    /// An NVIDIA GPU by its number; needs the feature `cuda` and a driver.
    Cuda(usize),
}

/// A model on a device. Weights come and gradients go as flat vectors in the order of the layout.
pub trait Engine: Send {
    /// The model's parameters.
    fn layout(&self) -> &ParameterLayout;

    /// Copies weights to the device.
    fn set_weights(&mut self, weights: &[f32]) -> Result<(), ModelError>;

    /// Mean loss of a batch; its gradient goes to `into`.
    fn gradient(&mut self, batch: &Batch, seed: DropoutSeed, into: &mut [f32]) -> Result<f32, ModelError>;

    /// Mean loss of a batch, nothing dropped.
    fn loss(&mut self, batch: &Batch) -> Result<f32, ModelError>;

    /// Logits of every position, `[batch · time, vocabulary]`.
    fn logits(&mut self, tokens: &Tokens) -> Result<Vec<f32>, ModelError>;

    /// Logits of each sequence's last position, `[batch, vocabulary]`.
    fn last_logits(&mut self, tokens: &Tokens) -> Result<Vec<f32>, ModelError>;
}

/// Builds a model with these weights on a device.
pub fn open(config: &ModelConfig, weights: &[f32], device: Device) -> Result<Box<dyn Engine>, ModelError> {
    match device {
        Device::Cpu => Ok(Box::new(Burn::<Autodiff<Flex>>::new(config, weights, burn_flex::FlexDevice)?)),
        #[cfg(feature = "cuda")]
        Device::Cuda(number) => {
            use burn::backend::Cuda;
            use burn::backend::cuda::CudaDevice;
            if !cuda_is_present() {
                return Err(ModelError::Device("cuda", "no CUDA driver was found"));
            }
            Ok(Box::new(Burn::<Autodiff<Cuda>>::new(config, weights, CudaDevice::new(number))?))
        }
        #[cfg(not(feature = "cuda"))]
        Device::Cuda(_) => Err(ModelError::Device("cuda", "this build was made without the feature `cuda`")),
    }
}

/// Whether this build can compute on NVIDIA GPUs.
pub const HAS_CUDA: bool = cfg!(feature = "cuda");

/// Whether a CUDA driver can be loaded. Without one, first use of the engine's CUDA backend would panic.
pub fn cuda_is_present() -> bool {
    #[cfg(feature = "cuda")]
    // SAFETY: it loads the driver's library and looks up no more than its version; the library has no other
    // preconditions.
    #[expect(unsafe_code, reason = "loading a library is unsafe by nature")]
    let present = unsafe { cudarc::driver::sys::is_culib_present() };
    #[cfg(not(feature = "cuda"))]
    let present = false;
    present
}

/// The engine's side of [`Engine`], over any of its differentiable backends.
struct Burn<A: AutodiffBackend> {
    config: ModelConfig,
    layout: ParameterLayout,
    device: A::Device,
    parameters: Parameters<A>,
}

impl<A> Burn<A>
where
    A: AutodiffBackend + Ops,
    A::InnerBackend: Ops,
{
    fn new(config: &ModelConfig, weights: &[f32], device: A::Device) -> Result<Self, ModelError> {
        let layout = config.layout()?;
        let parameters = Parameters::load(&layout, weights, &device)?.tracked();
        Ok(Self { config: config.clone(), layout, device, parameters })
    }

    /// The model without a tape.
    fn inference(&self) -> Result<Box<dyn Model<A::InnerBackend>>, ModelError> {
        Ok((family(&self.config.family)?.build)(&self.config, &self.parameters.inner()))
    }

    fn check(&self, tokens: &Tokens) -> Result<(), ModelError> {
        if tokens.time() > self.config.context {
            return Err(ModelError::TooLong { context: self.config.context, found: tokens.time() });
        }
        Ok(())
    }
}

impl<A> Engine for Burn<A>
where
    A: AutodiffBackend + Ops,
    A::InnerBackend: Ops,
{
    fn layout(&self) -> &ParameterLayout {
        &self.layout
    }

    fn set_weights(&mut self, weights: &[f32]) -> Result<(), ModelError> {
        self.parameters = Parameters::load(&self.layout, weights, &self.device)?.tracked();
        Ok(())
    }

    fn gradient(&mut self, batch: &Batch, seed: DropoutSeed, into: &mut [f32]) -> Result<f32, ModelError> {
        self.check(&batch.inputs)?;
        let model = (family(&self.config.family)?.build)(&self.config, &self.parameters);
        let hidden = model.hidden(&batch.inputs, Some(seed));
        let loss = A::cross_entropy(model.logits(hidden), batch.targets.clone());
        let mut gradients = loss.backward();
        let value = values(loss.inner())?[0];
        self.parameters.collect_gradients(&self.layout, &mut gradients, into)?;
        Ok(value)
    }

    fn loss(&mut self, batch: &Batch) -> Result<f32, ModelError> {
        self.check(&batch.inputs)?;
        let model = self.inference()?;
        let logits = model.logits(model.hidden(&batch.inputs, None));
        Ok(values(<A::InnerBackend as Ops>::cross_entropy(logits, batch.targets.clone()))?[0])
    }

    fn logits(&mut self, tokens: &Tokens) -> Result<Vec<f32>, ModelError> {
        self.check(tokens)?;
        let model = self.inference()?;
        values(model.logits(model.hidden(tokens, None)))
    }

    fn last_logits(&mut self, tokens: &Tokens) -> Result<Vec<f32>, ModelError> {
        self.check(tokens)?;
        let model = self.inference()?;
        let hidden = model.hidden(tokens, None);
        let rows: Vec<i32> = (1..=tokens.batch()).map(|end| (end * tokens.time() - 1) as i32).collect();
        let rows = TensorData::new(rows, [tokens.batch()]);
        let rows = Tensor::<A::InnerBackend, 1, Int>::from_data(rows, &self.device);
        values(model.logits(hidden.select(0, rows)))
    }
}

/// The values of a tensor on the host.
fn values<B: burn::tensor::backend::Backend, const D: usize>(
    tensor: Tensor<B, D>,
) -> Result<Vec<f32>, ModelError> {
    tensor.into_data().into_vec().map_err(|error| ModelError::Engine(format!("{error:?}")))
}
