/** The YAML file of a sync: source, target and mapper. What is wrong in it is said with the path and the line. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { secretFields, type ConfigSchema, type Manifest } from '@tributary/connector-sdk/manifest';
import { loadManifests, parseConnectorType, typeNamesOf, type Role } from '@tributary/connectors/registry';
import { mapperConfig, type MapperConfig } from '@tributary/contracts/mapper';
import type { ErrorCode } from '@tributary/errors/codes';
import { TributaryError } from '@tributary/errors/error';
import { LineCounter, isMap, isNode, parseDocument, type Document } from 'yaml';
import { z } from 'zod';
import { fillIn, type Environment, type FilledIn, type ValuePath } from './environment-values.ts';
import type { HiddenText } from './terminal.ts';

/** PostgreSQL keeps 63 characters of a session's name, and the id has to fit in with the epoch. */
const idText = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$/, 'must be up to 32 letters, digits, _ and -');

const end = z.strictObject({
  type: z.string().min(1),
  config: z
    .record(z.string(), z.unknown())
    .nullish()
    .transform((config) => config ?? {}),
});
const source = end.extend({ stream: z.string().min(1).nullish() });

const syncFile = z.strictObject({
  id: idText.nullish(),
  source,
  target: end.extend({ table: z.string().min(1) }),
  mapper: mapperConfig.nullish(),
  backfill: z.boolean().default(true),
  /** Not given: `<table>_errors`; null: none. */
  error_table: z.string().min(1).nullish(),
  encryption_key: z.base64().nullish(),
});
const sourceOnly = z.looseObject({ source });

export interface End {
  readonly manifest: Manifest;
  readonly schema: ConfigSchema;
  /** As the connector takes it. */
  readonly config: Record<string, unknown>;
}

export interface SourceFile {
  /** As the user named it. */
  readonly file: string;
  /** Without folder and ending. */
  readonly name: string;
  readonly folder: string;
  readonly source: End;
  readonly stream: string | null;
  /** Secrets, and what came from the environment. */
  readonly hidden: readonly HiddenText[];
}

export interface SyncFile extends SourceFile {
  readonly id: string | null;
  readonly target: End;
  readonly table: string;
  readonly mapper: MapperConfig | null;
  readonly backfill: boolean;
  readonly errorTable: string | null;
  readonly encryptionKey: Buffer | null;
}

interface Parsed {
  readonly file: string;
  readonly value: unknown;
  readonly filled: readonly FilledIn[];
  /** An error for what is wrong at these places. */
  problem(issues: readonly Issue[], code?: ErrorCode): TributaryError;
}

interface Issue {
  readonly path: ValuePath;
  readonly message: string;
}

/** The line of what is at `path`, or of the nearest thing around it that is there. */
const lineOf = (document: Document, lines: LineCounter, target: ValuePath): number | null => {
  for (let length = target.length; length > 0; length -= 1) {
    const parent = length === 1 ? document.contents : document.getIn(target.slice(0, length - 1), true);
    const name = target[length - 1];
    const pair = isMap(parent) ? parent.items.find(({ key }) => isNode(key) && String(key) === String(name)) : undefined;
    const node = isNode(pair?.key) ? pair.key : document.getIn(target.slice(0, length), true);
    if (isNode(node) && node.range != null) return lines.linePos(node.range[0]).line;
  }
  return document.contents?.range == null ? null : lines.linePos(document.contents.range[0]).line;
};

const pathText = (target: ValuePath): string =>
  target.reduce<string>((text, step) => (typeof step === 'number' ? `${text}[${step}]` : text === '' ? step : `${text}.${step}`), '');

/** @throws CONFIG_INVALID for text that is no YAML; SETTING_INVALID for a variable that is not set */
const parse = (file: string, text: string, environment: Environment): Parsed => {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const [first] = document.errors;
  if (first !== undefined) throw new TributaryError('CONFIG_INVALID', `${file}:${lines.linePos(first.pos[0]).line}: this is not valid YAML: ${first.message}`);

  const problem: Parsed['problem'] = (issues, code = 'CONFIG_INVALID') =>
    new TributaryError(
      code,
      issues
        .map(({ path: place, message }) => {
          const line = lineOf(document, lines, place);
          return `${file}${line === null ? '' : `:${line}`}: ${place.length === 0 ? '' : `${pathText(place)}: `}${message}`;
        })
        .join('\n'),
    );

  const filled: FilledIn[] = [];
  const value: unknown = document.toJS();
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw problem([{ path: [], message: 'the file must be a mapping with source, target and mapper; `tributary init` writes one.' }]);
  }
  const whole = Object.fromEntries(
    Object.entries(value).map(([key, part]) => [
      key,
      // A mapper has no secrets, and its paths may look like references.
      key === 'mapper' ? part : fillIn(part, environment, [key], (place, message) => problem([{ path: place, message }], 'SETTING_INVALID'), filled),
    ]),
  );
  return { file, value: whole, filled, problem };
};

/** zod's issues with the path of what is wrong; never with its value. */
const issuesOf = (error: z.ZodError, prefix: ValuePath = []): Issue[] =>
  error.issues.flatMap((issue): Issue[] => {
    const place = [...prefix, ...issue.path.map((step) => (typeof step === 'symbol' ? String(step) : step))];
    if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => ({ path: [...place, key], message: 'there is no such setting.' }));
    if (issue.code === 'invalid_type' && issue.message.endsWith('received undefined')) return [{ path: place, message: 'is required.' }];
    if (issue.code === 'invalid_type' && issue.message.endsWith('received null')) return [{ path: place, message: 'is empty; give it a value.' }];
    return [{ path: place, message: `${issue.message}.` }];
  });

