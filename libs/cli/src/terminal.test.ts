import { expect, test } from 'vitest';
import { openTerminal, tableText } from './terminal.ts';

const sink = (facts: { isTTY?: boolean; columns?: number } = {}) => {
  const written: string[] = [];
  return { written, write: (text: string) => written.push(text), ...facts };
};

test('secrets are in nothing that is said; values of the environment are named in what others made', () => {
  const err = sink();
  const terminal = openTerminal(sink(), err);
  terminal.hide([
    { text: 'data', shownAs: '${USER}', isSecret: false },
    { text: 'pass.data', shownAs: '«redacted»', isSecret: true },
  ]);
  terminal.say('data pass.data');
  expect(err.written).toEqual(['data «redacted»\n']);
  expect(terminal.clean('user data, database x_data, xpass.datax passXdata')).toBe('user ${USER}, database x_data, x«redacted»x passXdata');
});

test('progress replaces itself on a terminal, and comes as plain lines, not too many, elsewhere', () => {
  const tty = sink({ isTTY: true, columns: 21 });
  const onTerminal = openTerminal(sink(), tty);
  onTerminal.progress('1 row and much more than fits');
  onTerminal.say('said');
  expect(tty.written).toEqual(['\r\u001b[2K1 row and much more ', '\r\u001b[2K', 'said\n']);
  const plain = sink();
  const inLog = openTerminal(sink(), plain);
  inLog.progress('1 row');
  inLog.progress('2 rows');
  expect(plain.written).toEqual(['1 row\n']);
});

test('a table has columns', () => {
  expect(
    tableText(
      [
        ['a', '1'],
        ['bcd', '100'],
      ],
      1,
    ),
  ).toBe('a      1\nbcd  100');
});
