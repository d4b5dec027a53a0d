//! `certs`: a certificate authority, the coordinator's certificate and a token, for a cluster without its own.

use std::fs;
use std::io::{Read, Write};
use std::net::IpAddr;
use std::path::Path;

use anyhow::Context;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use serde_json::json;

use crate::args::CertsArgs;
use crate::console::Console;
use crate::failure::Failure;

/// Writes `ca.crt`, `tls.crt`, `tls.key` and `token`. The authority's key is not kept: it signs this once.
pub(crate) fn run(args: &CertsArgs, console: &Console) -> Result<(), Failure> {
    if let Some(name) = args.names.iter().find(|name| !is_name(name)) {
        let message = format!(
            "`{name}` is no name of a host: expected one such as `node-1.example.org`, or an address"
        );
        return Err(Failure::usage(anyhow::anyhow!(message)));
    }
    let directory = &args.directory;
    fs::create_dir_all(directory).with_context(|| format!("`{}` cannot be made", directory.display()))?;
    let (authority, certificate, key) = make(&args.names).context("the certificates cannot be made")?;
    write(&directory.join("ca.crt"), authority.as_bytes(), false)?;
    write(&directory.join("tls.crt"), certificate.as_bytes(), false)?;
    write(&directory.join("tls.key"), key.as_bytes(), true)?;
    write(&directory.join("token"), new_token()?.as_bytes(), true)?;
    console.result(&json!({ "directory": directory, "names": args.names }), || {
        format!(
            "wrote ca.crt, tls.crt, tls.key and token to `{}`, for {}\n\
             coordinator: --certificate tls.crt --key tls.key --token-file token\n\
             workers and clients: --authority ca.crt --token-file token",
            directory.display(),
            args.names.join(", ")
        )
    })
}

/// Whether clients could reach a host under this name: an address, or a DNS name (RFC 1123), its first label perhaps `*`.
fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len())
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let plain = name.strip_prefix("*.").unwrap_or(name);
    name.parse::<IpAddr>().is_ok() || (name.len() <= 253 && plain.split('.').all(is_label))
}

fn make(names: &[String]) -> Result<(String, String, String), rcgen::Error> {
    let authority_key = KeyPair::generate()?;
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    authority.distinguished_name.push(DnType::CommonName, "orchestrator cluster authority");
    let authority_certificate = authority.self_signed(&authority_key)?;
    let issuer = Issuer::new(authority, authority_key);

    let key = KeyPair::generate()?;
    let mut server = CertificateParams::new(names.to_vec())?;
    server.distinguished_name.push(DnType::CommonName, "orchestrator coordinator");
    let certificate = server.signed_by(&key, &issuer)?;
    Ok((authority_certificate.pem(), certificate.pem(), key.serialize_pem()))
}

/// 256 bits from the system's generator, in hexadecimal.
pub(crate) fn new_token() -> Result<String, Failure> {
    let mut halves = [[0_u8; 16]; 2];
    let mut source =
        fs::File::open("/dev/urandom").context("the system's random generator cannot be opened")?;
    for half in &mut halves {
        source.read_exact(half).context("the system's random generator cannot be read")?;
    }
    Ok(format!("{:032x}{:032x}", u128::from_be_bytes(halves[0]), u128::from_be_bytes(halves[1])))
}

/// Writes a new file that, when private, only its owner can read. A file that is there is refused.
pub(crate) fn write(path: &Path, bytes: &[u8], private: bool) -> Result<(), Failure> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, if private { 0o600 } else { 0o644 });
    let mut file =
        options.open(path).with_context(|| format!("`{}` cannot be written anew", path.display()))?;
    file.write_all(bytes).with_context(|| format!("`{}` cannot be written", path.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_hosts() {
        let long = format!("{}.example.org", "a".repeat(64));
        for good in ["localhost", "127.0.0.1", "::1", "coordinator-0.coordinator", "*.example.org", "a_b.c"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "bad name/../x", "a..b", ".a", "-a", "a-", "*", "a.*", "https://a", "é.org", &long] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
