import type { Surroundings } from "./expand.ts";

/** What a text got from its surroundings: as long as it would get the same again, it reads the same. */
export type RecordedRead = { readonly name: string; readonly from: "env" | "file"; readonly outcome: Outcome };

type Outcome = { readonly value: string | undefined } | { readonly code: unknown };

/** Surroundings that write down what was taken from them. */
export function recordReads(surroundings: Surroundings): Surroundings & { readonly reads: readonly RecordedRead[] } {
  const reads: RecordedRead[] = [];
  return {
    reads,
    readEnv: (name) => {
      const value = surroundings.readEnv(name);
      reads.push({ name, from: "env", outcome: { value } });
      return value;
    },
    readSecret: (name) => {
      try {
        const value = surroundings.readSecret(name);
        reads.push({ name, from: "file", outcome: { value } });
        return value;
      } catch (error) {
        reads.push({ name, from: "file", outcome: { code: codeOf(error) } });
        throw error;
      }
    },
  };
}

/** Whether everything would be read as it was. Reads all of it again, so that who watches the files learns of them. */
export function readsTheSame(reads: readonly RecordedRead[], surroundings: Surroundings): boolean {
  let same = true;
  for (const { name, from, outcome } of reads) {
    const now = from === "env" ? { value: surroundings.readEnv(name) } : readAgain(name, surroundings);
    if ("code" in now ? !("code" in outcome) || outcome.code !== now.code : !("value" in outcome)) same = false;
    else if ("value" in now && "value" in outcome && now.value !== outcome.value) same = false;
  }
  return same;
}

function readAgain(name: string, { readSecret }: Surroundings): Outcome {
  try {
    return { value: readSecret(name) };
  } catch (error) {
    return { code: codeOf(error) };
  }
}

/** All that a problem tells of an error. */
function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? String(error.code) : undefined;
}
