use pki::{AuthorityName, KeyAlgorithm, ProfileKind, RevocationReason};

use super::*;
use crate::authority::ceremony::{Ceremony, NewIssuing, NewRoot, ROOT_CERTIFICATE, ROOT_LIST, Revoke, TRANSCRIPT};

fn at(folder: &Path, clock: &Clock) -> Ceremony {
    let passphrase = Passphrase::new("a passphrase of the root".into()).unwrap();
    Ceremony::new(folder, passphrase, clock.clone(), vec!["A. Auditor".into(), "B. Builder".into()])
}

fn root(name: &str) -> NewRoot {
    let name = AuthorityName { common_name: name.into(), organization: None };
    NewRoot { name, algorithm: KeyAlgorithm::EcdsaP384, days: None }
}

fn issuing(kind: ProfileKind) -> NewIssuing {
    NewIssuing { kind, name: None, days: None, pki_url: Some("http://pki.example.com".into()) }
}

fn none() -> Revoke<'static> {
    Revoke { certificates: &[], reason: RevocationReason::Unspecified }
}

/// An installation whose root is in `root/` beside it, through the whole ceremony.
async fn installation(folder: &Path, clock: &Clock) -> (Store, KeyDirectory, Ceremony) {
    let ceremony = at(&folder.join("root"), clock);
    ceremony.init_root(root("Offline Root CA")).await.unwrap();
    let store = Store::open(&folder.join("portcullis.db")).await.unwrap();
    let keys = keys_in(folder);
    let requests = Authority::request_certificates(&store, &keys, &names()).await.unwrap();
    for (kind, request) in
        [(ProfileKind::Issuing, &requests.issuing), (ProfileKind::ServerIssuing, &requests.server_issuing)]
    {
        let csr = folder.join(format!("{kind}.csr"));
        std::fs::write(&csr, &request.pem).unwrap();
        let signed = ceremony.sign_issuing(&csr, issuing(kind), &folder.join(format!("{kind}.pem"))).await.unwrap();
        assert_eq!(signed.spki_sha256, request.spki_sha256);
    }
    (store, keys, ceremony)
}

fn certified(folder: &Path) -> Certified {
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    Certified {
        root: read("root/root.pem"),
        root_list: read("root/root.crl"),
        issuing: read("issuing.pem"),
        server_issuing: read("server-issuing.pem"),
    }
}

#[tokio::test]
async fn an_installation_lives_without_its_roots_key() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::manual(NOW));
    let (store, keys, _) = installation(folder.path(), &clock).await;
    let refused = Authority::initialise(&store, &keys, &names(), &settings(), &Actor::local(), &clock).await;
    assert_eq!(code(refused), "awaiting_certificates", "no second root beside the first");
    let actor = Actor::local();
    let settings = settings();
    let adopt = || Authority::adopt(&store, &keys, certified(folder.path()), &settings, &actor, &clock);
    assert!(adopt().await.unwrap().created);
    assert!(!adopt().await.unwrap().created);
    assert!(!folder.path().join("keys/root.key").exists());

    let snapshot = Snapshot::load(&store, &clock).await.unwrap();
    let authority = Authority::open(settings, keys, store, snapshot, clock.clone()).await.unwrap();
    let root = authority.issuers().into_iter().find(|issuer| issuer.kind == "root").unwrap();
    assert_eq!((root.key_location, root.signs), (None, false));
    assert_eq!(root.crl.unwrap().number, 1);
    assert_eq!(code(authority.publish_root(&Actor::local()).await), "key_file_missing");
    let pem = std::fs::read_to_string(folder.path().join("root/root.pem")).unwrap();
    assert_eq!(authority.root_pem(), pem);
    for kind in ["issuing", "server-issuing"] {
        let (ca, of) = (folder.path().join("root/root.pem"), folder.path().join(format!("{kind}.pem")));
        let at = NOW.0.to_string();
        let files = [ca, of].map(|path| path.display().to_string());
        let done = openssl(&["verify", "-x509_strict", "-attime", &at, "-CAfile", &files[0], &files[1]]);
        assert!(done.status.success(), "{}", said(&done));
    }
}

#[tokio::test]
async fn what_does_not_fit_together_is_not_taken_up() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::manual(NOW));
    let (store, keys, ceremony) = installation(folder.path(), &clock).await;
    let other = at(&folder.path().join("other"), &clock);
    other.init_root(root("Other Root CA")).await.unwrap();
    let csr = folder.path().join("issuing.csr");
    other.sign_issuing(&csr, issuing(ProfileKind::Issuing), &folder.path().join("foreign.pem")).await.unwrap();
    ceremony.sign_issuing(&csr, issuing(ProfileKind::ServerIssuing), &folder.path().join("wrong.pem")).await.unwrap();
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    let good = certified(folder.path());
    let (issuing_pem, server_pem) = (good.issuing.clone(), good.server_issuing.clone());
    for (certified, expected) in [
        (Certified { root: read("other/root.pem"), ..good.clone() }, "root_list_unusable"),
        (Certified { root_list: read("other/root.crl"), ..good.clone() }, "root_list_unusable"),
        (Certified { issuing: read("foreign.pem"), ..good.clone() }, "not_this_root"),
        (Certified { issuing: read("wrong.pem"), ..good.clone() }, "wrong_authority"),
        (Certified { issuing: server_pem, server_issuing: issuing_pem, ..good.clone() }, "key_mismatch"),
        (Certified { root: good.issuing.clone(), ..good.clone() }, "not_a_root"),
        (Certified { issuing: b"nothing".to_vec(), ..good.clone() }, "malformed_pem"),
    ] {
        let refused = Authority::adopt(&store, &keys, certified, &settings(), &Actor::local(), &clock).await;
        assert_eq!(code(refused), expected);
    }
    assert!(store::issuer::list(&store).await.unwrap().is_empty());
    let revoke = [folder.path().join("issuing.pem")];
    ceremony.sign_list(Revoke { certificates: &revoke, reason: RevocationReason::CaCompromise }).await.unwrap();
    let refused = Authority::adopt(&store, &keys, certified(folder.path()), &settings(), &Actor::local(), &clock).await;
    assert_eq!(code(refused), "wrong_authority", "it stands on the root's list");
}

