import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { writePrivateFile } from "../core/write-private-file.ts";

const tokenPattern = /^[\x21-\x7e]{16,512}$/;

/** Where the token of a data directory is. */
export function tokenPath(dataDir: string): string {
  return join(dataDir, "admin-token");
}

/**
 * The admin token of a data directory: made at the first start (32 random bytes, mode 0600), the same ever after. Throws
 * where the file exists and holds no token.
 */
export async function ensureToken(dataDir: string): Promise<string> {
  const path = tokenPath(dataDir);
  const present = await read(path);
  if (present !== undefined) return present;
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const token = randomBytes(32).toString("base64url");
  await writePrivateFile(path, `${token}\n`);
  return token;
}

async function read(path: string): Promise<string | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
  const token = text.trim();
  if (!tokenPattern.test(token)) throw new Error(`${path} holds no token; delete it and a new one is made.`);
  return token;
}

/** Compares in constant time, also where the lengths differ. */
export function tokenMatches(token: string, authorization: string | undefined): boolean {
  const given = /^Bearer +([^ ]+) *$/i.exec(authorization ?? "")?.[1] ?? "";
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(token), digest(given)) && given !== "";
}
