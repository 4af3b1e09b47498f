import { duration } from "@headgate/schema";
import { z } from "zod";
import { isFieldName, wireFieldReason } from "../../core/field-rules.ts";
import { algorithms, publicKey, symmetricAlgorithms } from "./keys.ts";

const texts = z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]).transform((value) => [value].flat());
const fieldName = z.string().refine(isFieldName, "expected the name of a header");

const parts = z.strictObject({
  secret: z
    .string()
    .min(1)
    .refine((text) => !text.startsWith("-----BEGIN"), "this is a key file, not a secret; use publicKey")
    .optional(),
  publicKey: z
    .string()
    .check((context) => {
      try {
        publicKey(context.value);
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        context.issues.push({ code: "custom", input: undefined, message }); // the input may be a private key
      }
    })
    .optional(),
  jwks: z.url({ protocol: /^https?$/, error: "expected an http or https URL" }).optional(),
  algorithms: z.array(z.enum(algorithms)).min(1).optional(),
  issuer: texts.optional(),
  audience: texts.optional(),
  leeway: duration({ maxMs: 600_000 }).prefault("0s"),
  header: fieldName.default("authorization"),
  cookie: z.string().min(1).optional(),
  query: z.string().min(1).optional(),
  claimsToHeaders: z
    .record(
      z.string().min(1),
      fieldName.refine(
        (name) => wireFieldReason(name) === undefined && name.toLowerCase() !== "host",
        "this header cannot be set",
      ),
    )
    .default({}),
  optional: z.boolean().default(false),
});

/** Settings of `jwt`; what can be known to be wrong without a request is wrong here. */
export const settings = parts.check((context) => {
  const { secret, publicKey: pem, jwks, algorithms: wanted } = context.value;
  const problem = (path: string, message: string): void => {
    context.issues.push({ code: "custom", input: undefined, path: [path], message });
  };
  const given = [secret, pem, jwks].filter((value) => value !== undefined).length;
  if (given !== 1) {
    context.issues.push({
      code: "custom",
      input: undefined,
      message: "expected exactly one of secret, publicKey and jwks",
    });
    return;
  }
  if (wanted === undefined) return;
  const isSymmetric = (name: string): boolean => symmetricAlgorithms.some((one) => one === name);
  // An HS algorithm with a public key would take the published key as the shared secret.
  const misfit = wanted.find((name) => isSymmetric(name) !== (secret !== undefined));
  if (misfit !== undefined) {
    problem(
      "algorithms",
      `${misfit} ${secret === undefined ? "needs a secret" : "needs a publicKey or jwks, not a secret"}`,
    );
  } else if (pem !== undefined && !wanted.some((name) => fits(pem, name))) {
    problem("algorithms", "none of these fits the type of the publicKey");
  }
});

export type Settings = z.output<typeof settings>;

function fits(pem: string, name: string): boolean {
  try {
    return publicKey(pem).algorithms.some((one) => one === name);
  } catch {
    return true; // reported under publicKey
  }
}
