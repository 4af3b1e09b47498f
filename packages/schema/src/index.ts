export type * from "./resources.ts";
