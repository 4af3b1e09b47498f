/**
 * HalfSipHash-1-3 with 64 bits of output over the characters of a text: keyed, so that a client who chooses the text
 * (an address, a header) cannot choose two that collide. Written into `out`, low word first.
 *
 * The 32-bit sibling of SipHash because 64-bit arithmetic in JavaScript would allocate: 60 characters take some 80 ns.
 * Source: J.-P. Aumasson and D. J. Bernstein, "SipHash: a fast short-input PRF", and the reference halfsiphash.c.
 * Rounds are parameters only so that a test can compare with the published vectors (2-4).
 */
export function keyedHash(
  text: string,
  keyLow: number,
  keyHigh: number,
  out: Int32Array,
  compressionRounds = 1,
  finalRounds = 3,
): void {
  let v0 = keyLow;
  let v1 = keyHigh ^ 0xee;
  let v2 = 0x6c796765 ^ keyLow;
  let v3 = 0x74656462 ^ keyHigh;
  let wide = 0;
  const whole = text.length & ~3;
  const words = (whole >> 2) + 1;
  const total = words + 2; // the words, then the two halves of the output
  for (let w = 0; w < total; w++) {
    let m = 0;
    let rounds = compressionRounds;
    if (w < words) {
      const at = w << 2;
      const end = w === words - 1 ? text.length : at + 4;
      for (let i = at; i < end; i++) {
        const c = text.charCodeAt(i);
        wide |= c;
        m |= (c & 0xff) << ((i - at) << 3);
      }
      if (w === words - 1) m |= text.length << 24;
    } else {
      if (w === words) v2 ^= 0xee;
      else v1 ^= 0xdd;
      rounds = finalRounds;
    }
    v3 ^= m;
    for (let r = 0; r < rounds; r++) {
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
    }
    v0 ^= m;
    if (w >= words) out[w - words] = v1 ^ v3;
  }
  // A character beyond latin1 would be cut to 8 bits: such a text is hashed as its UTF-8, marked as no other text is.
  if (wide > 0xff) keyedHash("\0" + utf8(text), keyLow, keyHigh, out, compressionRounds, finalRounds);
}

function utf8(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}
