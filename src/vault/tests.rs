//! What a vault keeps of secrets, and what becomes of it in another process.

use std::fs;

use super::*;

#[test]
fn a_directory_gives_the_same_vault_again_and_another_gives_another() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let made = Vault::open(&one.path().join("secrets")).unwrap();
    let again = Vault::open(&one.path().join("secrets")).unwrap();
    let other = Vault::open(other.path()).unwrap();
    assert_eq!(made.fingerprint(), again.fingerprint());
    assert_ne!(made.fingerprint(), other.fingerprint());
    assert_eq!(made.fingerprint().len(), 32);
    let digest = |vault: &Vault| vault.digest(Purpose::SubscriberKey, b"key");
    assert_eq!(digest(&made), digest(&again));
    assert_ne!(digest(&made), digest(&other));
    let fresh = made.mint(Purpose::SubscriberKey, Cost::RANDOM, true).unwrap();
    let sealed = fresh.sealed.unwrap();
    assert_eq!(again.unseal(fresh.id, &sealed).unwrap(), fresh.plain);
    assert!(other.unseal(fresh.id, &sealed).is_err());
}

#[test]
fn a_digest_is_for_one_purpose_alone() {
    let vault = Vault::ephemeral().unwrap();
    let digests = Purpose::ALL.map(|purpose| vault.digest(purpose, b"secret"));
    for (index, digest) in digests.iter().enumerate() {
        assert!(digests.iter().skip(index + 1).all(|other| other != digest));
    }
    assert_ne!(vault.chain(&digests[0], b"entry"), vault.chain(&digests[1], b"entry"));
    assert_ne!(vault.chain(&digests[0], b"entry"), vault.chain(&digests[0], b"entry2"));
}

#[test]
fn what_is_kept_of_a_key_finds_and_confirms_it_and_shows_nothing_of_it() {
    let vault = Vault::ephemeral().unwrap();
    for purpose in [Purpose::SubscriberKey, Purpose::VendorKey] {
        let fresh = vault.mint(purpose, Cost::RANDOM, false).unwrap();
        let plain = fresh.plain.reveal();
        assert!(fresh.sealed.is_none());
        assert_eq!(vault.digest(purpose, plain.as_bytes()), fresh.digest);
        assert!(verify(&fresh.hash, plain.as_bytes()));
        let secret = plain.split('_').nth(3).unwrap();
        assert!(!format!("{fresh:?}").contains(secret));
    }
}

#[test]
fn an_adopted_key_stays_what_it_was_under_a_new_id() {
    let vault = Vault::ephemeral().unwrap();
    let plain = PlainKey::new("issued-elsewhere-0123456789".to_owned());
    let adopt = || vault.adopt(Purpose::SubscriberKey, plain.clone(), Cost::RANDOM, true).unwrap();
    let (one, other) = (adopt(), adopt());
    assert_eq!((&one.plain, one.digest), (&plain, other.digest));
    assert_ne!(one.id, other.id);
    assert_eq!(&*one.preview, "…6789");
    assert_eq!(vault.unseal(one.id, one.sealed.as_ref().unwrap()).unwrap(), plain);
    // A copy put into another key's place does not open there.
    assert!(vault.unseal(other.id, one.sealed.as_ref().unwrap()).is_err());
}

#[test]
fn tokens_are_found_by_the_digest_of_their_purpose() {
    let vault = Vault::ephemeral().unwrap();
    let (_, plain, digest) = vault.mint_token(Purpose::AdminToken).unwrap();
    assert!(plain.reveal().starts_with("pst_adm_"));
    assert_eq!(vault.digest(Purpose::AdminToken, plain.reveal().as_bytes()), digest);
    assert_ne!(vault.digest(Purpose::Session, plain.reveal().as_bytes()), digest);
}

#[test]
fn a_sealing_key_that_went_away_is_a_loss_and_not_a_first_start() {
    let dir = tempfile::tempdir().unwrap();
    Vault::open(dir.path()).unwrap();
    let path = dir.path().join(SEALING_KEY);
    fs::remove_file(&path).unwrap();
    let told = Vault::open(dir.path()).unwrap_err().to_string();
    assert!(told.contains("is gone") && told.contains(&path.display().to_string()), "{told}");
    assert!(!path.exists());
}

#[test]
fn a_pepper_that_went_away_is_a_loss_with_its_remedies() {
    let dir = tempfile::tempdir().unwrap();
    let before = Vault::open(dir.path()).unwrap().fingerprint();
    let (path, sealing) = (dir.path().join(PEPPER), dir.path().join(SEALING_KEY));
    let kept = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    for _ in 0..2 {
        let told = Vault::open(dir.path()).unwrap_err().to_string();
        assert!(told.contains(&format!("{} is gone", path.display())), "{told}");
        assert!(told.contains("backup") && told.contains("issued again"), "{told}");
        assert!(told.contains(&format!("remove {}", sealing.display())), "{told}");
        assert!(!path.exists());
    }
    // Each remedy is one: the file again, or neither of the two.
    fs::rename(&sealing, dir.path().join("aside")).unwrap();
    assert_ne!(Vault::open(dir.path()).unwrap().fingerprint(), before);
    fs::rename(dir.path().join("aside"), &sealing).unwrap();
    fs::write(&path, kept).unwrap();
    assert_eq!(Vault::open(dir.path()).unwrap().fingerprint(), before);
}

#[test]
fn a_first_start_that_was_cut_short_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    {
        let _alone = secret_file::alone(dir.path()).unwrap();
        secret_file::begin_first_start(dir.path()).unwrap();
        secret_file::make(dir.path(), SEALING_KEY).unwrap();
    }
    let sealing = fs::read(dir.path().join(SEALING_KEY)).unwrap();
    let print = Vault::open(dir.path()).unwrap().fingerprint();
    assert_eq!(fs::read(dir.path().join(SEALING_KEY)).unwrap(), sealing);
    assert_eq!(Vault::open(dir.path()).unwrap().fingerprint(), print);
    // It has ended: what is missing now was lost. Also where the crash came after the second file.
    secret_file::begin_first_start(dir.path()).unwrap();
    assert_eq!(Vault::open(dir.path()).unwrap().fingerprint(), print);
    fs::remove_file(dir.path().join(PEPPER)).unwrap();
    assert!(Vault::open(dir.path()).unwrap_err().to_string().contains("is gone"));
}

#[test]
fn a_first_start_waits_for_another_ones_second_file() {
    let dir = tempfile::tempdir().unwrap();
    let alone = secret_file::alone(dir.path()).unwrap();
    secret_file::make(dir.path(), SEALING_KEY).unwrap();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| Vault::open(dir.path()).map(|vault| vault.fingerprint()));
        std::thread::sleep(std::time::Duration::from_millis(100));
        assert!(!other.is_finished(), "it takes half of a first start for a loss");
        secret_file::make(dir.path(), PEPPER).unwrap();
        drop(alone);
        let print = other.join().unwrap().unwrap();
        assert_eq!(print, Vault::open(dir.path()).unwrap().fingerprint());
    });
}

#[test]
fn processes_that_start_together_share_one_vault() {
    let dir = tempfile::tempdir().unwrap();
    let start = std::sync::Barrier::new(8);
    let prints: Vec<String> = std::thread::scope(|scope| {
        let open = || {
            start.wait();
            Vault::open(dir.path()).unwrap().fingerprint()
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(prints.windows(2).all(|pair| pair[0] == pair[1]));
}
