//! CRC-32C (Castagnoli; RFC 3720, appendix B.4): what PostgreSQL puts in manifests and in WAL records.
//!
//! WebAssembly has no instruction for it. Tables alone do 2.8 GB/s there, so most bytes are never looked up: long inputs are
//! folded. The polynomial divides x²⁰⁹ + x¹⁴⁴ + x⁵⁴ + x³⁹ + x¹⁴ + 1, and so, because squaring in GF(2) only doubles exponents,
//! the same with all of them times 64. In words of 64 bits: a word may be taken away where it stands, and be xored to the
//! words 65, 155, 170, 195 and 209 places behind it, and the CRC stays what it was. That leaves the last 209 words to look up.

/// The polynomial, its bits reversed.
const POLYNOMIAL: u32 = 0x82F6_3B78;

/// `TABLES[n][byte]`: the CRC register after this byte and n zeros.
static TABLES: [[u32; 256]; 16] = tables();

/// Bytes of a word that is folded.
const WORD: usize = 8;
/// How many words behind it a word is xored to.
const DISTANCES: [usize; 5] = [65, 155, 170, 195, 209];
/// Bytes that are folded at a time: fewer than lie between a word and the first that it goes to.
const STRIP: usize = 64 * WORD;
/// Bytes that a word reaches, and that are left to look up.
const REACH: usize = 209 * WORD;
/// Bytes at hand while folding: what still goes to others, and strips. All of it stays in the first cache of a core.
const BUFFER: usize = REACH + 16 * STRIP;

/// A CRC-32C on its way.
#[derive(Clone)]
pub(crate) struct Crc32c(u32);

impl Crc32c {
    /// Of nothing yet.
    pub(crate) fn new() -> Self {
        Crc32c(!0)
    }

    /// The bytes that follow.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0 = if bytes.len() < STRIP + REACH { look_up(self.0, bytes) } else { fold(self.0, bytes) };
    }

    /// The CRC of all bytes so far.
    pub(crate) fn finish(&self) -> u32 {
        !self.0
    }
}

/// The register after these bytes, by tables alone.
fn look_up(mut crc: u32, bytes: &[u8]) -> u32 {
    let (blocks, rest) = bytes.as_chunks::<16>();
    for [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] in blocks {
        crc = after::<12>(crc ^ u32::from_le_bytes([*a, *b, *c, *d]))
            ^ after::<8>(u32::from_le_bytes([*e, *f, *g, *h]))
            ^ after::<4>(u32::from_le_bytes([*i, *j, *k, *l]))
            ^ after::<0>(u32::from_le_bytes([*m, *n, *o, *p]));
    }
    let (words, rest) = rest.as_chunks::<4>();
    for word in words {
        crc = after::<0>(crc ^ u32::from_le_bytes(*word));
    }
    for byte in rest {
        crc = (crc >> 8) ^ TABLES[0][usize::from(crc as u8 ^ byte)];
    }
    crc
}

/// The register after these four bytes and some zeros.
fn after<const ZEROS: usize>(word: u32) -> u32 {
    let [a, b, c, d] = word.to_le_bytes().map(usize::from);
    TABLES[ZEROS + 3][a] ^ TABLES[ZEROS + 2][b] ^ TABLES[ZEROS + 1][c] ^ TABLES[ZEROS][d]
}

/// The register after these bytes, of which there must be a strip and as much as a word reaches.
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
fn fold(crc: u32, bytes: &[u8]) -> u32 {
    let strips = (bytes.len() - REACH) / STRIP;
    let (bytes, rest) = bytes.split_at(strips * STRIP);
    let mut buffer = [0; BUFFER];
    // Where the next strip goes; before it lies what is xored to it.
    let mut at = REACH;
    for (n, strip) in bytes.chunks_exact(STRIP).enumerate() {
        if at == BUFFER {
            buffer.copy_within(BUFFER - REACH.., 0);
            at = REACH;
        }
        fold_strip(&mut buffer, at, strip);
        if n == 0 {
            // The register before the first byte stands for what came before.
            buffer[at..].iter_mut().zip(crc.to_le_bytes()).for_each(|(byte, crc)| *byte ^= crc);
        }
        at += STRIP;
    }
    let mut tail = [0; REACH];
    let (last, rest) = rest.split_at(REACH);
    tail.copy_from_slice(last);
    for distance in DISTANCES {
        xor(&mut tail, &buffer[at - distance * WORD..at]);
    }
    look_up(look_up(0, &tail), rest)
}

