import { TimedWord } from "./timed-word.ts";

/** A time that its bits decide, and that moves both halves of the word. */
export function timeOf(bits: number): number {
  return (bits * 7_919) % 2 ** 27;
}

/** Counts the bits up, in steps of one; answers how often it succeeded and how often bits and time were seen apart. */
export function countUp({ memory, rounds }: { readonly memory: SharedArrayBuffer; readonly rounds: number }): {
  counted: number;
  apart: number;
} {
  const word = new TimedWord(memory, 0);
  let counted = 0;
  let apart = 0;
  for (let i = 0; i < rounds; i++) {
    const bits = word.load();
    if (word.remainingMs(0) !== timeOf(bits)) apart++;
    if (word.exchange(bits + 1, timeOf(bits + 1))) counted++;
  }
  return { counted, apart };
}
