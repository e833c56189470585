/** A YAML file for a pair of connectors, to be filled in. */
import type { ConfigSchema, Manifest } from '@tributary/connector-sdk/manifest';
import { typeName, type Role } from '@tributary/connectors/registry';
import { TributaryError } from '@tributary/errors/error';
import { configFields, type ConfigField } from './config-fields.ts';

const variableName = (manifest: Manifest, role: Role, field: ConfigField): string => `${typeName(manifest.slug, role)}_${field.name}`.toUpperCase();

const scalar = (value: unknown): string => (typeof value === 'string' ? JSON.stringify(value) : String(value));

const comment = (field: ConfigField): string => {
  const about = [field.title, field.description].filter((text) => text !== '').join(': ');
  return `${about}${field.type.includes(' | ') ? ` (${field.type})` : ''}`.replaceAll('\n', ' ');
};

/** What has to be given stands there; what need not is commented out, with what it is when left out. */
const configLines = (manifest: Manifest, role: Role, schema: ConfigSchema): string[] =>
  configFields(schema).map((field) => {
    const isActive = field.required || (field.secret && field.fallback !== undefined);
    const value = field.secret ? ` \${${variableName(manifest, role, field)}}` : field.fallback == null ? '' : ` ${scalar(field.fallback)}`;
    return `    ${isActive ? '' : '# '}${field.name}:${value} # ${comment(field)}`;
  });

const schemaOf = (manifest: Manifest, role: Role): ConfigSchema => {
  const schema = manifest[role]?.config;
  if (schema === undefined) throw new TributaryError('UNSUPPORTED', `"${manifest.name}" cannot be a ${role}.`);
  return schema;
};

export const endLines = (manifest: Manifest, role: Role): string[] => [
  `${role}:`,
  `  type: ${manifest.slug}`,
  ...(role === 'target' ? ['  table: rows # Written to; made when missing'] : []),
  '  config:',
  ...configLines(manifest, role, schemaOf(manifest, role)),
];

export const exampleFile = (from: Manifest, to: Manifest, file: string): string =>
  [
    `# ${from.name} to ${to.name}. Fill in what is empty, then:`,
    `#   tributary test ${file}    tries both ends and shows mapped rows`,
    `#   tributary sync ${file}    moves the rows; run again, it goes on where it stopped`,
    '# ${NAME} is taken from the environment, ${NAME:-default} too.',
    '',
    ...endLines(from, 'source'),
    '',
    ...endLines(to, 'target'),
    '',
    '# Which columns are written. Without a mapper rows pass as they are.',
    '# mapper:',
    '#   - { key: id, path: $.id, cast: string, primary_key: true }',
    '#   - { key: amount, path: $.order.amount, cast: decimal }',
    '',
    '# backfill: true # false: only what comes after the first run',
    '# error_table: rows_errors # Where rejected rows go; null: the first one ends the sync',
    '',
  ].join('\n');