const samePath = (one: ValuePath, other: ValuePath): boolean => one.length === other.length && one.every((step, index) => step === other[index]);

/** Texts of the environment become numbers and booleans where the field takes those. */
const parseConfig = (parsed: Parsed, schema: ConfigSchema, config: Record<string, unknown>, prefix: ValuePath): Record<string, unknown> => {
  const result = schema.safeParse(config);
  if (result.success) return result.data;
  const typed = { ...config };
  for (const issue of result.error.issues) {
    const [name] = issue.path;
    if (issue.code !== 'invalid_type' || issue.path.length !== 1 || typeof name !== 'string') continue;
    const text = config[name];
    if (typeof text !== 'string' || !parsed.filled.some((one) => samePath(one.path, [...prefix, name]))) continue;
    if (issue.expected === 'boolean' && (text === 'true' || text === 'false')) typed[name] = text === 'true';
    else if ((issue.expected === 'number' || issue.expected === 'int') && text.trim() !== '' && Number.isFinite(Number(text))) typed[name] = Number(text);
  }
  const again = schema.safeParse(typed);
  if (again.success) return again.data;
  throw parsed.problem(issuesOf(again.error, prefix));
};

const article = { source: 'a source', target: 'a target' } as const;

const resolveEnd = async (parsed: Parsed, role: Role, given: z.output<typeof end>): Promise<End> => {
  const named = parseConnectorType(given.type) ?? { slug: given.type.toLowerCase().replaceAll('_', '-'), role };
  const manifests = await loadManifests();
  const manifest = manifests.find(({ slug }) => slug === named.slug);
  const place = [role, 'type'];
  if (manifest === undefined)
    throw parsed.problem([{ path: place, message: `there is no connector "${given.type}". Known: ${manifests.map(({ slug }) => slug).join(', ')}.` }]);
  const schema = manifest[role]?.config;
  if (schema === undefined || named.role !== role) {
    throw parsed.problem([{ path: place, message: `"${given.type}" is not ${article[role]}; there is ${typeNamesOf(manifest).join(' and ')}.` }]);
  }
  return { manifest, schema, config: parseConfig(parsed, schema, given.config, [role, 'config']) };
};

/** Shorter texts would hide parts of words. */
const shortestHidden = 4;

const hiddenOf = (parsed: Parsed, ends: readonly End[], more: readonly string[] = []): HiddenText[] => [
  ...parsed.filled.flatMap(({ variables }) =>
    variables
      .filter(({ value }) => value.length >= shortestHidden && !/^\d+$/.test(value))
      .map(({ name, value }) => ({ text: value, shownAs: `\${${name}}`, isSecret: false })),
  ),
  ...[
    ...more,
    ...ends.flatMap(({ schema, config }) =>
      secretFields(schema).flatMap((name) => {
        const value = config[name];
        return typeof value === 'object' && value !== null ? Object.values(value) : [value];
      }),
    ),
  ]
    .filter((value) => typeof value === 'string' && value.length >= shortestHidden)
    .map((value) => ({ text: String(value), shownAs: '«redacted»', isSecret: true })),
];

const readText = async (file: string): Promise<string> => {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    throw new TributaryError('CONFIG_INVALID', code === 'ENOENT' ? `There is no file ${file}.` : `File ${file} could not be read: ${code}.`, { cause: error });
  }
};

const placesOf = (file: string) => ({ file, name: path.basename(file).replace(/\.ya?ml$/i, ''), folder: path.dirname(path.resolve(file)) });

/** @throws CONFIG_INVALID, SETTING_INVALID, naming file, line and path */
export const parseSyncFile = async (file: string, text: string, environment: Environment): Promise<SyncFile> => {
  const parsed = parse(file, text, environment);
  const result = syncFile.safeParse(parsed.value);
  if (!result.success) throw parsed.problem(issuesOf(result.error));
  const given = result.data;
  const [from, to] = await Promise.all([resolveEnd(parsed, 'source', given.source), resolveEnd(parsed, 'target', given.target)]);
  return {
    ...placesOf(file),
    id: given.id ?? null,
    source: from,
    stream: given.source.stream ?? null,
    target: to,
    table: given.target.table,
    mapper: given.mapper ?? null,
    backfill: given.backfill,
    errorTable: given.error_table === undefined ? `${given.target.table}_errors` : given.error_table,
    encryptionKey: given.encryption_key == null ? null : Buffer.from(given.encryption_key, 'base64'),
    hidden: hiddenOf(parsed, [from, to], given.encryption_key == null ? [] : [given.encryption_key]),
  };
};

export const readSyncFile = async (file: string, environment: Environment): Promise<SyncFile> => parseSyncFile(file, await readText(file), environment);

/** The source alone: target and mapper may still be missing. */
export const readSourceFile = async (file: string, environment: Environment): Promise<SourceFile> => {
  const parsed = parse(file, await readText(file), environment);
  const result = sourceOnly.safeParse(parsed.value);
  if (!result.success) throw parsed.problem(issuesOf(result.error));
  const from = await resolveEnd(parsed, 'source', result.data.source);
  return { ...placesOf(file), source: from, stream: result.data.source.stream ?? null, hidden: hiddenOf(parsed, [from]) };
};