#[tokio::test]
async fn the_roots_list_only_grows() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::manual(NOW));
    let (_, _, ceremony) = installation(folder.path(), &clock).await;
    let revoke = [folder.path().join("issuing.pem")];
    let revoked =
        ceremony.sign_list(Revoke { certificates: &revoke, reason: RevocationReason::Superseded }).await.unwrap();
    assert_eq!((revoked.number, revoked.revoked.len()), (2, 1));
    clock.advance(std::time::Duration::from_secs(300 * DAY as u64));
    let next = ceremony.sign_list(none()).await.unwrap();
    assert_eq!((next.number, next.revoked), (3, revoked.revoked));
    assert_eq!(next.next_update, NOW.0 + 665 * DAY);
    let path = folder.path().join("root/root.crl").display().to_string();
    let text = said(&openssl(&["crl", "-in", &path, "-noout", "-text"]));
    assert!(text.contains("Superseded"), "{text}");

    let other = at(&folder.path().join("other"), &clock);
    other.init_root(root("Other Root CA")).await.unwrap();
    let refused = other.sign_list(Revoke { certificates: &revoke, reason: RevocationReason::Superseded }).await;
    assert_eq!(code(refused), "not_issued_here");
    std::fs::copy(folder.path().join("root/root.crl"), folder.path().join("other/root.crl")).unwrap();
    assert_eq!(code(other.sign_list(none()).await), "foreign_list");
    std::fs::remove_file(folder.path().join("other/root.crl")).unwrap();
    assert_eq!(code(other.sign_list(none()).await), "file_missing", "a number must not be used twice");
}

#[tokio::test]
async fn every_step_is_written_down_and_nothing_can_be_taken_out() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::manual(NOW));
    let (_, _, ceremony) = installation(folder.path(), &clock).await;
    ceremony.sign_list(none()).await.unwrap();
    let root = folder.path().join("root");
    let report = Ceremony::check_transcript(&root).unwrap();
    assert_eq!((report.steps, report.faults.as_slice()), (4, [].as_slice()));
    assert!(report.files.iter().all(|file| file.now == "same"), "{report:?}");
    let names: Vec<_> = report.files.iter().map(|file| file.file.rsplit('/').next().unwrap()).collect();
    for name in [ROOT_CERTIFICATE, ROOT_LIST, "root.key", "issuing.pem", "server-issuing.pem"] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }

    let text = std::fs::read_to_string(root.join(TRANSCRIPT)).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["action"], "init-root");
    assert_eq!(lines[1]["witnesses"], serde_json::json!(["A. Auditor", "B. Builder"]));
    let csr = std::fs::read(folder.path().join("issuing.csr")).unwrap();
    let hash = pki::Thumbprint::of(&csr).to_string();
    assert!(lines[1]["inputs"].as_array().unwrap().iter().any(|input| input["sha256"] == hash.as_str()));
    assert!(!text.contains("a passphrase of the root"));

    let damaged = |change: &dyn Fn(&str) -> String| {
        std::fs::write(root.join(TRANSCRIPT), change(&text)).unwrap();
        Ceremony::check_transcript(&root).unwrap().faults
    };
    assert!(!damaged(&|text| text.replace("B. Builder", "C. Crook")).is_empty());
    let without = |text: &str| {
        let lines: Vec<_> = text.lines().collect();
        [lines[0], lines[2], lines[3]].join("\n")
    };
    assert!(!damaged(&without).is_empty());
    assert!(damaged(&|text| text.to_owned()).is_empty());
    let list = std::fs::read(root.join(ROOT_LIST)).unwrap();
    std::fs::write(root.join(ROOT_LIST), [list, b"\n".to_vec()].concat()).unwrap();
    assert_eq!(Ceremony::check_transcript(&root).unwrap().faults, ["root.crl is not what the ceremony made"]);
}

#[tokio::test]
async fn nothing_is_overwritten_and_a_wrong_passphrase_signs_nothing() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::manual(NOW));
    let (_, _, ceremony) = installation(folder.path(), &clock).await;
    assert_eq!(code(ceremony.init_root(root("Again")).await), "file_exists");
    let (csr, out) = (folder.path().join("issuing.csr"), folder.path().join("issuing.pem"));
    assert_eq!(code(ceremony.sign_issuing(&csr, issuing(ProfileKind::Issuing), &out).await), "file_exists");
    let before = Ceremony::check_transcript(&folder.path().join("root")).unwrap().last_sha256;
    let passphrase = Passphrase::new("another passphrase".into()).unwrap();
    let wrong = Ceremony::new(folder.path().join("root"), passphrase, clock, Vec::new());
    assert_eq!(code(wrong.sign_list(none()).await), "wrong_passphrase");
    assert_eq!(Ceremony::check_transcript(&folder.path().join("root")).unwrap().last_sha256, before);
    let request = NewIssuing { days: Some(100_000), ..issuing(ProfileKind::Issuing) };
    assert_eq!(code(ceremony.sign_issuing(&csr, request, &folder.path().join("x.pem")).await), "lifetime_too_long");
}
