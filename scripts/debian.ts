import { execFile } from "node:child_process";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { promisify } from "node:util";

const run = promisify(execFile);

export interface DebianPackages {
  /** Packages that are there now: found, or installed by this call. */
  readonly installed: string[];
  /** Packages that are not there and could not be installed. */
  readonly missing: string[];
}

/**
 * Installs Debian packages that tests or benchmarks drive (curl, nginx, ...). Where it cannot (not root, no apt-get, no
 * network) it changes nothing and names what is missing; the caller says what does not run. Starts no service.
 */
export async function ensureDebianPackages(
  names: readonly string[],
  mayInstall = process.getuid?.() === 0 && existsSync("/usr/bin/apt-get"),
): Promise<DebianPackages> {
  const absent: string[] = [];
  for (const name of names) if (!(await isInstalled(name))) absent.push(name);
  if (absent.length > 0 && mayInstall) await install(absent);
  const result: DebianPackages = { installed: [], missing: [] };
  for (const name of names) ((await isInstalled(name)) ? result.installed : result.missing).push(name);
  return result;
}

async function isInstalled(name: string): Promise<boolean> {
  try {
    const { stdout } = await run("dpkg-query", ["-W", "-f=${Status}", name]);
    return stdout === "install ok installed";
  } catch {
    return false; // unknown to dpkg, or no dpkg
  }
}

// Installing nginx or Prometheus would start a server on a well-known port; 101 from this file forbids it.
const policyFile = "/usr/sbin/policy-rc.d";

async function install(names: readonly string[]): Promise<void> {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  // A machine without a network is told so in seconds rather than after apt's own minutes.
  const patience = ["-o", "Acquire::http::Timeout=20", "-o", "Acquire::Retries=1", "-o", "DPkg::Lock::Timeout=120"];
  const ownPolicy = !existsSync(policyFile);
  try {
    if (ownPolicy) writeFileSync(policyFile, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
    await run("apt-get", [...patience, "update", "-q"], { env, timeout: 180_000 });
    // One at a time: a package this release does not have must not keep the others away.
    for (const name of names) {
      const args = [...patience, "install", "-y", "-q", "--no-install-recommends", name];
      await run("apt-get", args, { env, timeout: 300_000, maxBuffer: 64 * 1024 * 1024 }).catch(report);
    }
  } catch (error) {
    report(error);
  } finally {
    if (ownPolicy) rmSync(policyFile, { force: true });
  }
}

function report(error: unknown): void {
  const text = error instanceof Error ? error.message : String(error);
  console.error(`debian: ${text.split("\n").slice(0, 2).join(": ")}`);
}
