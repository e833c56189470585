import { expect, test } from 'vitest';
import { readCommandLine } from './command-line.ts';

test('commands and their options are read', () => {
  expect(readCommandLine(['sync', 'a.yaml', '--follow', '--state', 's.json'])).toEqual({
    command: 'sync',
    file: 'a.yaml',
    follow: true,
    state: 's.json',
    root: null,
    json: false,
    verbose: false,
  });
  expect(readCommandLine(['describe'])).toEqual({ command: 'describe', connector: null });
  expect(readCommandLine(['init', 'file', 'duckdb'])).toMatchObject({ file: 'sync.yaml' });
  expect(readCommandLine(['sync', '--help'])).toEqual({ command: 'help' });
});

test.for([
  [[], 'no command'],
  [['snyc', 'a.yaml'], 'no command "snyc"'],
  [['sync'], 'needs a YAML file'],
  [['sync', 'a.yaml', 'b.yaml'], '"b.yaml" is a second'],
  [['sync', 'a.yaml', '--follow', '--once'], 'exclude'],
  [['sync', 'a.yaml', '--stat', 'x'], '--stat'],
  [['test', 'a.yaml', '--follow'], '--follow does not belong to test'],
  [['init', 'file'], 'needs a source and a target'],
] as const)('%j is refused with what is wrong', ([args, message]) => {
  expect(readCommandLine(args)).toMatchObject({ command: 'wrong', message: expect.stringContaining(message) });
});
