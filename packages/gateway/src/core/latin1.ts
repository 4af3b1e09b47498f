// Node has these on every Buffer and documents only the slower way through an encoding's name. HTTP heads are latin1:
// one byte is one character, so offsets in text and in bytes are the same.
declare global {
  interface Buffer {
    latin1Slice(start?: number, end?: number): string;
    latin1Write(text: string, offset?: number, length?: number): number;
  }
}

export {};