/// Takes a strip into the buffer, with all that is xored to it. Written so that it becomes vector instructions.
#[inline]
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
fn fold_strip(buffer: &mut [u8; BUFFER], at: usize, strip: &[u8]) {
    let (before, free) = buffer.split_at_mut(at);
    let [a, b, c, d, e] = DISTANCES.map(|distance| &before[at - distance * WORD..][..STRIP]);
    let (strip, out) = (&strip[..STRIP], &mut free[..STRIP]);
    for i in 0..STRIP {
        out[i] = strip[i] ^ a[i] ^ b[i] ^ c[i] ^ d[i] ^ e[i];
    }
}

/// Xors what both have to the first.
#[inline]
fn xor(to: &mut [u8], bytes: &[u8]) {
    to.iter_mut().zip(bytes).for_each(|(to, byte)| *to ^= byte);
}

const fn tables() -> [[u32; 256]; 16] {
    let mut tables = [[0; 256]; 16];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut zeros = 0;
        while zeros < 16 {
            crc = after_zero(crc);
            tables[zeros][byte] = crc;
            zeros += 1;
        }
        byte += 1;
    }
    tables
}

/// The register after a byte of zeros, bit by bit.
const fn after_zero(mut crc: u32) -> u32 {
    let mut bit = 0;
    while bit < 8 {
        crc = (crc >> 1) ^ (POLYNOMIAL & (crc & 1).wrapping_neg());
        bit += 1;
    }
    crc
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn crc(bytes: &[u8]) -> u32 {
        let mut crc = Crc32c::new();
        crc.update(bytes);
        crc.finish()
    }

    /// The definition.
    fn slowly(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0, |crc, byte| after_zero(crc ^ u32::from(*byte)))
    }

    fn noise(len: usize, seed: u32) -> Vec<u8> {
        let next = |n: &mut u32| {
            *n = n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            Some((*n >> 24) as u8)
        };
        (0..len).scan(seed, |n, _| next(n)).collect()
    }

    #[test]
    fn the_vectors_of_the_rfc() {
        let ascending: Vec<u8> = (0..32).collect();
        let descending: Vec<u8> = (0..32).rev().collect();
        assert_eq!(crc(&[0; 32]), 0x8A91_36AA);
        assert_eq!(crc(&[0xFF; 32]), 0x62A8_AB43);
        assert_eq!(crc(&ascending), 0x46DD_794E);
        assert_eq!(crc(&descending), 0x113F_DB5C);
        assert_eq!(crc(b"123456789"), 0xE306_9283);
        assert_eq!(crc(b""), 0);
    }

    #[test]
    fn the_polynomial_divides_what_is_folded_by() {
        let power = |n: usize| (0..n).fold(1 << 31, |x: u32, _| (x >> 1) ^ (POLYNOMIAL & (x & 1).wrapping_neg()));
        let reach = DISTANCES[4];
        let rest = DISTANCES.iter().fold(power(reach), |sum, distance| sum ^ power(reach - distance));
        assert_eq!((rest, REACH), (0, reach * WORD));
    }

    #[test]
    fn every_length_around_every_bound() {
        let bytes = noise(BUFFER * 3, 7);
        for bound in [0, 16, REACH, REACH + STRIP, REACH + 2 * STRIP, BUFFER, BUFFER + REACH, 2 * BUFFER] {
            for len in bound.saturating_sub(20)..bound + 20 {
                assert_eq!(crc(&bytes[..len]), slowly(&bytes[..len]), "{len} bytes");
            }
        }
    }

    proptest! {
        #[test]
        fn pieces_are_as_the_whole(cuts in prop::collection::vec(0..40_000_usize, 0..6), seed: u32) {
            let bytes = noise(40_000, seed);
            let mut cuts = [cuts, vec![0, bytes.len()]].concat();
            cuts.sort_unstable();
            let mut crc = Crc32c::new();
            cuts.windows(2).for_each(|cut| crc.update(&bytes[cut[0]..cut[1]]));
            prop_assert_eq!(crc.finish(), slowly(&bytes));
        }
    }
}
