//! The bearer token that calls must carry.

use orchestrator_core::ErrorCode;
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// Checks the token of each call; lets all pass where none is set.
#[derive(Clone)]
pub(crate) struct Guard(Option<String>);

impl Guard {
    pub(crate) fn new(token: Option<&str>) -> Self {
        Self(token.map(|token| format!("Bearer {token}")))
    }
}

impl Interceptor for Guard {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let Some(expected) = &self.0 else { return Ok(request) };
        let given = request.metadata().get("authorization").map(tonic::metadata::MetadataValue::as_bytes);
        if given.is_some_and(|given| equal(given, expected.as_bytes())) {
            Ok(request)
        } else {
            Err(orchestrator_proto::status(
                ErrorCode::Unauthorized,
                "expected the coordinator's bearer token",
            ))
        }
    }
}

/// Compares in a time that depends on the lengths alone.
fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_opens() {
        let mut guard = Guard::new(Some("a-secret-of-ours"));
        let request = |value: Option<&'static str>| {
            let mut request = Request::new(());
            if let Some(value) = value {
                request.metadata_mut().insert("authorization", value.parse().expect("ASCII"));
            }
            request
        };
        assert!(guard.call(request(Some("Bearer a-secret-of-ours"))).is_ok());
        for wrong in [None, Some("Bearer a-secret-of-oursX"), Some("a-secret-of-ours"), Some("Bearer ")] {
            assert!(guard.call(request(wrong)).is_err());
        }
        assert!(Guard::new(None).call(request(None)).is_ok());
    }
}
