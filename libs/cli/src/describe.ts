/** `tributary describe` and `tributary init`: the connectors there are, and files for them. */
import { writeFile } from 'node:fs/promises';
import type { Fence, Manifest } from '@tributary/connector-sdk/manifest';
import { loadManifests, manifestOf, typeName, type Role } from '@tributary/connectors/registry';
import { TributaryError } from '@tributary/errors/error';
import { configFields, type ConfigField } from './config-fields.ts';
import { endLines, exampleFile } from './example-file.ts';
import { exitCodes, type ExitCode } from './exit-codes.ts';
import { tableText, type Terminal } from './terminal.ts';

const guarantees: Readonly<Record<Fence, string>> = {
  transaction: 'exactly once: rows and checkpoint commit in one transaction',
  producer: 'exactly once: rows and checkpoint commit in one Kafka transaction, for readers of committed records',
  manifest: 'exactly once: files count once a manifest lists them, and the checkpoint is in it',
  none: 'at least once: after a crash, rows since the last checkpoint are written again',
};

const rolesOf = (manifest: Manifest): Role[] => (['source', 'target'] as const).filter((role) => manifest[role] !== undefined);

const fieldRow = (field: ConfigField): string[] => [
  `  ${field.name}`,
  field.type,
  [
    ...(field.required ? ['required'] : []),
    ...(field.fallback === undefined || field.fallback === '' ? [] : [`default ${JSON.stringify(field.fallback)}`]),
    ...(field.secret ? ['secret'] : []),
  ].join(', '),
  [field.title, field.description].filter((text) => text !== '').join(': '),
];

const roleText = (manifest: Manifest, role: Role): string => {
  const facts =
    role === 'source'
      ? [
          manifest.source?.capabilities.continuous === true ? 'can be followed (--follow)' : 'ends with its data',
          ...(manifest.source?.capabilities.slices === true ? ['can be read in slices'] : []),
        ].join('; ')
      : guarantees[manifest.target?.fence ?? 'none'];
  const schema = manifest[role]?.config;
  return [
    `As a ${role} (${typeName(manifest.slug, role)}): ${facts}.`,
    ...(schema === undefined ? [] : [tableText(configFields(schema).map(fieldRow))]),
    '',
    ...endLines(manifest, role).map((line) => `    ${line}`),
  ].join('\n');
};

export const describe = async (connector: string | null, terminal: Terminal): Promise<ExitCode> => {
  if (connector !== null) {
    const manifest = await manifestOf(connector.replaceAll('_', '-'));
    terminal.out(
      [`${manifest.name} (${manifest.slug}), ${manifest.category}`, manifest.description, ...rolesOf(manifest).map((role) => roleText(manifest, role))].join(
        '\n\n',
      ),
    );
    return exitCodes.ok;
  }
  const rows = (await loadManifests()).map((manifest) => [
    manifest.slug,
    manifest.name,
    rolesOf(manifest).join(', '),
    manifest.target === undefined ? '' : (guarantees[manifest.target.fence].split(':')[0] ?? ''),
  ]);
  terminal.out(`${tableText([['CONNECTOR', 'NAME', 'ROLES', 'AS A TARGET'], ...rows])}\n\n\`tributary describe CONNECTOR\` shows its settings.`);
  return exitCodes.ok;
};

/** Writes a file to fill in; never over one that is there. */
export const init = async (from: string, to: string, file: string, terminal: Terminal): Promise<ExitCode> => {
  const [source, target] = await Promise.all([manifestOf(from), manifestOf(to)]);
  try {
    await writeFile(file, exampleFile(source, target, file), { flag: 'wx' });
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') {
      throw new TributaryError('CONFIG_INVALID', `${file} is there already. Name another file: tributary init ${from} ${to} FILE.`, { cause: error });
    }
    throw error;
  }
  terminal.say(`Wrote ${file}. Fill in what is empty, then run \`tributary test ${file}\`.`);
  return exitCodes.ok;
};
