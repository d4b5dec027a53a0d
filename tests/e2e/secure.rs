//! A cluster with the certificates that `certs` makes.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use crate::support::daemons::Cluster;
use crate::support::{Ran, Scene, corpus, tiny_training};

const DATA: &str = "
pipeline:
  - read: {paths: [\"corpus/*\"]}
  - clean: {}
";

#[test]
fn a_gang_trains_over_tls_and_strangers_are_refused() {
    let scene = Scene::new();
    scene.write("corpus/a.jsonl", corpus::jsonl(&corpus::pages(95, 60)));
    let made = scene.run(&["certs", "certs", "--output", "json"]).ended(0).json();
    assert!(made["names"].to_string().contains("127.0.0.1"));
    for private in ["tls.key", "token"] {
        let mode =
            std::fs::metadata(scene.path(&format!("certs/{private}"))).expect(private).permissions().mode();
        assert_eq!(mode & 0o077, 0, "{private} is its owner's alone");
    }
    let again = scene.run(&["certs", "certs"]);
    assert_ne!(again.code, Some(0), "what is there is not written over");

    scene.job("plain", &format!("{DATA}{}", tiny_training(300, 1, &["world_size: 2"])));
    scene.complete("plain", 2);
    std::fs::rename(scene.path("plain"), scene.path("aside")).expect("moved");
    let mut cluster = Cluster::start_secure(&scene, 4_000, "certs");
    for name in ["one", "two"] {
        cluster.start_worker_with(name, &[]);
    }
    cluster.client(&["submit", "plain.yaml", "--watch"]).ended(0);
    let (secure, plain) = (scene.output("plain"), scene.output("aside"));
    assert_eq!(secure.check().digests(), plain.digests(), "the gang met and trained the same weights");
    assert_eq!(secure.losses(), plain.losses());

    scene.run(&["certs", "others"]).ended(0);
    let other = scene.path("others/ca.crt");
    let mut stranger = cluster.client_command(&["jobs"]);
    let ran = Ran::of(stranger.env("ORCHESTRATOR_AUTHORITY", other));
    assert!(ran.code != Some(0) && ran.stdout.is_empty(), "another authority: {}", ran.stderr);
    let mut stranger = cluster.client_command(&["jobs"]);
    let ran = Ran::of(stranger.env("ORCHESTRATOR_COORDINATOR", cluster.address().replace("https", "http")));
    assert!(ran.code != Some(0) && ran.stdout.is_empty(), "without TLS: {}", ran.stderr);
    assert!(
        ran.stderr.contains("expected") || ran.stderr.contains("https://"),
        "without TLS: {}",
        ran.stderr
    );
    let mut stranger = cluster.client_command(&["jobs"]);
    let ran = Ran::of(stranger.env_remove("ORCHESTRATOR_AUTHORITY")).ended(2);
    assert!(ran.stderr.contains("--authority"), "without an authority: {}", ran.stderr);
    let mut stranger = cluster.client_command(&["jobs"]);
    let ran = Ran::of(stranger.env("ORCHESTRATOR_TOKEN_FILE", scene.path("others/token")));
    assert!(ran.code != Some(0) && ran.stderr.contains("token"), "another token: {}", ran.stderr);
    assert_eq!(cluster.worker("one").ended(), None, "workers go on");
    cluster.worker("one").terminate();
    assert_eq!(cluster.worker("one").wait(Duration::from_secs(30)), 0);
}
