/** Every connector there is: the folders beside this file that hold a `manifest.ts`. Adding a folder adds a connector. */
import { existsSync, readdirSync } from 'node:fs';
import type { Manifest } from '@tributary/connector-sdk/manifest';
import { TributaryError } from '@tributary/errors/error';

const folder = new URL('./', import.meta.url);

export type Role = 'source' | 'target';

/** The slugs of all connectors, sorted. */
export const connectorSlugs = (): string[] =>
  readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(new URL(`${entry.name}/manifest.ts`, folder)))
    .map((entry) => entry.name)
    .sort();

const readManifest = async (slug: string): Promise<Manifest> => {
  const { default: manifest } = (await import(new URL(`${slug}/manifest.ts`, folder).href)) as { default: Manifest };
  if (manifest.slug !== slug) throw new TributaryError('INTERNAL', `The manifest in folder ${slug} says its slug is "${manifest.slug}".`);
  return manifest;
};

let loaded: Promise<readonly Manifest[]> | undefined;

/** All manifests, by slug. Loads no driver. */
export const loadManifests = (): Promise<readonly Manifest[]> => (loaded ??= Promise.all(connectorSlugs().map(readManifest)));

/** @throws UNSUPPORTED when there is no such connector. */
export const manifestOf = async (slug: string): Promise<Manifest> => {
  const manifests = await loadManifests();
  const manifest = manifests.find((candidate) => candidate.slug === slug.toLowerCase());
  if (manifest === undefined)
    throw new TributaryError('UNSUPPORTED', `There is no connector "${slug}". Known: ${manifests.map((known) => known.slug).join(', ')}.`);
  return manifest;
};

/** `KAFKA_SOURCE` or `kafka_source` → connector and role; null for what is not such a name. Slugs with `-` are written with `_` in type names. */
export const parseConnectorType = (type: string): { readonly slug: string; readonly role: Role } | null => {
  const match = /^([a-z0-9][a-z0-9_-]*)[_-](source|target)$/.exec(type.toLowerCase());
  return match?.[1] === undefined ? null : { slug: match[1].replaceAll('_', '-'), role: match[2] as Role };
};

/**
 * The connector and role of a type name of the pipelines API, upper or lower case.
 * @throws UNSUPPORTED when there is no such connector, or it lacks the role.
 */
export const connectorTypeOf = async (type: string): Promise<{ readonly slug: string; readonly role: Role; readonly manifest: Manifest }> => {
  const parsed = parseConnectorType(type);
  const manifests = await loadManifests();
  const manifest = manifests.find((candidate) => candidate.slug === parsed?.slug);
  if (parsed === null || manifest?.[parsed.role] === undefined) {
    throw new TributaryError('UNSUPPORTED', `There is no connector type "${type}". Known: ${manifests.flatMap(typeNamesOf).join(', ')}.`);
  }
  return { ...parsed, manifest };
};

/** `postgresql`, `source` → `POSTGRESQL_SOURCE`. */
export const typeName = (slug: string, role: Role): string => `${slug.replaceAll('-', '_')}_${role}`.toUpperCase();

export const typeNamesOf = (manifest: Manifest): string[] =>
  (['source', 'target'] as const).filter((role) => manifest[role] !== undefined).map((role) => typeName(manifest.slug, role));
