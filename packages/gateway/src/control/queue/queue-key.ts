import { createHash, randomBytes } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { QueueSettings } from "@headgate/schema";
import { sealKeyBytes } from "../../core/seal.ts";
import { writePrivateFile } from "../../core/write-private-file.ts";

/**
 * What messages are sealed with: made of `gateway.queue.secret` where that is set. Else the data directory's own key, made at
 * the first start (mode 0600); or none where other gateways, with other directories, have to read them too. Rejects where the
 * file holds no key.
 */
export async function queueKeyOf(
  settings: QueueSettings | undefined,
  dataDir: string,
): Promise<Uint8Array | undefined> {
  const secret = settings?.secret;
  if (secret !== undefined) return createHash("sha256").update(`headgate queue ${secret}`).digest();
  return settings?.store === "redis" ? undefined : ownKey(dataDir);
}

async function ownKey(dataDir: string): Promise<Uint8Array> {
  const path = join(dataDir, "queue-key");
  const present = await readFile(path, "utf8").catch((error: unknown) => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  });
  if (present !== undefined) {
    const key = Buffer.from(present.trim(), "base64url");
    if (key.length === sealKeyBytes) return key;
    throw new Error(`${path} holds no key: put it back from a backup; without it no message in the queue can be read.`);
  }
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const key = randomBytes(sealKeyBytes);
  await writePrivateFile(path, `${key.toString("base64url")}\n`);
  return key;
}
