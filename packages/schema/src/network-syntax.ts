/** Whether a text is an IPv4 or IPv6 address, or a network in CIDR notation ("10.0.0.0/8", "2001:db8::/32", "::1"). */
export function isNetwork(text: string): boolean {
  const slash = text.indexOf("/");
  const address = slash < 0 ? text : text.slice(0, slash);
  const bits = isIpv4(address) ? 32 : isIpv6(address) ? 128 : undefined;
  if (bits === undefined) return false;
  if (slash < 0) return true;
  const prefix = text.slice(slash + 1);
  return /^(?:0|[1-9]\d{0,2})$/.test(prefix) && Number(prefix) <= bits;
}

/** Dotted decimal, four parts, no leading zeros (some readers take those as octal). */
export function isIpv4(text: string): boolean {
  const parts = text.split(".");
  return parts.length === 4 && parts.every((part) => /^(?:0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255);
}

/** RFC 4291 §2.2, without zone; the last 32 bits may be dotted decimal. */
export function isIpv6(text: string): boolean {
  if (!/^[0-9A-Fa-f:.]{2,45}$/.test(text)) return false;
  const halves = text.split("::");
  if (halves.length > 2) return false;
  const groups = halves.map((half) => (half === "" ? [] : half.split(":")));
  const all = groups.flat();
  const last = all.at(-1) ?? "";
  const dotted = last.includes(".");
  // "1.2.3.4::" would end in no group at all; the dotted part may only be the very end.
  if (dotted && (!isIpv4(last) || text.endsWith(":"))) return false;
  const plain = dotted ? all.slice(0, -1) : all;
  if (!plain.every((group) => /^[0-9A-Fa-f]{1,4}$/.test(group))) return false;
  const count = plain.length + (dotted ? 2 : 0);
  return halves.length === 2 ? count <= 7 : count === 8;
}
