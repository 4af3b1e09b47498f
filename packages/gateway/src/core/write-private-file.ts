import { open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

/**
 * Replaces a file as a whole, readable by its owner only (mode 0600): a full disk or an interrupt leaves what was there.
 * Rejects with what the file system says.
 */
export async function writePrivateFile(path: string, text: string): Promise<void> {
  const unfinished = join(dirname(path), `.${basename(path)}.${process.pid}.tmp`);
  // What another run with this process id left may have another mode.
  await rm(unfinished, { force: true });
  try {
    // Created with its mode from the start: a file that is made readable and then closed off was readable.
    const file = await open(unfinished, "wx", 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(unfinished, path);
  } catch (error) {
    await rm(unfinished, { force: true });
    throw error;
  }
}
