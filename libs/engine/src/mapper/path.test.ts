import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parsePath } from './path.ts';

const key = (name: string) => ({ kind: 'key', key: name });
const index = (n: number, lenient = false) => ({ kind: 'index', index: n, lenient });
const each = { kind: 'each' };

test.each([
  ['$', []],
  ['$.a', [key('a')]],
  ['$.a.b', [key('a'), key('b')]],
  ['$.a[0]', [key('a'), index(0)]],
  ['$[0].a', [index(0), key('a')]],
  ['$.a[*].b', [key('a'), each, key('b')]],
  ['$.a.*', [key('a'), each]],
  ['$[*][*]', [each, each]],
  ["$['odd name']", [key('odd name')]],
  ['$["odd name"].x', [key('odd name'), key('x')]],
  ["$['it\\'s']['a\\\\b']['\\u00e9']", [key("it's"), key('a\\b'), key('é')]],
  ["$['']", [key('')]],
  ["$['a]b']", [key('a]b')]],
  ['$.0', [key('0')]],
  ['$.größe-1', [key('größe-1')]],
  ['$.__proto__', [key('__proto__')]],
  ['a', [key('a')]],
  ['a.b', [key('a.b')]],
  ['a|b|0|*', [key('a'), key('b'), index(0, true), each]],
  ['*|id', [each, key('id')]],
  ['a|007', [key('a'), key('007')]],
])('reads %s', (text, steps) => {
  expect(parsePath(text)).toEqual(steps);
});

test.each(['', '|', 'a||b', '$a', '$.', '$..a', '$.a.', '$.a[', '$.a[]', '$.a[x]', '$.a[-1]', "$['a", "$['a'", "$['a'x", "$['\\u12']", '$.a[1e3]'])(
  'refuses %j',
  (text) => {
    expect(() => parsePath(text)).toThrow(/The path ".*" cannot be read: .+\. Write it like/);
  },
);

test('reads any name in quotes back', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'binary' })), (names) => {
      const text = `$${names.map((name) => `['${name.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}']`).join('')}`;
      expect(parsePath(text)).toEqual(names.map(key));
    }),
  );
});
