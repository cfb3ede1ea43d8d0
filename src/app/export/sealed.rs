//! A stream of octets under a passphrase: PBKDF2-HMAC-SHA256, then AES-256-GCM in chunks (the STREAM construction of Hoang,
//! Reyhanitabar, Rogaway and Vizár, 2015). A chunk that is changed, moved, left out or cut off at the end does not open.

use std::io::{Read, Write};
use std::num::NonZeroU32;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::{pbkdf2, rand};
use zeroize::Zeroizing;

use crate::authority::Passphrase;
use crate::failure::{Failure, Fault, Refusal};

const MAGIC: &[u8; 24] = b"portcullis-export-1\0\0\0\0\n";
const SALT: usize = 16;
const PREFIX: usize = 7;
const HEADER: usize = MAGIC.len() + 4 + SALT + PREFIX;
const CHUNK: usize = 64 * 1024;
const TAG: usize = 16;
/// As the key files (OWASP's figure for PBKDF2-HMAC-SHA256).
const ROUNDS: u32 = 600_000;
/// A file that asks for more is meant to hang us.
const ROUNDS_MAX: u32 = 10_000_000;

struct Cipher {
    key: LessSafeKey,
    prefix: [u8; PREFIX],
    /// Bound to every chunk: nobody mixes two exports.
    header: [u8; HEADER],
    next: u32,
}

impl Cipher {
    fn new(header: [u8; HEADER], passphrase: &Passphrase) -> Result<Self, Failure> {
        let broken = || Failure::from(Refusal::invalid("export_damaged", "This is not an export of Portcullis."));
        let rest = header.strip_prefix(MAGIC.as_slice()).ok_or_else(broken)?;
        let (rounds, rest) = rest.split_first_chunk::<4>().ok_or_else(broken)?;
        let (salt, prefix) = rest.split_first_chunk::<SALT>().ok_or_else(broken)?;
        let prefix = prefix.try_into().map_err(|_| broken())?;
        let rounds = NonZeroU32::new(u32::from_be_bytes(*rounds)).filter(|rounds| rounds.get() <= ROUNDS_MAX);
        let mut key = Zeroizing::new([0; 32]);
        let rounds = rounds.ok_or_else(broken)?;
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, passphrase.expose(), key.as_mut_slice());
        let key =
            UnboundKey::new(&AES_256_GCM, key.as_slice()).map_err(|_| Fault::new("making a key for an export"))?;
        Ok(Self { key: LessSafeKey::new(key), prefix, header, next: 0 })
    }

    fn nonce(&mut self, last: bool) -> Result<Nonce, Fault> {
        let number = self.next;
        self.next = number.checked_add(1).ok_or_else(|| Fault::new("an export of more than 256 TiB"))?;
        let mut nonce = [0; 12];
        nonce[..PREFIX].copy_from_slice(&self.prefix);
        nonce[PREFIX..11].copy_from_slice(&number.to_be_bytes());
        nonce[11] = u8::from(last);
        Ok(Nonce::assume_unique_for_key(nonce))
    }
}

/// Seals what is written to it. Without [`Sealer::finish`] the file does not open.
pub(super) struct Sealer<W> {
    into: W,
    cipher: Cipher,
    chunk: Zeroizing<Vec<u8>>,
}

impl<W: Write> Sealer<W> {
    pub(super) fn new(mut into: W, passphrase: &Passphrase) -> Result<Self, Failure> {
        let mut header = [0; HEADER];
        let (start, random) = header.split_at_mut(MAGIC.len() + 4);
        start[..MAGIC.len()].copy_from_slice(MAGIC);
        start[MAGIC.len()..].copy_from_slice(&ROUNDS.to_be_bytes());
        rand::fill(random).map_err(|_| Fault::new("no randomness for an export"))?;
        into.write_all(&header)?;
        let cipher = Cipher::new(header, passphrase)?;
        Ok(Self { into, cipher, chunk: Zeroizing::new(Vec::with_capacity(CHUNK + TAG)) })
    }

    pub(super) fn finish(mut self) -> Result<W, Fault> {
        self.seal(true)?;
        Ok(self.into)
    }

    fn seal(&mut self, last: bool) -> Result<(), Fault> {
        let (nonce, aad) = (self.cipher.nonce(last)?, Aad::from(self.cipher.header));
        let sealed = self.cipher.key.seal_in_place_append_tag(nonce, aad, &mut *self.chunk);
        sealed.map_err(|_| Fault::new("encrypting an export"))?;
        self.into.write_all(&self.chunk)?;
        self.chunk.clear();
        Ok(())
    }
}

