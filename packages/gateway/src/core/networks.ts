/**
 * Sets of IP networks. An IPv4 address mapped into IPv6 (`::ffff:10.0.0.1`) is that IPv4 address, in a network as in a
 * tested address; a zone (`fe80::1%eth0`) does not matter. An IPv6 network shorter than /96 takes no IPv4 address:
 * `::/0` means every IPv6 client, not every client.
 */

const v4Words = 1;
const v6Words = 4;

/** An address as 32-bit words, most significant first: one word for IPv4, four for IPv6. */
export type AddressWords = readonly number[];

/**
 * Parses a list of CIDR networks or bare addresses once. The returned test costs one look-up for each distinct prefix
 * length, whatever the length of the list, and is false for text that is no address.
 * Throws a TypeError on an entry that is no network; bits below the prefix are ignored.
 */
export function compileNetworks(networks: readonly string[]): (ip: string) => boolean {
  const v4 = new Map<number, Set<string>>();
  const v6 = new Map<number, Set<string>>();
  for (const network of networks) {
    const parsed = parseNetwork(network);
    if (parsed === undefined) throw new TypeError(`"${network}" is not an IP network`);
    const byLength = parsed.words.length === v4Words ? v4 : v6;
    const known = byLength.get(parsed.prefixLength);
    const key = maskedKey(parsed.words, parsed.prefixLength);
    if (known === undefined) byLength.set(parsed.prefixLength, new Set([key]));
    else known.add(key);
  }
  // Requests of one connection come one after another: the last answer is often the next one.
  let lastIp = "";
  let lastAnswer = false;
  return (ip) => {
    if (ip === lastIp) return lastAnswer;
    lastIp = ip;
    lastAnswer = takes(ip, v4, v6);
    return lastAnswer;
  };
}

function takes(ip: string, v4: ReadonlyMap<number, Set<string>>, v6: ReadonlyMap<number, Set<string>>): boolean {
  const words = parseAddress(ip);
  if (words === undefined) return false;
  for (const [length, known] of words.length === v4Words ? v4 : v6) {
    if (known.has(maskedKey(words, length))) return true;
  }
  return false;
}

/** Reads `address` or `address/length`; undefined where it is neither. A mapped network of /96 or longer is IPv4. */
export function parseNetwork(text: string): { words: AddressWords; prefixLength: number } | undefined {
  const slash = text.indexOf("/");
  const address = slash < 0 ? text : text.slice(0, slash);
  const words = parseWords(address);
  if (words === undefined) return undefined;
  const bits = words.length * 32;
  const lengthText = slash < 0 ? String(bits) : text.slice(slash + 1);
  if (!/^(?:0|[1-9][0-9]{0,2})$/.test(lengthText)) return undefined;
  const prefixLength = Number(lengthText);
  if (prefixLength > bits) return undefined;
  if (isMapped(words) && prefixLength >= 96) return { words: words.slice(3), prefixLength: prefixLength - 96 };
  return { words, prefixLength };
}

/** Reads an IPv4 or IPv6 address; a mapped one gives its IPv4 word. Undefined where it is no address. */
export function parseAddress(text: string): AddressWords | undefined {
  const words = parseWords(text);
  return words !== undefined && isMapped(words) ? words.slice(3) : words;
}

function isMapped(words: AddressWords): boolean {
  return words.length === v6Words && words[0] === 0 && words[1] === 0 && words[2] === 0xffff;
}

function parseWords(text: string): number[] | undefined {
  if (!text.includes(":")) {
    const word = parseIpv4(text);
    return word < 0 ? undefined : [word];
  }
  const zone = text.indexOf("%");
  return parseIpv6(zone < 0 ? text : text.slice(0, zone));
}

/** Four decimal parts without leading zeros (`010` is eight to some readers and ten to others); -1 otherwise. */
function parseIpv4(text: string): number {
  let word = 0;
  let part = -1;
  let parts = 1;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === 46) {
      if (part < 0 || parts === 4) return -1;
      word = word * 256 + part;
      part = -1;
      parts++;
    } else {
      if (c < 48 || c > 57 || part === 0) return -1;
      part = (part < 0 ? 0 : part * 10) + (c - 48);
      if (part > 255) return -1;
    }
  }
  return parts === 4 && part >= 0 ? word * 256 + part : -1;
}

/** RFC 4291 §2.2: groups of hex digits, `::` once, dotted IPv4 as the last two groups. */
function parseIpv6(text: string): number[] | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const compressed = halves.length === 2;
  const head = parseGroups(halves[0] ?? "", !compressed);
  const tail = compressed ? parseGroups(halves[1] ?? "", true) : [];
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (compressed ? missing < 1 : missing !== 0) return undefined;
  const groups = [...head, ...Array<number>(compressed ? missing : 0).fill(0), ...tail];
  const words: number[] = [];
  for (let i = 0; i < 8; i += 2) words.push((groups[i] ?? 0) * 65536 + (groups[i + 1] ?? 0));
  return words;
}

function parseGroups(text: string, atEnd: boolean): number[] | undefined {
  if (text === "") return [];
  const groups: number[] = [];
  const parts = text.split(":");
  for (const [index, part] of parts.entries()) {
    if (/^[0-9a-fA-F]{1,4}$/.test(part)) {
      groups.push(parseInt(part, 16));
      continue;
    }
    const word = atEnd && index === parts.length - 1 ? parseIpv4(part) : -1;
    if (word < 0) return undefined;
    groups.push(Math.floor(word / 65536), word % 65536);
  }
  return groups;
}

function maskedKey(words: AddressWords, prefixLength: number): string {
  let key = "";
  let bits = prefixLength;
  for (const word of words) {
    // A shift by 32 shifts by 0 in JavaScript: the two ends are cases of their own.
    const masked = bits >= 32 ? word : bits <= 0 ? 0 : (word & (-1 << (32 - bits))) >>> 0;
    key += `${masked.toString(36)}.`;
    bits -= 32;
  }
  return key;
}
