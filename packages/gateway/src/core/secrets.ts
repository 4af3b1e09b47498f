/**
 * What must not reach a log: names of headers and query parameters whose values are credentials. Names are judged by
 * pattern, and those a configuration gave to a credential are announced per exchange.
 */

/** What a log shows in place of a secret. */
export const redacted = "[redacted]";

const secretName =
  /(?:token|apikey|secret|password|passwd|passphrase|signature|authorization|credentials?|cookie)$|(?:^|[-_.])(?:key|sig|pwd|auth|jwt|assertion|session)$/;

/** Whether a header or a query parameter of that name (decoded) carries a credential, by its name alone. */
export function isSecretName(name: string): boolean {
  return secretName.test(name.toLowerCase());
}

const attribute = "secret-names";

/**
 * Announces that this header or parameter carries a credential in this exchange; for steps whose settings name it. Free
 * where the name says so already.
 */
export function markSecret(exchange: { readonly attributes: Map<string, unknown> }, name: string): void {
  if (isSecretName(name)) return;
  const known = exchange.attributes.get(attribute);
  if (known instanceof Set) known.add(name.toLowerCase());
  else exchange.attributes.set(attribute, new Set([name.toLowerCase()]));
}

/** Tells secret names of one exchange from others: by pattern and by what was announced. */
export function secretTest(exchange: { readonly attributes: Map<string, unknown> }): (name: string) => boolean {
  const known = exchange.attributes.get(attribute);
  if (!(known instanceof Set)) return isSecretName;
  return (name) => isSecretName(name) || known.has(name.toLowerCase());
}

/** A query, with or without its `?`, with the values of secret parameters replaced; the rest stays as it was spelled. */
export function redactQuery(query: string, isSecret: (name: string) => boolean = isSecretName): string {
  if (!query.includes("=")) return query;
  const start = query.startsWith("?") ? 1 : 0;
  const parts = query.slice(start).split("&");
  for (const [i, part] of parts.entries()) {
    const equals = part.indexOf("=");
    if (equals > 0 && isSecret(decodeName(part.slice(0, equals)))) parts[i] = part.slice(0, equals + 1) + redacted;
  }
  return query.slice(0, start) + parts.join("&");
}

function decodeName(name: string): string {
  const spaced = name.replaceAll("+", " ");
  if (!spaced.includes("%")) return spaced.trim();
  try {
    return decodeURIComponent(spaced).trim();
  } catch {
    return spaced;
  }
}
