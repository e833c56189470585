/** The arguments of the command. */
import { parseArgs } from 'node:util';

export const usage = `Usage: tributary COMMAND

  sync FILE              moves rows as the YAML file says, from where the last run stopped to the end of the data
    --follow             goes on when the data ends, until Ctrl-C
    --once               ends with the data (the default)
    --state STATE        where the run's epoch is kept; default .tributary/NAME.json beside FILE
    --json               the summary as JSON
  test FILE              tries source and target, and shows rows before and after the mapper
  streams FILE           what the source could read
  describe [CONNECTOR]   the connectors there are; settings and an example of one
  init SOURCE TARGET [FILE]   writes a YAML file to fill in, sync.yaml by default

  --root FOLDER          the only folder that file connectors touch; default: the folder of FILE
  --verbose              also what connectors say on the way
  --help, --version

Exit code: 0 done, 1 an error, 2 wrong arguments, 130 stopped before the data ended.`;

interface FileOptions {
  readonly file: string;
  readonly root: string | null;
  readonly verbose: boolean;
}

export type CommandLine =
  | { readonly command: 'help' | 'version' }
  | { readonly command: 'wrong'; readonly message: string }
  | ({ readonly command: 'sync'; readonly follow: boolean; readonly state: string | null; readonly json: boolean } & FileOptions)
  | ({ readonly command: 'test' | 'streams' } & FileOptions)
  | { readonly command: 'describe'; readonly connector: string | null }
  | { readonly command: 'init'; readonly source: string; readonly target: string; readonly file: string };

const wrong = (message: string): CommandLine => ({ command: 'wrong', message });

const options = {
  follow: { type: 'boolean' },
  once: { type: 'boolean' },
  state: { type: 'string' },
  json: { type: 'boolean' },
  root: { type: 'string' },
  verbose: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean' },
} as const;

const read = (args: readonly string[]) => parseArgs({ args: [...args], options, allowPositionals: true, strict: true });

const forSync = ['follow', 'once', 'state', 'json'] as const;
const forFiles = ['root', 'verbose'] as const;

export const readCommandLine = (args: readonly string[]): CommandLine => {
  let parsed: ReturnType<typeof read>;
  try {
    parsed = read(args);
  } catch (error) {
    return wrong(error instanceof Error ? (error.message.split('. ')[0] ?? error.message) : String(error));
  }
  const { values, positionals } = parsed;
  const [command, first, second, third, ...rest] = positionals;
  if (values.help === true || command === 'help') return { command: 'help' };
  if (values.version === true) return { command: 'version' };
  if (command === undefined) return wrong('no command is given');
  const misplaced = [...(command === 'sync' ? [] : forSync), ...(command === 'describe' || command === 'init' ? forFiles : [])].find(
    (name) => values[name] !== undefined,
  );
  if (misplaced !== undefined) return wrong(`--${misplaced} does not belong to ${command}`);

  switch (command) {
    case 'sync':
    case 'test':
    case 'streams': {
      if (first === undefined) return wrong(`${command} needs a YAML file`);
      if (second !== undefined) return wrong(`${command} takes one file, and "${second}" is a second`);
      const file = { file: first, root: values.root ?? null, verbose: values.verbose === true };
      if (command !== 'sync') return { command, ...file };
      if (values.follow === true && values.once === true) return wrong('--follow and --once exclude each other');
      return { command, ...file, follow: values.follow === true, state: values.state ?? null, json: values.json === true };
    }
    case 'describe':
      return second === undefined ? { command, connector: first ?? null } : wrong('describe takes one connector');
    case 'init':
      if (first === undefined || second === undefined) return wrong('init needs a source and a target, e.g. `tributary init file duckdb`');
      return rest.length > 0 ? wrong('init takes a source, a target and a file') : { command, source: first, target: second, file: third ?? 'sync.yaml' };
    default:
      return wrong(`there is no command "${command}"`);
  }
};
