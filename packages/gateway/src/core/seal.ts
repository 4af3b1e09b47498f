import { createCipheriv, createDecipheriv, createHmac, randomBytes } from "node:crypto";

/** What cannot be read: sealed with another key, or not what was sealed. */
export class SealError extends Error {}

/** The first byte of what was sealed, and of what was left as it is because there is no key. */
const plainFormat = 0;
const sealedFormat = 1;

const cipher = "aes-256-gcm";
const fingerprintBytes = 4;
const nonceBytes = 12;
const tagBytes = 16;

/** Bytes of a key. */
export const sealKeyBytes = 32;

/**
 * Keeps bytes that are stored from those who may read the store but not the key: AES-256-GCM, with a key of its own for
 * each context (HMAC-SHA256 of it), so that neither the number of messages nor a repeated nonce weakens it, and nothing
 * sealed in one context opens in another. Without a key nothing is hidden.
 */
export class Seal {
  readonly #key: Uint8Array | undefined;
  readonly #fingerprint: Buffer;

  /** `key`: 32 bytes; `undefined`: there is none. */
  constructor(key: Uint8Array | undefined) {
    this.#key = key;
    this.#fingerprint = key === undefined ? Buffer.alloc(0) : hmac(key, "fingerprint").subarray(0, fingerprintBytes);
  }

  /** Whether what it seals cannot be read without the key. */
  get hides(): boolean {
    return this.#key !== undefined;
  }

  /** `context`: what the bytes are, and of what; the same text opens them. */
  seal(plain: Uint8Array, context: string): Uint8Array {
    if (this.#key === undefined) return joined([Buffer.of(plainFormat), plain]);
    const nonce = randomBytes(nonceBytes);
    const sealing = createCipheriv(cipher, hmac(this.#key, context), nonce);
    const data = [sealing.update(plain), sealing.final()];
    return joined([Buffer.of(sealedFormat), this.#fingerprint, nonce, ...data, sealing.getAuthTag()]);
  }

  /** Throws a SealError. */
  open(sealed: Uint8Array, context: string): Buffer {
    const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength);
    if (bytes[0] === plainFormat) return bytes.subarray(1);
    const nonceAt = 1 + fingerprintBytes;
    const dataAt = nonceAt + nonceBytes;
    if (bytes[0] !== sealedFormat || bytes.length < dataAt + tagBytes) throw new SealError("it is damaged");
    if (this.#key === undefined || !bytes.subarray(1, nonceAt).equals(this.#fingerprint)) {
      throw new SealError("it was sealed with another key");
    }
    const opening = createDecipheriv(cipher, hmac(this.#key, context), bytes.subarray(nonceAt, dataAt));
    opening.setAuthTag(bytes.subarray(-tagBytes));
    try {
      return Buffer.concat([opening.update(bytes.subarray(dataAt, -tagBytes)), opening.final()]);
    } catch {
      throw new SealError("it is damaged");
    }
  }
}

/** In memory of its own: a part of node's common pool would be copied to other threads with all of the pool. */
function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function hmac(key: Uint8Array, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}
