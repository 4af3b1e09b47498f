import { createPublicKey, createSecretKey, type KeyObject } from "node:crypto";

export const symmetricAlgorithms = ["HS256", "HS384", "HS512"] as const;
const rsaAlgorithms = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] as const;
const edwardsAlgorithms = ["EdDSA", "Ed25519"] as const; // the second is RFC 9864's name of the first
export const asymmetricAlgorithms = [...rsaAlgorithms, "ES256", "ES384", "ES512", ...edwardsAlgorithms] as const;
export const algorithms = [...symmetricAlgorithms, ...asymmetricAlgorithms] as const;
/** Signature algorithms of RFC 7518 §3.1 and RFC 8037. `none` is not among them. */
export type Algorithm = (typeof algorithms)[number];

/** A key and what it may verify: a token's header chooses among these algorithms and never beyond them. */
export interface VerificationKey {
  readonly key: KeyObject;
  readonly kid: string | undefined;
  readonly algorithms: readonly Algorithm[];
}

// RFC 7518 §3.3: a smaller RSA key must not be used.
const rsaBitsMin = 2048;
const curves: ReadonlyMap<string | undefined, Algorithm> = new Map([
  ["prime256v1", "ES256"],
  ["secp384r1", "ES384"],
  ["secp521r1", "ES512"],
]);

export function secretKey(secret: string): VerificationKey {
  return { key: createSecretKey(secret, "utf8"), kid: undefined, algorithms: symmetricAlgorithms };
}

/** Reads a public key or certificate in PEM. Throws an Error whose message holds nothing of the text. */
export function publicKey(pem: string): VerificationKey {
  if (pem.includes("PRIVATE KEY")) throw new Error("this is a private key; only its public half belongs here");
  let key: KeyObject;
  try {
    key = createPublicKey(pem);
  } catch {
    throw new Error("expected a public key in PEM (-----BEGIN PUBLIC KEY-----)");
  }
  const fitting = algorithmsFor(key);
  if (fitting.length === 0) throw new Error(`a key of this type or size cannot be used; ${keysExpected}`);
  return { key, kid: undefined, algorithms: fitting };
}
const keysExpected = "expected RSA of at least 2048 bits, EC on P-256, P-384 or P-521, or Ed25519";

/**
 * The usable keys of a key set (RFC 7517 §5), at most `keysMax`. Symmetric keys, keys for encryption and what cannot be
 * read are left out: a key set is public, and one odd key must not cost the others.
 */
export function keysOfSet(set: unknown, keysMax: number): VerificationKey[] {
  if (typeof set !== "object" || set === null || !("keys" in set) || !Array.isArray(set.keys)) return [];
  const usable: VerificationKey[] = [];
  for (const jwk of set.keys as unknown[]) {
    const key = readJwk(jwk);
    if (key !== undefined) usable.push(key);
    if (usable.length === keysMax) break;
  }
  return usable;
}

function readJwk(value: unknown): VerificationKey | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const jwk: Readonly<Record<string, unknown>> = { ...value };
  const { kty, use, alg, kid, key_ops: operations } = jwk;
  if (kty !== "RSA" && kty !== "EC" && kty !== "OKP") return undefined;
  if (use !== undefined && use !== "sig") return undefined;
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes("verify"))) return undefined;
  try {
    // createPublicKey checks the members it needs and takes the public half of a private key.
    const key = createPublicKey({ key: jwk, format: "jwk" });
    const fitting = algorithmsFor(key).filter((one) => alg === undefined || one === alg);
    if (fitting.length === 0) return undefined;
    return { key, kid: typeof kid === "string" ? kid : undefined, algorithms: fitting };
  } catch {
    return undefined;
  }
}

function algorithmsFor(key: KeyObject): readonly Algorithm[] {
  const details = key.asymmetricKeyDetails;
  switch (key.asymmetricKeyType) {
    case "rsa":
      return (details?.modulusLength ?? 0) >= rsaBitsMin ? rsaAlgorithms : [];
    case "ec": {
      const algorithm = curves.get(details?.namedCurve);
      return algorithm === undefined ? [] : [algorithm];
    }
    case "ed25519":
      return edwardsAlgorithms;
    default:
      return [];
  }
}
