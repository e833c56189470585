/**
 * Paths into a record, in two spellings:
 * - JSONPath (a subset of RFC 9535): `$`, `$.a.b`, `$.a[0]`, `$['odd name']`, `$.a[*].b`;
 * - pipes: `a|b|0|*`, where any other character belongs to a name (`a.b` is one name).
 */
import { TributaryError } from '@tributary/errors/error';

export type PathStep =
  | { readonly kind: 'key'; readonly key: string }
  /** `lenient`: written with pipes, where `0` may also be the name of an object's member. */
  | { readonly kind: 'index'; readonly index: number; readonly lenient: boolean }
  | { readonly kind: 'each' };

const wrong = (text: string, why: string): TributaryError =>
  new TributaryError(
    'CONFIG_INVALID',
    `The path ${JSON.stringify(text)} cannot be read: ${why}. Write it like $.a.b, $.a[0], $['odd name'], $.a[*].b or a|b|0|*.`,
  );

const each: PathStep = { kind: 'each' };
const digits = /^(0|[1-9]\d{0,8})$/;
const escapes: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' };

/** `$` gives no steps: the record itself. @throws CONFIG_INVALID */
export const parsePath = (text: string): readonly PathStep[] => (text.startsWith('$') ? parseJsonPath(text) : parsePipes(text));

const parsePipes = (text: string): PathStep[] =>
  text.split('|').map((name) => {
    if (name === '') throw wrong(text, 'a name is empty');
    if (name === '*') return each;
    return digits.test(name) ? { kind: 'index', index: Number(name), lenient: true } : { kind: 'key', key: name };
  });

const parseJsonPath = (text: string): PathStep[] => {
  const steps: PathStep[] = [];
  let at = 1;
  while (at < text.length) {
    if (text[at] === '.') {
      const end = endOfName(text, at + 1);
      const name = text.slice(at + 1, end);
      if (name === '') throw wrong(text, `a name is missing at character ${at + 2}`);
      steps.push(name === '*' ? each : { kind: 'key', key: name });
      at = end;
    } else if (text[at] === '[') {
      const quote = text[at + 1];
      if (quote === "'" || quote === '"') {
        const { name, end } = quoted(text, at + 1, quote);
        if (text[end] !== ']') throw wrong(text, `']' is missing at character ${end + 1}`);
        steps.push({ kind: 'key', key: name });
        at = end + 1;
      } else {
        const close = text.indexOf(']', at);
        if (close === -1) throw wrong(text, "']' is missing");
        const inside = text.slice(at + 1, close).trim();
        if (inside === '*') steps.push(each);
        else if (digits.test(inside)) steps.push({ kind: 'index', index: Number(inside), lenient: false });
        else throw wrong(text, `[${inside}] is neither an index, [*], nor a quoted name`);
        at = close + 1;
      }
    } else {
      throw wrong(text, `'.' or '[' is expected at character ${at + 1}`);
    }
  }
  return steps;
};

const endOfName = (text: string, from: number): number => {
  let end = from;
  while (end < text.length && text[end] !== '.' && text[end] !== '[') end += 1;
  return end;
};

const quoted = (text: string, from: number, quote: string): { name: string; end: number } => {
  let name = '';
  for (let at = from + 1; at < text.length; at += 1) {
    const character = text.charAt(at);
    if (character === quote) return { name, end: at + 1 };
    if (character !== '\\') {
      name += character;
      continue;
    }
    at += 1;
    const escaped = text.charAt(at);
    if (escaped === 'u') {
      const hex = text.slice(at + 1, at + 5);
      if (!/^[0-9a-fA-F]{4}$/.test(hex)) throw wrong(text, `\\u wants four hexadecimal digits at character ${at + 1}`);
      name += String.fromCharCode(Number.parseInt(hex, 16));
      at += 4;
    } else {
      name += escapes[escaped] ?? escaped;
    }
  }
  throw wrong(text, 'a quoted name does not end');
};
