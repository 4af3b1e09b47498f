import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";

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
  const unfinished = `${path}.${process.pid}`;
  // Created with its mode from the start: a file that is made readable and then closed off was readable.
  const file = await open(unfinished, "wx", 0o600);
  try {
    await file.writeFile(`${token}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(unfinished, path).catch(async (error: unknown) => {
    await rm(unfinished, { force: true });
    throw error;
  });
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
