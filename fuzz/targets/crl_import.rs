//! A partner's revocation list, DER or PEM, and a look-up in it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(lists) = pki::RevocationList::read_all(data) else { return };
    for list in lists {
        assert_eq!(list.is_empty(), list.len() == 0);
        let _ = list.next_update() > list.this_update();
        let _ = list.names(data);
        let _ = list.revocation(data);
    }
});
