// node's own HTTP parser (llhttp behind node:http). Internal to node and so without types; only tests use it.
declare module "node:_http_common" {
  /** By the number that `kOnHeadersComplete` is given. */
  export const methods: readonly string[];
  export class HTTPParser {
    static readonly REQUEST: number;
    static readonly RESPONSE: number;
    static readonly kOnHeaders: number;
    static readonly kOnHeadersComplete: number;
    static readonly kOnBody: number;
    static readonly kOnMessageComplete: number;
    [event: number]: unknown;
    initialize(type: number, resource: object, maxHeaderSize: number, lenientFlags: number): void;
    execute(bytes: Buffer): number | (Error & { readonly code: string; readonly reason: string });
    finish(): undefined | (Error & { readonly code: string; readonly reason: string });
  }
}
