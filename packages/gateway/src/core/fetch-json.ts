const answerBytesMax = 1024 * 1024;
const timeoutMs = 5_000;

/**
 * Fetches JSON over HTTP(S): a key set, say. Rejects on anything but 200 (redirects too: what a document names is what
 * is asked), after 5 s, over 1 MiB, and where the answer is no JSON.
 */
export async function fetchJson(url: string): Promise<unknown> {
  const response = await fetch(url, {
    headers: { accept: "application/json" },
    redirect: "manual",
    signal: AbortSignal.timeout(timeoutMs),
  });
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new Error(`${shown(url)} answered ${response.status}`);
  }
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  // A stream of fetch yields byte arrays; its types say `any`.
  for await (const piece of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    bytes += piece.byteLength;
    // Leaving the loop cancels the stream.
    if (bytes > answerBytesMax) throw new Error(`${shown(url)} answered more than ${answerBytesMax} bytes`);
    pieces.push(piece);
  }
  try {
    return JSON.parse(Buffer.concat(pieces).toString("utf8")) as unknown;
  } catch {
    throw new Error(`${shown(url)} did not answer with JSON`);
  }
}

/** Without credentials and query: the text goes to the log. */
function shown(url: string): string {
  const { origin, pathname } = new URL(url);
  return `${origin}${pathname}`;
}
