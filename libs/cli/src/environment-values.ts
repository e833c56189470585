/** Fills in `${NAME}` and `${NAME:-default}` from the environment; `$${` stands for `${`. */
import type { TributaryError } from '@tributary/errors/error';

export type Environment = Readonly<Record<string, string | undefined>>;

export type ValuePath = readonly (string | number)[];

/** A text of the file that was filled in. */
export interface FilledIn {
  readonly path: ValuePath;
  /** Each variable used in it, with its value. */
  readonly variables: readonly { readonly name: string; readonly value: string }[];
}

const reference = /\$\$\{|\$\{([^}]*)\}/g;
const inside = /^([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$/s;

/**
 * The value with the variables of all its texts filled in. `problem` is called for each that is not set or not well-formed, with what is wrong;
 * it throws.
 */
export const fillIn = (
  value: unknown,
  environment: Environment,
  path: ValuePath,
  problem: (path: ValuePath, message: string) => TributaryError,
  filled: FilledIn[],
): unknown => {
  if (typeof value === 'string') {
    if (!value.includes('${')) return value;
    const variables: { name: string; value: string }[] = [];
    const text = value.replaceAll(reference, (whole, within: string | undefined) => {
      if (within === undefined) return '${';
      const match = inside.exec(within);
      if (match?.[1] === undefined) throw problem(path, `${whole.includes(' ') ? 'a reference' : whole} is not of the form \${NAME} or \${NAME:-default}.`);
      const found = environment[match[1]] ?? match[2];
      if (found === undefined) throw problem(path, `the environment variable ${match[1]} is not set.`);
      if (environment[match[1]] !== undefined) variables.push({ name: match[1], value: found });
      return found;
    });
    filled.push({ path, variables });
    return text;
  }
  if (Array.isArray(value)) return value.map((one, index) => fillIn(one, environment, [...path, index], problem, filled));
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, fillIn(one, environment, [...path, key], problem, filled)]));
  return value;
};
