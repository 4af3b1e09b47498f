import { mkdir, readFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import type { Random } from "../core/clock.ts";
import { writePrivateFile } from "../core/write-private-file.ts";

const pattern = /^[A-Za-z0-9][A-Za-z0-9.-]{0,99}$/;
const hostCharactersMax = 64;

/** Where the id of a data directory's gateway is. */
export function nodeIdPath(dataDir: string): string {
  return join(dataDir, "node-id");
}

/**
 * The id of the gateway with this data directory: made at the first start, the same ever after. Throws where the file
 * exists and holds none.
 */
export async function nodeId(dataDir: string, random: Random): Promise<string> {
  const path = nodeIdPath(dataDir);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
    const id = newNodeId(random);
    await keepNodeId(dataDir, id);
    return id;
  }
  const id = text.trim();
  if (!pattern.test(id)) throw new Error(`${path} holds no node id; delete it and a new one is made.`);
  return id;
}

/** The machine's name and 32 random bits: people recognize it, and two data directories of one machine differ. */
export function newNodeId(random: Random, host: string = hostname()): string {
  const name = host
    .replace(/[^A-Za-z0-9.-]+/g, "-")
    .replace(/^[.-]+/, "")
    .slice(0, hostCharactersMax);
  const bits = Math.floor(random() * 2 ** 32);
  return `${name === "" ? "gateway" : name}-${bits.toString(16).padStart(8, "0")}`;
}

/** Makes it the id of this data directory from now on. */
export async function keepNodeId(dataDir: string, id: string): Promise<void> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  await writePrivateFile(nodeIdPath(dataDir), `${id}\n`);
}