impl<W: Write> Write for Sealer<W> {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        // A full chunk waits for the next octet: only then is it known not to be the last.
        if self.chunk.len() == CHUNK {
            self.seal(false).map_err(|fault| std::io::Error::other(fault.inside().to_owned()))?;
        }
        let taken = octets.len().min(CHUNK - self.chunk.len());
        self.chunk.extend_from_slice(&octets[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Opens what a [`Sealer`] wrote. What it gives is authentic chunk by chunk; that it is whole is known at its end only, which is an
/// error when the last chunk is missing.
pub(super) struct Opener<R> {
    from: R,
    cipher: Cipher,
    chunk: Zeroizing<Vec<u8>>,
    given: usize,
    /// The first octets of the next chunk: whether there are any tells whether this one is the last.
    ahead: Vec<u8>,
    ended: bool,
}

impl<R: Read> Opener<R> {
    /// # Errors
    /// `export_damaged` when it is no export; `wrong_passphrase`, which damage in the first chunk cannot be told from.
    pub(super) fn new(mut from: R, passphrase: &Passphrase) -> Result<Self, Failure> {
        let damaged = |_| Refusal::invalid("export_damaged", "This is not an export of Portcullis.");
        let mut header = [0; HEADER];
        from.read_exact(&mut header).map_err(damaged)?;
        let cipher = Cipher::new(header, passphrase)?;
        let mut opener =
            Self { from, cipher, chunk: Zeroizing::new(Vec::new()), given: 0, ahead: Vec::new(), ended: false };
        opener.ahead = opener.read_chunk()?;
        opener.open().map_err(|_| {
            Refusal::invalid(
                "wrong_passphrase",
                "The export cannot be opened: the passphrase is wrong, or it is damaged.",
            )
        })?;
        Ok(opener)
    }

    fn read_chunk(&mut self) -> std::io::Result<Vec<u8>> {
        let mut chunk = Vec::with_capacity(CHUNK + TAG);
        (&mut self.from).take((CHUNK + TAG) as u64).read_to_end(&mut chunk)?;
        Ok(chunk)
    }

    fn open(&mut self) -> std::io::Result<()> {
        let damaged = |why: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, why.to_owned());
        let mut sealed = Zeroizing::new(std::mem::take(&mut self.ahead));
        self.ahead = self.read_chunk()?;
        let last = self.ahead.is_empty();
        let nonce = self.cipher.nonce(last).map_err(|fault| damaged(fault.inside()))?;
        let opened = self.cipher.key.open_in_place(nonce, Aad::from(self.cipher.header), &mut sealed);
        let length = opened.map_err(|_| damaged("the export is damaged or cut short"))?.len();
        sealed.truncate(length);
        (self.chunk, self.given, self.ended) = (sealed, 0, last);
        Ok(())
    }
}

impl<R: Read> Read for Opener<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        while self.given == self.chunk.len() {
            if self.ended {
                return Ok(0);
            }
            self.open()?;
        }
        let taken = into.len().min(self.chunk.len() - self.given);
        into[..taken].copy_from_slice(&self.chunk[self.given..self.given + taken]);
        self.given += taken;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(text.into()).unwrap()
    }

    fn sealed(plain: &[u8]) -> Vec<u8> {
        let mut sealer = Sealer::new(Vec::new(), &passphrase("correct horse")).unwrap();
        sealer.write_all(plain).unwrap();
        sealer.finish().unwrap()
    }

    fn opened(sealed: &[u8], text: &str) -> Option<Vec<u8>> {
        let mut plain = Vec::new();
        Opener::new(sealed, &passphrase(text)).ok()?.read_to_end(&mut plain).ok().map(|_| plain)
    }

    #[test]
    fn only_the_whole_opens_and_only_with_its_passphrase() {
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK] {
            let plain: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
            let file = sealed(&plain);
            assert_eq!(opened(&file, "correct horse").as_ref(), Some(&plain), "{length}");
            assert_eq!(opened(&file, "incorrect horse"), None);
            assert_eq!(opened(&file[..file.len() - 1], "correct horse"), None, "cut in a chunk");
        }
        let plain = vec![7; 3 * CHUNK];
        let file = sealed(&plain);
        let chunk = CHUNK + TAG;
        assert_eq!(opened(&file[..HEADER + 2 * chunk], "correct horse"), None, "cut between two chunks");
        let mut swapped = file.clone();
        let (first, second) = swapped[HEADER..].split_at_mut(chunk);
        first.swap_with_slice(&mut second[..chunk]);
        assert_eq!(opened(&swapped, "correct horse"), None, "two chunks in each other's place");
        for place in [0, 25, 30, HEADER, HEADER + chunk + 9] {
            let mut changed = file.clone();
            changed[place] ^= 1;
            assert_eq!(opened(&changed, "correct horse"), None, "an octet changed at {place}");
        }
        assert!(!file.windows(16).any(|window| window == [7; 16]), "nothing of it is readable");
    }
}
